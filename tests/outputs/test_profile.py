import math
from dataclasses import replace

import pytest
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st

from rio_mucho_cli.errors import NodataError, UsageError
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.sources import Source
from rio_mucho_cli.inputs.windows import Size, cover
from rio_mucho_cli.outputs import profile as p


def source(width=1000, height=800, block=(256, 256), **profile):
    defaults = {"driver": "GTiff", "dtype": "uint16", "nodata": None, "interleave": "band"}
    return Source("in.tif", Grid(None, Affine.identity(), width, height), {**defaults, **profile},
                  Size(*block))  # fmt: skip


def made(first, dtype="uint8", count=1, options=None, layout=None, driver="GTiff"):
    layout = layout or p.choose_layout(first, options or {}, None)
    layout = layout if driver == "GTiff" else None
    return p.Recipe(first, driver, layout, options=options or {}).profile(count, dtype)


LENGTHS = st.integers(1, 3000)


@given(LENGTHS, LENGTHS, st.builds(Size, LENGTHS, LENGTHS), st.sampled_from([3, 64, 256, 512]))
def test_blocks_are_valid_and_every_window_is_a_whole_number_of_them(width, height, size, block):
    assume(width * height / (size.width * size.height) < 500)
    first = source(width, height, (block, block))
    layout = p.choose_layout(first, {}, cover(width, height, size))
    if layout.tiled:
        assert layout.block.width % 16 == layout.block.height % 16 == 0
    fits_width = size.width >= width or size.width % 16 == 0
    fits_height = size.height >= height or size.height % 16 == 0
    if fits_width and fits_height:
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
        (source(block=(1000, 3)), (256, 256)),  # strips make no tiles
        (source(block=(100, 100)), (256, 256)),  # TIFF takes multiples of 16
        (source(block=(16, 16)), (256, 256)),
        (source(width=30, height=800, block=(30, 1)), (32, 256)),  # no more than there is
    ],
)
def test_default_tiles_are_the_first_inputs_where_that_makes_sense(first, block):
    assert p.choose_layout(first, {}, None) == p.Layout(Size(*block), tiled=True)


def test_options_settle_the_blocks():
    first = source()
    asked = p.choose_layout(first, {"blockxsize": "512"}, None)
    assert asked == p.Layout(Size(512, 256), tiled=True)
    strips = p.choose_layout(first, {"tiled": "no", "blockysize": "8"}, None)
    assert strips == p.Layout(Size(1000, 8), tiled=False)
    assert "blockxsize" not in made(first, layout=strips)
    with pytest.raises(UsageError, match="blockxsize is 'many'"):
        p.choose_layout(first, {"blockxsize": "many"}, None)


def test_full_rows_that_fit_no_tile_become_strips():
    layout = p.choose_layout(source(), {}, cover(1000, 800, Size(1000, 50)))
    assert layout == p.Layout(Size(1000, 50), tiled=False)


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
        ("jpeg2000", "uint8", 1, None),
        (None, "uint8", 1, None),
    ],
)
def test_compression_is_the_first_inputs_where_the_output_can_have_it(
    compress, dtype, count, expected
):
    first = source(compress=compress, interleave="pixel")
    assert made(first, dtype, count).get("compress") == expected


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
    with pytest.raises(UsageError, match=f"{name} is no creation option"):
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
    assert p.Recipe(None, given={"driver": "GTiff"}).profile(1, "uint8") == {
        "driver": "GTiff", "bigtiff": "IF_SAFER",
    }  # fmt: skip
    for whole in ({"driver": "GTiff", "BIGTIFF": "YES"}, {"driver": "PNG"}):
        assert p.Recipe(None, given=whole).profile(1, "uint8") == whole


@pytest.mark.parametrize(
    ("compress", "options", "lossy"),
    [("jpeg", {}, "jpeg"), ("webp", {}, "webp"), ("jpeg", {"compress": "jpeg"}, None),
     ("lzw", {}, None), (None, {}, None)],
)  # fmt: skip
def test_compression_that_changes_values_is_named(compress, options, lossy):
    first = source(compress=compress, interleave="pixel")
    layout = p.choose_layout(first, {}, None)
    recipe = p.Recipe(first, layout=layout, options=options)
    assert recipe.inherits_loss(3, "uint8") == lossy
    assert recipe.inherits_loss(3, "float32") is None


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
    assert p.Recipe(first).profile(1, "float32")["nodata"] == -9999
    assert p.Recipe(first).drops_nodata("float32") is None
    assert math.isnan(p.Recipe(first).profile(1, "float64")["nodata"])
    assert p.Recipe(first).profile(1, "int32")["nodata"] is None
    assert p.Recipe(first).drops_nodata("int32") is None
    assert p.Recipe(first).profile(1, "uint8")["nodata"] is None
    assert p.Recipe(first).drops_nodata("uint8") == -9999
    assert p.Recipe(first, nodata=7, keep_nodata=False).profile(1, "uint8")["nodata"] == 7
    with pytest.raises(NodataError, match="nodata -1 does not fit uint8"):
        p.Recipe(first, nodata=-1, keep_nodata=False).profile(1, "uint8")


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
    found = p.Recipe(source(dtype=own, nodata=nodata)).nodata_of(dtype)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_the_dtype_is_that_of_the_bands_that_are_read():
    first = replace(source(dtype="uint8", nodata=0), dtypes=("uint8", "int8"))
    assert first.dtype == "int16"
    assert p.Recipe(first).nodata_of("uint8") is None
    assert p.Recipe(first).nodata_of("int16") == 0


@pytest.mark.parametrize(
    ("profile", "layout"),
    [
        ({"tiled": True}, p.Layout(Size(256, 256), tiled=True)),
        (
            {"TILED": "yes", "blockxsize": "64", "BLOCKYSIZE": 32},
            p.Layout(Size(64, 32), tiled=True),
        ),
        ({"tiled": False, "blockysize": 5}, p.Layout(Size(100, 5), tiled=False)),
        ({"blockysize": 500}, p.Layout(Size(100, 80), tiled=False)),
        ({}, None),
        ({"tiled": True, "blockxsize": "many"}, None),
        ({"tiled": True, "driver": "PNG"}, None),
    ],
)
def test_layout_of_a_profile(profile, layout):
    assert p.layout_of({"width": 100, "height": 80, **profile}) == layout


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
