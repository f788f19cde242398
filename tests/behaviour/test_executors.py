"""What every executor promises, and what the processes promise besides."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import BrokenExecutor
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rasterio.env
from forking import START_METHODS
from rasterio.windows import Window

from rio_mucho_cli.errors import MuchoError, WorkerProcessDiedError
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.system import usable_cpus
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers import channel, process_pool
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.executor import LOCAL, open_executor
from rio_mucho_cli.workers.window import run_window

PLANNED = PlannedWindow(Window(0, 0, 3, 2), (0, 0), Window(0, 0, 3, 2))
every = pytest.mark.parametrize("name", LOCAL)


@pytest.fixture
def order(make_raster):
    def make(function, **global_args):
        return RunContext(ReadSpec([InputSpec(str(make_raster()))]), function, global_args)

    return make


def value(number):
    return np.full((2, 3), number, "int64")


@every
def test_windows_are_worked_on(name, order):
    def total(data, window, ij, global_args):
        return value(data[0].sum() + global_args["k"])

    made = order(total, k=5)
    with open_executor(name, 2, "run", made) as executor:
        sums = {
            executor.submit(run_window, "run", PLANNED).result().results[0].data.max()
            for _ in range(5)
        }
    with rasterio.open(made.reading.inputs[0].path) as src:
        assert sums == {src.read(window=PLANNED.window).sum() + 5}


@every
def test_gdal_options_of_the_callers_env_are_there(name, order):
    def option(data, window, ij, global_args):
        return value(int(rasterio.env.getenv()["MY_OPTION"]))

    with rasterio.Env(MY_OPTION=5), open_executor(name, 2, "run", order(option)) as executor:
        assert executor.submit(run_window, "run", PLANNED).result().results[0].data.max() == 5


@every
def test_nothing_is_left_after_an_error(name, order, children):
    with open_executor(name, 2, "first", order(lambda *args: value(1))) as executor:
        executor.submit(run_window, "first", PLANNED).result()
    before, threads = set(children()), set(threading.enumerate())

    def fail_within(executor):
        executor.submit(run_window, "run", PLANNED)
        raise RuntimeError("in the parent")

    with (
        pytest.raises(RuntimeError, match="in the parent"),
        open_executor(name, 2, "run", order(lambda *args: value(1))) as executor,
    ):
        fail_within(executor)
    assert set(children()) <= before
    for thread in set(threading.enumerate()) - threads:
        assert not thread.is_alive()


@every
def test_a_run_within_a_run_does_not_disturb_it(name, order):
    inner = order(lambda *args: value(2))
    outer = order(lambda *args: value(1))
    with open_executor(name, 2, "outer", outer) as first:
        assert first.submit(run_window, "outer", PLANNED).result().results[0].data.max() == 1
        with open_executor("serial", 1, "inner", inner) as second:
            assert second.submit(run_window, "inner", PLANNED).result().results[0].data.max() == 2
        assert first.submit(run_window, "outer", PLANNED).result().results[0].data.max() == 1


@pytest.mark.parametrize("method", START_METHODS)
def test_processes_have_limits_of_their_own(order, monkeypatch, method):
    monkeypatch.setenv("MUCHO_START_METHOD", method)

    def look(data, window, ij, global_args):
        limits = [os.environ["OPENBLAS_NUM_THREADS"], os.environ["GDAL_CACHEMAX"], os.getppid()]
        return np.resize([int(limit) for limit in limits], (2, 3))

    with open_executor("processes", 1, "run", order(look)) as executor:
        found = executor.submit(run_window, "run", PLANNED).result().results[0].data[0, 0].tolist()
    assert found[:2] == [1, 16_000_000]
    assert (found[2] == os.getpid()) == (method == "spawn")


SCRIPT = """
    import os, sys
    import numpy as np
    import rio_mucho_cli

    print("started", flush=True)

    def run(data, window, ij, global_args):
        if len(sys.argv) > 3:
            os.write(1, f"worker {os.getpid()}\\n".encode())  # in one piece
            import ctypes
            # The one lets other threads run meanwhile, the other does not.
            {"python": ctypes.CDLL, "native": ctypes.PyDLL}[sys.argv[3]](None).sleep(600)
        return data[0]

    rio_mucho_cli.RioMucho([sys.argv[1]], sys.argv[2], run).run(2)
