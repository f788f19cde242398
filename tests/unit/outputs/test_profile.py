import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import assume, given, strategies as st

from rio_mucho_cli import run
from rio_mucho_cli.errors import NodataError, UsageError
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.outputs import layout as lay, profile as p
from rio_mucho_cli.windows import Size, window_grid


def source(width=1000, height=800, block=(256, 256), **profile):
    defaults = {"driver": "GTiff", "dtype": "uint16", "nodata": None, "interleave": "band"}
    grid = Grid(None, Affine.identity(), width, height)
    return DatasetInfo("in.tif", grid, {**defaults, **profile}, Size(*block))


def made(first, dtype="uint8", count=1, options=None, layout=None, driver="GTiff"):
    layout = layout or lay.choose_layout(first, options or {}, None)
    layout = layout if driver == "GTiff" else None
    return p.ProfileTemplate(first, driver, layout, options=options or {}).profile(count, dtype)


LENGTHS = st.integers(1, 3000)
LZW = {"compress": "lzw"}


@given(
    LENGTHS,
    LENGTHS,
    st.builds(Size, LENGTHS, LENGTHS),
    st.sampled_from([3, 64, 256, 512]),
    st.sampled_from([None, "lzw"]),
)
def test_blocks_are_valid_and_every_window_is_a_whole_number_of_them(
    width, height, size, block, compress
):
    assume(width * height / (size.width * size.height) < 500)
    first = source(width, height, (block, block), compress=compress)
    layout = lay.choose_layout(first, {}, window_grid(width, height, size))
    if layout.tiled:
        assert layout.block.width % 16 == layout.block.height % 16 == 0
    fits_width = size.width >= width or size.width % 16 == 0
    fits_height = size.height >= height or size.height % 16 == 0
    if not layout.tiled and not compress and size.width >= width:
        assert size.height >= height or size.height % layout.block.height == 0
    elif fits_width and fits_height:
        assert layout.tiled
        assert size.width >= width or size.width % layout.block.width == 0
        assert size.height >= height or size.height % layout.block.height == 0
    elif size.width >= width:
        assert layout.block == (width, size.height)
        assert not layout.tiled


@pytest.mark.parametrize(
    ("first", "block"),
    [
        (source(block=(512, 512)), (512, 512)),
        (source(block=(128, 64)), (128, 64)),
        (source(block=(1000, 3), **LZW), (256, 256)),  # strips make no tiles
        (source(block=(100, 100), **LZW), (256, 256)),  # TIFF takes multiples of 16
        (source(block=(16, 16), **LZW), (256, 256)),
        (source(width=30, height=800, block=(30, 1), **LZW), (32, 256)),  # no more than there is
    ],
)
def test_default_tiles_are_the_first_inputs_where_that_makes_sense(first, block):
    assert lay.choose_layout(first, {}, None) == lay.BlockLayout(Size(*block), tiled=True)


def test_options_settle_the_blocks():
    first = source()
    asked = lay.choose_layout(first, {"blockxsize": "512"}, None)
    assert asked == lay.BlockLayout(Size(512, 256), tiled=True)
    strips = lay.choose_layout(first, {"tiled": "no", "blockysize": "8"}, None)
    assert strips == lay.BlockLayout(Size(1000, 8), tiled=False)
    assert "blockxsize" not in made(first, layout=strips)
    with pytest.raises(UsageError, match="blockxsize is 'many'"):
        lay.choose_layout(first, {"blockxsize": "many"}, None)


def test_full_rows_that_fit_no_tile_become_strips():
    layout = lay.choose_layout(source(), {}, window_grid(1000, 800, Size(1000, 50)))
    assert layout == lay.BlockLayout(Size(1000, 50), tiled=False)


@pytest.mark.parametrize(
    ("compress", "dtype", "count", "expected"),
    [
        ("lzw", "float32", 1, "lzw"),
        ("zstd", "complex64", 1, "zstd"),
        ("jpeg", "uint8", 3, "jpeg"),
        ("jpeg", "float32", 1, "deflate"),
        ("webp", "uint8", 1, "deflate"),
        ("webp", "uint8", 3, "webp"),
        ("lerc", "complex64", 1, "deflate"),
        ("jpeg2000", "uint8", 1, "deflate"),
        (None, "uint8", 1, None),
    ],
)
def test_compression_is_the_first_inputs_where_the_output_can_have_it(
    compress, dtype, count, expected
):
    first = source(compress=compress, interleave="pixel")
    assert made(first, dtype, count).get("compress") == expected


