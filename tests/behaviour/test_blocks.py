"""What workers encode and the parent places is what GDAL writes as a whole."""

import itertools
import resource
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import HealthCheck, given, settings, strategies as st
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.geotiff.encode import encode
from rio_mucho_cli.outputs.block_writer import BlockWriter
from rio_mucho_cli.outputs.layout import BlockLayout
from rio_mucho_cli.outputs.target import Target, publish
from rio_mucho_cli.windows import Size, pairs_of, window_grid

WIDTH, HEIGHT = 101, 77
TILE, STRIP = Size(32, 16), Size(WIDTH, 16)


def image(count, dtype, height=HEIGHT, width=WIDTH):
    rows, cols = np.mgrid[0:height, 0:width]
    waves = np.sin(cols / 9) * np.cos(rows / 7) * 100 + 120
    return np.stack([waves + 5 * band for band in range(count)]).astype(dtype)


def profile_of(array, block, **given):
    count, height, width = array.shape
    tiles = {"tiled": True, "blockxsize": block.width} if block.width < width else {"tiled": False}
    return {
        "driver": "GTiff", "width": width, "height": height, "count": count,
        "dtype": array.dtype.name, "crs": "EPSG:32633", "blockysize": block.height,
        "transform": rasterio.Affine(30, 0, 4e5, 0, -30, 5e6), **tiles, **given,
    }  # fmt: skip


@contextmanager
def opened(path, block):
    target = Target(str(path), overwrite=True, inputs=[])
    writer = BlockWriter(target, {}, BlockLayout(block, tiled=True))
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise


def write(path, array, profile, block, windows):
    with opened(path, block) as writer:
        writer.begin(profile)
        for window, _ in pairs_of(windows):
            part = array[(slice(None), *window.toslices())]
            writer.append(window, encode(part, profile))
        writer.finish()
        publish([writer.target])


def assert_same(ours, gdals):
    with rasterio.open(ours) as a, rasterio.open(gdals) as b:
        np.testing.assert_array_equal(a.read(), b.read())
        assert dict(a.profile) == dict(b.profile)
        assert a.tags(ns="IMAGE_STRUCTURE") == b.tags(ns="IMAGE_STRUCTURE")
        assert a.colorinterp == b.colorinterp


LOSSLESS = ["none", "deflate", "lzw", "zstd", "packbits", "lzma"]
CASES = [
    *itertools.product(LOSSLESS, ["uint8"], [1, 3], [{}]),
    *itertools.product(["deflate", "zstd"], ["uint16", "int16", "uint32"], [2], [{"predictor": 2}]),
    *itertools.product(["lzw"], ["float32", "float64"], [1], [{"predictor": 3}]),
    *itertools.product(["deflate"], ["int8", "int64", "uint64", "complex64", "complex128"], [2],
                       [{}]),
    *itertools.product(["jpeg"], ["uint8"], [1, 3], [{}, {"jpeg_quality": 50}]),
    ("jpeg", "uint8", 3, {"photometric": "ycbcr", "interleave": "pixel"}),
    ("webp", "uint8", 3, {"interleave": "pixel", "webp_level": 60}),
    ("webp", "uint8", 4, {"interleave": "pixel", "webp_lossless": True}),
    *itertools.product(["lerc", "lerc_zstd", "lerc_deflate"], ["float32"], [1],
                       [{}, {"max_z_error": 2.5}]),
    *itertools.product(["none", "deflate"], ["uint8"], [1], [{"nbits": 1}, {"nbits": 5}]),
    ("deflate", "uint16", 2, {"bigtiff": "YES"}),
    ("deflate", "uint16", 2, {"endianness": "BIG"}),
    ("deflate", "uint8", 4, {"alpha": "yes", "photometric": "rgb"}),
]  # fmt: skip


