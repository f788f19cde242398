"""Where reports go: refused before the run, whole or not there, and never in its way."""

import json
import os
from dataclasses import replace

import pytest

from rio_mucho_cli import run
from rio_mucho_cli.errors import OutputError, UsageError
from rio_mucho_cli.telling import Recorder, recorded
from rio_mucho_cli.telling.file import check


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
    with pytest.raises(OutputError, match=f"make {tmp_path / 'no'} first"):
        check(str(tmp_path / "no" / "r.json"), job)
    with pytest.raises(OutputError, match="is a folder"):
        check(str(tmp_path), job)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="would replace what is no file"):
        check(str(tmp_path / "pipe"), job)
    with pytest.raises(UsageError, match="one of the rasters"):
        check(tif, replace(job, inputs=["other.tif"], like=tif))
    with pytest.raises(OutputError, match="takes no file"):
        check("/proc/r.json", job)
    for raster in (tif, out):
        with pytest.raises(UsageError, match="one of the rasters"):
            check(raster, job)
    check("-", job)
    with pytest.raises(OutputError), recorded(job, str(tmp_path)):
        pytest.fail("the run has begun")


def test_an_error_of_the_recorder_ends_no_run(
    tif, job_on, tmp_path, caplog, monkeypatch, read, out
):
    monkeypatch.setattr(Recorder, "_window", lambda self, event: 1 / 0)
    job = job_on([tif])
    with recorded(job, str(tmp_path / "r.json")) as listen:
        run(job, listen)
    assert "misses something" in caplog.text
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


def test_what_ends_a_run_is_told_and_goes_on(tif, job_on, tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        recorded(job_on([tif]), str(tmp_path / "r.json")),
    ):
        raise KeyboardInterrupt
    said = json.loads((tmp_path / "r.json").read_text())
    assert (said["outcome"], said["message"]) == ("failed", "interrupted (KeyboardInterrupt)")