"""


@pytest.fixture
def script(tmp_path, make_raster):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    source = make_raster(width=64, height=64, tiled=True, blockxsize=16, blockysize=16)
    return [sys.executable, str(path), str(source), str(tmp_path / "out.tif")]


def test_a_script_without_a_guard_is_not_started_again(script, tmp_path):
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")
    assert (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("times", [3, pytest.param(12, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("shared", [True, False])
def test_a_worker_that_is_killed_while_it_sends_does_not_hang_the_run(order, shared, times):
    def large(data, window, ij, global_args):
        channel._SMALLEST_SHARED = 0 if shared else 10**9
        threading.Timer(0.001 * ij[0], os.kill, (os.getpid(), signal.SIGKILL)).start()
        return np.zeros((30_000, 2, 3))

    deaths = 0
    for number in range(0, 12, 12 // times):
        with (
            pytest.raises(WorkerProcessDiedError) as caught,
            open_executor("processes", 2, "run", order(large)) as executor,
        ):
            futures = [
                executor.submit(run_window, "run", replace(PLANNED, ij=(number, 0)))
                for _ in range(99)
            ]
            for future in futures:
                future.result(timeout=30)
        deaths += caught.value.exitcode == -signal.SIGKILL
    assert deaths == times


def test_a_result_that_the_parent_cannot_take_ends_the_run(order, monkeypatch):
    def out_of_memory(*args):
        raise MemoryError("no room for a result")

    monkeypatch.setattr(process_pool, "_settle", out_of_memory)
    made = order(lambda *args: value(1))
    with (
        pytest.raises(BrokenExecutor, match="no room for a result"),
        open_executor("processes", 2, "run", made) as executor,
    ):
        futures = [executor.submit(run_window, "run", PLANNED) for _ in range(5)]
        for future in futures:
            future.result(timeout=30)


def test_workers_that_cannot_start_say_so(order, monkeypatch, tmp_path):
    (tmp_path / "false").write_text("#!/bin/sh\nexit 4\n")
    (tmp_path / "false").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "false"))
    with (
        pytest.raises(WorkerProcessDiedError) as caught,
        open_executor("processes", 2, "run", order(lambda *args: value(1))) as executor,
    ):
        executor.submit(run_window, "run", PLANNED).result(timeout=30)
    assert (caught.value.exitcode, caught.value.started) == (4, False)
    monkeypatch.setattr(sys, "executable", None)
    with (
        pytest.raises(MuchoError, match=r"only 0 of 2 .*use the executor threads"),
        open_executor("processes", 2, "run", order(lambda *args: value(1))),
    ):
        pass


def test_a_path_and_arguments_that_are_odd(order, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, threading.Lock()])
    monkeypatch.delattr(sys, "argv")
    with open_executor("processes", 1, "run", order(lambda *args: value(1))) as executor:
        assert (
            executor.submit(run_window, "run", PLANNED).result(timeout=30).results[0].data.max()
            == 1
        )


def test_what_a_function_forks_does_not_hide_its_workers_death(order):
    def fork_and_die(data, window, ij, global_args):
        if os.fork() == 0:
            signal.pause()  # it ends when the test kills its group
        os.kill(os.getpid(), signal.SIGKILL)

    def within(executor):
        executor.submit(os.setpgid, 0, 0).result(timeout=30)
        group = executor.submit(os.getpgid, 0).result(timeout=30)
        try:
            executor.submit(run_window, "run", PLANNED).result(timeout=30)
        finally:
            os.killpg(group, signal.SIGKILL)

    with (
        pytest.raises(WorkerProcessDiedError),
        open_executor("processes", 1, "run", order(fork_and_die)) as executor,
    ):
        within(executor)


def test_a_thread_that_a_function_left_running_does_not_keep_the_run(order, monkeypatch):
    def leave(data, window, ij, global_args):
        threading.Thread(target=threading.Event().wait).start()
        return value(1)

    monkeypatch.setattr(process_pool, "_PATIENCE", 0.1)
    with open_executor("processes", 1, "run", order(leave)) as executor:
        assert (
            executor.submit(run_window, "run", PLANNED).result(timeout=30).results[0].data.max()
            == 1
        )


def test_more_workers_than_the_system_allows(order, monkeypatch, children):
    before, started = set(children()), []

    def few(*args, **kwargs):
        if len(started) == 2:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(popen(*args, **kwargs))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setenv("MUCHO_START_METHOD", "spawn")
    monkeypatch.setattr(subprocess, "Popen", few)
    with (
        pytest.raises(MuchoError, match="only 2 of 5 worker processes could be started"),
        open_executor("processes", 5, "run", order(lambda *args: value(1))),
    ):
        pass
    assert set(children()) <= before


@pytest.mark.parametrize(("allowed", "advice"), [(0, "the executor serial"), (2, "fewer jobs")])
def test_more_threads_than_the_system_allows(order, monkeypatch, allowed, advice):
    before, start, started = set(threading.enumerate()), threading.Thread.start, []

    def few(thread):
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    with (
        pytest.raises(MuchoError, match=f"only {allowed} of 5 threads .*: use {advice}"),
        open_executor("threads", 5, "run", order(lambda *args: value(1))),
    ):
        pass
    assert len(started) == allowed
    assert set(threading.enumerate()) <= before


def test_exceptions_and_results_that_cannot_travel_are_exceptions(order):
    with open_executor("processes", 1, "run", order(lambda *args: value(1))) as executor:
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result(timeout=30)
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(threading.Lock).result(timeout=30)
        assert (
            executor.submit(run_window, "run", PLANNED).result(timeout=30).results[0].data.max()
            == 1
        )


def test_a_module_named_like_a_library_does_not_disturb_workers(order, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise ImportError('the wrong numpy')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with open_executor("processes", 1, "run", order(lambda *args: value(3))) as executor:
        assert (
            executor.submit(run_window, "run", PLANNED).result(timeout=30).results[0].data.max()
            == 3
        )


@pytest.mark.parametrize(
    "where",
    [
        "python",
        pytest.param(
            "native",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do it"),
        ),
    ],
)
def test_workers_end_when_their_parent_is_killed(script, where):
    with subprocess.Popen([*script, where], stdout=subprocess.PIPE, text=True) as parent:
        lines = [parent.stdout.readline().split() for _ in range(3)]
        parent.send_signal(signal.SIGKILL)
        assert [line[0] for line in lines] == ["started", "worker", "worker"]
        try:
            # Workers hold the pipe's other end: it is at its end when they are gone.
            assert parent.communicate(timeout=30) == ("", None)
        except subprocess.TimeoutExpired:
            for _, pid in lines[1:]:
                os.kill(int(pid), signal.SIGKILL)
            raise


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "5000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu.max": "unheard of"}, 64),
        ({}, 64),
    ],
)
def test_usable_cpus_counts_a_containers_limit(tmp_path, monkeypatch, files, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64))
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert usable_cpus(tmp_path) == cpus


def test_usable_cpus_counts_affinity():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
