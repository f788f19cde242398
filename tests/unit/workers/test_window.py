import threading
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rasterio.env
from rasterio.windows import Window

from rio_mucho_cli import env
from rio_mucho_cli.errors import InputError, MuchoChildError, ResultError, UsageError
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers import control, window
from rio_mucho_cli.workers.context import OutputSpec, RunContext

PLANNED = PlannedWindow(Window(0, 0, 5, 4), (0, 0), Window(0, 0, 5, 4))


@pytest.fixture
def order(make_raster):
    def make(function, mode="simple_read", **given):
        return RunContext(**{
            "reading": ReadSpec([InputSpec(str(make_raster()))], mode),
            "function": function,
            "global_args": {"k": 2},
            **given,
        })  # fmt: skip

    return make


@pytest.fixture
def work():
    """Return a function that works on one window of an order."""

    def once(order, planned=PLANNED):
        window.open_run("a run", order)
        try:
            return window.run_window("a run", planned)
        finally:
            window.close_run("a run")

    return once


def times(data, window, ij, global_args):
    return data[0] * global_args["k"]


def test_read_call_check(order, work, read):
    made = order(times)
    result = work(made)
    np.testing.assert_array_equal(
        result.results[0].data, read(made.reading.inputs[0].path)[:, :4, :5] * 2
    )
    assert result.timing.stages.read.seconds > 0
    assert result.timing.stages.function.seconds > 0


def test_packed_orders_are_unpacked_in_the_worker(order, work):
    made = order(lambda data, window, ij, global_args: data[0][:1])
    assert work(made.to_bytes()).results[0].data.shape == (1, 4, 5)
    assert RunContext.from_bytes(made.to_bytes()).global_args == {"k": 2}


def test_dtype_is_cast_in_the_worker(order, work):
    assert (
        work(order(times, specs=(OutputSpec(dtype="float32"),))).results[0].data.dtype == np.float32
    )


def stop(*args):
    raise SystemExit(2)


@pytest.mark.parametrize(
    ("function", "given", "kind"),
    [
        (stop, {}, MuchoChildError),
        (lambda *args: None, {}, ResultError),
        (times, {"specs": (OutputSpec(count=2),)}, ResultError),
    ],
)
def test_errors_are_returned_and_know_their_window(order, work, function, given, kind):
    error = work(order(function, **given))
    assert type(error) is kind
    assert (error.window, error.ij) == (PLANNED.window, PLANNED.ij)


class Unmade:
    def __init__(self, wrong):
        pass


@pytest.mark.parametrize(
    ("function", "given", "kind"),
    [
        (times, {"reading": ReadSpec([InputSpec("missing.tif")])}, InputError),
        (Unmade, {}, MuchoChildError),
    ],
)
def test_errors_in_getting_ready_are_not_blamed_on_a_window(order, work, function, given, kind):
    error = work(order(function, **given))
    assert type(error) is kind
    assert error.window is None


def test_an_order_that_cannot_be_unpacked_is_an_error_not_a_crash(work):
    error = work(b"no pickle")
    assert isinstance(error, UsageError)
    assert "cannot be loaded in a worker process" in str(error)


def test_ctrl_c_is_not_taken_for_the_functions_error(order, work):
    def interrupted(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(order(interrupted))


def test_datasets_are_closed_at_the_end(order):
    seen = []

    def keep(srcs, window, ij, global_args):
        seen.extend(srcs)
        return srcs[0].read(window=window)

    window.open_run("a run", order(keep, "manual_read"))
    window.run_window("a run", PLANNED)
    assert not seen[0].closed
    window.close_run("a run")
    assert seen[0].closed


def test_gdal_options_reach_another_thread_and_leave_it_again(order):
    def option(data, window, ij, global_args):
        return np.full((1, 4, 5), int(rasterio.env.getenv()["MY_OPTION"]))

    with rasterio.Env(MY_OPTION=17):
        window.open_run("a run", order(option, env=env.env_options()))
    results, has_env = [], []

    def target():
        results.append(window.run_window("a run", PLANNED))
        has_env.append(rasterio.env.hasenv())

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    window.close_run("a run")
    assert results[0].results[0].data.max() == 17
    assert has_env == [False]


def test_what_is_written_later_is_not_the_functions_own(order, work):
    buffer = np.ma.zeros((1, 4, 5))

    def fill(data, window, ij, global_args):
        buffer[:] = ij[0]
        buffer[0, 0, ij[0]] = np.ma.masked
        return buffer

    made = order(fill)
    first, second = (work(made, replace(PLANNED, ij=(row, 0))).results[0].data for row in (0, 1))
    assert (first.max(), second.max()) == (0, 1)
    assert (np.ma.count_masked(first), np.ma.count_masked(second)) == (1, 1)


def test_runs_that_ended_are_forgotten(order):
    window.open_run("a run", order(times))
    control.stop("a run")
    assert control.is_stopped("a run")
    window.close_run("a run")
    assert not control.is_stopped("a run")
    for number in range(1000):
        control.stop(f"run {number}")
    assert control.is_stopped("run 999")
    assert not control.is_stopped("run 0")
