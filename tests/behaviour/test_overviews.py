"""Overviews of a run are those that GDAL makes of the same raster without them."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from overview_files import copy, hide, holed
from rasterio.enums import ColorInterp, OverviewResampling
from rasterio.windows import Window

from rio_mucho_cli import Job, OutputError, UsageError, run
from rio_mucho_cli.geotiff.ifd import IFD
from rio_mucho_cli.geotiff.overviews import build, check_no_block_missing
from rio_mucho_cli.windows import Size, pairs_of, window_grid

FACTORS = [2, 4, 8]
BLOCK = 64
TILES = {"tiled": "yes", "blockxsize": str(BLOCK), "blockysize": str(BLOCK)}
LOCAL = ["nearest", "average", "mode"]
TWO = ["nearest", "average"]
# All levels even; odd from the third, the second, the first on; less than a block.
SHAPES = [(512, 384), (504, 328), (500, 388), (406, 314), (403, 257), (1, 177), (129, 1), (31, 17)]


def hide_corner(data, window, ij, global_args):
    """Mask 128 x 128 pixels, from the first window on."""
    (array,) = data
    masked = window.row_off < 128 and window.col_off < 128
    return np.ma.array(array, mask=np.full(array.shape, masked))


@pytest.fixture
def compare(tmp_path):
    """Return a function that runs with and without overviews, and compares with GDAL's."""

    def make(path, resampling="nearest", *, factors=FACTORS, exact=True, block=None, **given):
        given = {"function": copy, **given}
        options = {**TILES, "compress": "zstd", **given.pop("creation_options", {})}
        if options["tiled"] == "no":
            del options["blockxsize"]
        job = {"inputs": [str(path)], "overwrite": True, "creation_options": options, **given}
        ours, gdals, plain = (tmp_path / f"{name}.tif" for name in ("ours", "gdals", "plain"))
        run(Job(**job, output=str(plain)))
        run(Job(**job, output=str(ours), overviews=factors, overview_resampling=resampling))
        build_by_gdal(plain, gdals, factors, resampling, block or side_of_tiles(plain))
        assert_same_overviews(ours, gdals, factors, exact=exact)
        assert sorted(each.name for each in tmp_path.glob("ours*")) == ["ours.tif"]
        return ours

    return make


def side_of_tiles(path):
    with rasterio.open(path) as src:
        height, width = src.block_shapes[0]
        return width if width == height and src.profile["tiled"] else 256


def build_by_gdal(plain, path, factors, resampling, block):
    shutil.copy(plain, path)
    options = {"GDAL_TIFF_OVR_BLOCKSIZE": block, "GDAL_TIFF_INTERNAL_MASK": True}
    with rasterio.Env(**options), rasterio.open(path, "r+") as dst:
        dst.build_overviews(factors, OverviewResampling[resampling])


def assert_same_overviews(ours, gdals, factors, *, exact=True):
    with rasterio.open(ours) as a, rasterio.open(gdals) as b:
        for index in a.indexes:
            assert a.overviews(index) == b.overviews(index)
        np.testing.assert_array_equal(a.read(), b.read())
    for level in range(len(factors)):
        with (
            rasterio.open(ours, overview_level=level) as a,
            rasterio.open(gdals, overview_level=level) as b,
        ):
            assert (a.shape, a.block_shapes, a.mask_flag_enums) == (
                b.shape, b.block_shapes, b.mask_flag_enums,
            )  # fmt: skip
            if exact:
                np.testing.assert_array_equal(a.read(), b.read(), f"level {level}")
            else:
                apart = np.abs(a.read(masked=True).astype("f8") - b.read(masked=True))
                assert apart.mean() < 8, f"level {level}"
            np.testing.assert_array_equal(a.read_masks(), b.read_masks(), f"mask, level {level}")
    with tifffile.TiffFile(ours) as a, tifffile.TiffFile(gdals) as b:
        assert described(a) == described(b)


