"""Statistics in the tags are those that GDAL finds in the finished file."""

import shutil
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.errors import StatisticsError

from rio_mucho_cli import Output, RioMucho, UsageError, run
from rio_mucho_cli.windows import Size, pairs_of, window_grid

NAN = float("nan")
WIDTH, HEIGHT = 150, 110
NUMBERS = ["MINIMUM", "MAXIMUM", "MEAN", "STDDEV"]
STALE = {f"STATISTICS_{name}": "12" for name in [*NUMBERS, "VALID_PERCENT"]}


def part(size):
    """Leave out every other window."""
    return [pair for pair in pairs_of(window_grid(WIDTH, HEIGHT, size)) if sum(pair[1]) % 2]


WINDOWS = {
    "of the output": None,
    "whole blocks": Size(64, 64),
    "no blocks": Size(50, 30),
    "some blocks": part(Size(64, 64)),
    "some that are no blocks": part(Size(50, 30)),
}


@pytest.fixture
def source(tiled):
    """Return a function that makes a raster with stale statistics, and a hole of nodata."""

    def make(dtype, count=1, nodata=None, masked=False, alpha=False, **given):
        kinds = {"photometric": "rgb" if count > 2 else "minisblack"} if alpha else {}
        path = tiled(
            f"{dtype}.tif", dtype=dtype, count=count, nodata=nodata, compress="deflate",
            **({"alpha": "yes"} if alpha else {"alpha": "no"}), **kinds, **given,
        )  # fmt: skip
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
            array = dst.read()
            if nodata is not None:
                array[:, 20:70, 30:90] = nodata
            if alpha:
                array[-1] = np.where(array[0] < 60, 0, 200)
            dst.write(array)
            if masked:
                dst.write_mask(array[0] > 100)
            for index in dst.indexes:
                dst.update_tags(index, **STALE, BAND=str(index))
        return path

    return make


