"""What a function declares is in the file, whatever its format and whoever writes it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile
from rio_cogeo import cog_validate

import rio_mucho_cli
from rio_mucho_cli import Output, RioMucho, describe, run, testing
from rio_mucho_cli.errors import MuchoError, ResultError
from rio_mucho_cli.windows import Size

COLOURS = {0: (10, 20, 30, 255), 1: (40, 50, 60, 70)}


@rio_mucho_cli.output(
    descriptions=["slope", "aspect"], units=["degree", ""], scales=[0.5, 2], offsets=[0, -1],
    tags={"TITLE": "Slopes", "PROJECT": {"NAME": "x"}}, band_tags=[{"KIND": "a"}, {"OF": {"B": 1}}],
    dtype="float32", nodata=-5, overlap=2,
)  # fmt: skip
def slopes(data, window, ij, global_args):
    assert data[0].shape[1:] == (window.height + 4, window.width + 4)
    return np.concatenate([data[0], data[0] + 1])


def classes(data, window, ij, global_args):
    return data[0] > 100


classes.output = {"descriptions": "class", "colormap": COLOURS, "nodata": 255}


@pytest.fixture
def source(tiled):
    """A raster that says other things of itself."""
    path = tiled(dtype="uint8", nodata=7, width=300, height=200)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(TITLE="old", SCENE="LC08")
        dst.descriptions, dst.units = ("dem",), ("m",)
        dst.scales, dst.offsets = (3.0,), (4.0,)
    return path


WAYS = {
    "blocks": {},
    "processes": {"executor": "processes", "jobs": 2},
    "by GDAL": {"windows": Size(37, 20)},
    "statistics": {"stats": True},
    "overviews": {"overviews": (2, 4), "overview_resampling": "average"},
    "COG": {"driver": "COG", "stats": True, "windows": None},
    "COG by GDAL": {"driver": "COG", "overview_resampling": "cubic"},
    "VRT": {"output": "out.vrt", "part_size": 128},
    "memory": {"output": "/vsimem/declared/out.tif"},
    "netCDF": {"output": "out.nc"},
    "no metadata": {"metadata": False},
}


@pytest.mark.parametrize("way", WAYS)
def test_names_and_tags(job_on, source, tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    job = job_on([source], slopes, **WAYS[way])
    run(job)
    with rasterio.open(job.output) as dst:
        if way == "netCDF":
            name = dst.subdatasets[1]
            with rasterio.open(name) as band:
                assert (band.dtypes, band.scales, band.offsets) == (("float32",), (2,), (-1,))
            return
        assert dst.descriptions == ("slope", "aspect")
        assert [unit or "" for unit in dst.units] == ["degree", ""]
        assert (dst.scales, dst.offsets) == ((0.5, 2.0), (0.0, -1.0))
        assert (dst.dtypes, dst.nodatavals) == (("float32",) * 2, (-5, -5))
        assert dst.tags()["TITLE"] == "Slopes"
        assert ("SCENE" in dst.tags()) == (way != "no metadata")
        assert dst.tags(1)["KIND"] == "a"
        if way != "COG by GDAL":  # whose driver drops them where bands have other tags
            assert dst.tags(ns="PROJECT") == {"NAME": "x"}
            assert dst.tags(2, ns="OF") == {"B": "1"}
    if "COG" in way:
        assert cog_validate(job.output, strict=True, quiet=True) == (True, [], [])
    for part in tmp_path.rglob("out.vrt.parts/*/*.tif"):
        with rasterio.open(part) as dst:
            assert dst.descriptions == ("slope", "aspect")
            assert dst.tags()["TITLE"] == "Slopes"


@pytest.mark.parametrize("way", [way for way in WAYS if way != "netCDF"])
def test_colour_tables(job_on, source, tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    job = job_on([source], classes, **WAYS[way])
    run(job)
    with rasterio.open(job.output) as dst:
        table = dst.colormap(1)
        assert [table[value][:3] for value in (0, 1, 2)] == [
            *(colour[:3] for colour in COLOURS.values()), (0, 0, 0),
        ]  # fmt: skip
        assert dst.colorinterp == (ColorInterp.palette,)
        assert (dst.descriptions, dst.dtypes, dst.nodata) == (("class",), ("uint8",), 255)
    if "COG" in way:
        assert cog_validate(job.output, strict=True, quiet=True)[0]


def test_other_formats_have_what_gdal_gives_them(job_on, source, tmp_path):
    run(job_on([source], classes, output=str(tmp_path / "out.png")))
    with rasterio.open(tmp_path / "out.png") as dst:
        assert dst.colormap(1)[1][:3] == COLOURS[1][:3]  # a TIFF's table has no opacity
        assert dst.descriptions == ("class",)


def test_an_independent_reader_sees_them(job_on, source):
    job = job_on([source], slopes)
    run(job)
    with tifffile.TiffFile(job.output) as tiff:
        metadata = tiff.pages[0].tags["GDAL_METADATA"].value
    for text in ('name="DESCRIPTION" sample="0" role="description">slope<', ">Slopes<", ">degree<"):
        assert text in metadata


def rgba(count, dtype, colours):
    def function(data, window, ij, global_args):
        grey = (data[0][0] % 250).astype(dtype)
        others = [grey // (band + 1) for band in range(count - 2)]
        return np.stack([grey, *others, np.where(grey > 100, 250, 0).astype(dtype)])

    function.output = {"colorinterp": colours, "nodata": None}
    return function


@pytest.mark.parametrize(
    ("count", "dtype", "colours"),
    [
        (4, "uint8", ["red", "green", "blue", "alpha"]),
        (4, "uint16", ["red", "green", "blue", "alpha"]),
        (4, "uint8", ["gray", "undefined", "undefined", "alpha"]),
        (4, "uint8", ["alpha", "blue", "green", "red"]),
        (4, "uint8", ["red", "green", "blue", "undefined"]),
        (3, "uint8", ["gray", "undefined", "undefined"]),
        (2, "uint8", ["gray", "alpha"]),
        (3, "float32", ["red", "green", "blue"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_colours_overviews_and_statistics_are_gdals(
    job_on, tiled, tmp_path, count, dtype, colours, driver
):
    source = tiled(dtype="uint8", width=1100, height=600)
    asked = {"overviews": (2,), "overview_resampling": "average", "stats": True}
    job = job_on(
        [source], rgba(count, dtype, colours), driver=driver, windows=Size(512, 512), **asked
    )
    run(job)
    expected = tuple(ColorInterp[name] for name in colours)
    with rasterio.open(job.output) as dst:
        data, masks = dst.read(), dst.read_masks()
        assert dst.colorinterp == expected
        tags, profile = [dst.tags(index) for index in dst.indexes], dst.profile
    given = {key: profile[key] for key in ("width", "height", "count", "dtype", "interleave")}
    by_gdal = tmp_path / "gdal.tif"
    with rasterio.open(by_gdal, "w", driver="GTiff", tiled=True, **given) as dst:
        dst.colorinterp = expected
        dst.write(data)
    with rasterio.open(by_gdal, "r+") as dst:
        np.testing.assert_array_equal(dst.read_masks(), masks)
        dst.build_overviews([2], Resampling.average)
    for index, band in enumerate(tags):
        valid = data[index][masks[index] > 0].astype("float64")
        assert float(band["STATISTICS_MEAN"]) == pytest.approx(valid.mean())
    with (
        rasterio.open(job.output, overview_level=0) as ours,
        rasterio.open(by_gdal, overview_level=0) as theirs,
    ):
        np.testing.assert_array_equal(ours.read(), theirs.read())


def test_colours_in_lossy_blocks(job_on, tiled):
    source = tiled(dtype="uint8", width=300, height=200)
    for colours in (["red", "green", "blue", "alpha"], ["blue", "green", "red", "undefined"]):
        options = {"compress": "jpeg", "interleave": "pixel"}
        job = job_on([source], rgba(4, "uint8", colours), creation_options=options)
        run(job)
        with rasterio.open(job.output) as dst, rasterio.open(source) as src:
            assert dst.colorinterp == tuple(ColorInterp[name] for name in colours)
            assert np.abs(dst.read(1).astype(int) - src.read(1)).mean() < 20


def test_masked_results_become_transparent(job_on, source):
    def function(data, window, ij, global_args):
        grey = np.ma.masked_greater(data[0][0], 100)
        return np.ma.stack([grey, np.ma.array(np.full_like(grey.data, 255), mask=grey.mask)])

    function.output = {"colorinterp": ["gray", "alpha"], "nodata": None, "masked": True}
    job = job_on([source], function)
    run(job)
    with rasterio.open(job.output) as dst, rasterio.open(source) as src:
        hidden = (src.read(1) > 100) | (src.read_masks(1) == 0)
        np.testing.assert_array_equal(dst.read(2) == 0, hidden)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_function_may_write_the_nodata_that_it_declares(job_on, tiled, caplog, dtype):
    def function(data, window, ij, global_args):
        return np.where(data[0] > 100, 255, data[0]).astype(dtype)

    function.output = {"nodata": 255}
    job = job_on([tiled(dtype="uint8")], function)
    assert run(job).value_loss[0].nodata > 0
    assert "255" not in caplog.text
    run(replace(job, nodata=254))
    with pytest.raises(
        MuchoError, match=r"output\['nodata'\] is 255, which int8 cannot hold: give"
    ):
        run(replace(job, dtype="int8"))


def several(data, window, ij, global_args):
    return {"slope": data[0].astype("float32"), "mask": data[0] > 100}


several.output = {
    "units": "degree",
    "also": {
        "mask": {"colormap": COLOURS, "nodata": 9, "descriptions": "mask"},
        "no": {"count": 2},
    },
}


@pytest.mark.parametrize("suffix", ["tif", "vrt"])
def test_several_outputs(job_on, source, tmp_path, suffix):
    paths = tmp_path / f"slope.{suffix}", tmp_path / f"mask.{suffix}"
    also = [Output(path=str(paths[1]), name="mask", nodata=8)]
    run(job_on([source], several, output=str(paths[0]), also=also))
    with rasterio.open(paths[0]) as slope, rasterio.open(paths[1]) as mask:
        assert (slope.units, slope.descriptions) == (("degree",), ("dem",))
        assert (mask.units, mask.descriptions) == (("m",), ("mask",))
        assert mask.colormap(1)[1][:3] == COLOURS[1][:3]
        assert mask.nodata == 8


def test_a_dataset_that_the_user_opened(source):
    with MemoryFile() as memory, rasterio.open(source) as src:
        profile = {**src.profile, "count": 2, "dtype": "float64", "nodata": None}
        run(source, memory.open(**profile), slopes, jobs=1)
        with memory.open() as dst:
            assert dst.descriptions == ("slope", "aspect")
            assert (dst.dtypes[0], dst.nodata) == ("float64", None)
            assert dst.tags()["TITLE"] == "Slopes"
            assert "SCENE" not in dst.tags()
            assert dst.tags(ns="MUCHO") == {}


def test_rio_mucho_ignores_it(source, tmp_path):
    def function(data, window, ij, global_args):
        assert data[0].shape[1:] == (window.height, window.width)
        return data[0]

    function.output = {**slopes.output, "no such thing": 1}
    with RioMucho([source], tmp_path / "out.tif", function, metadata=True) as rm:
        rm.run(1)
    with rasterio.open(tmp_path / "out.tif") as dst:
        assert (dst.descriptions, dst.tags()["TITLE"]) == (("dem",), "old")
        assert dst.tags(ns="MUCHO") == {}


@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_count_that_does_not_fit_is_an_error_at_the_first_window(
    job_on, source, tmp_path, output, jobs, leftovers
):
    def function(data, window, ij, global_args):
        return data[0]

    function.output = {"descriptions": ["a", "b", "c"]}
    job = job_on([source], function, output=str(tmp_path / output), jobs=jobs)
    message = r"function.output\['descriptions'\] has 3 values, but the output has 1 band: give one"
    for call in (run, describe):
        with pytest.raises(ResultError, match=message):
            call(job)
    assert not (tmp_path / output).exists()
    assert leftovers() == []


def test_an_empty_output_has_the_bands_that_are_declared(job_on, make_raster):
    empty = make_raster(data=np.full((1, 110, 150), 7, "uint8"), nodata=7)
    job = job_on([empty], slopes, skip_masked=True)
    run(job)
    with rasterio.open(job.output) as dst:
        assert (dst.descriptions, dst.dtypes[0], dst.nodata) == (("slope", "aspect"), "float32", -5)


def test_a_dry_run_shows_what_is_declared(job_on, source):
    preview = describe(job_on([source], slopes, nodata=-1))
    plan = preview.as_dict()["plan"]
    assert plan["declared"] == ["overlap"]
    assert plan["windows"]["overlap"] == 2
    assert plan["outputs"][0]["declared"] == [
        "descriptions", "tags", "band_tags", "units", "scales", "offsets", "dtype",
    ]  # fmt: skip
    assert "declared by the function: descriptions, tags, band_tags" in str(preview)
    assert "declared by the function: overlap" in str(preview)
    assert "declared by" not in str(describe(job_on([source])))


def test_functions_are_tested_with_what_they_declare():
    array = np.arange(90 * 70, dtype="float32").reshape(90, 70)
    assert testing.check(slopes, array).shape == (2, 90, 70)
    assert set(testing.check(several, array)) == {"slope", "mask"}

    def wrong(data, window, ij, global_args):
        return data[0] + window.col_off

    wrong.output = {"overlap": 1, "descriptions": "x"}
    with pytest.raises(AssertionError):
        testing.check(wrong, array)


def test_a_resumed_run_has_one_namespace(make_raster, rio, module, tmp_path):
    make_raster(width=64, height=64, tiled=True, blockxsize=16, blockysize=16)
    module("def run(data, *_):\n    return data[0]\n\nrun.output = {'units': 'm'}\n", "mod.py")
    for _ in range(2):
        command = ["mucho", "in.tif", "out.tif", "--func", "mod.py:run", "--resume", "-j", "1"]
        assert rio(*command).exit_code == 0
        written = (tmp_path / "out.tif").stat().st_mtime_ns
    with rasterio.open(tmp_path / "out.tif") as dst:
        tags = dst.tags(ns="MUCHO")
        assert dst.units == ("m",)
    assert len(tags["RUN"]) == 64
    assert tags["FUNCTION"] == "mod.py:run"
    assert rio(*command).exit_code == 0
    assert (tmp_path / "out.tif").stat().st_mtime_ns == written


@pytest.mark.parametrize("metadata", [True, False])
def test_how_it_was_made(job_on, source, metadata):
    job = job_on([source], global_args={"token": "not to be seen", "k": 1}, metadata=metadata)
    written = []
    for more in {}, {"executor": "processes", "jobs": 2}, {"executor": "threads", "jobs": 3}:
        run(replace(job, **more))
        with rasterio.open(job.output) as dst:
            tags = dst.tags(ns="MUCHO")
        written.append(Path(job.output).read_bytes())
    assert written[1:] == written[:1] * 2
    assert b"not to be seen" not in written[0]
    if not metadata:
        assert tags == {}
        return
    assert tags["GLOBAL_ARGS"] == '{"k": 1, "token": "***"}'
    assert (tags["INPUTS"], tags["VERSION"]) == ('["a.tif"]', rio_mucho_cli.__version__)
    # What is said of how an input was made is not said of the output.
    again = replace(job, inputs=[job.output], output=job.output.replace("out", "again"))
    run(replace(again, global_args={}))
    with rasterio.open(again.output) as dst:
        assert dst.tags(ns="MUCHO")["INPUTS"] == '["out.tif"]'
        assert "GLOBAL_ARGS" not in dst.tags(ns="MUCHO")


@pytest.mark.parametrize("way", ["COG", "COG by GDAL", "VRT", "memory"])
def test_every_output_says_how_it_was_made(job_on, source, tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    job = job_on([source], **{**WAYS[way], "stats": False})
    run(job)
    with rasterio.open(job.output) as dst:
        assert dst.tags(ns="MUCHO")["INPUTS"] == '["a.tif"]'


def test_a_wrong_time_ends_the_run_early(job_on, source, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "now")
    with pytest.raises(MuchoError, match="SOURCE_DATE_EPOCH is 'now': expected whole seconds"):
        run(job_on([source]))


def test_outputs_of_values_have_only_what_is_of_the_run(job_on, source, tmp_path):
    def function(data, window, ij, global_args):
        assert data[0].shape[1:] == (window.height + 4, window.width + 4)
        return {"sum": int(data[0].sum()), "slope": data[0].astype("float32")}

    function.output = {
        "overlap": 2,
        "also": {"sum": {"dtype": "uint8"}, "slope": {"units": "degree", "nodata": -1}},
    }
    also = [Output(path=str(tmp_path / "sum.json"), name="sum", merge="sum")]
    report = run(job_on([source], function, also=also))
    assert report.values["sum"] > 0
    with rasterio.open(tmp_path / "out.tif") as dst:
        assert (dst.units, dst.nodata) == (("degree",), -1)
