"""Workers die, and others take their place; nothing is left of either."""

import gc
import os
import resource
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from forking import CAN_FORK
from rasterio.windows import Window
from waiting import wait_until

from rio_mucho_cli.errors import WorkerProcessDiedError, WorkerStartError
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers import fork_server, process_pool
from rio_mucho_cli.workers.channel import pack_message
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.executor import open_executor
from rio_mucho_cli.workers.process_pool import Launcher, ProcessExecutor
from rio_mucho_cli.workers.window import run_window, run_windows

PLANNED = PlannedWindow(Window(0, 0, 3, 2), (0, 0), Window(0, 0, 3, 2))


@pytest.fixture(
    params=[
        pytest.param("forkserver", marks=() if CAN_FORK else pytest.mark.skip("no fork server")),
        pytest.param("spawn", marks=pytest.mark.campaign if CAN_FORK else ()),
    ]
)
def start_method(request, monkeypatch):
    monkeypatch.setenv("MUCHO_START_METHOD", request.param)
    if request.param == "forkserver":
        fork_server.get_fork_server()  # stays, with its socket
    return request.param


@pytest.fixture
def executor_of(start_method):
    """Return a function that makes an executor, which is closed at the end."""
    made = []

    def make(jobs, setup=bool):
        made.append(ProcessExecutor(jobs, pack_message((setup, (), {})), {}))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)


@pytest.fixture
def order(make_raster):
    def function(data, window, ij, global_args):
        if ij == (6, 6):
            os._exit(6)
        return np.full((2, 3), os.getpid())

    return RunContext(ReadSpec([InputSpec(str(make_raster()))]), function, {})


@pytest.fixture
def fails_to_be_ready(tmp_path, monkeypatch):
    """Return an interpreter that ends at once, and how often it was started."""
    script, log = tmp_path / "fails", tmp_path / "starts"
    script.write_text(f"#!/bin/sh\necho >> {log}\nexit 4\n")
    script.chmod(0o755)
    monkeypatch.setenv("MUCHO_START_METHOD", "spawn")
    return str(script), lambda: len(log.read_text())


@pytest.fixture
def starts(monkeypatch):
    """Count the processes that are started."""
    started = []

    def counted(launch):
        started.append(start(launch))
        return started[-1]

    start = Launcher.start
    monkeypatch.setattr(Launcher, "start", counted)
    return started


def cannot(*args):
    raise args[0]


@pytest.mark.parametrize("cause", [RuntimeError("no more threads"), OSError(11, "try again")])
def test_a_process_that_cannot_get_ready_ends_the_executor(executor_of, starts, cause):
    executor = executor_of(1, partial(cannot, cause))
    called = [executor.submit(os.getpid) for _ in range(3)]
    for future in called:
        with pytest.raises(
            WorkerStartError, match=rf"could not get ready \({type(cause).__name__}"
        ):
            future.result(timeout=30)
    assert len(starts) == 1


def pid_of(executor):
    return executor.submit(os.getpid).result(timeout=30)


def died(future):
    """Return what a call's worker died of."""
    with pytest.raises(WorkerProcessDiedError) as caught:
        future.result(timeout=30)
    return caught.value


def test_only_the_call_that_was_being_made_fails(executor_of):
    executor = executor_of(2)
    pids = {pid_of(executor) for _ in range(2)}
    futures = [
        executor.submit(os._exit, 5) if number in (1, 2, 7) else executor.submit(os.getpid)
        for number in range(12)
    ]
    for number, future in enumerate(futures):
        if number in (1, 2, 7):
            error = died(future)
            assert (error.exitcode, error.started) == (5, True)
        else:
            pids.add(future.result(timeout=30))
    assert 2 < len(pids) <= 5


@pytest.mark.parametrize(
    ("death", "exitcode"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), -signal.SIGTERM),
        (lambda: os._exit(0), 0),
        (lambda: os.execv("/bin/sh", ["sh", "-c", "exec sleep 600"]), -signal.SIGKILL),
    ],
    ids=["killed", "asked to end", "ended", "something else"],
)
def test_every_way_to_die(executor_of, monkeypatch, death, exitcode):
    monkeypatch.setattr(process_pool, "_PATIENCE", 0.1)
    executor = executor_of(1)
    before = pid_of(executor)
    assert died(executor.submit(death)).exitcode == exitcode
    assert pid_of(executor) != before


