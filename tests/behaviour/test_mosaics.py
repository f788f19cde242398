"""Mosaics: a VRT over parts that workers have put into their places."""

import contextlib
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.windows import Window
from rio_cogeo import cog_validate

from rio_mucho_cli import (
    Job,
    MuchoChildError,
    Output,
    OutputError,
    ResultError,
    RioMucho,
    UsageError,
    WindowsError,
    WorkerDiedError,
    run,
)
from rio_mucho_cli.engine import run as engine
from rio_mucho_cli.engine.events import PartDone, RunStarted, WindowDone
from rio_mucho_cli.outputs.mosaic_folder import remove_abandoned
from rio_mucho_cli.windows import Size, pairs_of, window_grid
from rio_mucho_cli.workers import executor as executors

WIDTH, HEIGHT = 300, 210
WAYS = [("serial", 1), ("threads", 3), ("processes", 2)]


def plus_one(data, window, ij, global_args):
    return data[0] + 1


def hide(data, window, ij, global_args):
    return np.ma.masked_less(data[0], global_args.get("least", 100))


@pytest.fixture
def source(make_raster):
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}
    return make_raster(width=WIDTH, height=HEIGHT, **tiles)


@pytest.fixture
def job(source, tmp_path):
    def make(function=plus_one, **given):
        return Job(**{
            "inputs": [str(source)],
            "output": str(tmp_path / "out.vrt"),
            "function": function,
            "part_size": 128,
            "windows": Size(64, 64),
            **given,
        })  # fmt: skip

    return make


@pytest.fixture
def parts(tmp_path):
    """Return a function that gives the files of a mosaic's parts: there must be no others."""

    def files(name="out.vrt"):
        named = ElementTree.parse(tmp_path / name).findall("VRTRasterBand[1]/*/SourceFilename")
        assert all(each.get("relativeToVRT") == "1" for each in named)
        found = sorted(path for path in (tmp_path / f"{name}.parts").rglob("*") if path.is_file())
        assert found == sorted(tmp_path / each.text for each in named)
        assert len({path.parent for path in found}) <= 1
        return found

    return files


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_workers_write_parts_and_the_caller_a_vrt(
    executor, jobs, job, source, parts, read, tmp_path
):
    events = []
    report = run(job(executor=executor, jobs=jobs), events.append)
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source) + 1)
    assert [path.name for path in parts()] == [f"{i}_{j}.tif" for i in (0, 1) for j in (0, 1, 2)]
    assert (report.windows, report.executor, report.jobs) == (20, executor, jobs)
    assert min(each.seconds for each in (report.stages.read, report.stages.function)) > 0
    assert report.stages.write.seconds > 0
    assert events[0] == RunStarted(20, pixels=report.pixels, jobs=jobs)
    windows = sorted(event.ij for event in events if isinstance(event, WindowDone))
    assert windows == [(i, j) for i in range(4) for j in range(5)]
    complete = sorted(event.ij for event in events if isinstance(event, PartDone))
    assert complete == [(i, j) for i in range(2) for j in range(3)]
    assert [event.done for event in events if isinstance(event, WindowDone)] == [*range(1, 21)]
    assert names(tmp_path)[:3] == ["in.tif", "out.vrt", "out.vrt.parts"]


def test_each_part_is_a_raster_of_its_own(job, source, parts, read):
    run(job())
    whole = read(source) + 1
    for path in parts():
        row, col = (int(each) * 128 for each in path.stem.split("_"))
        with rasterio.open(path) as src:
            expected = whole[:, row : row + 128, col : col + 128]
            np.testing.assert_array_equal(src.read(), expected)
            assert src.transform == rasterio.Affine(30, 0, 4e5 + 30 * col, 0, -30, 5e6 - 30 * row)
            assert max(src.block_shapes) <= (64, 64)
            assert src.compression.name == "deflate"
        np.testing.assert_array_equal(tifffile.imread(path), expected[0])


def test_the_bytes_are_the_same_for_every_executor(job, parts, tmp_path):
    contents = set()
    for executor, jobs in WAYS:
        run(job(executor=executor, jobs=jobs, overwrite=True, stats=True, overviews=(2, 4)))
        files = [path.read_bytes() for path in parts()]
        text = (tmp_path / "out.vrt").read_text().replace(parts()[0].parent.name, "")
        contents.add((text, *files))
    assert len(contents) == 1


