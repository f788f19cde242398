"""Mosaics of runs that were interrupted: parts that are complete are kept."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Job, MuchoChildError, Output, OutputError, UsageError, run
from rio_mucho_cli.engine.events import RunStarted, WindowDone
from rio_mucho_cli.outputs.files import lock_folder
from rio_mucho_cli.windows import Size

WIDTH, HEIGHT = 300, 210
WAYS = [("serial", 1), ("threads", 3), ("processes", 2)]


def counted(data, window, ij, global_args):
    """Leave a note of each call, and fail at a window until that is allowed."""
    folder = Path(global_args["notes"])
    with (folder / "calls").open("a") as calls:
        calls.write(f"{ij[0]} {ij[1]}\n")
    if list(ij) == [3, 1] and not (folder / "allowed").exists():
        raise ValueError("not yet")
    return np.ma.masked_less(data[0], 30)


def fails(data, window, ij, global_args):
    counted(data, window, ij, global_args)
    raise ValueError("always")


def two(data, window, ij, global_args):
    return {"a": counted(data, window, ij, global_args), "b": data[0].astype("float32")}


@pytest.fixture
def notes(tmp_path):
    """Where the function notes what it does; `calls` returns it, and forgets it."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def calls(notes):
    def read():
        found = notes / "calls"
        text = found.read_text() if found.exists() else ""
        found.unlink(missing_ok=True)
        return [tuple(map(int, line.split())) for line in text.splitlines()]

    return read


@pytest.fixture
def job(make_raster, notes, tmp_path):
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    source = make_raster(width=WIDTH, height=HEIGHT, **tiles)

    def make(function=counted, **given):
        return Job(**{
            "inputs": [str(source)],
            "output": str(tmp_path / "out.vrt"),
            "function": function,
            "global_args": {"notes": str(notes)},
            "part_size": 128,
            "windows": Size(64, 64),
            "resume": True,
            "stats": True,
            **given,
        })  # fmt: skip

    return make


@pytest.fixture
def contents(tmp_path):
    """Return a function that gives the bytes of a mosaic and its parts, by name."""

    def read(name="out.vrt"):
        found = {}
        for path in sorted((tmp_path / f"{name}.parts").rglob("*")):
            if path.is_file():
                found[path.name] = path.read_bytes()
                folder = path.parent.name
        text = (tmp_path / name).read_text()
        # The digest is of a run that has another output.
        return {**found, name: text.replace(folder, "")}

    return read


@pytest.fixture
def expected(job, contents, notes, calls, tmp_path):
    """The bytes of a run that nobody has hindered."""
    (notes / "allowed").touch()
    run(job())
    found = contents()
    (tmp_path / "out.vrt").unlink()
    shutil.rmtree(tmp_path / "out.vrt.parts")
    (notes / "allowed").unlink()
    calls()
    return found


def folder_of(tmp_path, name="out.vrt"):
    (found,) = (tmp_path / f"{name}.parts").iterdir()
    return found


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_parts_that_are_complete_are_kept(
    executor, jobs, job, notes, calls, contents, expected, tmp_path
):
    with pytest.raises(MuchoChildError, match="not yet"):
        run(job(executor=executor, jobs=jobs))
    assert not (tmp_path / "out.vrt").exists()
    kept = {path.name: path.stat() for path in folder_of(tmp_path).glob("*.tif")}
    assert {"0_0.tif", "0_1.tif", "0_2.tif"} <= kept.keys()
    assert "1_0.tif" not in kept
    assert not list(folder_of(tmp_path).glob(".mucho*"))
    calls()
    (notes / "allowed").touch()
    events = []
    report = run(job(executor="serial", jobs=1), events.append)
    made = calls()
    windows = {"0_0": 4, "0_1": 4, "0_2": 2, "1_0": 4, "1_1": 4, "1_2": 2}
    rest = sum(windows[name] for name in windows if f"{name}.tif" not in kept)
    assert (len(made), len(set(made))) == (rest, rest)
    assert report.resumed == 20 - rest
    assert report.windows == 20
    assert events[0] == RunStarted(20, 0, 20 - rest, events[0].pixels, events[0].jobs)
    assert [each.done for each in events if isinstance(each, WindowDone)] == [*range(21 - rest, 21)]
    assert contents() == expected
    for name, before in kept.items():
        after = (folder_of(tmp_path) / name).stat()
        assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_nothing_is_left_to_do(job, notes, calls, expected, contents, caplog, tmp_path):
    (notes / "allowed").touch()
    run(job())
    calls()
    before = (tmp_path / "out.vrt").stat().st_mtime_ns
    report = run(job())
    assert calls() == []
    assert (report.windows, report.resumed) == (20, 20)
    assert contents() == expected
    assert (tmp_path / "out.vrt").stat().st_mtime_ns == before
    with pytest.raises(OutputError, match="exists: pass overwrite=True"):
        run(job(stats=False))
    run(job(overwrite=True))
    assert len(calls()) == 20
    assert contents() == expected