def described(reader):
    """Return what a reader has to know of each image and mask, in a fixed order."""
    return sorted(
        (
            -page.imagewidth, int(page.subfiletype), page.imagelength, page.samplesperpixel,
            page.bitspersample, page.compression, page.predictor, page.photometric,
            page.planarconfig, page.sampleformat, page.extrasamples, page.tilewidth,
            page.rowsperstrip if not page.is_tiled else 0,
        )
        for page in reader.pages
    )  # fmt: skip


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", LOCAL)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_overviews_are_those_of_gdal_whatever_the_size(source, compare, shape, resampling):
    compare(source(shape), resampling, windows=Size(128, 128))


@pytest.mark.sweep(2)
@pytest.mark.parametrize("resampling", LOCAL)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("count", "interleave"), [(1, "band"), (3, "pixel"), (3, "band")], ids=str)
def test_overviews_are_those_of_gdal_whatever_the_bands(
    source, compare, count, interleave, dtype, resampling
):
    path = source((500, 388), count, dtype, interleave=interleave)
    compare(path, resampling, windows=Size(256, 256))


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", TWO)
@pytest.mark.parametrize(
    "windows",
    [
        Size(64, 64), Size(128, 128), Size(256, 256), Size(512, 512), Size(192, 64), Size(512, 64),
        Size(320, 320), "blocks",
    ],
    ids=str,
)  # fmt: skip
def test_windows_make_no_difference(source, compare, windows, resampling):
    path = source((512, 384), 2, tiled=True, blockxsize=64, blockysize=128, interleave="pixel")
    compare(path, resampling, windows=windows, executor="threads", jobs=2)


EVEN_AND_ODD = [(512, 384), (406, 314)]
NODATA = [("uint8", 0), ("uint8", 255), ("int16", -9999), ("float32", -1.5), ("float32", np.nan)]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", LOCAL)
@pytest.mark.parametrize(("dtype", "nodata"), NODATA, ids=str)
def test_nodata_has_the_part_that_gdal_gives_it(source, compare, dtype, nodata, resampling):
    interleave = "band" if dtype == "uint8" else "pixel"
    path = source((500, 388), 2, dtype, fill=nodata, nodata=nodata, interleave=interleave)
    compare(path, resampling, windows=Size(256, 256))


@pytest.mark.sweep(1)
@pytest.mark.parametrize("shape", EVEN_AND_ODD, ids=str)
@pytest.mark.parametrize("resampling", TWO)
def test_nan_that_is_no_nodata(source, compare, resampling, shape):
    compare(source(shape, dtype="float32", fill=np.nan), resampling, windows=Size(256, 256))


MASKED = [((512, 384), Size(512, 64)), ((500, 388), Size(256, 128)), ((403, 257), None)]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", LOCAL)
@pytest.mark.parametrize(("count", "interleave"), [(1, "band"), (3, "pixel"), (3, "band")], ids=str)
@pytest.mark.parametrize(("shape", "windows"), MASKED, ids=str)
def test_masks_have_overviews_as_gdal_makes_them(
    source, compare, shape, windows, count, interleave, resampling
):
    path = source(shape, count, interleave=interleave)
    ours = compare(path, resampling, function=hide, windows=windows)
    with rasterio.open(ours, overview_level=0) as src:
        assert 0 < src.dataset_mask().mean() < 255


@pytest.mark.sweep(1)
@pytest.mark.parametrize("shape", EVEN_AND_ODD, ids=str)
@pytest.mark.parametrize("resampling", TWO)
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_alpha_weighs_pixels_as_gdal_has_it(source, compare, interleave, resampling, shape):
    path = source(shape, 4, photometric="rgb", alpha="yes", interleave=interleave)
    with rasterio.open(path, "r+") as dst:
        alpha = holed(np.full((1, *dst.shape), 255, "uint8"), 0)[0]
        alpha[::9, ::4] = 60
        dst.write(alpha, 4)
    ours = compare(path, resampling, windows=Size(256, 256))
    with rasterio.open(ours) as src:
        assert src.colorinterp[3] == ColorInterp.alpha