def test_opening_it_opens_no_part(job, parts, tmp_path, profile_of):
    run(job(overviews=(2,), stats=True))
    before = profile_of(tmp_path / "out.vrt")
    for path in parts():
        path.unlink()
    with rasterio.open(tmp_path / "out.vrt") as src:
        assert dict(src.profile) == before
        assert (src.width, src.height, src.block_shapes) == (WIDTH, HEIGHT, [(64, 64)])
        assert src.overviews(1) == [2]


def test_the_functions_view_is_that_of_the_whole(job, tmp_path, read):
    def look(data, window, ij, global_args):
        assert (window.row_off, window.col_off) == (64 * ij[0], 64 * ij[1])
        return np.full(data[0].shape, 10 * ij[0] + ij[1], "uint8")

    run(job(look))
    rows, cols = np.mgrid[0:HEIGHT, 0:WIDTH] // 64
    np.testing.assert_array_equal(read(tmp_path / "out.vrt")[0], 10 * rows + cols)


@pytest.mark.parametrize(
    ("part_size", "windows", "expected"),
    [
        (128, Size(64, 64), (2, 3)),
        (150, Size(64, 64), (2, 3)),
        (100, Size(64, 64), (4, 5)),
        (1, Size(64, 64), (4, 5)),
        (128, None, (2, 3)),
        (100, None, (3, 4)),
        (128, "blocks", (2, 3)),
        (128, Size(100, 37), (2, 3)),
        (150, pairs_of(window_grid(WIDTH, HEIGHT, Size(64, 64))), (2, 3)),
        (128, pairs_of(window_grid(WIDTH, HEIGHT, Size(WIDTH, 16))), (2, 1)),
        (None, None, (1, 1)),
    ],
)
def test_parts_are_whole_windows(part_size, windows, expected, job, source, parts, read, tmp_path):
    run(job(part_size=part_size, windows=windows))
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source) + 1)
    places = [path.stem.split("_") for path in parts()]
    assert (1 + int(places[-1][0]), 1 + int(places[-1][1])) == expected
    assert len(places) == expected[0] * expected[1]


def test_a_window_in_two_parts(job, tmp_path):
    windows = [(Window(0, 0, 64, 64), (0, 0)), (Window(96, 64, 64, 64), (1, 1))]
    with pytest.raises(WindowsError, match=r"rows 64:128, columns 96:160 lies in several parts"):
        run(job(windows=windows))
    assert names(tmp_path) == ["in.tif"]


def test_windows_that_cover_a_part_in_any_order(job, source, parts, read, tmp_path):
    pairs = pairs_of(window_grid(WIDTH, HEIGHT, Size(64, 64)))
    chosen = [pair for pair in pairs if pair[1][0] == pair[1][1]]
    run(job(windows=chosen[::-1], nodata=7, keep_nodata=False, stats=True))
    expected = np.full((1, HEIGHT, WIDTH), 7, "uint16")
    for window, _ in chosen:
        part = (slice(None), *window.toslices())
        expected[part] = read(source)[part] + 1
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), expected)
    assert [path.name for path in parts()] == ["0_0.tif", "1_1.tif"]
    with rasterio.open(tmp_path / "out.vrt") as src:
        percent = float(src.tags(1)["STATISTICS_VALID_PERCENT"])
    assert percent == pytest.approx(100 * (expected != 7).mean(), abs=0.01)


def single(given, tmp_path):
    """Make the same output as one file."""
    rest = {**given, "part_size": None, "output": str(tmp_path / "single.tif"), "overwrite": True}
    run(Job(**rest))
    return tmp_path / "single.tif"