@pytest.mark.parametrize("driver", ["VRT", "PNG", "JP2OpenJPEG", "netCDF", "HFA"])
@pytest.mark.parametrize(
    ("dtype", "predictor"),
    [("uint8", "2"), ("int8", "2"), ("uint64", "2"), ("float32", "3"), ("float64", "3"),
     ("complex64", None)],
)  # fmt: skip
def test_what_is_no_geotiff_becomes_deflate_with_the_predictor_that_fits(driver, dtype, predictor):
    for compress in (None, "jpeg2000", "lzw"):
        profile = made(source(driver=driver, compress=compress), dtype)
        assert (profile["compress"], profile.get("predictor")) == ("deflate", predictor)


def test_a_predictor_is_inherited_as_the_one_that_fits():
    first = replace(source(compress="zstd"), structure={"PREDICTOR": "2"})
    assert made(first, "uint8")["predictor"] == "2"
    assert made(first, "float32")["predictor"] == "3"
    assert "predictor" not in made(first, "complex64")
    assert "predictor" not in made(first, "uint16", options={"nbits": "12"})
    assert "predictor" not in made(first, "uint16", options={"compress": "zstd"})
    assert made(first, "uint8", options={"predictor": "1"})["predictor"] == "1"
    assert "predictor" not in made(source(compress="zstd"), "uint8")
    jpeg = replace(source(compress="jpeg"), structure={"PREDICTOR": "2"})
    assert "predictor" not in made(jpeg, "uint8")


def test_a_geotiff_of_a_codec_that_rasterio_does_not_know_is_compressed():
    first = replace(source(), structure={"COMPRESSION": "JXL"})
    assert made(first)["compress"] == "deflate"


@pytest.mark.parametrize(
    ("first", "options", "expected"),
    [
        (source(), {}, ("lzw", None)),
        (source(driver="VRT"), {}, ("deflate", "2")),
        (source(driver="VRT"), {"predictor": "no"}, ("deflate", None)),
        (source(compress="zstd"), {}, ("zstd", None)),
        (source(compress="zstd"), {"predictor": "yes"}, ("zstd", "2")),
        (source(driver="VRT"), {"compress": "lzw"}, ("lzw", None)),
        (source(), {"compress": "none"}, ("none", None)),
    ],
)
def test_a_cog_is_compressed_by_the_same_rule(first, options, expected):
    layout = lay.BlockLayout(Size(512, 512), tiled=True)
    profile = p.ProfileTemplate(first, layout=layout, options=options, cog=True).profile(1, "uint8")
    assert (profile["compress"], profile.get("predictor")) == expected


@given(st.integers(1, 6000), st.integers(1, 6000), st.sampled_from([1, 3, 7]), st.booleans())
def test_uncompressed_blocks_are_hardly_padded(width, height, rows, asked):
    first = source(width, height, (width, rows))
    layout = lay.choose_layout(first, {"compress": "NONE"} if asked else {}, None)
    filled = [
        math.ceil(length / side) * side
        for length, side in zip((width, height), layout.block, strict=True)
    ]
    assert filled[0] * filled[1] <= 1.05 * width * height + (0 if layout.tiled else rows * width)


def test_uncompressed_tiles_stay_where_they_are_the_first_inputs_or_asked_for():
    assert lay.choose_layout(source(block=(512, 512)), {}, None).block == (512, 512)
    first = source(300, 100, (300, 1))
    assert lay.choose_layout(first, {}, None) == lay.BlockLayout(Size(300, 1), tiled=False)
    assert lay.choose_layout(first, {"tiled": "yes"}, None).block == (304, 112)
    assert lay.choose_layout(first, {"blockxsize": "256"}, None).block == (256, 112)
    assert lay.choose_layout(first, {"compress": "deflate"}, None).block == (256, 112)
    given = window_grid(300, 100, Size(300, 50))
    assert lay.choose_layout(first, {}, given) == lay.BlockLayout(Size(300, 50), tiled=False)
    given = window_grid(300, 100, Size(64, 64))
    assert lay.choose_layout(first, {}, given) == lay.BlockLayout(Size(64, 64), tiled=True)