def test_a_mosaic_that_has_lost_a_part_is_not_done(job, notes, tmp_path, caplog):
    (notes / "allowed").touch()
    run(job())
    (folder_of(tmp_path) / "0_1.tif").unlink()
    with pytest.raises(OutputError, match="exists: pass overwrite=True"):
        run(job())
    assert "its part" in caplog.text
    assert "0_1.tif is missing" in caplog.text
    run(job(overwrite=True))
    assert (folder_of(tmp_path) / "0_1.tif").exists()


def test_another_run_is_not_gone_on_with(job, notes, calls, contents, tmp_path):
    with pytest.raises(MuchoChildError):
        run(job())
    folder = folder_of(tmp_path)
    for other, says in (
        ({"part_size": 64}, "options.part_size was 128 and is 64"),
        ({"stats": False}, "options.stats was true and is false"),
        ({"windows": Size(32, 32)}, "windows.number was 20 and is 70"),
        ({"function": two, "dtype": "uint16"}, "function.name was .*counted and is"),
    ):
        with pytest.raises(UsageError, match=f"{folder} is from a different run .*{says}"):
            run(job(**other))
    assert folder_of(tmp_path) == folder
    calls()
    (notes / "allowed").touch()
    run(job(stats=False, overwrite=True))
    assert len(calls()) == 20
    assert not folder.exists()


def test_a_run_without_resume_leaves_it_alone(job, notes, calls, tmp_path, contents, expected):
    with pytest.raises(MuchoChildError):
        run(job())
    folder = folder_of(tmp_path)
    before = sorted(folder.iterdir())
    (notes / "allowed").touch()
    run(job(resume=False))
    assert sorted(folder.iterdir()) == before
    calls()
    run(job(overwrite=True))
    assert len(calls()) == 10
    assert not {folder} ^ set((tmp_path / "out.vrt.parts").iterdir())
    assert contents() == expected


def test_a_run_that_is_under_way_is_left_alone(job, tmp_path):
    with pytest.raises(MuchoChildError):
        run(job())
    lock = lock_folder(folder_of(tmp_path))
    before = sorted(folder_of(tmp_path).iterdir())
    with pytest.raises(OutputError, match="are in use: another run writes the same output"):
        run(job())
    assert sorted(folder_of(tmp_path).iterdir()) == before
    os.close(lock)


def test_where_there_is_no_part_to_keep_nothing_is_kept(job, tmp_path):
    with pytest.raises(MuchoChildError):
        run(job(fails))
    assert not (tmp_path / "out.vrt.parts").exists()


def test_windows_are_those_of_the_run_that_is_resumed(make_raster, notes, tmp_path, job):
    """Without sizes, they depend on the number of jobs and on memory."""
    source = make_raster("large.tif", width=2100, height=2100, tiled=True)
    given = {"inputs": [str(source)], "windows": None, "part_size": 1100, "executor": "threads"}
    with pytest.raises(MuchoChildError):
        run(job(**given, jobs=4, mem_limit=190))
    (notes / "allowed").touch()
    report = run(job(**given, jobs=1))
    assert report.windows == 81
    assert 0 < report.resumed < 81


def damage(path, how):
    match how:
        case "shorter":
            os.truncate(path, path.stat().st_size - 1)
        case "empty":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
        case "link":
            path.rename(path.with_name("other"))
            path.symlink_to(path.with_name("other"))
        case "folder":
            path.unlink()
            path.mkdir()
        case "header":
            path.write_bytes(b"no TIFF" + path.read_bytes()[7:])


@pytest.mark.parametrize("how", ["shorter", "empty", "gone", "link", "folder", "header"])
def test_parts_that_are_damaged_are_made_again(
    how, job, notes, calls, expected, contents, tmp_path
):
    with pytest.raises(MuchoChildError):
        run(job())
    damage(folder_of(tmp_path) / "0_1.tif", how)
    calls()
    (notes / "allowed").touch()
    run(job())
    assert len(calls()) == 10 + 4
    (folder_of(tmp_path) / "other").unlink(missing_ok=True)
    assert contents() == expected