@pytest.mark.sweep(2)
@pytest.mark.parametrize("shape", EVEN_AND_ODD, ids=str)
@pytest.mark.parametrize("resampling", TWO)
@pytest.mark.parametrize("nodata", [None, 3])
def test_colour_tables_say_what_an_average_is(source, compare, nodata, resampling, shape):
    path = source(shape)
    with rasterio.open(path, "r+") as dst:
        dst.write(dst.read() // 16)
        dst.write_colormap(1, {n: (n * 17, 255 - n * 9, n * n, 255) for n in range(16)})
    given = {} if nodata is None else {"nodata": nodata, "keep_nodata": False}
    ours = compare(path, resampling, windows=Size(256, 256), **given)
    with rasterio.open(ours, overview_level=1) as src:
        assert src.colormap(1)[4] == (68, 219, 16, 255)


CHOSEN = [pair for pair in pairs_of(window_grid(512, 384, Size(128, 128))) if sum(pair[1]) % 2]
SINGLE = [(Window(64, 128, 192, 64), (0, 0))]


@pytest.mark.sweep(2)
@pytest.mark.parametrize("resampling", TWO)
@pytest.mark.parametrize("windows", [CHOSEN[::-1], SINGLE], ids=["some", "one"])
@pytest.mark.parametrize("sparse", ["YES", "NO"])
@pytest.mark.parametrize(
    "given",
    [{}, {"nodata": 7, "keep_nodata": False}, {"function": hide}, {"dtype": "float32"}],
    ids=["plain", "nodata", "mask", "float"],
)
def test_what_no_window_covers(source, compare, windows, sparse, given, resampling):
    options = {"sparse_ok": sparse}
    compare(source(), resampling, windows=windows, creation_options=options, **given)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", TWO)
@pytest.mark.parametrize("nodata", [None, 0])
def test_windows_that_are_skipped(source, compare, nodata, resampling):
    path = source(fill=0, nodata=0)
    compare(
        path, resampling, windows=Size(64, 64), skip_masked=True, nodata=nodata, keep_nodata=False
    )


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", TWO)
@pytest.mark.parametrize("function", [copy, hide])
def test_windows_that_do_not_fit(source, compare, caplog, function, resampling):
    caplog.set_level(logging.INFO, "rio_mucho_cli")
    for shape in ((512, 384), (403, 257)):
        compare(source(shape, 3), resampling, function=function, windows=Size(150, 137))
    assert "windows are not whole blocks" in caplog.text


@pytest.mark.parametrize("side", [16, 32, 48, 96, 320])
def test_tiles_are_of_a_side_that_gdal_makes(source, compare, side):
    options = {"blockxsize": str(side), "blockysize": str(side)}
    for interleave in ("band", "pixel"):
        options["interleave"] = interleave
        ours = compare(source(), "average", block=256, creation_options=options)
    with rasterio.open(ours, overview_level=0) as src:
        assert src.block_shapes == [(256, 256)]


def test_tiles_that_are_no_squares(source, compare):
    options = {"blockxsize": "128", "blockysize": "64"}
    compare(source((512, 1024)), "average", windows=Size(512, 512), creation_options=options)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", TWO)
@pytest.mark.parametrize("rows", ["1", "16", "37"])
def test_overviews_of_strips_are_tiles(source, compare, rows, resampling):
    options = {"tiled": "no", "blockysize": rows}
    for shape in ((520, 296), (523, 297)):
        ours = compare(source(shape), resampling, creation_options=options)
    with rasterio.open(ours, overview_level=0) as src:
        assert src.block_shapes == [(256, 256)]


CODECS = [
    {"compress": "none"},
    {"compress": "deflate", "predictor": "2"},
    {"compress": "deflate", "zlevel": "9"},
    {"compress": "zstd", "predictor": "2", "zstd_level": "3"},
    {"compress": "lzw", "predictor": "2"},
    {"compress": "lzma"},
    {"compress": "packbits"},
    {"compress": "lerc"},
    {"compress": "webp", "webp_lossless": "true"},
    {"bigtiff": "YES"},
    {"sparse_ok": "YES"},
    {"endianness": "big"},
]


@pytest.mark.sweep(1)
@pytest.mark.parametrize(("shape", "function"), [((256, 192), copy), ((250, 194), hide)])
@pytest.mark.parametrize("options", CODECS, ids=str)
def test_overviews_are_compressed_like_the_raster(source, compare, options, shape, function):
    given = {"windows": Size(128, 128), "creation_options": options}
    path = source(shape, 3, interleave="pixel")
    ours = compare(path, "average", function=function, **given)
    with ours.open("rb") as file:
        head = file.read(4)
    if options.get("bigtiff") == "YES":
        assert head == b"II\x2b\0"
    if options.get("endianness") == "big":
        assert head[:2] == b"MM"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_with_a_predictor(source, compare, dtype):
    options = {"compress": "zstd", "predictor": "3"}
    compare(source(dtype=dtype), "average", windows=Size(256, 256), creation_options=options)


OTHERS = ["int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "complex64"]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", TWO)
@pytest.mark.parametrize("dtype", OTHERS)
def test_other_dtypes(source, compare, dtype, resampling):
    compare(source(dtype=dtype), resampling, windows=Size(256, 256))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
@pytest.mark.parametrize("options", [{"compress": "none"}, {"compress": "zstd"}], ids=str)
@pytest.mark.parametrize("windows", [None, Size(100, 90)], ids=["blocks", "parts"])
def test_long_integers_with_nodata_are_refused(job_on, source, leftovers, dtype, options, windows):
    path = source(dtype=dtype, nodata=7)
    job = job_on([path], copy, overviews=[2, 4], creation_options=options, windows=windows)
    with pytest.raises(OutputError, match="choose another dtype, such as int32"):
        run(job)
    assert not leftovers()


def test_few_bits(source, compare):
    path = source(fill=0)
    with rasterio.open(path, "r+") as dst:
        dst.write(dst.read() // 64)
    compare(path, "mode", windows=Size(256, 256), creation_options={"nbits": "2"})


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "options",
    [{}, {"photometric": "ycbcr", "interleave": "pixel"}, {"jpeg_quality": "50"}],
    ids=str,
)
@pytest.mark.parametrize("function", [copy, hide_corner])
def test_overviews_of_lossy_files_are_close(source, compare, options, function):
    options = {"compress": "jpeg", **options}
    for shape in ((256, 192), (250, 194)):
        path = source(shape, 3)
        for resampling in ("nearest", "average"):
            compare(
                path, resampling, exact=False, windows=Size(128, 128), function=function,
                creation_options=options,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "function"), [((512, 384), hide), ((406, 314), copy), ((403, 257), hide)]
)
def test_all_executors_give_the_same_bytes(source, tmp_path, shape, function):
    path, contents = source(shape, 3, interleave="pixel"), set()
    ways = [("serial", 1), ("threads", 3), ("processes", 2)]
    for executor, jobs in ways:
        job = Job(
            inputs=[str(path)],
            output=str(tmp_path / "out.tif"),
            function=function,
            windows=Size(128, 64),
            creation_options={**TILES, "compress": "deflate"},
            overviews=FACTORS,
            overview_resampling="average",
            executor=executor,
            jobs=jobs,
            overwrite=True,
        )
        run(job)
        contents.add((tmp_path / "out.tif").read_bytes())
    assert len(contents) == 1