def test_ycbcr_goes_with_three_bands_of_jpeg():
    first = source(compress="jpeg", photometric="ycbcr", interleave="pixel")
    assert made(first, count=3)["photometric"] == "ycbcr"
    assert "photometric" not in made(first, count=1)


def test_options_win_over_what_was_chosen():
    profile = made(source(compress="lzw"), options={"compress": "zstd", "interleave": "pixel"})
    assert (profile["compress"], profile["interleave"]) == ("zstd", "pixel")


def test_other_drivers_get_no_options_of_geotiff():
    profile = made(source(compress="lzw"), driver="PNG")
    assert not {"compress", "tiled", "blockxsize", "blockysize"}.intersection(profile)


@pytest.mark.parametrize("name", ["dtype", "count", "nodata", "driver", "width", "crs"])
def test_what_is_no_creation_option_is_refused(name):
    with pytest.raises(UsageError, match=f"{name} is not a creation option"):
        p.check_options({name: "1"})


@pytest.mark.parametrize(
    ("nodata", "dtype", "fits"),
    [
        (255, "uint8", True),
        (256, "uint8", False),
        (-1, "uint16", False),
        (0.5, "int16", False),
        (math.nan, "int16", False),
        (math.inf, "uint8", False),
        (math.nan, "float32", True),
        (-math.inf, "float64", True),
        (1e39, "float32", False),
        (-3.4028234663852886e38, "float32", True),
        (math.nan, "complex64", True),
    ],
)
def test_nodata_fits(nodata, dtype, fits):
    assert p.nodata_fits(nodata, dtype) is fits


def test_bigtiff_where_it_might_be_needed_unless_the_profile_says_otherwise():
    assert p.ProfileTemplate(None, complete={"driver": "GTiff"}).profile(1, "uint8") == {
        "driver": "GTiff", "bigtiff": "IF_SAFER",
    }  # fmt: skip
    for whole in ({"driver": "GTiff", "bigtiff": "YES"}, {"driver": "PNG"}):
        assert p.ProfileTemplate(None, complete=whole).profile(1, "uint8") == whole


@pytest.mark.parametrize(
    ("compress", "options", "lossy"),
    [("jpeg", {}, "jpeg"), ("webp", {}, "webp"), ("jpeg", {"compress": "jpeg"}, None),
     ("lzw", {}, None), (None, {}, None)],
)  # fmt: skip
def test_compression_that_changes_values_is_named(compress, options, lossy):
    first = source(compress=compress, interleave="pixel")
    layout = lay.choose_layout(first, {}, None)
    recipe = p.ProfileTemplate(first, layout=layout, options=options)
    assert recipe.inherited_lossy_codec(3, "uint8") == lossy
    assert recipe.inherited_lossy_codec(3, "float32") is None


@pytest.mark.parametrize(
    ("count", "band", "options", "alpha"),
    [(4, 4, {}, "yes"), (4, 0, {}, "no"), (3, 3, {}, "no"), (4, 1, {}, "no"),
     (4, 0, {"alpha": "premultiplied"}, "premultiplied")],
)  # fmt: skip
def test_a_fourth_band_is_alpha_where_it_was(count, band, options, alpha):
    first = replace(source(count=count), alpha=band)
    assert made(first, count=4, options=options)["alpha"] == alpha
    assert "alpha" not in made(first, count=3)


def test_nodata_is_kept_dropped_or_refused():
    first = source(dtype="float32", nodata=-9999.0)
    assert p.ProfileTemplate(first).profile(1, "float32")["nodata"] == -9999
    assert p.ProfileTemplate(first).dropped_nodata("float32") is None
    assert math.isnan(p.ProfileTemplate(first).profile(1, "float64")["nodata"])
    assert p.ProfileTemplate(first).profile(1, "int32")["nodata"] is None
    assert p.ProfileTemplate(first).dropped_nodata("int32") is None
    assert p.ProfileTemplate(first).profile(1, "uint8")["nodata"] is None
    assert p.ProfileTemplate(first).dropped_nodata("uint8") == -9999
    assert p.ProfileTemplate(first, nodata=7, keep_nodata=False).profile(1, "uint8")["nodata"] == 7
    with pytest.raises(NodataError, match="nodata -1 does not fit uint8"):
        p.ProfileTemplate(first, nodata=-1, keep_nodata=False).profile(1, "uint8")


