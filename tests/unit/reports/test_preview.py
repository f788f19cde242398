"""The preview of a run is what the run does, and leaves nothing behind."""

import json
import os
import re
import stat
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio

import rio_mucho_cli
from rio_mucho_cli import (
    Job,
    MuchoChildError,
    NodataError,
    Output,
    OutputError,
    UsageError,
    describe,
    run,
)
from rio_mucho_cli.planning.plan import make_plan
from rio_mucho_cli.planning.windows import REASONS
from rio_mucho_cli.windows import Size, pairs_of, window_grid


def both(data, window, ij, global_args):
    return {"one": data[0], "two": data[0].astype("float32")}


def wrong(data, window, ij, global_args):
    raise ZeroDivisionError("by zero")


def state_of(folder):
    """Return what there is in a folder, and when it was changed."""
    return {
        str(path): (path.stat().st_mtime_ns, stat.S_IFMT(path.stat().st_mode), path.stat().st_ino)
        for path in [folder, *folder.rglob("*")]
    }


_opened = None


def _hook(event, args):
    if _opened is not None and event == "open":
        path, mode, flags = args
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            _opened.append(path)
    if _opened is not None and event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}:
        _opened.append(args[0])


sys.addaudithook(_hook)


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """Return a function that calls another one, which is to change nothing."""

    def call(function, *args, **kwargs):
        before = state_of(tmp_path)
        monkeypatch.setattr(sys.modules[__name__], "_opened", [])
        try:
            return function(*args, **kwargs)
        finally:
            opened = list(_opened)
            monkeypatch.setattr(sys.modules[__name__], "_opened", None)
            assert state_of(tmp_path) == before
            assert opened == []

    return call


def without_times(text):
    return re.sub(r"\d+\.\d{3} s|about [\d.]+ m?s", "N s", text)


SCREEN = """\
Dry run of mod:index: nothing is written.
input 1    a.tif: GTiff, 64 x 64, EPSG:32633, pixels 30, 1 x uint16, nodata 0,
           blocks 64 x 64
input 2    b.tif: GTiff, 64 x 64, EPSG:32633, pixels 30, 1 x uint16, blocks 64 x
           64, lzw
output     out.tif: GTiff, 64 x 64, EPSG:32633, pixels 30, 1 x float32, nodata
           nan, blocks 16 x 16
           16.4 kB uncompressed; about 16.4 kB in the file (estimate)
windows    16 of 16 x 16: of the size asked for
jobs       2 (processes), 4 tasks in flight
memory     about 309 MB (estimate), limit 900 MB
probe      window of 16 x 16 at column 16, row 16: 1 x float32
           reading N s, function N s, encoding N s
duration   N s (estimate from this one window)
"""


def test_a_typical_job_on_one_screen(mucho, untouched):
    done = untouched(mucho, "--func", "mod:index", "-j", "2", "--mem-limit", "900", "--dry-run")
    assert done.exit_code == 0
    assert without_times(done.stdout) == SCREEN
    assert done.stderr == ""


def test_json_is_that_of_the_function(mucho, untouched, tmp_path):
    done = untouched(mucho, "--func", "mod:index", "-j", "2", "--dry-run", "--report", "-")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert set(found) == {"version", "plan", "exists", "earlier", "probe", "estimate", "notes"}
    plan = found["plan"]
    assert plan["function"] == "mod:index"
    assert [each["path"] for each in plan["inputs"]] == ["a.tif", "b.tif"]
    assert plan["windows"] == {
        "number": 16,
        "size": [16, 16],
        "reasons": ["size"],
        "why": REASONS["size"],
        "overlap": 0,
    }
    (output,) = plan["outputs"]
    assert (output["count"], output["dtype"], output["nodata"]) == (1, "float32", "nan")
    assert output["block"] == [16, 16]
    assert output["uncompressed_bytes"] == 64 * 64 * 4
    assert output["written"] == {"by": "workers", "why": ""}
    assert set(found["probe"]["seconds"]) == {"read", "function", "encode"}
    seconds = found["estimate"]["seconds"]
    assert seconds["whole"] == pytest.approx(seconds["starting"] + seconds["windows"])


