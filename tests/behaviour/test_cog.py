"""Cloud-optimised GeoTIFFs: valid, in the order that they claim, and with the right pixels."""

import logging
import re
import struct

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from overview_files import copy, hide
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window
from rio_cogeo import cog_validate

from rio_mucho_cli import FormatError, Job, OutputError, UsageError, run
from rio_mucho_cli.windows import Size, pairs_of, window_grid

BLOCK = 64
# GDAL's page on the COG driver: what it writes behind the header of a file.
GHOST = re.compile(
    rb"GDAL_STRUCTURAL_METADATA_SIZE=(\d{6}) bytes\n"
    rb"(LAYOUT=IFDS_BEFORE_DATA\n"
    rb"BLOCK_ORDER=ROW_MAJOR\n"
    rb"BLOCK_LEADER=SIZE_AS_UINT4\n"
    rb"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n"
    rb"KNOWN_INCOMPATIBLE_EDITION=NO\n "
    rb"(MASK_INTERLEAVED_WITH_IMAGERY=YES\n)?)"
)
IS_MASK = 4


@pytest.fixture
def cog(tmp_path):
    """Return a function that makes a COG of an input and checks its form; its path."""

    def make(path, function=copy, check=True, **given):
        out = tmp_path / "cog.tif"
        options = {"blocksize": str(BLOCK), **given.pop("creation_options", {})}
        options = {name: value for name, value in options.items() if value is not None}
        job = {"windows": Size(256, 256), "overwrite": True, **given}
        run(Job(inputs=[str(path)], output=str(out), function=function, driver="COG",
                creation_options=options, **job))  # fmt: skip
        if check:
            assert_in_order(out)
            assert_valid(out)
        return out

    return make


@pytest.fixture
def geotiff(tmp_path):
    """Return a function that makes a GeoTIFF with overviews of an input; its path."""

    def make(path, function=copy, **given):
        out = tmp_path / "plain.tif"
        tiles = {"tiled": "yes", "blockxsize": str(BLOCK), "blockysize": str(BLOCK)}
        options = {**tiles, "interleave": "pixel", **given.pop("creation_options", {})}
        job = {"windows": Size(256, 256), "overwrite": True, **given}
        run(Job(inputs=[str(path)], output=str(out), function=function,
                creation_options=options, **job))  # fmt: skip
        return out

    return make


def assert_valid(path):
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(path) as src:
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert src.tags(ns="IMAGE_STRUCTURE")["INTERLEAVE"] == (
            "PIXEL" if src.count > 1 else "BAND"
        )


