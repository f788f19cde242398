"""`--report` of the command."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

WAIT = """
import os, time

def wait(data, window, ij, global_args):
    if ij == (0, 0):
        return data[0]
    os.write(2, b"working\\n")
    for _ in range(6000):
        time.sleep(0.1)
"""


def test_a_report_on_standard_output_is_json(mucho):
    result = mucho("--func", "mod:copy", "-j", "1", "--report", "-", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    assert (said["outcome"], said["result"]["windows"]) == ("done", 16)
    assert said["job"]["function"] == "mod:copy"


def test_a_page_is_written_of_a_run_that_fails(mucho, tmp_path):
    result = mucho("--func", "mod:bad", "-j", "1", "--report", "r.html")
    assert result.exit_code == 1
    assert "the function raised ZeroDivisionError: by zero" in (tmp_path / "r.html").read_text()
    assert not (tmp_path / "out.tif").exists()


def test_windows_that_were_left_out_are_told_of(mucho, tmp_path):
    args = ("--on-error", "nodata", "--report", "r.json")
    assert mucho("--func", "mod:bad", "-j", "1", *args).exit_code == 3
    assert json.loads((tmp_path / "r.json").read_text())["failures"][0]["ij"] == [1, 1]


@pytest.mark.parametrize(("path", "status"), [("no/r.json", 1), ("out.tif", 2), ("a.tif", 2)])
def test_a_report_that_cannot_be_is_refused_before_the_run(mucho, tmp_path, path, status):
    result = mucho("--func", "mod:copy", "--report", path)
    assert (result.exit_code, len(result.stderr.splitlines())) == (status, 1)
    assert not (tmp_path / "out.tif").exists()


def test_nobody_has_to_read_it(rio_program, module, make_raster, read):
    module("def copy(data, *args): return data[0]", "mod.py")
    make_raster("in.tif")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = rio_program(
            "mucho", "in.tif", "out.tif", "--func", "mod:copy", "--report", "-",
            capture_output=False, stdout=full,
        )  # fmt: skip
    assert done.returncode == 0


def test_a_run_that_is_ended_by_a_signal_is_told_of(module, make_raster, tmp_path):
    module(WAIT, "mod.py")
    make_raster("in.tif", width=64, height=64, tiled=True, blockxsize=16, blockysize=16)
    rio = str(Path(sys.executable).with_name("rio"))
    command = [rio, "mucho", "in.tif", "out.tif", "--windows", "16", "--func", "mod:wait"]
    command += ["-j", "2", "--report", "r.json"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read().endswith("Ended by SIGTERM: out.tif was not written.\n")
    assert process.returncode == 128 + signal.SIGTERM
    said = json.loads((tmp_path / "r.json").read_text())
    assert (said["outcome"], said["message"]) == ("failed", "interrupted (SIGTERM)")


def test_tries_are_counted_where_a_worker_dies_again_and_again(mucho, tmp_path):
    args = ("--func", "mod:die", "-j", "2", "--retries", "1", "--report", "r.json")
    assert mucho(*args).exit_code == 1
    said = json.loads((tmp_path / "r.json").read_text())
    assert "window" in said["message"]
    assert said["result"]["windows_retried"] >= 1