@pytest.mark.parametrize("nodata", [None, 3])
@pytest.mark.parametrize("driver", [None, "COG"])
def test_masks_and_statistics_are_those_of_one_file(
    nodata, driver, job, tmp_path, leftovers, source
):
    given = {"nodata": nodata, "keep_nodata": False, "driver": driver, "stats": True}
    given |= {"inputs": [str(source)], "function": hide, "windows": Size(64, 64)}
    run(job(**given))
    with rasterio.open(single(given, tmp_path)) as one, rasterio.open(tmp_path / "out.vrt") as src:
        np.testing.assert_array_equal(src.read(), one.read())
        np.testing.assert_array_equal(src.read_masks(1), one.read_masks(1))
        assert src.mask_flag_enums == one.mask_flag_enums
        assert src.nodata == one.nodata
        assert {"STATISTICS_MEAN", "STATISTICS_VALID_PERCENT"} <= src.tags(1).keys()
        assert src.tags(1).keys() == one.tags(1).keys()
        for name, text in one.tags(1).items():
            assert float(src.tags(1)[name]) == pytest.approx(float(text), rel=1e-12)
    assert not leftovers()


def test_what_is_said_of_the_first_input_is_said_of_the_mosaic(make_raster, job, tmp_path, parts):
    path = make_raster(
        "p.tif", dtype="uint8", width=WIDTH, height=HEIGHT, tiled=True, blockxsize=32,
        blockysize=32, photometric="palette", nodata=0,
    )  # fmt: skip
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, {1: (255, 0, 0, 255), 2: (0, 255, 0, 255)})
        dst.update_tags(PLACE="here", **{"a<b": "c&d"})
        dst.update_tags(ns="OURS", KEY="value")
        dst.update_tags(1, KIND="class")
        dst.update_tags(1, ns="OURS", BAND="1")
        dst.set_band_description(1, "cover")
        dst.set_band_unit(1, "m")
    run(job(lambda data, *args: data[0], inputs=[str(path)]))
    for made in (tmp_path / "out.vrt", parts()[-1]):
        with rasterio.open(made) as src, rasterio.open(path) as one:
            assert src.tags().items() >= {"PLACE": "here", "a<b": "c&d"}.items()
            assert src.tags(ns="OURS") == {"KEY": "value"}
            assert src.tags(1)["KIND"] == "class"
            assert src.tags(1, ns="OURS") == {"BAND": "1"}
            assert (src.descriptions, src.units, src.nodata) == (("cover",), ("m",), 0)
            assert src.colormap(1) == one.colormap(1)
            assert src.colorinterp == one.colorinterp
            assert src.crs == one.crs
    with rasterio.open(tmp_path / "out.vrt") as src:
        assert src.bounds == rasterio.open(path).bounds


def test_points_are_said_of_the_whole_only(make_raster, job, tmp_path, parts):
    points = [
        rasterio.control.GroundControlPoint(row, col, 4e5 + 30 * col, 5e6 - 30 * row)
        for row, col in [(0, 0), (0, WIDTH), (HEIGHT, 0), (HEIGHT, WIDTH)]
    ]
    path = make_raster(
        "p.tif", width=WIDTH, height=HEIGHT, crs=None, transform=None, tiled=True, blockxsize=32,
        blockysize=32,
    )  # fmt: skip
    with rasterio.open(path, "r+") as dst:
        dst.gcps = (points, rasterio.crs.CRS.from_epsg(32633))
    run(job(inputs=[str(path)]))
    with rasterio.open(tmp_path / "out.vrt") as src:
        assert [(each.row, each.col, each.x) for each in src.gcps[0]] == [
            (each.row, each.col, each.x) for each in points
        ]
    with rasterio.open(parts()[-1]) as src:
        assert src.gcps[0] == []


@pytest.mark.parametrize("resampling", ["nearest", "average"])
def test_overviews_are_those_of_one_file(resampling, job, make_raster, tmp_path, parts):
    """Where sides are odd, GDAL's overviews of one file drift, and those of parts do not."""
    source = make_raster(
        "even.tif", width=304, height=208, tiled=True, blockxsize=32, blockysize=32
    )
    given = {"overviews": (2, 4, 8), "overview_resampling": resampling, "windows": Size(64, 64)}
    given |= {"inputs": [str(source)], "function": plus_one}
    run(job(**given, executor="processes", jobs=2))
    one = single(given, tmp_path)
    assert (
        f'<OverviewList resampling="{resampling.upper()}">2 4 8'
        in (tmp_path / "out.vrt").read_text()
    )
    for level in range(3):
        with (
            rasterio.open(one, overview_level=level) as expected,
            rasterio.open(tmp_path / "out.vrt", overview_level=level) as src,
        ):
            np.testing.assert_array_equal(src.read(), expected.read())
    with rasterio.open(parts()[0]) as src:
        assert src.overviews(1) == [2, 4, 8]