def assert_in_order(path):
    """Check the order of a file's parts, by reading its bytes."""
    data = path.read_bytes()
    with tifffile.TiffFile(path) as reader:
        start, order = 16 if reader.is_bigtiff else 8, reader.byteorder
        pages = [
            (
                page.imagewidth, page.imagelength, bool(page.subfiletype & IS_MASK),
                page.offset, page.dataoffsets, page.databytecounts, page.tilewidth,
                page.tilelength, max(tag.valueoffset for tag in page.tags),
            )
            for page in reader.pages
        ]  # fmt: skip
    assert order == "<"
    ghost = GHOST.match(data, start)
    assert ghost, data[start : start + 300]
    assert int(ghost[1]) == len(ghost[2])
    has_mask = any(is_mask for _, _, is_mask, *_ in pages)
    assert bool(ghost[3]) == has_mask
    assert pages[0][3] == ghost.end() + ghost.end() % 2

    levels = []
    for page in pages:
        if page[2]:
            levels[-1].append(page)
        else:
            levels.append([page])
    assert all(len(level) == (2 if has_mask else 1) for level in levels)
    for level in levels:
        assert len({page[:2] for page in level}) == 1
    assert [level[0][:2] for level in levels] == [
        (-(-pages[0][0] // 2**n), -(-pages[0][1] // 2**n)) for n in range(len(levels))
    ]
    # Directories, with their values, ascend and end before the first block.
    places = [page[3] for page in pages]
    assert places == sorted(places)
    first = min(offset for page in pages for offset in page[4] if offset)
    assert max(page[8] for page in pages) < first

    at = None
    for level in reversed(levels):
        assert len({len(page[4]) for page in level}) == 1
        for blocks in zip(*(zip(page[4], page[5], strict=True) for page in level), strict=True):
            for offset, count in blocks:
                assert bool(offset) == bool(count)
                if not count:
                    continue
                at = first - 4 if at is None else at
                assert offset == at + 4
                assert struct.unpack_from("<I", data, at) == (count,)
                assert data[offset + count : offset + count + 4] == data[offset + count - 4 :][:4]
                at = offset + count + 4
    assert at == len(data)


def levels_of(path):
    """Return pixels and masks of a raster, and of its overviews."""
    found = []
    with rasterio.open(path) as src:
        levels = range(-1, len(src.overviews(1)))
    for level in levels:
        with rasterio.open(path, **({} if level < 0 else {"overview_level": level})) as src:
            found.append((src.read(), src.read_masks()))
    return found


def assert_same_pixels(path, other):
    for (pixels, masks), (others, other_masks) in zip(
        levels_of(path), levels_of(other), strict=True
    ):
        np.testing.assert_array_equal(pixels, others)
        np.testing.assert_array_equal(masks, other_masks)


SHAPES = [(512, 384), (500, 388), (403, 257), (300, 9), (5, 200), (64, 64), (20, 10)]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("resampling", ["nearest", "average", "mode"])
def test_pixels_and_overviews_are_those_of_a_geotiff(source, cog, geotiff, shape, resampling):
    path = source(shape, 2)
    out = cog(path, overview_resampling=resampling)
    with rasterio.open(out) as src:
        factors = [2**level for level in range(1, len(src.overviews(1)) + 1)]
        assert src.block_shapes[0] == (BLOCK, BLOCK)
    assert len(factors) == max(0, int(np.ceil(np.log2(max(shape) / BLOCK))))
    plain = geotiff(path, overviews=factors or None, overview_resampling=resampling)
    assert_same_pixels(out, plain)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("function", [copy, hide])
@pytest.mark.parametrize("windows", [None, Size(128, 64), Size(512, 128)], ids=str)
@pytest.mark.parametrize("count", [1, 2])
def test_windows_make_no_difference(source, cog, geotiff, function, windows, count):
    path = source((512, 384), count)
    out = cog(path, function, windows=windows, executor="threads", jobs=2)
    assert_same_pixels(out, geotiff(path, function, overviews=[2, 4, 8]))
    with rasterio.open(out) as src:
        expected = MaskFlags.per_dataset if function is hide else MaskFlags.all_valid
        assert src.mask_flag_enums[0] == [expected]


@pytest.mark.parametrize("function", [copy, hide])
def test_all_executors_give_the_same_bytes(source, cog, function):
    path, contents = source((500, 388), 3), set()
    for executor, jobs in (("serial", 1), ("threads", 3), ("processes", 2)):
        out = cog(path, function, windows=Size(128, 64), executor=executor, jobs=jobs)
        contents.add(out.read_bytes())
    assert len(contents) == 1


DTYPES = ["uint8", "int16", "uint32", "float32", "float64", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_and_nodata(source, cog, geotiff, dtype):
    nodata = np.nan if dtype.startswith("float") else 7
    path = source((512, 384), 3, dtype, fill=nodata, nodata=nodata, interleave="band")
    out = cog(path, overview_resampling="average")
    assert_same_pixels(out, geotiff(path, overviews=[2, 4, 8], overview_resampling="average"))
    with rasterio.open(out) as src:
        assert src.dtypes == (dtype,) * 3
        np.testing.assert_equal(src.nodata, nodata)


def test_long_integers_have_overviews_without_nodata_only(source, cog, geotiff, leftovers):
    with pytest.raises(OutputError, match=r"with creation_options=.*OVERVIEWS.: .NONE"):
        cog(source(dtype="int64", nodata=7))
    assert not leftovers()
    cog(source(dtype="int64", nodata=7), creation_options={"overviews": "NONE"})
    path = source(dtype="int64")
    assert_same_pixels(cog(path), geotiff(path, overviews=[2, 4, 8]))


PART = [
    pair for pair in pairs_of(window_grid(512, 384, Size(128, 128))) if sum(pair[1]) % 2
]  # fmt: skip


@pytest.mark.parametrize("sparse", ["YES", "NO", None])
@pytest.mark.parametrize(
    "given", [{}, {"nodata": 7, "keep_nodata": False}, {"function": hide}], ids=["0", "7", "mask"]
)
def test_what_no_window_covers(source, cog, geotiff, sparse, given):
    path = source()
    options = {} if sparse is None else {"sparse_ok": sparse}
    out = cog(path, windows=PART, creation_options=options, **given)
    plain = geotiff(path, windows=PART, overviews=[2, 4, 8], **given)
    assert_same_pixels(out, plain)
    with tifffile.TiffFile(out) as reader:
        assert (0 in reader.pages[0].databytecounts) == (sparse == "YES")


def test_a_file_in_which_all_blocks_are_missing(source, cog):
    path = source(fill=0)
    with rasterio.open(path, "r+") as dst:
        dst.write(np.zeros((1, 384, 512), "uint8"))
    out = cog(path, check=False, creation_options={"sparse_ok": "YES"})
    with rasterio.open(out) as src:
        assert not src.read().any()
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert src.overviews(1) == [2, 4, 8]
    assert GHOST.match(out.read_bytes(), 8)


def test_what_is_said_of_the_first_input_is_carried_over(source, cog, tmp_path):
    path = source((200, 130), 3, "int16", nodata=-5)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(area="north")
        dst.update_tags(ns="mine", key="value")
        dst.update_tags(2, sensor="b8")
        dst.descriptions = ("one", "two", "three")
        dst.units = ("m", "m", "s")
        dst.scales, dst.offsets = (0.5, 1, 2), (1, 2, 3)
        dst.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    out = cog(path)
    with rasterio.open(path) as src, rasterio.open(out) as dst:
        for name in (
            "crs", "transform", "bounds", "nodata", "descriptions", "units", "scales",
            "offsets", "colorinterp", "shape", "dtypes",
        ):  # fmt: skip
            assert getattr(dst, name) == getattr(src, name), name
        assert dst.tags()["area"] == "north"
        assert dst.tags(ns="mine") == {"key": "value"}
        assert dst.tags(2)["sensor"] == "b8"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cog.tif", "in.tif"]


def test_colour_tables_survive(source, cog, geotiff):
    path = source((200, 130))
    table = {n: (n, 255 - n, n // 2, 255) for n in range(256)}
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, table)
    out = cog(path, overview_resampling="average")
    plain = geotiff(path, overviews=[2, 4], overview_resampling="average")
    assert_same_pixels(out, plain)
    with rasterio.open(out) as src, rasterio.open(out, overview_level=1) as overview:
        assert src.colormap(1) == overview.colormap(1) == table
        assert src.colorinterp == (ColorInterp.palette,)


def test_alpha_bands_stay(source, cog, geotiff):
    path = source((200, 130), 4, photometric="rgb", alpha="yes")
    out = cog(path, overview_resampling="average")
    assert_same_pixels(out, geotiff(path, overviews=[2, 4], overview_resampling="average"))
    with rasterio.open(out) as src:
        assert src.colorinterp[3] == ColorInterp.alpha


def copied_by_gdal(plain, path, options):
    rasterio.shutil.copy(plain, path, driver="COG", blocksize=128, **options)
    return path


def structure(path):
    """Return what a file says of its compression and form."""
    with rasterio.open(path) as src:
        image = src.tags(ns="IMAGE_STRUCTURE")
        image.pop("OVERVIEW_RESAMPLING", None)
        profile = dict(src.profile)
        overviews = src.overviews(1)
    with tifffile.TiffFile(path) as reader:
        pages = [
            (page.compression, page.predictor, page.photometric, page.planarconfig,
             page.tilewidth, page.tilelength, int(page.subfiletype), page.extrasamples)
            for page in reader.pages
        ]  # fmt: skip
    # GDAL has the masks of overviews behind all overviews.
    return image, profile, overviews, sorted(pages, key=lambda page: page[6] & IS_MASK)


OPTIONS = [
    {},
    {"compress": "NONE"},
    {"compress": "DEFLATE"},
    {"compress": "ZSTD"},
    {"compress": "LERC"},
    {"compress": "LERC_DEFLATE"},
    {"compress": "DEFLATE", "predictor": "YES"},
    {"compress": "LZW", "predictor": "STANDARD"},
    {"compress": "ZSTD", "predictor": "2"},
    {"compress": "ZSTD", "predictor": "NO"},
    {"compress": "NONE", "predictor": "YES"},
    {"bigtiff": "YES"},
    {"bigtiff": "NO"},
    {"bigtiff": "IF_SAFER"},
    {"overviews": "NONE"},
    {"overviews": "AUTO"},
    {"overviews": "IGNORE_EXISTING"},
    {"overview_count": "1"},
    {"overview_count": "4"},
    {"resampling": "average"},
    {"overview_resampling": "MODE"},
    {"num_threads": "2"},
    {"geotiff_version": "1.1"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_are_those_of_gdals_driver(source, cog, geotiff, tmp_path, options):
    path = source((512, 384), 2, "uint16")
    out = cog(path, creation_options={"blocksize": "128", **options})
    resampling = options.get("resampling", options.get("overview_resampling", "nearest"))
    plain, gdals = geotiff(path), tmp_path / "gdals.tif"
    copied_by_gdal(plain, gdals, {"overview_resampling": resampling, **options})
    assert structure(out) == structure(gdals)
    assert out.read_bytes()[2] == gdals.read_bytes()[2]
    assert_same_pixels(out, gdals)


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "DEFLATE", "predictor": "FLOATING_POINT"},
        {"compress": "LZW", "predictor": "3"},
        {"compress": "ZSTD", "predictor": "YES"},
        {"compress": "LERC"},
        {"compress": "LERC_ZSTD", "max_z_error": "2"},
    ],
    ids=str,
)
def test_options_of_floats(source, cog, geotiff, tmp_path, options):
    path = source((512, 384), 2, "float64")
    out = cog(path, creation_options={"blocksize": "128", **options})
    gdals = copied_by_gdal(geotiff(path), tmp_path / "gdals.tif", options)
    assert structure(out) == structure(gdals)


LOSSY = [
    {"compress": "JPEG"},
    {"compress": "JPEG", "quality": "40"},
    {"compress": "WEBP"},
    {"compress": "WEBP", "quality": "40"},
    {"compress": "WEBP", "quality": "100"},
]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("options", LOSSY, ids=str)
@pytest.mark.parametrize("function", [copy, hide])
def test_lossy_codecs_of_three_bands(source, cog, geotiff, tmp_path, options, function):
    path = source((256, 192), 3)
    # GDAL's driver copies no tags of a namespace: without them, sizes can be compared.
    given = {"creation_options": {"blocksize": "128", **options}, "metadata": False}
    out = cog(path, function, **given)
    plain = geotiff(path, function)
    gdals = copied_by_gdal(plain, tmp_path / "gdals.tif", options)
    assert structure(out) == structure(gdals)
    if options.get("quality") != "100":  # GDAL's overviews are lossy then
        assert abs(out.stat().st_size / gdals.stat().st_size - 1) < 0.1
    with rasterio.open(out) as a, rasterio.open(gdals) as b:
        np.testing.assert_array_equal(a.read(), b.read())
        np.testing.assert_array_equal(a.read_masks(), b.read_masks())
        if options["compress"] == "JPEG":
            assert a.profile["photometric"] == "ycbcr"


@pytest.mark.parametrize("count", [1, 2])
def test_jpeg_of_other_counts(source, cog, geotiff, tmp_path, count):
    path = source((512, 384), count)
    options = {"compress": "JPEG", "quality": "60"}
    out = cog(path, creation_options={"blocksize": "128", **options})
    gdals = copied_by_gdal(geotiff(path), tmp_path / "gdals.tif", options)
    assert structure(out) == structure(gdals)


@pytest.mark.parametrize("codec", ["DEFLATE", "ZSTD", "LZMA", "LERC_DEFLATE", "LERC_ZSTD"])
def test_levels_are_those_of_gdals_driver(source, cog, geotiff, tmp_path, codec):
    path = source((512, 384), 1, "uint8" if codec == "LZMA" else "float32")
    plain = geotiff(path)
    for level in ("1", "9"):
        options = {"compress": codec, "level": level, "overviews": "NONE"}
        out = cog(path, creation_options={"blocksize": "128", **options})
        gdals = copied_by_gdal(plain, tmp_path / "gdals.tif", options)
        with tifffile.TiffFile(out) as a, tifffile.TiffFile(gdals) as b:
            assert a.pages[0].databytecounts == b.pages[0].databytecounts


@pytest.mark.parametrize("codec", [None, "deflate", "zstd", "lzw", "packbits"])
def test_compression_is_the_first_inputs_else_lzw(source, cog, profile_of, codec):
    out = cog(source(**({} if codec is None else {"compress": codec})))
    assert profile_of(out)["compress"] == (codec or "lzw")


def test_tiles_have_512_pixels_unless_said_otherwise(source, cog):
    out = cog(source((1100, 30)), creation_options={"blocksize": None}, windows=None)
    with rasterio.open(out) as src:
        assert src.block_shapes == [(512, 512)]
        assert src.overviews(1) == [2, 4]


@pytest.mark.parametrize("side", [16, 48, 96, 192])
def test_other_sides_of_tiles(source, cog, side):
    out = cog(source(), windows=None, creation_options={"blocksize": str(side)})
    with rasterio.open(out) as src, rasterio.open(out, overview_level=0) as overview:
        assert src.block_shapes == [(side, side)]
        assert overview.block_shapes == [(256, 256)]


def test_options_may_be_in_upper_case(source, cog, profile_of):
    out = cog(source(), creation_options={"COMPRESS": "ZSTD", "BIGTIFF": "YES"})
    assert profile_of(out)["compress"] == "zstd"
    assert out.read_bytes()[2] == 43


def test_counts_of_overviews_end_at_a_single_pixel(source, cog):
    out = cog(source((100, 70)), creation_options={"overview_count": "12"})
    with rasterio.open(out) as src:
        assert len(src.overviews(1)) == 7
    with rasterio.open(out, overview_level=6) as src:
        assert src.shape == (1, 1)


def test_overviews_can_be_given_by_their_factors(source, cog, caplog):
    caplog.set_level(logging.INFO, "rio_mucho_cli")
    options = {"blocksize": "128"}
    for given in ({}, {"overview_resampling": "cubic"}, {"windows": Size(100, 90)}):
        out = cog(source(), overviews=[2, 4, 8], creation_options=options, **given)
        with rasterio.open(out) as src:
            assert src.overviews(1) == [2, 4, 8]
    assert caplog.text.count("GDAL's COG driver finishes the output") == 2


LEFT = [
    ({"overview_resampling": "cubic"}, {}, "the resampling cubic looks beyond 2 x 2 pixels"),
    ({}, {"resampling": "bilinear"}, "the resampling bilinear looks beyond 2 x 2 pixels"),
    ({"overview_resampling": "cubic_spline"}, {}, "the resampling cubic_spline"),
    ({}, {"overview_resampling": "CUBICSPLINE"}, "the resampling cubic_spline"),
    ({}, {"overview_compress": "DEFLATE"}, "of the option OVERVIEW_COMPRESS"),
    ({"windows": Size(100, 90)}, {}, "windows are not whole blocks of it"),
    ({"windows": Size(100, 90)}, {"compress": "JPEG", "quality": "50"}, "windows are not whole"),
]


@pytest.mark.sweep(1)
@pytest.mark.parametrize(("given", "options", "why"), LEFT, ids=str)
@pytest.mark.parametrize("function", [copy, hide])
def test_gdals_driver_makes_the_rest(source, cog, caplog, function, given, options, why):
    caplog.set_level(logging.INFO, "rio_mucho_cli")
    options = {"blocksize": "128", **options}
    path = source((512, 384), 3)
    out = cog(path, function, check=False, creation_options=options, **given)
    assert_valid(out)
    assert f"GDAL's COG driver finishes the output, because {why}" in caplog.text
    with rasterio.open(path) as src, rasterio.open(out) as dst:
        assert dst.overviews(1) == [2, 4]
        assert (dst.crs, dst.transform) == (src.crs, src.transform)
        if "compress" not in options:
            expected = src.read()
            if function is hide:
                expected = hide([expected], Window(0, 0, 512, 384), None, None).filled(0)
            np.testing.assert_array_equal(dst.read(), expected)


SMALL = [
    ({"overview_resampling": "cubic"}, {}),
    ({}, {"resampling": "LANCZOS"}),
    ({"overview_resampling": "gauss"}, {"compress": "zstd", "predictor": "yes"}),
    ({"windows": Size(100, 90)}, {}),
    ({"windows": Size(100, 90), "overview_resampling": "average"}, {"overview_count": "2"}),
    ({"overview_resampling": "cubic", "stats": True}, {"overview_count": "3"}),
]


@pytest.mark.sweep(1)
@pytest.mark.parametrize(("given", "options"), SMALL, ids=str)
@pytest.mark.parametrize("function", [copy, hide])
def test_tiles_that_are_too_small_for_gdals_driver(source, cog, geotiff, function, given, options):
    path = source((512, 384), 2)
    out = cog(path, function, creation_options=options, **given)
    with rasterio.open(out) as src, rasterio.open(out, overview_level=0) as overview:
        factors = src.overviews(1)
        assert factors == [2, 4, 8][: int(options.get("overview_count", 3))]
        assert src.block_shapes[0] == overview.block_shapes[0] == (BLOCK, BLOCK)
        assert ("STATISTICS_MEAN" in src.tags(1)) == ("stats" in given)
    resampling = given.get("overview_resampling", options.get("resampling", "nearest")).lower()
    windows = given.get("windows", Size(256, 256))
    plain = geotiff(
        path, function, overviews=factors, overview_resampling=resampling, windows=windows
    )
    assert_same_pixels(out, plain)


@pytest.mark.parametrize("side", [16, 48, 112])
@pytest.mark.parametrize("given", [{"overview_resampling": "cubic"}, {"windows": Size(100, 90)}])
def test_odd_sides_of_tiles_that_are_too_small_for_gdals_driver(source, cog, side, given, read):
    path = source((300, 200), 3)
    out = cog(path, creation_options={"blocksize": str(side)}, **given)
    with rasterio.open(out) as src:
        assert src.block_shapes[0] == (side, side)
        np.testing.assert_array_equal(src.read(), read(path))


def test_tiling_schemes_are_gdals_affair(source, cog, caplog):
    caplog.set_level(logging.INFO, "rio_mucho_cli")
    options = {"tiling_scheme": "GoogleMapsCompatible", "blocksize": None}
    out = cog(source(), check=False, creation_options=options)
    assert_valid(out)
    assert "because of the option TILING_SCHEME" in caplog.text
    with rasterio.open(out) as src:
        assert src.crs.to_epsg() == 3857
        assert src.tags(ns="TILING_SCHEME")["NAME"].upper() == "GOOGLEMAPSCOMPATIBLE"


BAD = [
    ({"compress": "foo"}, FormatError, "COMPRESS"),
    ({"blocksize": "100"}, UsageError, "blocksize is 100: expected a multiple of 16 pixels"),
    ({"blocksize": "abc"}, UsageError, "blocksize is 'abc': expected a whole number from 1"),
    ({"blocksize": "0"}, UsageError, "blocksize is '0': expected a whole number from 1"),
    ({"blocksize": "500", "resampling": "cubic"}, UsageError, "blocksize is 500: expected a mul"),
    (
        {"blocksize": "64", "tiling_scheme": "GoogleMapsCompatible"},
        UsageError,
        "blocksize is 64: expected 128 or more with the option TILING_SCHEME",
    ),
    ({"foo": "1"}, FormatError, "FOO"),
    ({"overview_count": "abc"}, UsageError, "overview_count is 'abc': expected a whole number"),
    ({"overviews": "foo"}, FormatError, "OVERVIEWS"),
    ({"resampling": "best"}, UsageError, "the resampling of overviews is 'best': expected one"),
    ({"predictor": "foo"}, UsageError, "predictor is 'foo': expected one of"),
    ({"bigtiff": "foo"}, UsageError, "bigtiff is 'foo': expected one of"),
    ({"sparse_ok": "foo"}, UsageError, "sparse_ok is 'foo': expected"),
    ({"compress": "zstd", "level": "abc"}, UsageError, "level is 'abc': expected a whole number"),
    ({"compress": "zstd", "level": "99"}, FormatError, "LEVEL"),
    ({"compress": "webp", "quality": "900"}, UsageError, "quality is '900': expected 1 to 100"),
    ({"compress": "jpeg", "quality": "abc"}, UsageError, "quality is 'abc': expected"),
    ({"compress": "lerc", "max_z_error": "x"}, FormatError, "MAX_Z_ERROR"),
    ({"compress": "jpeg"}, OutputError, "JPEG"),  # of uint16
]


@pytest.mark.parametrize(("options", "error", "says"), BAD, ids=str)
@pytest.mark.parametrize("windows", [Size(256, 256), Size(100, 90)], ids=["blocks", "parts"])
def test_bad_values_are_errors_and_leave_nothing(
    source, cog, tmp_path, leftovers, options, error, says, windows
):
    options = {"blocksize": "128", **options}
    with pytest.raises((OutputError, UsageError), match=re.escape(says)) as caught:
        cog(source(dtype="uint16"), creation_options=options, windows=windows)
    if windows == Size(256, 256):
        assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert not leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif"]


@pytest.mark.parametrize("overviews", [[3], [4], [2, 8]], ids=str)
@pytest.mark.parametrize("given", [{}, {"overview_resampling": "cubic"}], ids=str)
def test_overviews_of_cogs_are_powers_of_two(source, cog, overviews, given):
    with pytest.raises(UsageError, match="a COG can only have the overviews 2, 4, 8"):
        cog(source(), overviews=overviews, creation_options={"blocksize": "128"}, **given)


def test_a_cog_is_changed_as_the_docs_say(source, cog, rio):
    out = cog(source())
    result = rio("edit-info", out, "--tag", "PROCESSING=second run")
    if tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) >= (3, 8):
        assert result.exit_code == 1
        assert "IGNORE_COG_LAYOUT_BREAK" in str(result.exception)
        assert_valid(out)
    with rasterio.open(out, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dst:
        dst.update_tags(PROCESSING="second run")
    with rasterio.open(out) as src:
        assert src.tags()["PROCESSING"] == "second run"
    assert not cog_validate(out, quiet=True)[0]


def test_failures_leave_nothing(source, cog, leftovers):
    def fail(data, window, ij, global_args):
        if ij == (1, 1):
            raise ZeroDivisionError
        return data[0]

    with pytest.raises(Exception, match="ZeroDivisionError"):
        cog(source(), fail)
    assert not leftovers()


def test_the_command_makes_cogs(rio, module, source, tmp_path):
    module("def same(data, window, ij, global_args):\n    return data[0]\n", "mod.py")
    path = source((600, 300), 3)
    result = rio(
        "mucho", path, "out.tif", "--func", "mod:same", "-f", "COG", "--co", "COMPRESS=ZSTD",
        "--co", "BLOCKSIZE=128", "--co", "OVERVIEW_RESAMPLING=AVERAGE",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert_in_order(tmp_path / "out.tif")
    assert_valid(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as src:
        assert src.profile["compress"] == "zstd"
        assert src.overviews(1) == [2, 4, 8]