@pytest.mark.sweep(1)
@pytest.mark.parametrize("factors", [[3], [4], [2, 4, 16], [2, 6, 7]], ids=str)
@pytest.mark.parametrize("resampling", TWO)
def test_gdal_makes_other_factors(source, compare, caplog, factors, resampling):
    caplog.set_level(logging.INFO, "rio_mucho_cli")
    for shape in ((512, 384), (403, 257)):
        compare(source(shape), resampling, factors=factors, windows=Size(256, 256))
    assert "GDAL makes the overviews in the main process, at the end" in caplog.text


BEYOND = ["cubic", "bilinear", "gauss", "lanczos", "cubic_spline", "rms"]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resampling", BEYOND)
@pytest.mark.parametrize("function", [copy, hide_corner])
def test_gdal_makes_what_looks_beyond_two_pixels(source, compare, caplog, resampling, function):
    caplog.set_level(logging.INFO, "rio_mucho_cli")
    for shape in ((256, 192), (203, 157)):
        compare(source(shape), resampling, function=function, windows=Size(256, 256))
    assert "GDAL makes the overviews in the main process, at the end" in caplog.text


def test_factors_are_chosen_so_that_the_last_level_is_small(source, tmp_path):
    for shape, factors in (((256, 300), [2]), ((513, 20), [2, 4]), ((256, 192), [])):
        out = tmp_path / "out.tif"
        job = Job(
            inputs=[str(source(shape))], output=str(out), function=copy, overviews=(),
            overwrite=True,
        )  # fmt: skip
        run(job)
        with rasterio.open(out) as src:
            assert src.overviews(1) == factors