def test_parts_are_cogs_if_that_is_wanted(job, source, parts, read, tmp_path):
    options = {"blocksize": "64", "compress": "zstd"}
    run(job(driver="COG", creation_options=options, executor="processes", jobs=2))
    for path in parts():
        is_valid, errors, _ = cog_validate(path, strict=True)
        assert (is_valid, errors) == (True, [])
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source) + 1)
    with rasterio.open(tmp_path / "out.vrt") as src:
        assert src.overviews(1) == [2]
        assert src.compression.name == "zstd"


def both(data, window, ij, global_args):
    return {"a": data[0], "b": data[0].astype("float32") / 2}


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_several_mosaics_of_one_function(executor, jobs, job, source, parts, read, tmp_path):
    also = [Output(name="b", path=tmp_path / "b.vrt", driver="COG")]
    run(job(both, also=also, executor=executor, jobs=jobs))
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source))
    np.testing.assert_array_equal(read(tmp_path / "b.vrt"), read(source).astype("float32") / 2)
    assert len(parts()) == len(parts("b.vrt")) == 6


def test_parts_without_anything_are_left_out(job, make_raster, parts, read, tmp_path):
    data = np.zeros((1, HEIGHT, WIDTH), "uint8")
    data[0, 130:140, 10:20] = 5
    source = make_raster("z.tif", data, nodata=0, tiled=True, blockxsize=32, blockysize=32)
    run(job(lambda data, *args: data[0], inputs=[str(source)], skip_masked=True, stats=True))
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), data)
    assert [path.name for path in parts()] == ["1_0.tif"]
    with rasterio.open(tmp_path / "out.vrt") as src:
        assert src.tags(1)["STATISTICS_MAXIMUM"] == "5"
        assert float(src.tags(1)["STATISTICS_VALID_PERCENT"]) == 0.1587


def test_nothing_at_all(job, make_raster, parts, read, tmp_path):
    data = np.zeros((2, HEIGHT, WIDTH), "uint8")
    source = make_raster("z.tif", data, nodata=0, tiled=True, blockxsize=32, blockysize=32)
    run(job(lambda data, *args: data[0], inputs=[str(source)], skip_masked=True))
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), data)
    assert parts() == []


def fail(data, window, ij, global_args):
    if ij == (2, 3):
        raise ValueError("that is enough")
    return data[0]


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_a_function_that_raises_leaves_what_was_there(executor, jobs, job, parts, tmp_path, read):
    run(job())
    before = {path: path.read_bytes() for path in [tmp_path / "out.vrt", *parts()]}
    with pytest.raises(MuchoChildError, match="that is enough") as caught:
        run(job(fail, executor=executor, jobs=jobs, overwrite=True))
    assert caught.value.ij == (2, 3)
    # Of the parts before it, and of its own.
    assert caught.value.done == 14 + 1
    assert {path: path.read_bytes() for path in [tmp_path / "out.vrt", *parts()]} == before
    assert names(tmp_path)[:3] == ["in.tif", "out.vrt", "out.vrt.parts"]


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_a_run_that_fails_leaves_nothing(executor, jobs, job, tmp_path):
    with pytest.raises(MuchoChildError):
        run(job(fail, executor=executor, jobs=jobs))
    assert names(tmp_path) == ["in.tif"]


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_windows_that_are_nodata_after_an_error(
    executor, jobs, job, source, read, tmp_path, caplog
):
    report = run(job(fail, on_error="nodata", executor=executor, jobs=jobs))
    assert [failure.ij for failure in report.failed] == [(2, 3)]
    assert report.failed[0].window == Window(192, 128, 64, 64)
    assert "ValueError: that is enough" in caplog.text
    expected = read(source)
    expected[:, 128:192, 192:256] = 0
    with rasterio.open(tmp_path / "out.vrt") as src:
        np.testing.assert_array_equal(src.read(), expected)
        np.testing.assert_array_equal(src.read_masks(1) == 0, expected[0] == 0)