RECORDS = [
    "", "null", "[]", "{}", "[" * 100_000, '{"failed": []', '{"failed": {}}', '{"failed": [[1]]}',
    '{"result_type": null}', '{"failed": [], "result_type": [1, "uint16", true]}',
]  # fmt: skip


@pytest.mark.parametrize("text", RECORDS)
def test_records_that_make_no_sense(text, job, notes, calls, expected, contents, tmp_path):
    with pytest.raises(MuchoChildError):
        run(job())
    (folder_of(tmp_path) / "0_1.tif.json").write_text(text)
    calls()
    (notes / "allowed").touch()
    run(job())
    assert len(calls()) == 14
    assert contents() == expected


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "key", ["first", "statistics", "block", "overviews", "bytes", "result_type"]
)
@pytest.mark.parametrize("value", ["x", [[1, 2], 3], [1e400, 1]])
def test_records_with_values_that_make_no_sense(
    key, value, job, notes, calls, tmp_path, expected, contents
):
    with pytest.raises(MuchoChildError):
        run(job())
    path = folder_of(tmp_path) / "0_1.tif.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    calls()
    (notes / "allowed").touch()
    run(job())
    assert len(calls()) == 14
    assert contents() == expected


def test_several_outputs(job, notes, calls, tmp_path, read):
    also = [Output(name="b", path=tmp_path / "b.vrt")]
    with pytest.raises(MuchoChildError):
        run(job(two, also=also))
    (folder_of(tmp_path, "b.vrt") / "0_2.tif").unlink()
    calls()
    (notes / "allowed").touch()
    report = run(job(two, also=also))
    assert len(calls()) == 10 + 2
    assert report.resumed == 8
    assert read(tmp_path / "b.vrt").shape == read(tmp_path / "out.vrt").shape


def test_failures_and_empty_parts_are_remembered(job, notes, calls, make_raster, tmp_path):
    data = np.zeros((1, HEIGHT, WIDTH), "uint8")
    data[0, 130:140, 10:20] = 50  # only part 1_0 is not empty
    source = make_raster("z.tif", data, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    given = {"inputs": [str(source)], "skip_masked": True, "windows": Size(64, 64)}

    with pytest.raises(MuchoChildError):
        run(job(fails, **given))
    # Of what is empty there is nothing but records.
    assert sorted(path.name for path in folder_of(tmp_path).glob("*.tif*")) == [
        "0_0.tif.json", "0_1.tif.json", "0_2.tif.json",
    ]  # fmt: skip
    calls()
    report = run(job(fails, overwrite=True, **given, on_error="nodata"))
    assert (report.windows, len(report.failed)) == (20, 1)


KILLED = """
import os, sys, threading, time
from pathlib import Path
from rasterio.rio.main import main_group

def end():
    while len(list(Path().glob("out.vrt.parts/*/*.tif"))) < 3:
        time.sleep(0.002)
    os.kill(os.getpid(), {signal})

threading.Thread(target=end, daemon=True).start()
main_group()
"""


@pytest.mark.sweep(1)
@pytest.mark.parametrize("way", ["serial", "threads", "processes"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed(
    way, number, tmp_path, make_raster, rio_program, contents, children, read
):
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    source = make_raster(width=WIDTH, height=HEIGHT, **tiles)
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "def run(data, window, ij, global_args):\n"
        "    time.sleep(0.02)\n"
        "    open('calls', 'a').write(f'{ij}\\n')\n"
        "    return data[0] + 1\n"
    )
    options = ["--windows", "64", "--part-size", "64", "--executor", way, "-j", "2", "--resume"]
    command = ["mucho", str(source), "out.vrt", "--func", "slow:run", *options]
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(signal=int(number)), *command],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if number == signal.SIGKILL:
        assert done.returncode == -9
    else:
        assert done.returncode == 128 + number
        assert "Finished parts are kept in out.vrt.parts: run the same" in done.stderr
    assert not (tmp_path / "out.vrt").exists()
    kept = len(list(folder_of(tmp_path).glob("*.tif")))
    (tmp_path / "calls").write_text("")
    done = rio_program(*command)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"20 windows ({kept} of them from an earlier run)" in done.stderr
    assert len((tmp_path / "calls").read_text().splitlines()) == 20 - kept
    assert 3 <= kept < 20
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source) + 1)
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == [
        "out.vrt", "out.vrt.parts",
    ]  # fmt: skip
    assert {path.suffix for path in folder_of(tmp_path).iterdir()} == {".tif"}
    with rasterio.open(tmp_path / "out.vrt") as src:
        assert len(src.files) == 21