def test_a_new_process_knows_the_order(order):
    with open_executor("processes", 1, "run", order) as executor:
        first = executor.submit(run_window, "run", PLANNED).result(timeout=30).results[0].data
        assert died(executor.submit(run_window, "run", replace(PLANNED, ij=(6, 6)))).exitcode == 6
        second = executor.submit(run_window, "run", PLANNED).result(timeout=30).results[0].data
        assert second.max() != first.max()


def test_progress_is_that_of_the_call(order):
    batch = [replace(PLANNED, ij=(number, number)) for number in range(8)]
    with open_executor("processes", 1, "run", order) as executor:
        executor.submit(run_windows, "run", batch[:6]).result(timeout=30)
        assert died(executor.submit(os._exit, 1)).progress == 0
        assert died(executor.submit(run_windows, "run", batch)).progress == 6
        assert died(executor.submit(run_windows, "run", batch[4:])).progress == 2


@pytest.fixture
def end_between_calls():
    """Return a call with which a worker answers, and ends when it waits for the next one."""

    def call():
        from rio_mucho_cli.workers.channel import Channel

        Channel.receive = lambda channel: os._exit(9)
        return os.getpid()

    return call


def test_a_call_that_its_worker_did_not_begin_is_made_by_the_next(executor_of, end_between_calls):
    executor = executor_of(1)
    pids = [executor.submit(end_between_calls).result(timeout=30) for _ in range(3)]
    os.kill(pid_of(executor), signal.SIGKILL)
    pids.append(pid_of(executor))
    assert len(set(pids)) == 4


def test_workers_that_end_before_any_call_do_not_keep_it_for_ever(executor_of, end_between_calls):
    executor = executor_of(1, setup=end_between_calls)
    for _ in range(2):
        error = died(executor.submit(os.getpid))
        assert (error.exitcode, error.started, error.progress) == (9, True, 0)


def test_a_first_process_that_does_not_become_ready_is_not_replaced(
    executor_of, monkeypatch, fails_to_be_ready
):
    interpreter, started = fails_to_be_ready
    monkeypatch.setattr(sys, "executable", interpreter)
    executor = executor_of(3)
    for future in [executor.submit(os.getpid) for _ in range(5)]:
        assert (died(future).exitcode, died(future).started) == (4, False)
    executor.shutdown()
    assert started() == 3


def test_a_replacement_that_does_not_become_ready_is_tried_twice(
    executor_of, fails_to_be_ready, monkeypatch
):
    interpreter, started = fails_to_be_ready
    executor = executor_of(1)
    pid_of(executor)
    monkeypatch.setattr(sys, "executable", interpreter)
    futures = [executor.submit(os._exit, 5), *(executor.submit(os.getpid) for _ in range(3))]
    assert [died(future).started for future in futures] == [True, False, False, False]
    assert not died(executor.submit(os.getpid)).started
    executor.shutdown()
    assert started() == 2


def test_a_process_that_is_not_ready_at_first_may_be_so_later(
    executor_of, fails_to_be_ready, monkeypatch, end_between_calls
):
    def once(launch):
        monkeypatch.setattr(Launcher, "start", start)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", fails_to_be_ready[0])
            return start(launch)

    start = Launcher.start
    executor = executor_of(1)
    before = executor.submit(end_between_calls).result(timeout=30)
    monkeypatch.setattr(Launcher, "start", once)
    assert pid_of(executor) != before
    assert fails_to_be_ready[1]() == 1


def test_what_cannot_be_replaced_is_done_without(executor_of, monkeypatch, caplog):
    def none(*args, **kwargs):
        raise OSError("no more processes")

    executor = executor_of(2)
    pid_of(executor)
    monkeypatch.setattr(Launcher, "start", none)
    died(executor.submit(os._exit, 5))
    pids = {executor.submit(os.getpid).result(timeout=30) for _ in range(9)}
    assert len(pids) == 1
    died(executor.submit(os._exit, 5))
    for _ in range(2):
        with pytest.raises(BrokenExecutor, match=r"no worker process is left, .*no more processes"):
            executor.submit(os.getpid).result(timeout=30)
    assert [record.message[-10:] for record in caplog.records] == ["1 are left", "0 are left"]


def test_nothing_is_started_once_all_is_called_off(executor_of, starts, children):
    before = set(children())
    executor = executor_of(2)
    gone = executor_of(1)
    calls = [executor.submit(signal.pause) for _ in range(9)]
    executor.shutdown(cancel_futures=True)
    gone.shutdown()
    for future in calls:
        with pytest.raises((WorkerProcessDiedError, CancelledError)):
            future.result(timeout=30)
    for each in (executor, gone):
        with pytest.raises(RuntimeError, match="shut down"):
            each.submit(os.getpid)
        assert not any(thread.is_alive() for thread in each._threads)
    assert len(starts) == 3
    assert set(children()) <= before