def waver(data, window, ij, global_args):
    return data[0].astype("float64" if ij[1] >= global_args["at"] else "float32")


@pytest.mark.parametrize("at", [1, 2])
def test_results_of_another_form(at, job, tmp_path):
    """In the same part, and in another one."""
    with pytest.raises(ResultError, match="1 bands of float64, but 1 of float32 for the first"):
        run(job(waver, global_args={"at": at}, executor="threads", jobs=2))
    assert names(tmp_path) == ["in.tif"]


def mask_late(data, window, ij, global_args):
    return np.ma.masked_less(data[0], 9) if ij[1] >= 2 else data[0]


def test_masks_that_come_late(job, tmp_path):
    with pytest.raises(ResultError, match="masked arrays from the first window on") as caught:
        run(job(mask_late))
    assert caught.value.ij == (0, 2)
    assert names(tmp_path) == ["in.tif"]


def test_the_window_is_named_whose_result_does_not_fit(job):
    def short(data, window, ij, global_args):
        return data[0][:, 1:] if ij == (3, 4) else data[0]

    with pytest.raises(ResultError, match="expected") as caught:
        run(job(short))
    assert (caught.value.window, caught.value.ij) == (Window(256, 192, 44, 18), (3, 4))


def die_once(data, window, ij, global_args):
    mark = Path(global_args["mark"])
    if ij == (1, 3) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    return data[0] + 1


def die(data, window, ij, global_args):
    if ij == (1, 3):
        os.kill(os.getpid(), 9)
    return data[0]


def test_a_part_whose_worker_dies_is_done_again(job, source, read, tmp_path, parts, caplog):
    given = {"mark": str(tmp_path / "mark")}
    report = run(job(die_once, global_args=given, executor="processes", jobs=2))
    assert report.retried == 1
    assert "while it worked on window rows 64:128, columns 192:256 (ij (1, 3))" in caplog.text
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source) + 1)
    assert len(parts()) == 6


def test_a_window_that_kills_every_worker_is_named(job, tmp_path):
    with pytest.raises(
        WorkerDiedError, match=r"killed by SIGKILL.*3 times, the last time"
    ) as caught:
        run(job(die, executor="processes", jobs=2))
    assert caught.value.ij == (1, 3)
    assert names(tmp_path) == ["in.tif"]


def test_an_old_mosaic_is_replaced_with_its_parts(job, source, parts, read, tmp_path):
    run(job())
    old = {path.parent for path in parts()}
    with pytest.raises(OutputError, match=r"out\.vrt exists: pass overwrite=True"):
        run(job())
    strange = tmp_path / "out.vrt.parts" / "mine"
    strange.mkdir()
    (strange / "note.txt").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "out.vrt.parts" / "0123456789"
    link.symlink_to(tmp_path / "elsewhere")
    # What it is made of is read until the end.
    run(job(overwrite=True, inputs=[str(tmp_path / "out.vrt")]))
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source) + 2)
    assert not any(path.exists() for path in old)
    assert (strange / "note.txt").read_text() == "mine"
    assert link.is_symlink()
    shutil.rmtree(strange)
    assert len(parts()) == 6


def test_parts_of_a_mosaic_that_was_renamed_stay(job, source, read, tmp_path):
    run(job())
    (tmp_path / "out.vrt").rename(tmp_path / "kept.vrt")
    run(job())
    run(job(overwrite=True))
    np.testing.assert_array_equal(read(tmp_path / "kept.vrt"), read(source) + 1)
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source) + 1)
    assert len(list((tmp_path / "out.vrt.parts").iterdir())) == 2


def test_what_a_killed_run_has_left_is_removed_by_the_next(job, parts, tmp_path):
    run(job())
    left = tmp_path / "out.vrt.parts" / "00000000aa"
    left.mkdir()
    (left / "0_0.tif").write_text("half")
    (left / ".mucho-0_1.tif-abc").mkdir()
    (left / "run.json").write_text('{"run": null, "replaces": []}')
    run(job(overwrite=True))
    assert not left.exists()
    assert len(parts()) == 6


