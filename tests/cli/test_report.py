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


PRINTS = """
import os
print("on import")

def copy(data, window, ij, global_args):
    print("in Python")
    os.write(1, b"through a descriptor")
    os.system("echo in another process")
    return data[0]
"""


@pytest.mark.sweep(1)
@pytest.mark.parametrize("report", ["-", "/dev/stdout"])
@pytest.mark.parametrize("more", [["-j", "1"], ["-j", "2"], ["--dry-run"]], ids=str)
def test_what_a_function_prints_does_not_get_into_a_report(
    rio_program, module, make_raster, report, more
):
    module(PRINTS, "mod.py")
    make_raster("in.tif", width=64, height=64)
    args = ["--func", "mod:copy", "--windows", "16", "--report", report, *more]
    done = rio_program("mucho", "in.tif", "out.tif", *args)
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert said.keys() & {"schema", "version"}
    for text in ("on import", "in Python", "through a descriptor", "in another process"):
        assert text in done.stderr


def test_without_a_report_a_function_prints_where_it_does(rio_program, module, make_raster):
    module(PRINTS, "mod.py")
    make_raster("in.tif", width=64, height=64)
    done = rio_program("mucho", "in.tif", "out.tif", "--func", "mod:copy", "-j", "1")
    for text in ("on import", "in Python", "through a descriptor", "in another process"):
        assert text in done.stdout


@pytest.mark.parametrize("name", ["mod.py", "args.json", "windows.json", "a.tif", "notes.txt"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=str)
def test_a_report_takes_the_place_of_no_file_of_the_run(mucho, tmp_path, name, overwrite):
    (tmp_path / "args.json").write_text("{}")
    feature = '{"type": "Feature", "bbox": [0, 0, 1, 1], "geometry": null, "properties": '
    feature += '{"window": {"col_off": 0, "row_off": 0, "width": 64, "height": 64}}}'
    (tmp_path / "windows.json").write_text(feature)
    (tmp_path / "notes.txt").write_text("mine")
    before = (tmp_path / name).read_bytes()
    args = ["--func", "mod:copy", "--global-args", "@args.json", "--windows", "windows.json"]
    result = mucho(*args, "-j", "1", "-q", "--report", name, *overwrite)
    if name == "notes.txt" and overwrite:
        assert result.exit_code == 0, result.stderr
        assert json.loads((tmp_path / name).read_text())["outcome"] == "done"
        return
    assert (result.exit_code, len(result.stderr.splitlines())) == (1 if "txt" in name else 2, 1)
    assert (tmp_path / name).read_bytes() == before
    assert not (tmp_path / "out.tif").exists()


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