def test_a_process_that_is_being_started_when_all_is_called_off_ends(
    executor_of, monkeypatch, children
):
    def slow(launch):
        starting.set_result(start(launch))
        called_off.result()
        return starting.result()

    before = set(children())
    starting, called_off, start = Future(), Future(), Launcher.start
    executor = executor_of(1)
    pid_of(executor)
    monkeypatch.setattr(Launcher, "start", slow)
    died(executor.submit(os._exit, 5))
    process = starting.result(timeout=30)
    executor.shutdown(wait=False, cancel_futures=True)
    called_off.set_result(None)
    executor.shutdown()
    assert process.exitcode == -signal.SIGKILL
    assert set(children()) <= before


def test_an_interrupt_while_workers_are_started_leaves_none(monkeypatch, children):
    def interrupted(launch):
        if len(set(children()) - before) == 2:
            raise KeyboardInterrupt
        return start(launch)

    before, start = set(children()), Launcher.start
    monkeypatch.setattr(Launcher, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ProcessExecutor(3, pack_message((bool, (), {})), {})
    assert set(children()) <= before


def test_workers_outlive_the_thread_that_asked_for_them(order):
    executors = [open_executor("processes", 1, "run", order) for _ in range(2)]
    entered = []
    for executor in executors:
        thread = threading.Thread(target=lambda each=executor: entered.append(each.__enter__()))
        thread.start()
        thread.join()
    for executor in entered:
        before = pid_of(executor)
        assert pid_of(executor) == before
        died(executor.submit(os._exit, 5))
    for executor in executors:
        executor.__exit__(None, None, None)


def held():
    """Return what this process has: files, shared memory, threads."""
    gc.collect()
    maps = Path("/proc/self/maps")
    shared = maps.read_text().count("memfd:mucho") if maps.exists() else 0
    return len(list(Path("/dev/fd").iterdir())), shared, len(threading.enumerate())


def test_nothing_is_left_of_the_dead(executor_of, children, start_method):
    def die(array):
        os._exit(array.size % 7)

    def kill_soon(array):
        threading.Timer(0.001, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return np.concatenate([array, array])

    before, others = held(), len(children())
    executor = executor_of(3)
    sizes = range(20_000, 24_000, 1000)
    futures = [(executor.submit(die, np.ones(size)), size % 7) for size in sizes]
    for future, exitcode in futures:
        assert died(future).exitcode == exitcode
    futures = [executor.submit(kill_soon, np.ones(300_000)) for _ in range(4)]
    for future in futures:
        assert future.exception(timeout=30) is None or died(future).exitcode == -9
    del futures, future
    for _ in range(3):
        assert executor.submit(np.negative, np.ones(50_000)).result(timeout=30).sum() == -50_000
    # What is left of the last ones that died goes when that is noticed.
    wait_until(lambda: len(children()) == others + 3, "the dead are still there, or too many live")
    # Two files each, four if forked, and those of shared memory that the other end has made.
    own = {"spawn": 6, "forkserver": 12}[start_method]
    wait_until(lambda: held()[0] - before[0] <= own + 6, "files of the dead are open")
    files, shared, threads = held()
    assert files - before[0] >= own
    assert shared <= 6
    assert threads == before[2] + 3
    executor.shutdown()
    assert held() == before


def test_the_memory_that_a_process_held_is_known(executor_of, start_method):
    def die(size):
        np.ones(size, "uint8")
        os._exit(1)

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own *= 1 if sys.platform == "darwin" else 1024
    executor = executor_of(1)
    assert died(executor.submit(die, own + 2**26)).peak > own + 2**26
    peak = died(executor.submit(os._exit, 1)).peak
    if start_method == "forkserver":
        assert 2**20 < peak < own + 2**26
    else:  # It is not taken for what this process held.
        assert peak is None or peak > own


def test_the_program_may_wait_for_its_children_itself(executor_of, start_method):
    executor = executor_of(1)
    pid_of(executor)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        error = died(executor.submit(os._exit, 5))
        if start_method == "spawn":
            assert (error.exitcode, error.peak) == (0, None)
        else:  # it is the fork server's
            assert error.exitcode == 5
        pid_of(executor)
        executor.shutdown(cancel_futures=True)
    finally:
        signal.signal(signal.SIGCHLD, before)