def test_the_last_acts_of_a_killed_run_are_done_by_the_next(job, parts, tmp_path):
    """It was killed when the VRT was in its place, and old parts were not yet removed."""
    run(job())
    folder = parts()[0].parent
    old = folder.with_name("00000000aa")
    old.mkdir()
    (old / "0_0.tif").write_text("old")
    (folder / "run.json").write_text(f'{{"run": {{}}, "replaces": ["{old.name}", "../.."]}}')
    (folder / "0_0.tif.json").write_text("{}")
    remove_abandoned(str(tmp_path / "out.vrt"))
    assert not old.exists()
    assert len(parts()) == 6


def test_names_that_xml_and_links_make_difficult(job, source, read, tmp_path, parts):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.vrt").symlink_to(tmp_path / "there" / "a & <b> é.vrt")
    run(job(output=str(tmp_path / "link.vrt")))
    for name in ("link.vrt", "there/a & <b> é.vrt"):
        np.testing.assert_array_equal(read(tmp_path / name), read(source) + 1)
    assert names(tmp_path / "there")[:2] == ["a & <b> é.vrt", "a & <b> é.vrt.parts"]
    (tmp_path / "there").rename(tmp_path / "moved")
    np.testing.assert_array_equal(read(tmp_path / "moved/a & <b> é.vrt"), read(source) + 1)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_in_place_of_the_folder_of_parts(kind, job, tmp_path):
    place = tmp_path / "out.vrt.parts"
    if kind == "file":
        place.write_text("mine")
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    before = names(tmp_path)
    with pytest.raises(OutputError, match=r"out\.vrt\.parts is not a folder of parts: remove it"):
        run(job())
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"part_size": 0}, UsageError, "the part size is 0"),
        ({"output": "out.tif"}, UsageError, r"out.tif has no parts: use an output that ends in"),
        ({"also": [Output(name="b", path="b.tif")]}, UsageError, "b.tif is a single file"),
        ({"driver": "PNG"}, OutputError, "GeoTIFFs or COGs, and the driver is PNG"),
        ({"output": "/vsimem/out.vrt"}, UsageError, "in the memory of this process"),
        ({"output": "nowhere/out.vrt"}, OutputError, "does not exist: make"),
        ({"creation_options": {"colour": "red"}}, OutputError, "COLOUR"),
        ({"creation_options": {"dtype": "uint8"}}, UsageError, "use dtype"),
    ],
)
def test_mosaics_that_cannot_be_made(given, error, says, job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        run(job(**given))
    assert names(tmp_path) == ["in.tif"]


def test_the_class_says_that_it_makes_none(source, tmp_path):
    with pytest.raises(UsageError, match="cannot have a profile"):
        RioMucho([source], tmp_path / "out.vrt", plus_one).run(1)


def test_the_driver_vrt_makes_a_mosaic_where_the_name_says_so(mucho, tmp_path, read):
    result = mucho("--func", "mod:copy", "-f", "VRT", "--part-size", "32", "-q", output="out.vrt")
    assert (result.exit_code, result.output) == (0, "")
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(tmp_path / "a.tif"))
    result = mucho("--func", "mod:copy", "-f", "VRT")
    assert "a name that ends in .vrt for a mosaic" in result.stderr


def test_few_parts_are_few_jobs(job, caplog):
    report = run(job(part_size=256, executor="threads", jobs=4))
    assert report.jobs == 2
    assert "only 2 of 4 jobs have work" in caplog.text


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("raised", [KeyboardInterrupt, RuntimeError])
def test_what_comes_while_workers_end_leaves_no_mosaic(
    job, source, parts, read, tmp_path, monkeypatch, resume, raised
):
    """They end before anything is in its place."""
    open_executor = executors.open_executor

    @contextlib.contextmanager
    def raising(*args):
        with open_executor(*args) as executor:
            yield executor
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(engine, "open_executor", raising)
        with pytest.raises(raised):
            run(job(resume=resume, executor="threads", jobs=2))
    assert not (tmp_path / "out.vrt").exists()
    assert len(list(tmp_path.rglob("*.tif"))) == (7 if resume else 1)
    report = run(job(resume=resume, executor="threads", jobs=2))
    assert report.resumed == (20 if resume else 0)
    assert len(parts()) == 6
    np.testing.assert_array_equal(read(tmp_path / "out.vrt"), read(source) + 1)