def test_levels_beyond_a_single_pixel(source, compare):
    for resampling in LOCAL:
        compare(source((40, 24)), resampling, factors=[2, 4, 8, 16, 32, 64])


@pytest.mark.parametrize("overviews", [[4, 2], [1, 2], [2, 2]], ids=str)
def test_factors_that_are_none(job_on, source, overviews):
    with pytest.raises(UsageError, match="expected ascending factors such as 2,4,8"):
        job_on([source()], overviews=overviews)


def test_resamplings_that_are_none(job_on, source):
    with pytest.raises(UsageError, match="expected one of nearest, "):
        job_on([source()], overviews=[2], overview_resampling="best")


def test_rio_overview_rebuilds_them_with_the_same_resampling(source, job_on, rio):
    job = job_on([source((1030, 520))], overviews=[2, 4], overview_resampling="average")
    run(job)
    with rasterio.open(job.output) as src:
        assert src.tags(ns="rio_overview") == {"resampling": "average"}
    result = rio("overview", "--ls", job.output)
    assert result.exit_code == 0
    assert "(method: 'average')" in result.output


def test_a_failure_leaves_nothing(source, job_on, leftovers):
    def fail(data, window, ij, global_args):
        if ij == (1, 1):
            raise ZeroDivisionError
        return data[0]

    job = job_on([source()], fail, overviews=FACTORS, creation_options=TILES, windows=Size(64, 64))
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run(job)
    assert not leftovers()


def test_windows_without_a_result_may_leave_blocks_of_the_mask_out(source, job_on):
    """Where windows are not whole blocks, GDAL writes, and makes the overviews."""

    def fail(data, window, ij, global_args):
        if ij[1] > 0:
            raise ZeroDivisionError
        return data[0]

    job = job_on([source()], fail, overviews=FACTORS, windows=Size(100, 37), on_error="nodata",
                 creation_options=TILES, keep_nodata=False)  # fmt: skip
    report = run(job)
    assert report.failed
    with rasterio.open(job.output) as src:
        assert src.overviews(1) == list(FACTORS)
        assert not src.read_masks(1)[:, 100:].any()


def test_blocks_that_are_missing_are_found(tmp_path, make_raster):
    path = make_raster("built.tif", width=300, height=300)
    build(str(path), [2, 4], "nearest", block=64)
    data = bytearray(Path(path).read_bytes())
    check_no_block_missing(data)
    directory = IFD.read_all(data)[2]
    counts = directory.table_tags[1]
    values = directory.values(data, counts).copy()
    values[1] = 0
    data[counts.offset : counts.offset + counts.size] = directory.table_bytes(counts, values)
    with pytest.raises(OutputError, match="GDAL has left blocks of them out"):
        check_no_block_missing(data)
