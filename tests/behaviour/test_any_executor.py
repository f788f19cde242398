"""Executors of the user's own."""

import os
import threading
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import loky
import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Job, MuchoChildError, RioMucho, WorkerDiedError, run
from rio_mucho_cli.windows import Size
from rio_mucho_cli.workers import any_executor


@pytest.fixture
def job(tmp_path, make_raster):
    def make(function, executor, **given):
        source = make_raster(height=96, width=128)
        return Job(
            inputs=[str(source)],
            output=str(tmp_path / "out.tif"),
            function=function,
            executor=executor,
            **{"windows": Size(32, 32), "jobs": 2, **given},
        )

    return make


@pytest.fixture(scope="module")
def processes():
    with loky.ProcessPoolExecutor(2) as executor:
        yield executor


def test_loky(job, processes, read):
    own = os.getpid()

    def plus(data, window, ij, global_args):
        assert os.getpid() != own
        return data[0] + np.uint16(global_args["k"])

    made = job(plus, processes, global_args={"k": 5})
    report = run(made)
    assert report.executor == "ProcessPoolExecutor"
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]) + 5)
    assert processes.submit(os.getpid).result() != own  # it stays open


def test_a_program_written_for_rio_mucho(tmp_path, make_raster, processes, read):
    source = make_raster(tiled=True, blockxsize=16, blockysize=16)
    with RioMucho([source], tmp_path / "out.tif", lambda data, *args: data[0] * 2) as rm:
        rm.run(2, executor=processes)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), read(source) * 2)


def test_threads_of_ones_own(job, read):
    names = set()

    def double(data, window, ij, global_args):
        names.add(threading.current_thread().name)
        return data[0] * 2

    with ThreadPoolExecutor(2, thread_name_prefix="own") as executor:
        made = job(double, executor)
        run(made)
        assert executor.submit(int).result() == 0
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]) * 2)


def test_threads_of_ones_own_get_the_function_itself(job, read):
    lock, windows = threading.Lock(), []

    def count(data, window, ij, global_args):
        with lock:
            windows.append(ij)
        return data[0]

    with ThreadPoolExecutor(2) as executor:
        run(job(count, executor))
    assert len(windows) == 12


def test_what_the_function_raises_does_not_close_it(job, processes, leftovers):
    def fail(data, window, ij, global_args):
        raise ValueError("no light")

    with pytest.raises(MuchoChildError, match="no light"):
        run(job(fail, processes))
    assert not leftovers()
    assert processes.submit(int).result() == 0


def test_an_executor_that_breaks_says_where(job, leftovers):
    def die(data, window, ij, global_args):
        if tuple(ij) == (2, 1):
            os._exit(9)
        return data[0]

    with (
        loky.ProcessPoolExecutor(2) as executor,
        pytest.raises(WorkerDiedError, match="was lost while it worked on") as caught,
    ):
        run(job(die, executor))
    assert caught.value.window is not None
    assert not leftovers()


class Refusing(ThreadPoolExecutor):
    """Takes a few calls, and no more."""

    def submit(self, fn, /, *args, **kwargs):
        if self._work_queue.qsize() > 1:
            raise BrokenExecutor("it is broken")
        return super().submit(fn, *args, **kwargs)


def test_an_executor_that_takes_no_more(job, leftovers):
    def wait(data, window, ij, global_args):
        time.sleep(0.2)
        return data[0]

    with (
        Refusing(1) as executor,
        pytest.raises(WorkerDiedError, match="it is broken"),
    ):
        run(job(wait, executor, jobs=4))
    assert not leftovers()


def test_runs_that_are_over_are_forgotten(job, tmp_path):
    """In a pool that outlives many runs, no datasets stay open for good."""
    with ThreadPoolExecutor(2) as executor:
        for number in range(5):
            made = job(lambda data, *args: data[0], executor, overwrite=number > 0)
            run(made)
    assert len(any_executor._runs) <= 1


def test_a_worker_closes_what_it_has_not_needed_for_long(make_raster):
    from rio_mucho_cli.inputs.open_inputs import InputSpec
    from rio_mucho_cli.inputs.window_data import ReadSpec
    from rio_mucho_cli.windows import PlannedWindow
    from rio_mucho_cli.workers import window
    from rio_mucho_cli.workers.context import RunContext

    order = RunContext(ReadSpec([InputSpec(str(make_raster()))]), lambda data, *args: data[0], {})
    corner = rasterio.windows.Window(0, 0, 4, 4)
    planned = PlannedWindow(corner, (0, 0), corner)
    names = [f"run-{number}" for number in range(6)]
    for name in names:
        any_executor.call_in_run(name, order.to_bytes(), window.run_window, name, planned)
    held = [name for name in names if name in window._contexts]
    assert held == names[-any_executor._IDLE :]
    for name in names:
        any_executor.close_if_idle(name)
    assert not set(names) & set(window._contexts)