@pytest.fixture
def assert_like_gdal(tmp_path):
    """Return a function that compares the tags of a file with what GDAL finds in its pixels."""

    def compare(path):
        __tracebackhide__ = True
        bare = tmp_path / "bare.tif"
        shutil.copy(path, bare)
        with rasterio.open(path) as dst, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the copy is no COG any more
            with rasterio.open(bare, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as copy:
                copy.clear_stats()
            with rasterio.open(bare) as copy:
                for index in dst.indexes:
                    tags = statistics_of(dst, index)
                    assert not statistics_of(copy, index)
                    valid = valid_pixels(dst, index)
                    assert tags["VALID_PERCENT"] == pytest.approx(100 * valid.mean(), rel=1e-3)
                    if not valid.any():
                        assert tags == {"VALID_PERCENT": 0}
                        with pytest.raises(StatisticsError):
                            copy.statistics(index, approx=False)
                        continue
                    found = copy.statistics(index, approx=False)
                    expected = [found.min, found.max, found.mean, found.std]
                    assert [tags[name] for name in NUMBERS] == pytest.approx(expected, rel=1e-9)

    return compare


def statistics_of(dataset, index):
    return {
        name.removeprefix("STATISTICS_"): float(value)
        for name, value in dataset.tags(index).items()
        if name.startswith("STATISTICS_")
    }


def valid_pixels(dataset, index):
    valid = dataset.read_masks(index) > 0
    array = dataset.read(index)
    return valid & ~np.isnan(array) if array.dtype.kind == "f" else valid


SOURCES = {
    "float32": {"dtype": "float32"},
    "float32 with NaN": {"dtype": "float32", "nodata": NAN},
    "float32 with nodata": {"dtype": "float32", "nodata": -9999},
    "float64": {"dtype": "float64", "nodata": 0.1},
    "uint16": {"dtype": "uint16", "count": 2},
    "uint16 with nodata": {"dtype": "uint16", "count": 2, "nodata": 0},
    "int16": {"dtype": "int16", "nodata": -1},
    "int32": {"dtype": "int32", "nodata": 7},
    "uint8": {"dtype": "uint8", "count": 3},
    "uint8 with a mask": {"dtype": "uint8", "masked": True},
    "colours with alpha": {"dtype": "uint8", "count": 4, "alpha": True},
    "grey with alpha": {"dtype": "uint8", "count": 2, "alpha": True},
}


@pytest.mark.sweep(2)
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("kind", SOURCES)
def test_tags_are_what_gdal_finds(job_on, source, assert_like_gdal, kind, windows, driver):
    path = source(**SOURCES[kind])
    masked = SOURCES[kind].get("masked", False)
    job = job_on([path], stats=True, windows=WINDOWS[windows], driver=driver, masked=masked)
    run(job)
    assert_like_gdal(job.output)


LOSSY = {
    "jpeg": ("uint8", {"compress": "jpeg", "jpeg_quality": "50"}),
    "jpeg of colours": ("uint8", {"compress": "jpeg", "photometric": "ycbcr"}),
    "webp": ("uint8", {"compress": "webp", "interleave": "pixel"}),
    "lerc": ("float32", {"compress": "lerc", "max_z_error": "0.1"}),
    "rounded": ("float32", {"compress": "deflate", "discard_lsb": "12"}),
}


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("codec", LOSSY)
def test_values_are_those_that_are_stored(job_on, source, assert_like_gdal, windows, codec):
    dtype, options = LOSSY[codec]
    path = source(dtype, count=3, interleave="pixel")
    job = job_on([path], stats=True, windows=WINDOWS[windows], creation_options=options)
    run(job)
    assert_like_gdal(job.output)


@pytest.mark.parametrize("options", [{"compress": "jpeg"}, {"compress": "lerc", "max_z_error": 1}])
def test_cogs_that_change_values(job_on, source, assert_like_gdal, leftovers, tmp_path, options):
    path = source("uint8", count=3)
    given = {"driver": "COG", "creation_options": options, "stats": True}
    job = job_on([path], windows=None, **given)
    run(job)
    assert_like_gdal(job.output)
    before = (tmp_path / "out.tif").read_bytes()
    # GDAL's driver makes it, after the values are known.
    for more in ({"windows": Size(50, 30)}, {"overview_resampling": "cubic"}):
        with pytest.raises(
            UsageError, match=r"statistics are unknown .* \(because .*\): use gdalinfo"
        ):
            run(job_on([path], **{"windows": None, **given, **more}))
    assert (tmp_path / "out.tif").read_bytes() == before
    assert not leftovers()


@pytest.mark.parametrize(("executor", "jobs"), [("threads", 2), ("threads", 5), ("processes", 2)])
@pytest.mark.parametrize("windows", [Size(64, 64), Size(50, 30)], ids=str)
def test_tags_do_not_depend_on_who_works(job_on, source, tmp_path, windows, executor, jobs):
    path = source("float32", nodata=-9999)
    outputs = []
    for number, way in enumerate([{}, {"executor": executor, "jobs": jobs}]):
        outputs.append(tmp_path / f"{number}.tif")
        run(job_on([path], stats=True, windows=windows, output=str(outputs[-1]), **way))
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("windows", [Size(64, 64), Size(50, 30)], ids=str)
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_statistics_of_the_input_do_not_survive(job_on, source, metadata, windows, driver):
    path = source("uint8", count=3)
    given = {"windows": windows, "driver": driver, "metadata": metadata}
    for stats in (True, False):
        job = job_on([path], lambda data, *args: data[0] // 2, stats=stats, **given)
        run(job)
        with rasterio.open(job.output) as dst:
            for index in dst.indexes:
                tags = dst.tags(index)
                assert STALE.items().isdisjoint(tags.items())
                assert ("STATISTICS_MEAN" in tags) == stats
                assert tags.get("BAND") == (str(index) if metadata else None)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("windows", [Size(64, 48), Size(50, 30)], ids=str)
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("nodata", [0, None])
@pytest.mark.parametrize("skip", [True, False])
def test_nothing_but_nodata(
    job_on, make_raster, assert_like_gdal, nodata, skip, windows, driver, count
):
    path = make_raster("empty.tif", data=np.full((count, HEIGHT, WIDTH), 9, "int16"), nodata=9)
    job = job_on(
        [path], lambda data, *args: np.ma.array(data[0]), stats=True, masked=True,
        skip_masked=skip, windows=windows, driver=driver, nodata=nodata, keep_nodata=False,
    )  # fmt: skip
    run(job)
    with rasterio.open(job.output) as dst:
        assert dst.count == count
        assert not dst.dataset_mask().any()
    assert_like_gdal(job.output)


def test_windows_that_are_skipped(job_on, source, assert_like_gdal):
    path = source("int16", nodata=-1)
    job = job_on([path], stats=True, skip_masked=True, windows=Size(16, 16))
    run(job)
    assert_like_gdal(job.output)


@pytest.mark.parametrize("windows", [Size(64, 64), Size(50, 30)], ids=str)
def test_every_output_has_its_own(job_on, source, assert_like_gdal, tmp_path, windows):
    def two(data, window, ij, global_args):
        band = data[0].astype("float32")
        return {"root": np.sqrt(band), "dark": (band < 100).astype("uint8")}

    dark = {"path": tmp_path / "dark.tif", "driver": "COG", "nodata": 0, "keep_nodata": False}
    job = job_on([source("uint8", count=3)], two, stats=True, windows=windows,
                 also=[Output(name="dark", **dark)])  # fmt: skip
    run(job)
    assert_like_gdal(job.output)
    assert_like_gdal(dark["path"])


def test_overviews_and_statistics_together(job_on, source, assert_like_gdal):
    job = job_on([source("uint8", count=3)], stats=True, windows=Size(64, 64), overviews=[2, 4])
    run(job)
    assert_like_gdal(job.output)
    with rasterio.open(job.output) as dst:
        assert dst.overviews(1) == [2, 4]


def test_the_class_writes_them_too(source, assert_like_gdal, tmp_path):
    output = tmp_path / "out.tif"
    with RioMucho([source("uint8")], output, lambda data, *args: data[0], stats=True) as rm:
        rm.run(1)
    assert_like_gdal(output)


@pytest.mark.parametrize("jobs", [1, 2])
def test_complex_numbers_have_none(job_on, source, tmp_path, leftovers, jobs):
    (tmp_path / "out.tif").write_text("old")

    def turned(data, window, ij, global_args):
        return data[0] * np.complex64(1j)

    job = job_on([source("uint8")], turned, stats=True, jobs=jobs, executor="threads")
    with pytest.raises(UsageError, match="not available for complex64: leave out stats=True"):
        run(job)
    assert (tmp_path / "out.tif").read_text() == "old"
    assert not leftovers()


@pytest.mark.parametrize("output", ["out.png", "out.jpg", "out.img"])
def test_other_formats_have_none(job_on, source, tmp_path, leftovers, output):
    job = job_on([source("uint8")], stats=True, output=str(tmp_path / output))
    with pytest.raises(UsageError, match=f"{output} is [A-Z]+: use gdalinfo -stats on it"):
        run(job)
    assert not (tmp_path / output).exists()
    assert not leftovers()