@pytest.mark.parametrize("block", [TILE, STRIP], ids=["tiles", "strips"])
@pytest.mark.sweep(2)
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(("compress", "dtype", "count", "options"), CASES)
def test_every_codec_equals_one_whole_write(
    tmp_path, compress, dtype, count, options, interleave, block
):
    array = image(count, dtype)
    if "nbits" in options:
        array //= 256 // 2 ** options["nbits"]
    given = {"interleave": interleave, "compress": compress, **options}
    profile = profile_of(array, block, **given)
    with rasterio.open(tmp_path / "gdal.tif", "w", **profile) as dst:
        dst.write(array)
    size = Size(block.width * 2, 32)
    write(tmp_path / "ours.tif", array, profile, block, window_grid(WIDTH, HEIGHT, size))
    assert_same(tmp_path / "ours.tif", tmp_path / "gdal.tif")
    ours, gdals = (tmp_path / name for name in ("ours.tif", "gdal.tif"))
    assert ours.stat().st_size <= gdals.stat().st_size * 1.01 + 64


SIDES, TIMES = st.integers(1, 5).map(lambda n: 16 * n), st.integers(1, 4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.integers(1, 200), height=st.integers(1, 200), count=st.integers(1, 3),
    block=st.builds(Size, SIDES, SIDES), times=st.builds(Size, TIMES, TIMES),
    dtype=st.sampled_from(["uint8", "int16", "float64", "complex64"]),
    interleave=st.sampled_from(["pixel", "band"]), order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_tifffile_reads_what_was_written(
    tmp_path, width, height, count, block, times, dtype, interleave, order
):
    array = image(count, dtype, height, width)
    profile = profile_of(array, block, interleave=interleave, compress="deflate", tiled=True,
                         blockxsize=block.width)  # fmt: skip
    size = Size(block.width * times.width, block.height * times.height)
    windows = list(window_grid(width, height, size))
    order.shuffle(windows)
    write(tmp_path / "out.tif", array, profile, block, windows)
    read = tifffile.imread(tmp_path / "out.tif")
    if count == 1:
        read = read.reshape(1, height, width)
    elif interleave == "pixel":
        read = np.moveaxis(read.reshape(height, width, count), 2, 0)
    np.testing.assert_array_equal(read.reshape(array.shape), array)


@pytest.mark.parametrize("block", [TILE, STRIP], ids=["tiles", "strips"])
@pytest.mark.parametrize("nodata", [None, 7])
@pytest.mark.parametrize("sparse", ["YES", "NO"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_what_no_window_covers_is_nodata(tmp_path, block, nodata, sparse, interleave):
    array = image(2, "uint8")
    profile = profile_of(array, block, nodata=nodata, sparse_ok=sparse, interleave=interleave)
    windows = window_grid(WIDTH, HEIGHT, Size(block.width, 32))[1:2]
    write(tmp_path / "ours.tif", array, profile, block, windows)
    with rasterio.open(tmp_path / "gdal.tif", "w", **profile) as dst:
        for window, _ in pairs_of(windows):
            dst.write(array[(slice(None), *window.toslices())], window=window)
    assert_same(tmp_path / "ours.tif", tmp_path / "gdal.tif")
    with tifffile.TiffFile(tmp_path / "ours.tif") as reader:
        missing = [count for count in reader.pages[0].databytecounts if not count]
    assert bool(missing) == (sparse == "YES")


def test_nodata_that_gdal_rounds_is_filled_in_as_it_was_rounded(tmp_path):
    array = image(1, "int64")
    profile = profile_of(array, TILE, nodata=2**53 + 1)
    write(tmp_path / "out.tif", array, profile, TILE, window_grid(WIDTH, HEIGHT, TILE)[:1])
    with rasterio.open(tmp_path / "out.tif") as src:
        assert src.read_masks(1)[20:].max() == 0


def test_blocks_of_nothing_but_nodata_take_no_bytes_if_that_is_allowed(tmp_path):
    array = image(1, "uint8")
    array[:, :32] = 0
    profile = profile_of(array, TILE, nodata=0, sparse_ok=True)
    write(tmp_path / "out.tif", array, profile, TILE, window_grid(WIDTH, HEIGHT, Size(64, 32)))
    with rasterio.open(tmp_path / "out.tif") as src:
        np.testing.assert_array_equal(src.read(), array)
    with tifffile.TiffFile(tmp_path / "out.tif") as reader:
        assert reader.pages[0].databytecounts.count(0) == 2 * 4


def test_masked_results_are_filled_as_gdal_fills_them(tmp_path):
    array = np.ma.masked_greater(image(1, "float64"), 150)
    profile = profile_of(array, TILE, dtype="uint8", nodata=9)
    write(tmp_path / "out.tif", array, profile, TILE, window_grid(WIDTH, HEIGHT, Size(64, 32)))
    with rasterio.open(tmp_path / "out.tif") as src:
        np.testing.assert_array_equal(src.read(), array.filled(9).astype("uint8"))


def test_blocks_that_the_file_could_not_be_read_with_are_refused(tmp_path):
    array = image(3, "uint8")
    profile = profile_of(array, TILE, compress="jpeg")
    other = encode(array, {**profile, "jpeg_quality": 10})
    with opened(tmp_path / "out.tif", TILE) as writer:
        writer.begin(profile)
        with pytest.raises(OutputError, match="another JPEGTables"):
            writer.append(Window(0, 0, WIDTH, HEIGHT), other)
        writer.discard()
    assert not list(tmp_path.iterdir())


def test_blocks_of_another_number_are_refused(tmp_path):
    array = image(1, "uint8")
    profile = profile_of(array, TILE)
    with opened(tmp_path / "out.tif", TILE) as writer:
        writer.begin(profile)
        with pytest.raises(OutputError, match="20 blocks of a window, expected 1"):
            writer.append(Window(0, 0, 32, 16), encode(array, profile))
        writer.discard()


@pytest.mark.parametrize(
    ("bigtiff", "whole"), [("YES", True), ("NO", False)], ids=["BigTIFF", "classic TIFF"]
)
def test_blocks_beyond_4_gb(tmp_path, bigtiff, whole):
    array = image(2, "uint16")
    profile = profile_of(array, TILE, bigtiff=bigtiff, compress="deflate")
    windows = window_grid(WIDTH, HEIGHT, Size(32, 32))

    def write_with_a_hole():
        with opened(tmp_path / "out.tif", TILE) as writer:
            writer.begin(profile)
            for number, (window, _) in enumerate(pairs_of(windows)):
                if number == 5:
                    writer._tiff.end = 2**32 + 7  # nobody writes in between: the disk stays empty
                writer.append(window, encode(array[(slice(None), *window.toslices())], profile))
            writer.finish()
        publish([writer.target])

    if not whole:
        with pytest.raises(OutputError, match=r"BIGTIFF.: .YES"):
            write_with_a_hole()
        assert not list(tmp_path.iterdir())
        return
    write_with_a_hole()
    assert (tmp_path / "out.tif").stat().st_size > 2**32
    with rasterio.open(tmp_path / "out.tif") as src:
        np.testing.assert_array_equal(src.read(), array)
    found = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(np.moveaxis(found, -1, 0), array)


def test_a_disk_that_is_full_is_an_error(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (1, 800, 800), "uint8")
    profile = profile_of(array, Size(80, 80))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OutputError, match="cannot be written: File too large"):
            write(tmp_path / "out.tif", array, profile, Size(80, 80),
                  window_grid(800, 800, Size(160, 160)))  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [({"predictor": 3, "compress": "lzw"}, "PREDICTOR=3"), ({"compress": "jpeg"}, "encoded")],
)
def test_what_gdal_cannot_encode(options, says):
    array = image(1, "uint32")
    with pytest.raises(OutputError, match=says):
        encode(array, profile_of(array, TILE, **options))