def test_the_output_that_is_made_is_the_one_that_was_described(mucho, profile_of):
    args = ["--func", "mod:index", "-t", "float64", "--nodata", "nan", "--co", "compress=zstd"]
    (output,) = json.loads(mucho(*args, "--dry-run", "--report", "-").stdout)["plan"]["outputs"]
    assert mucho(*args).exit_code == 0
    profile = profile_of("out.tif")
    assert output["nodata"] == "nan"
    assert np.isnan(profile["nodata"])
    assert output["block"] == [profile["blockxsize"], profile["blockysize"]]
    for name in ("count", "dtype", "compress", "driver"):
        assert output[name] == profile[name]
    assert output["grid"]["transform"] == list(profile["transform"])[:6]


def test_no_probe_needs_a_dry_run(mucho):
    done = mucho("--func", "mod:copy", "--no-probe")
    assert done.exit_code == 2
    assert "--no-probe needs --dry-run" in done.stderr


def test_the_report_of_a_dry_run_is_a_file_beside_the_screen(mucho, tmp_path):
    done = mucho("--func", "mod:copy", "--dry-run", "--report", "plan.json")
    assert done.exit_code == 0
    assert done.stdout.startswith("Dry run of mod:copy")
    assert json.loads((tmp_path / "plan.json").read_text())["plan"]["function"] == "mod:copy"
    assert not (tmp_path / "out.tif").exists()
    done = mucho("--func", "mod:copy", "--dry-run", "--report", "plan.html")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "the report of a dry run is JSON" in done.stderr
    assert not (tmp_path / "plan.html").exists()


def test_without_a_probe_the_function_is_not_called(mucho, untouched):
    done = untouched(mucho, "--func", "mod:die", "--dry-run", "--no-probe")
    assert done.exit_code == 0
    assert "bands and dtype as the function returns them" in " ".join(done.stdout.split())
    assert "probe " not in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["--func", "mod:missing"],
        ["--func", "mod:nothing"],
        ["--func", "mod:short"],
        ["--func", "mod:leave"],
        ["--func", "mod:copy", "--count", "2"],
        ["--func", "mod:copy", "-t", "uint8", "--nodata", "-5"],
        ["--func", "mod:copy", "--nodata", "0.5"],
        ["--func", "mod:copy", "-o", "no/where.tif", "b.tif"],
        ["--func", "mod:copy", "-o", "there.tif", "b.tif"],
        ["--func", "mod:copy", "-o", f"{'n' * 300}.tif", "b.tif"],
        ["--func", "mod:copy", "-o", "mod.py/out.tif", "b.tif"],
        ["--func", "mod:copy", "-o", "folder", "b.tif"],
        ["--func", "mod:copy", "-o", "a.tif", "b.tif"],
        ["--func", "mod:copy", "-o", "out.tif", "other.tif"],
        ["--func", "mod:copy", "-o", "out.tif", "gone.tif"],
        ["--func", "mod:copy", "-f", "nonsense"],
        ["--func", "mod:copy", "--windows", "100x0"],
        ["--func", "mod:copy", "-o", "out.png", "a.tif", "--stats"],
        ["--func", "mod:copy", "--mem-limit", "1"],
        ["--func", "mod:copy", "--resume", "--windows", "10"],
        ["--func", "mod:copy", "-o", "s3:///", "a.tif"],
        ["--func", "mod:copy", "-o", "/vsimem/out.tif", "a.tif"],
    ],
)
def test_what_a_run_refuses_is_refused_in_its_words(mucho, make_raster, untouched, tmp_path, args):
    make_raster("there.tif", width=64, height=64)
    make_raster("other.tif", width=32, height=64)
    (tmp_path / "folder").mkdir()
    inputs = {"inputs": ("a.tif",), "output": "out.tif"} if "-o" not in args else {}
    if "-o" in args:
        inputs = {"inputs": ("a.tif",), "output": args[-1]}
        args = args[:-1]
    if "--windows" not in args:
        args = [*args, "--windows", "64"]  # the one that is probed is the first one then
    dry = untouched(mucho, *args, "--dry-run", "-j", "1", **inputs)
    real = mucho(*args, "-j", "1", **inputs)
    assert dry.exit_code == real.exit_code != 0
    assert dry.stderr == real.stderr
    assert dry.stdout == ""


