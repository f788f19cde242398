import os
import pathlib
import resource
import signal

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Job, MuchoChildError, WorkerDiedError, run
from rio_mucho_cli.windows import Size

WAYS = {"SIGKILL": signal.SIGKILL, "SIGSEGV": signal.SIGSEGV}


def die_at_first(data, window, ij, global_args):
    """Kill the worker the first time that some windows come."""
    marks = pathlib.Path(global_args["marks"], f"{ij[0]}-{ij[1]}")
    if list(ij) in global_args["windows"] and not marks.exists():
        marks.touch()
        os.kill(os.getpid(), global_args["signal"])
    return data[0]


def die_always(data, window, ij, global_args):
    if list(ij) in global_args["windows"]:
        with pathlib.Path(global_args["count"]).open("a") as file:
            file.write(f"{ij}\n")
        os.kill(os.getpid(), global_args["signal"])
    return data[0]


@pytest.fixture
def job(make_raster, tmp_path):
    def make(function, size=16, **given):
        (tmp_path / "marks").mkdir(exist_ok=True)
        global_args = {
            "marks": str(tmp_path / "marks"),
            "count": str(tmp_path / "count"),
            "signal": int(signal.SIGKILL),
            **given.pop("global_args", {}),
        }
        return Job(**{
            "inputs": [str(make_raster(width=64, height=48, nodata=0))],
            "output": str(tmp_path / "out.tif"),
            "function": function,
            "windows": Size(size, size),
            "executor": "processes",
            "jobs": 2,
            "global_args": global_args,
            **given,
        })  # fmt: skip

    return make


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("windows", [[[0, 0]], [[1, 1], [1, 2], [2, 3]]])
def test_windows_whose_worker_died_are_computed_again(job, read, leftovers, name, windows):
    made = job(die_at_first, global_args={"windows": windows, "signal": int(WAYS[name])})
    report = run(made)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))
    assert report.retried >= len(windows)
    assert not leftovers()


def test_windows_of_a_batch_are_computed_again(job, read):
    made = job(die_at_first, size=2, global_args={"windows": [[11, 7], [20, 1], [20, 2]]})
    run(made)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_window_that_always_kills_is_tried_so_often_and_named(job, tmp_path, leftovers, retries):
    with pytest.raises(WorkerDiedError) as caught:
        run(job(die_always, retries=retries, global_args={"windows": [[1, 2]]}))
    times = f", {retries + 1} times, the last time with no other window running" if retries else ""
    assert f"columns 32:48 (ij (1, 2)){times}: the usual cause" in str(caught.value)
    assert caught.value.ij == (1, 2)
    assert (tmp_path / "count").read_text() == "(1, 2)\n" * (retries + 1)
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def large(data, window, ij, global_args):
    if list(ij) in global_args["windows"]:
        np.ones(global_args["bytes"], "uint8")
        os.kill(os.getpid(), signal.SIGKILL)
    return data[0]


def test_the_memory_that_a_killed_worker_had_is_said(job):
    # It is known of a worker that had more than this process.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 300_000_000
    with pytest.raises(WorkerDiedError, match=r"by SIGKILL, at \d\d\d+ MB of memory, while"):
        run(job(large, retries=0, global_args={"windows": [[1, 2]], "bytes": most}))


def raise_at(data, window, ij, global_args):
    if list(ij) in global_args["windows"]:
        raise ValueError("a sky without\nstars")
    return data[0]


def test_exceptions_are_not_tried_again(job, tmp_path):
    def count(data, window, ij, global_args):
        with pathlib.Path(global_args["count"]).open("a") as file:
            file.write("called\n")
        raise ValueError

    with pytest.raises(MuchoChildError):
        run(job(count, size=64))
    assert (tmp_path / "count").read_text() == "called\n"


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("size", [2, 16])
def test_windows_whose_function_raises_can_be_nodata(job, read, executor, size):
    windows = [[0, 0], [2, 1], [2, 2]]
    given = {"executor": executor, "global_args": {"windows": windows}}
    made = job(raise_at, size=size, on_error="nodata", **given)
    report = run(made)
    expected = read(made.inputs[0])
    for row, col in windows:
        expected[:, row * size : (row + 1) * size, col * size : (col + 1) * size] = 0
    np.testing.assert_array_equal(read(made.output), expected)
    assert [list(failure.ij) for failure in report.failed] == windows
    assert {failure.message for failure in report.failed} == {
        "the function raised ValueError: a sky without stars"
    }
    assert report.windows == (48 // size) * (64 // size)


def test_without_nodata_such_windows_are_masked(job, make_raster):
    source = make_raster("plain.tif", width=64, height=48)
    given = {"inputs": [str(source)], "global_args": {"windows": [[1, 1]]}}
    made = job(raise_at, on_error="nodata", **given)
    run(made)
    with rasterio.open(made.output) as src:
        mask = src.read_masks(1) == 0
    expected = np.zeros_like(mask)
    expected[16:32, 16:32] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_run_whose_every_window_raises_is_nodata(job, read):
    def fail(*args):
        raise ValueError

    made = job(fail, on_error="nodata")
    report = run(made)
    assert len(report.failed) == report.windows == 12
    assert not read(made.output).any()


class Unmade:
    def __init__(self, **arguments):
        raise ValueError("no model")

    def __call__(self, *args):
        raise AssertionError


def test_a_class_that_cannot_be_made_ends_the_run(job, tmp_path):
    with pytest.raises(MuchoChildError, match="no model"):
        run(job(Unmade, on_error="nodata"))
    assert not (tmp_path / "out.tif").exists()