@pytest.mark.parametrize(
    ("own", "nodata", "dtype", "expected"),
    [
        ("uint16", 0, "uint16", 0),
        ("uint16", None, "uint16", None),
        ("uint16", 0, "uint8", None),
        ("uint16", 0, "float32", math.nan),
        ("uint16", None, "float64", math.nan),
        ("float32", -9999, "float64", math.nan),
        ("float32", math.nan, "int16", None),
        ("float32", None, "float32", None),
        ("float32", -9999, "complex64", None),
        ("complex_int16", 0, "complex64", 0),
        ("complex_int16", 0, "float32", math.nan),
        ("int8", -128, "int8", -128),
    ],
)
def test_nodata_is_inherited_by_the_same_dtype_alone(own, nodata, dtype, expected):
    found = p.ProfileTemplate(source(dtype=own, nodata=nodata)).nodata_of(dtype)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_the_dtype_is_that_of_the_bands_that_are_read():
    first = replace(source(dtype="uint8", nodata=0), dtypes=("uint8", "int8"))
    assert first.dtype == "int16"
    assert p.ProfileTemplate(first).nodata_of("uint8") is None
    assert p.ProfileTemplate(first).nodata_of("int16") == 0


@pytest.mark.parametrize(
    ("profile", "layout"),
    [
        ({"tiled": True}, lay.BlockLayout(Size(256, 256), tiled=True)),
        (
            {"tiled": "yes", "blockxsize": "64", "blockysize": 32},
            lay.BlockLayout(Size(64, 32), tiled=True),
        ),
        ({"tiled": False, "blockysize": 5}, lay.BlockLayout(Size(100, 5), tiled=False)),
        ({"blockysize": 500}, lay.BlockLayout(Size(100, 80), tiled=False)),
        ({}, None),
        ({"tiled": True, "blockxsize": "many"}, None),
        ({"tiled": True, "driver": "PNG"}, None),
    ],
)
def test_layout_of_a_profile(profile, layout):
    assert lay.layout_of({"width": 100, "height": 80, **profile}) == layout


@pytest.mark.parametrize(
    ("asked", "path", "driver"),
    [
        (None, "out.tif", "GTiff"),
        (None, "out.png", "PNG"),
        (None, "out", "HFA"),
        ("ENVI", "out.tif", "ENVI"),
    ],
)
def test_driver_is_asked_for_or_the_extensions_or_the_first_inputs(asked, path, driver):
    assert p.choose_driver(asked, path, source(driver="HFA")) == driver


def test_a_driver_that_only_reads_gives_geotiff():
    assert p.choose_driver(None, "out", source(driver="VRT")) == "GTiff"


@pytest.mark.parametrize("size", [(450, 450), (1000, 800), (37, 20), (1025, 700), (1, 500)])
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_file_of_a_striped_raster_is_not_padded(job_on, make_raster, read, size, jobs):
    width, height = size
    path = make_raster("in.tif", width=width, height=height, count=2, blockysize=3)
    job = job_on([path], windows=None, executor="threads", jobs=jobs)
    run(job)
    np.testing.assert_array_equal(read(job.output), read(path))
    pixels = 2 * 2 * width * height
    assert Path(job.output).stat().st_size <= 1.05 * pixels + 8 * height + 2000


@pytest.mark.parametrize("driver", ["PNG", "VRT", "JP2OpenJPEG"])
def test_other_formats_become_compressed_geotiffs(job_on, make_raster, tmp_path, driver):
    path = make_raster("in.tif", dtype="uint8")
    rasterio.shutil.copy(path, tmp_path / "other", driver=driver)
    for dtype, predictor in ("uint8", "2"), ("float32", "3"):
        job = job_on([tmp_path / "other"], dtype=dtype)
        run(job)
        with rasterio.open(job.output) as dst:
            structure = dst.tags(ns="IMAGE_STRUCTURE")
            assert (structure["COMPRESSION"], structure["PREDICTOR"]) == ("DEFLATE", predictor)
