"""Windows that take too long: their worker is ended, and another one computes them again."""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from waiting import wait_until

from rio_mucho_cli import Job, UsageError, WorkerDiedError, run
from rio_mucho_cli.outputs.vrt import parts_of
from rio_mucho_cli.planning.fingerprint import fingerprint
from rio_mucho_cli.planning.plan import make_plan
from rio_mucho_cli.windows import Size
from rio_mucho_cli.workers import executor as executors

pytestmark = pytest.mark.skipif(
    not executors.has_own_processes(), reason="worker processes are the standard library's"
)

# A window of these tests takes a few milliseconds, or for ever.
TIMEOUT = 0.6


def hang(how):
    if how == "native code":  # keeps Python's lock
        ctypes.PyDLL(None).pause()
    threading.Event().wait()


def hang_at_first(data, window, ij, global_args):
    """Hang the first time that a window comes."""
    mark = pathlib.Path(global_args["marks"], f"{ij[0]}-{ij[1]}")
    if list(ij) in global_args["windows"] and not mark.exists():
        mark.touch()
        hang(global_args["how"])
    return data[0]


def hang_always(data, window, ij, global_args):
    if list(ij) in global_args["windows"]:
        hang(global_args["how"])
    return data[0]


@pytest.fixture
def job(make_raster, tmp_path):
    def make(function, windows, how="Python", output="out.tif", **given):
        marks = tmp_path / "marks"
        marks.mkdir(exist_ok=True)
        return Job(**{
            "inputs": [str(make_raster(width=64, height=48, nodata=0))],
            "output": str(tmp_path / output),
            "function": function,
            "windows": Size(16, 16),
            "jobs": 2,
            "timeout": TIMEOUT,
            "global_args": {"marks": str(marks), "windows": windows, "how": how},
            **given,
        })  # fmt: skip

    return make


@pytest.mark.parametrize("how", ["Python", "native code"])
def test_a_window_that_took_too_long_is_computed_again(job, read, leftovers, how):
    made = job(hang_at_first, [[0, 1], [2, 3]], how)
    report = run(made)
    assert report.retried >= 2
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))
    assert not leftovers()


def test_one_job_has_a_worker_process(job, read, children):
    before = {*children()}
    made = job(hang_at_first, [[1, 1]], jobs=1)
    report = run(made)
    assert (report.executor, report.jobs) == ("processes", 1)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))
    assert {*children()} <= before  # workers of other tests' clusters


def test_parts_of_a_mosaic(job, read):
    made = job(hang_at_first, [[1, 1]], output="out.vrt", part_size=32)
    report = run(made)
    assert report.retried >= 1
    assert len(list(parts_of(made.output))) == 4
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))


@pytest.mark.parametrize("on_error", ["fail", "nodata"])
@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_a_window_that_always_takes_too_long_is_named(job, leftovers, children, output, on_error):
    before = {*children()}
    made = job(hang_always, [[1, 2]], output=output, retries=0, on_error=on_error)
    says = (
        r"a worker process exceeded the timeout of 0.6 s while it worked on window rows 16:32, "
        r"columns 32:48 \(ij \(1, 2\)\): if the function does not hang, .* with timeout, or make"
    )
    with pytest.raises(WorkerDiedError, match=says) as caught:
        run(made)
    assert caught.value.ij == (1, 2)
    assert not leftovers()
    assert not pathlib.Path(made.output).exists()
    assert {*children()} <= before  # workers of other tests' clusters


def test_the_last_retry_is_alone(job, caplog):
    with pytest.raises(WorkerDiedError, match="2 times, the last time with no other window"):
        run(job(hang_always, [[0, 0]], retries=1))
    assert "(ij (0, 0)): if the function" in caplog.text


@pytest.mark.parametrize(
    "executor",
    ["threads", "serial", ThreadPoolExecutor(1)],
    ids=["threads", "serial", "a pool"],
)
def test_other_workers_cannot_be_ended(job, executor):
    with pytest.raises(UsageError, match=r"^timeout needs workers that can be ended, and those"):
        job(hang_always, [], executor=executor)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "5", True])
def test_what_is_no_timeout(job, seconds):
    with pytest.raises(
        UsageError, match=r"timeout is .*: expected (seconds, more than 0|a number)"
    ):
        job(hang_always, [], timeout=seconds)


def test_inputs_in_memory_are_not_seen_by_processes(job, make_raster):
    with rasterio.MemoryFile(make_raster("other.tif").read_bytes()) as memory:
        made = job(hang_always, [], inputs=[memory.name])
        with pytest.raises(UsageError, match="use a file, or leave out timeout"):
            run(made)


def test_where_processes_are_the_standard_librarys(job, monkeypatch):
    monkeypatch.setattr("rio_mucho_cli.planning.plan.has_own_processes", lambda: False)
    with pytest.raises(UsageError, match="worker processes on this system know no timeout"):
        run(job(hang_always, []))


def test_it_makes_no_other_run(job):
    made = job(hang_at_first, [])
    prints = [
        fingerprint(other, make_plan(other).windows) for other in (made, replace(made, timeout=9))
    ]
    assert prints[0] == prints[1]


def test_the_command_line(rio, module, make_raster, read):
    source = make_raster(width=64, height=48)
    module(
        "import os, threading\n"
        "def run(data, window, ij, global_args):\n"
        "    if ij == (1, 1):\n"
        "        threading.Event().wait()\n"
        "    return data[0] + os.getpid() * 0\n",
        "user.py",
    )
    command = ["mucho", source, "out.tif", "--func", "user:run", "--windows", 16, "--retries", 0]
    failed = rio(*command, "--timeout", TIMEOUT, "-j", 1)
    assert failed.exit_code == 1
    assert len(failed.stderr.strip().splitlines()) == 1
    assert "exceeded the timeout of 0.6 s while it worked on window rows 16:32" in failed.stderr
    assert "with --timeout" in failed.stderr
    assert not pathlib.Path("out.tif").exists()
    refused = rio(*command, "--timeout", 5, "--executor", "serial")
    assert refused.exit_code == 2
    assert "--timeout needs workers that can be ended, and those of the executor serial" in (
        refused.stderr
    )
    shown = rio(*command, "--timeout", 90, "--dry-run", "--no-probe", "-j", 1)
    assert "1 (processes), 1 task in flight, at most 90 s a window" in shown.output


def test_an_interrupt_does_not_wait_for_it(make_raster, tmp_path, children):
    source = make_raster(width=64, height=48)
    (tmp_path / "user.py").write_text(
        "import pathlib, threading\n"
        "def run(data, window, ij, global_args):\n"
        "    pathlib.Path('begun').touch()\n"
        "    threading.Event().wait()\n"
    )
    rio = pathlib.Path(sys.executable).with_name("rio")
    command = [rio, "mucho", source, "out.tif", "--func", "user:run", "-j", "2", "--timeout", "900"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as program:
        wait_until((tmp_path / "begun").exists, "no window has begun")
        workers = children(program.pid)
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 130
    wait_until(lambda: not any(map(is_running, workers)), "workers are left")


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