def test_a_failure_of_the_function_is_shown_as_in_a_run(mucho, untouched, module):
    module("def run(*args):\n    raise KeyError('no')", "raising.py")
    dry = untouched(mucho, "--func", "raising:run", "--dry-run", "--windows", "64")
    real = mucho("--func", "raising:run", "--windows", "64")
    assert (dry.exit_code, dry.stderr) == (real.exit_code, real.stderr)
    assert "KeyError" in dry.stderr
    tolerant = untouched(mucho, "--func", "raising:run", "--dry-run", "--on-error", "nodata")
    assert tolerant.exit_code == 3
    assert "the window would be nodata" in " ".join(tolerant.stdout.split())


def test_an_output_that_would_be_replaced(job_on, tif, out, untouched):
    Path(out).write_bytes(Path(tif).read_bytes())
    preview = untouched(describe, job_on([tif], overwrite=True))
    assert preview.exists == (True,)
    assert "exists, and would be replaced" in str(preview)
    with pytest.raises(OutputError, match="exists: pass overwrite=True"):
        untouched(describe, job_on([tif], overwrite=False))


def test_a_folder_that_is_not_writable(bound_by_modes, rio_program, mucho, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    args = ["mucho", "a.tif", "locked/out.tif", "--func", "mod:copy"]
    dry = rio_program(*args, "--dry-run", before=bound_by_modes)
    real = rio_program(*args, before=bound_by_modes)
    assert dry.returncode == real.returncode == 1
    assert dry.stderr == real.stderr
    assert "Permission denied" in dry.stderr


@pytest.mark.parametrize(
    ("reasons", "raster", "given"),
    [
        (["given"], {}, {"windows": [(rasterio.windows.Window(0, 0, 16, 16), (0, 0))]}),
        (["size"], {}, {"windows": Size(64, 48)}),
        (["blocks"], {}, {"windows": "blocks"}),
        (["default"], {"width": 2000, "height": 1500}, {}),
        (["default", "strips"], {"tiled": False, "blockysize": 2, "width": 2000}, {}),
        (
            ["default", "limit"],
            {"width": 2000, "height": 1500},
            {"mem_limit": 140, "jobs": 1},
        ),
        (["default", "parts"], {"width": 2000, "height": 600}, {"part_size": 512}),
    ],
)
def test_reasons_for_windows(job_on, make_raster, tmp_path, caplog, reasons, raster, given):
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    path = make_raster(**{**tiles, "width": 150, "height": 110, **raster})
    if "part_size" in given:
        given = {**given, "output": str(tmp_path / "out.vrt")}
    caplog.set_level("INFO", "rio_mucho_cli")
    plan = make_plan(job_on([path], **{"windows": None, **given}))
    assert list(plan.reasons) == reasons
    assert "; ".join(REASONS[each] for each in reasons) in caplog.text


def test_windows_are_lower_where_an_input_is_on_a_network(job_on, make_raster, monkeypatch):
    path = make_raster(width=3000, height=1500, tiled=True, blockxsize=16, blockysize=16)
    monkeypatch.setattr("rio_mucho_cli.planning.plan.is_on_network", lambda path: True)
    assert make_plan(job_on([path], windows=None)).reasons == ("default", "network")


@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_a_million_windows_are_planned_in_no_memory(job_on, tmp_path, output):
    wide = {"width": 100_000, "height": 100_000, "count": 1, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    path = tmp_path / "in.tif"
    with rasterio.open(path, "w", **wide, **tiles, SPARSE_OK="YES"):
        pass
    job = job_on([path], output=str(tmp_path / output), windows=Size(96, 96))
    tracemalloc.start()
    try:
        windows = describe(job, probe=False).plan["windows"]
        assert windows["number"] == 1_085_764
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_memory_grows_with_listed_windows(job_on, make_raster):
    path = make_raster(width=640, height=640)
    few, many = (
        describe(job_on([path], windows=windows), probe=False).plan["memory"]["estimate"]
        for windows in (Size(2, 2), pairs_of(window_grid(640, 640, Size(2, 2))))
    )
    assert many - few == 300 * (320**2 - 50_000)


def test_memory_is_what_makes_windows_smaller(job_on, make_raster, monkeypatch):
    path = make_raster(width=2000, height=1500, tiled=True, blockxsize=16, blockysize=16)
    monkeypatch.setattr("rio_mucho_cli.planning.memory.usable_memory", lambda: 2 * 140 * 10**6)
    plan = make_plan(job_on([path], windows=None, jobs=1))
    assert plan.reasons == ("default", "memory")
    assert plan.memory <= plan.limit == 140 * 10**6


def test_cogs_overviews_and_several_outputs(job_on, tif, tmp_path, untouched):
    also = [Output(path=str(tmp_path / "two.png"), name="two", dtype="uint8")]
    job = job_on([tif], both, also=also, driver="COG", windows=Size(512, 512), retries=0)
    preview = untouched(describe, job)
    one, two = preview.plan["outputs"]
    assert (one["driver"], one["cog"]) == ("COG", True)
    assert (two["driver"], two["name"], two["dtype"]) == ("PNG", "two", "uint8")
    assert preview.estimate["encoded_bytes"][1] is None
    assert preview.notes == (
        "whether the format can hold the result is known only after the first window",
    )
    overviews = untouched(describe, job_on([tif], overviews=[2, 4])).plan["outputs"][0]["overviews"]
    assert overviews == {"factors": [2, 4], "resampling": "nearest", "by": "workers"}


def test_a_mosaic_has_parts(job_on, tiled, tmp_path, untouched):
    path = str(tmp_path / "out.vrt")
    job = job_on([tiled()], output=path, part_size=64, windows=Size(32, 32))
    preview = untouched(describe, job)
    assert preview.plan["parts"] == 6
    (output,) = preview.plan["outputs"]
    assert output["part_size"] == [64, 64]
    assert output["written"] == {"by": "workers", "why": ""}
    assert "VRT over parts of 64 x 64" in " ".join(str(preview).split())
    run(job)
    assert untouched(describe, job).exists == (True,)


def test_how_inputs_come_onto_the_grid(job_on, tiled, untouched):
    first, moved, coarse = tiled(), tiled("b.tif", col=3), tiled("c.tif", pixel=60.0)
    job = job_on([first, moved, coarse], extent="first", resampling={3: "bilinear"})
    found = untouched(describe, job).plan["inputs"]
    assert [each["reading"] for each in found] == ["as it is", "shifted", "warped"]
    assert found[2]["resampling"] == "bilinear"


def test_masked_windows_say_nothing(job_on, make_raster, untouched):
    path = make_raster(data=np.zeros((1, 64, 64), "uint8"), nodata=0)
    preview = untouched(describe, job_on([path], masked=True, skip_masked=True))
    assert preview.estimate["seconds"] is None
    assert "masked" in preview.notes[0]


def test_gdal_writes_where_windows_do_not_fit(job_on, tif):
    windows = [(rasterio.windows.Window(0, 0, 10, 10), (0, 0))]
    (output,) = describe(job_on([tif], windows=windows, strict=False)).plan["outputs"]
    assert output["written"]["by"] == "caller"
    assert "not whole blocks" in output["written"]["why"]


def test_what_an_earlier_run_has_done(mucho, untouched, tmp_path):
    args = ["--func", "mod:bad", "--resume", "-j", "1"]
    assert mucho(*args).exit_code == 1
    failing = mucho("--func", "mod:bad", "--resume", "--dry-run", "--no-probe", "--windows", "16")
    assert "5 of 16 windows done by an earlier run" in " ".join(failing.stdout.split())
    other = untouched(mucho, "--func", "mod:bad", "--resume", "--dry-run", "-t", "uint32")
    assert other.exit_code == 2
    assert other.stderr == mucho("--func", "mod:bad", "--resume", "-t", "uint32").stderr
    done = ["--func", "mod:copy", "--resume"]
    assert mucho(*done, output="done.tif").exit_code == 0
    found = untouched(mucho, *done, "--dry-run", output="done.tif")
    assert "nothing to do" in found.stdout


def test_windows_of_an_earlier_run_are_a_reason(job_on, make_raster, out):
    path = make_raster(width=64, height=64)
    with pytest.raises(MuchoChildError):
        run(job_on([path], fail_late, windows=Size(32, 32), resume=True, overwrite=False))
    plan = make_plan(job_on([path], fail_late, windows=None, resume=True, overwrite=False))
    assert plan.reasons == ("resumed",)
    assert len(plan.windows) == 4


def fail_late(data, window, ij, global_args):
    if ij == (1, 1):
        raise ValueError("late")
    return data[0]


def test_no_cluster_is_started(job_on, tif, untouched, monkeypatch):
    dask = pytest.importorskip("rio_mucho_cli.workers.dask_executor")
    monkeypatch.setattr(dask, "dask_workers", None)
    job = job_on([tif], windows=Size(16, 16), executor="dask", jobs=2)
    assert untouched(describe, job).notes == ("dask: a dry run starts no cluster",)
    job = job_on([tif], executor="dask", scheduler="tcp://127.0.0.1:1", jobs=2)
    assert "the scheduler was not contacted" in untouched(describe, job).notes[0]


def test_a_bucket_is_only_looked_at(job_on, tif, bucket, untouched, tmp_path):
    given = {"output": bucket.url("out.tif"), "overwrite": False}
    preview = untouched(describe, job_on([tif], **given))
    assert preview.exists == (False,)
    assert "bucket" in preview.notes[0]
    assert bucket.keys() == bucket.pending() == []
    bucket.put("out.tif", tif)
    with pytest.raises(OutputError, match="exists"):
        untouched(describe, job_on([tif], **given))
    assert untouched(describe, job_on([tif], output=bucket.url("out.tif"))).exists == (True,)


def test_what_only_the_result_shows_is_refused(job_on, tif):
    with pytest.raises(NodataError):
        describe(job_on([tif], nodata=-1.0, keep_nodata=False))
    with pytest.raises(MuchoChildError):
        describe(job_on([tif], wrong))
    with pytest.raises(UsageError, match="cannot be sent"):
        lock = __import__("threading").Lock()
        describe(job_on([tif], global_args={"a": lock}, jobs=2, windows=Size(16, 16)), probe=False)


def test_text_stays_on_one_screen(job_on, make_raster, tmp_path):
    names = [f"{'long-name-' * 5}{number}.tif" for number in range(9)]
    paths = [make_raster(name) for name in names]
    also = [Output(path=str(tmp_path / f"{n}.tif"), name=str(n)) for n in range(9)]
    text = str(describe(job_on(paths, both, also=also), probe=False)).splitlines()
    assert len(text) < 40
    own = [line for line in text if str(tmp_path)[:20] not in line]
    assert max(map(len, own)) <= 80
    assert "and 5 more inputs" in "\n".join(text)


def test_json_has_no_secrets_and_takes_what_callers_give(job_on, tif):
    window = (((16, 32), (0, 16)), "mine")
    given = {"global_args": {"token": "hush-hush"}, "creation_options": {"http_token": "hush-hush"}}
    text = describe(job_on([tif], windows=[window], strict=False), probe=True).as_json()
    assert json.loads(text)["probe"]["ij"] == "mine"
    assert json.loads(text)["probe"]["window"] == [0, 16, 16, 16]
    assert "hush-hush" not in describe(job_on([tif], **given), probe=False).as_json()


def test_the_names_are_public():
    assert rio_mucho_cli.describe is describe
    assert rio_mucho_cli.Preview.__module__ == "rio_mucho_cli.reports.preview"
    assert isinstance(Job, type)


def test_a_notebook_shows_a_table(make_raster):
    raster = str(make_raster("<b>.tif"))
    job = Job(inputs=[raster], output=f"{raster}.out.tif", function=wrong)
    preview = describe(job, probe=False)
    html = preview._repr_html_()
    assert repr(preview) == str(preview)
    assert "<caption>Dry run of " in html
    assert "&lt;b&gt;.tif: GTiff, " in html
    assert "<b>" not in html
    assert html.count("<tr>") < 20
