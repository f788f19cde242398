"""Where reports go: refused before the run, whole or not there, and never in its way."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rio_mucho_cli import describe, run
from rio_mucho_cli.errors import OutputError, UsageError
from rio_mucho_cli.reports.file import check_report_path, recorded, write_report
from rio_mucho_cli.reports.recorder import Recorder
from rio_mucho_cli.workers.functions import FunctionRef


def test_without_a_path_nothing_is_recorded(tif, job_on):
    events = []
    with recorded(job_on([tif]), None, events.append) as listen:
        assert listen == events.append


def test_a_report_replaces_an_old_one_and_the_other_listener_hears_all(tif, job_on, tmp_path):
    path = tmp_path / "r.json"
    path.write_text("old")
    path.chmod(0o640)
    events, job = [], job_on([tif])
    with recorded(job, str(path), events.append) as listen:
        run(job, listen)
        assert path.read_text() == "old"
    assert json.loads(path.read_text())["result"]["windows"] == len(events) - 1 == 1
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.glob("*r.json*")) == ["r.json"]
    assert not list(tmp_path.glob(".mucho*"))


def test_a_new_report_may_be_read_by_whom_the_system_lets(tif, job_on, tmp_path):
    before = os.umask(0o027)
    try:
        with recorded(job_on([tif]), str(tmp_path / "r.html")):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "r.html").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_a_path_that_cannot_be_is_refused_before_the_run(tif, job_on, tmp_path, out):
    job = job_on([tif])
    with pytest.raises(OutputError, match=f"create {tmp_path / 'no'} first"):
        check_report_path(str(tmp_path / "no" / "r.json"), job)
    with pytest.raises(OutputError, match="is a folder"):
        check_report_path(str(tmp_path), job)
    with pytest.raises(UsageError, match="one of the rasters"):
        check_report_path(tif, replace(job, inputs=["other.tif"], like=tif))
    with pytest.raises(OutputError, match="no file can be created"):
        check_report_path("/proc/r.json", job)
    for raster in (tif, out):
        with pytest.raises(UsageError, match="one of the rasters"):
            check_report_path(raster, job)
    check_report_path("-", job)
    with pytest.raises(OutputError), recorded(job, str(tmp_path)):
        pytest.fail("the run has begun")


@pytest.mark.parametrize("name", ["r.json", "r.html"])
def test_only_a_report_is_replaced_unless_the_job_overwrites(tif, job_on, tmp_path, name):
    path = tmp_path / name
    job = replace(job_on([tif]), overwrite=False)
    path.write_text('{"a": 1}')
    for wrong in (check_report_path, lambda *args: recorded(args[1], args[0]).__enter__()):
        with pytest.raises(OutputError, match="is not a report: pass overwrite=True"):
            wrong(str(path), job)
    check_report_path(str(path), replace(job, overwrite=True))
    for start in ("", None):
        if start is not None:
            path.write_text(start)
        with recorded(job, str(path)):
            pass
    assert path.stat().st_size > 1000


def test_the_report_of_a_dry_run_is_a_report(tif, job_on, tmp_path):
    path = tmp_path / "r.json"
    job = replace(job_on([tif]), overwrite=False)
    write_report(describe(job).as_dict(), str(path))
    check_report_path(str(path), job)


def test_the_file_of_the_function_is_never_replaced(tif, job_on, tmp_path, module):
    path = tmp_path / f"{module('def copy(data, *_): return data[0]')}.py"
    ref = FunctionRef("user_functions.py:copy", str(tmp_path))
    by_name = FunctionRef("user_functions:copy", str(tmp_path))
    for function in (ref, by_name, by_name.load()):
        job = job_on([tif], function=function)
        with pytest.raises(UsageError, match="would replace a file that the run reads"):
            check_report_path(str(path), job)
    with pytest.raises(UsageError, match="would replace a file that the run reads"):
        check_report_path(
            str(tmp_path / "args.json"), job_on([tif]), others=[str(tmp_path / "args.json")]
        )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_and_a_device_are_written_to(tif, job_on, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(pipe.read_text)
        with recorded(job_on([tif]), str(pipe)):
            pass
        assert json.loads(got.result())["schema"] == 1
    with recorded(job_on([tif]), os.devnull):
        pass
    assert not Path(os.devnull).is_file()


def test_a_pipe_that_nobody_opens_is_not_waited_for(tif, job_on, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("rio_mucho_cli.reports.file._PATIENCE", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with recorded(job_on([tif]), str(tmp_path / "pipe")):
        pass
    assert "cannot be written" in caplog.text


def test_an_error_of_the_recorder_ends_no_run(
    tif, job_on, tmp_path, caplog, monkeypatch, read, out
):
    monkeypatch.setattr(Recorder, "_add_window", lambda self, event: 1 / 0)
    job = job_on([tif])
    with recorded(job, str(tmp_path / "r.json")) as listen:
        run(job, listen)
    assert "the report is incomplete: " in caplog.text
    assert (read(out) == read(tif)).all()
    assert (tmp_path / "r.json").exists()


def test_what_goes_wrong_afterwards_is_a_warning(tif, job_on, tmp_path, caplog, read, out):
    folder, job = tmp_path / "reports", job_on([tif])
    folder.mkdir()
    with recorded(job, str(folder / "r.json")) as listen:
        run(job, listen)
        folder.rmdir()
    assert "cannot be written" in caplog.text
    assert (read(out) == read(tif)).all()


def test_what_ends_a_run_is_reported_and_goes_on(tif, job_on, tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        recorded(job_on([tif]), str(tmp_path / "r.json")),
    ):
        raise KeyboardInterrupt
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["outcome"], report["message"]) == ("failed", "interrupted (KeyboardInterrupt)")
