"""Statistics of bands: GDAL's own, whatever the windows were."""

import json
import math
from contextlib import suppress
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
import rasterio
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.enums import ColorInterp
from rasterio.errors import StatisticsError
from rasterio.windows import Window

from rio_mucho_cli.outputs.statistics import BandStatistics, has_statistics, statistics_of

NAN, INF = math.nan, math.inf
LOWEST = -3.4028234663852886e38
SMALL_INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
DTYPES = [*SMALL_INTEGERS, "int64", "uint64", "float32", "float64"]


def gdal_tags(path):
    """Return the tags that GDAL writes: one dict a band."""
    with rasterio.open(path) as src:
        for index in src.indexes:
            # No pixel is valid.
            with suppress(StatisticsError):
                src.stats(indexes=[index], approx=False)
    with rasterio.open(path) as src:
        return [
            {name: text for name, text in src.tags(index).items() if name.startswith("STATISTICS_")}
            for index in src.indexes
        ]


def merged(parts):
    """Merge windows' statistics, band by band."""
    return reduce(lambda a, b: [x.merge(y) for x, y in zip(a, b, strict=True)], parts)


def by_windows(array, rows=3, cols=4, **given):
    """Return statistics that were taken in windows, and merged."""
    _, height, width = array.shape
    return merged(
        statistics_of(array[:, row : row + rows, col : col + cols], **given)
        for row in range(0, height, rows)
        for col in range(0, width, cols)
    )


def assert_like_gdal(path, *found):
    for theirs, *ours in zip(gdal_tags(path), *found, strict=True):
        for tags in [statistics.tags() for statistics in ours]:
            assert tags.keys() == theirs.keys()
            assert tags["STATISTICS_VALID_PERCENT"] == theirs["STATISTICS_VALID_PERCENT"]
            assert {name: float(text) for name, text in tags.items()} == pytest.approx(
                {name: float(text) for name, text in theirs.items()},
                rel=1e-9, abs=1e-290, nan_ok=True,
            )  # fmt: skip


@pytest.fixture
def check(make_raster):
    """Return a function that compares with GDAL, on a file that it writes."""

    def compare(data, mask=None, nodata=None, **profile):
        data = np.array(data)
        data = data.reshape((1,) * (3 - data.ndim) + data.shape)
        # Not for GDAL 3.10, which overlooks masks of uint16.
        kind = "int32" if mask is not None and data.dtype == np.uint16 else data.dtype
        path = make_raster("checked.tif", data.astype(kind), nodata=nodata, **profile)
        path.with_name("checked.tif.aux.xml").unlink(missing_ok=True)
        array = data
        if mask is not None:
            mask = np.array(mask, bool).reshape(data.shape[1:])
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
                dst.write_mask(~mask)
            array = np.ma.array(data, mask=np.broadcast_to(mask, data.shape))
        assert_like_gdal(
            path, statistics_of(array, nodata=nodata), by_windows(array, nodata=nodata)
        )

    return compare


def picture(dtype, shape=(2, 40, 50)):
    rng = np.random.default_rng(1)
    if np.dtype(dtype).kind == "f":
        return rng.normal(5, 30, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", DTYPES)
class TestEveryDtype:
    def test_all_valid(self, check, dtype):
        check(picture(dtype))

    def test_nodata(self, check, dtype):
        data = picture(dtype)
        data[0, :7, 3:20] = data[1, 30:] = 100
        check(data, nodata=100)

    def test_nodata_that_does_not_occur(self, check, dtype):
        data = picture(dtype)
        data[data == 100] = 99
        check(data, nodata=100)

    def test_mask(self, check, dtype):
        check(picture(dtype), mask=np.random.default_rng(2).random((40, 50)) < 0.3)

    def test_nothing_valid(self, check, dtype):
        check(np.full((5, 6), 7, dtype), nodata=7)
        check(picture(dtype), mask=np.ones((40, 50)))

    @pytest.mark.parametrize("value", [0, 1, 100])
    def test_constant(self, check, dtype, value):
        check(np.full((50, 60), value, dtype))

    def test_ends(self, check, dtype):
        info = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
        if dtype == "float64":
            info = np.finfo("float32")
        check(np.array([[info.max, info.min, info.max, 0, 1]], dtype))

    def test_one_pixel(self, check, dtype):
        check(np.array([[5]], dtype))
        check(np.array([[5]], dtype), nodata=5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestFloatingPoint:
    @pytest.mark.parametrize("nodata", [None, NAN, 1.0])
    def test_nan_is_never_valid(self, check, dtype, nodata):
        data = picture(dtype)
        data[0, ::3] = NAN
        data[1, 5:9, ::2] = 1
        check(data, nodata=nodata)
        check(np.full((5, 6), NAN, dtype), nodata=nodata)

    def test_nan_and_a_mask(self, check, dtype):
        check(np.array([[1, NAN, 3, 4, 5]], dtype), mask=[1, 0, 0, 1, 0])

    @pytest.mark.parametrize("nodata", [LOWEST, -LOWEST, -3.4e38, 0.1, 1e20, -9999.9])
    def test_rounded_nodata(self, check, dtype, nodata):
        data = picture(dtype)
        data[0, 5:9] = nodata
        check(data, nodata=nodata)

    @pytest.mark.parametrize("nodata", [INF, -INF])
    def test_infinite_nodata(self, check, dtype, nodata):
        check(np.array([[1, INF, 2, 3]], dtype), nodata=nodata)

    @pytest.mark.parametrize("there", [[INF], [-INF], [INF, -INF], [INF, NAN]])
    def test_infinite_values(self, check, dtype, there):
        check(np.array([[1, *there, 2, 3, 4, *there, 6]], dtype))
        statistics = BandStatistics.of(np.array([there], dtype))
        assert statistics.tags()["STATISTICS_MEAN"] == "nan"

    def test_tiny_and_huge_values(self, check, dtype):
        check(np.array([[1e-30, 2e-30, 5e-30]], dtype))
        check(np.array([[1e30, -2e30, 5e30]], dtype))

    def test_zero_has_no_sign(self, dtype):
        tags = BandStatistics.of(np.array([[-0.0, -0.0]], dtype)).tags()
        assert set(tags.values()) == {"0", "100"}


@pytest.mark.parametrize("nodata", [0.1, 1.5, -9999.0, LOWEST])
def test_what_gdal_takes_for_nodata(check, nodata):
    """Neighbours of nodata, too, and all that is huge if nodata is."""
    number = np.float32(nodata)
    with np.errstate(over="ignore"):
        near = [number * np.float32(1 + k * 2.0**-23) for k in range(-12, 13)]
    values = [value for value in near if np.isfinite(value)]
    for value in [*values, -1e30, -1.1e31, -1.7e38, -INF]:
        check(np.array([[value, 7]], "float32"), nodata=nodata)


@pytest.mark.parametrize(("dtype", "nodata"), [("int32", 2**31 - 1), ("uint32", 2**32 - 1)])
def test_nodata_at_the_end_of_a_range(check, dtype, nodata):
    check(np.array([[nodata, nodata - 1, nodata - 2000, 5, 6]], dtype), nodata=nodata)


@pytest.mark.parametrize("nodata", [-9999.0, 300.0, 2.5, NAN, INF])
def test_nodata_that_no_pixel_can_have(nodata):
    data = picture("uint8")
    assert statistics_of(data, nodata=nodata) == statistics_of(data)


@pytest.mark.parametrize(("offset", "noise"), [(1e9, 1e-3), (1e9, 1.0), (-1e15, 3.0)])
def test_small_deviations_from_large_values(offset, noise):
    """The truth is the oracle, because GDAL loses digits here."""
    data = offset + np.random.default_rng(3).normal(0, noise, (1, 300, 301))
    apart = data - offset
    for (found,) in (statistics_of(data), by_windows(data, 16, 16)):
        assert found.mean - offset == pytest.approx(apart.mean(), abs=abs(offset) * 2.0**-52)
        assert found.deviation == pytest.approx(apart.std(), rel=1e-12)


def test_small_deviations_of_large_integers():
    small = np.random.default_rng(3).integers(0, 10, (1, 300, 301), "uint32")
    for (found,) in (statistics_of(small + 4 * 10**9), by_windows(small + 4 * 10**9, 16, 16)):
        assert (found.minimum, found.above) == (4 * 10**9, pytest.approx(small.mean(), rel=1e-14))
        assert found.deviation == pytest.approx(small.std(), rel=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_text_is_gdals(make_raster, dtype):
    data = np.arange(1, 101, dtype=dtype).reshape(1, 10, 10)
    data = data / np.array(7, dtype) if np.dtype(dtype).kind == "f" else data
    path = make_raster(data=data, nodata=9)
    assert [found.tags() for found in statistics_of(data, nodata=9)] == gdal_tags(path)


@pytest.mark.parametrize(
    ("pixels", "valid", "text"),
    [
        (3, 2, "66.67"),
        (10**7, 1, "1e-05"),
        (10001, 10000, "99.99"),
        (20001, 20000, "99.999"),
        (10**10, 10**10 - 1, "99.999"),
        (10**10, 10**10, "100"),
    ],
)
def test_percentage(pixels, valid, text):
    found = BandStatistics.constant(3, valid).merge(BandStatistics(pixels - valid))
    assert found.tags()["STATISTICS_VALID_PERCENT"] == text


@pytest.mark.parametrize("pixels", [0, 5])
def test_nothing_valid_has_no_numbers(pixels):
    found = BandStatistics(pixels)
    assert found.tags() == {"STATISTICS_VALID_PERCENT": "0"}
    assert math.isnan(found.mean)
    assert math.isnan(found.deviation)
    some = BandStatistics.of(picture("int16")[0])
    assert found.merge(some).merge(found).tags().keys() == some.tags().keys()


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("nodata", [None, 9])
def test_pixels_that_no_window_covers(tmp_path, dtype, nodata):
    path = tmp_path / "sparse.tif"
    profile = {"width": 64, "height": 64, "count": 1, "dtype": dtype, "nodata": nodata}
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
    data = picture(dtype, (1, 16, 16))
    with rasterio.open(path, "w", driver="GTiff", **profile, **blocks) as dst:
        dst.write(data, window=Window(16, 16, 16, 16))
    pixels = 64 * 64 - 16 * 16
    rest = BandStatistics.constant(0, pixels) if nodata is None else BandStatistics(pixels)
    (covered,) = statistics_of(data, nodata=nodata)
    assert_like_gdal(path, [covered.merge(rest)], [rest.merge(covered)])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_values_are_those_of_the_file(make_raster, dtype):
    data = np.ma.array(np.linspace(0, 200, 120).reshape(1, 10, 12), mask=np.zeros((1, 10, 12)))
    data[0, 2:4, 5:7] = np.ma.masked
    path = make_raster(data=data, dtype=dtype, nodata=100)
    assert_like_gdal(path, statistics_of(data, nodata=100, dtype=dtype))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("nodata", [None, 9])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_alpha(make_raster, dtype, nodata, count):
    data = np.arange(count * 30, dtype=dtype).reshape(count, 5, 6)
    data[-1, 1:4, 2:5] = 0
    options = {"nodata": nodata, "photometric": "minisblack", "alpha": "no"}
    path = make_raster(data=data, **options)
    with rasterio.open(path, "r+") as dst:
        dst.colorinterp = [*[ColorInterp.gray] * (count - 1), ColorInterp.alpha]
    assert_like_gdal(path, statistics_of(data, nodata=nodata, alpha=True))


def test_alpha_of_16_bits_is_that_of_8():
    data = picture("uint8", (4, 30, 40)) % 5
    assert statistics_of(data.astype("uint16"), alpha=True) == statistics_of(data, alpha=True)


def test_an_array_of_any_layout():
    data = picture("float32", (1, 300, 400))
    inner = data[:, 8:-8, 8:-8]
    assert statistics_of(inner) == statistics_of(inner.copy())
    assert statistics_of(np.asfortranarray(inner)) == statistics_of(inner)


def test_what_is_given_stays_as_it_is():
    data = picture("float64")
    mask, before = data[0] > 0, data.copy()
    BandStatistics.of(data[0], mask=mask, nodata=5)
    np.testing.assert_array_equal(data, before)
    np.testing.assert_array_equal(mask, data[0] > 0)


@pytest.mark.parametrize("dtype", [*DTYPES, "complex64", "complex128"])
def test_numbers_that_have_statistics(dtype):
    assert has_statistics(dtype) == ("complex" not in dtype)


def cuts(length):
    return st.sets(st.integers(1, length - 1) if length > 1 else st.nothing()).map(
        lambda inner: [0, *sorted(inner), length]
    )


@st.composite
def cut_arrays(draw, dtypes, **elements):
    """An array (rows, cols) with a mask, and the lines along which it is cut."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=8))
    array = draw(hnp.arrays(dtype, shape, elements=elements or None))
    mask = draw(hnp.arrays(bool, shape))
    return array, mask, draw(cuts(shape[0])), draw(cuts(shape[1]))


def whole_and_parts(array, mask, rows, cols, nodata):
    windows = [
        np.s_[top:bottom, left:right]
        for top, bottom in pairwise(rows)
        for left, right in pairwise(cols)
    ]
    parts = [BandStatistics.of(array[w], mask=mask[w], nodata=nodata) for w in windows]
    whole = BandStatistics.of(array, mask=mask, nodata=nodata)
    return whole, reduce(BandStatistics.merge, parts)


@given(cut_arrays(SMALL_INTEGERS))
def test_integers_are_the_same_in_any_windows(cut):
    array, mask = cut[:2]
    whole, parts = whole_and_parts(*cut, nodata=None)
    assert_close(array, whole, parts)
    values = array[~mask].astype("longdouble")
    assert (whole.pixels, whole.valid) == (array.size, values.size)
    if values.size:
        assert whole.mean == pytest.approx(float(values.mean()), rel=1e-13, abs=1e-6)
        assert whole.deviation == pytest.approx(float(values.std()), rel=1e-13, abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 100, 10**9])
def test_many_windows(dtype, offset):
    """Errors of 3,000 merges stay far below what the comparison with GDAL allows."""
    if np.dtype(dtype).kind != "f":
        offset = min(offset, np.iinfo(dtype).max - 27)
    data = offset + np.random.default_rng(4).integers(0, 27, (1, 50, 60)).astype(dtype)
    (found,) = by_windows(data, 1, 1)
    exact = data.astype("longdouble")
    assert found.mean == pytest.approx(float(exact.mean()), rel=1e-13)
    assert found.deviation == pytest.approx(float(exact.std()), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_json_keeps_every_digit(dtype):
    for found in (*statistics_of(picture(dtype)), BandStatistics(7)):
        assert BandStatistics.from_json(json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.parametrize("value", [None, "no", {}, [], [1], [1, 1, 0, 0, 0, "1/2"], [1] * 7])
def test_json_that_is_something_else(value):
    with pytest.raises(ValueError, match="expected the statistics of a band"):
        BandStatistics.from_json(value)


@given(cut_arrays(["float32", "float64"], min_value=-(2.0**99), max_value=2.0**99))
def test_floating_point_is_the_same_in_any_windows(cut):
    assert_close(cut[0], *whole_and_parts(*cut, nodata=0.0))


@given(cut_arrays(["float32"]))
def test_nan_and_infinity_are_the_same_in_any_windows(cut):
    assert_close(cut[0], *whole_and_parts(*cut, nodata=NAN))


def assert_close(array, whole, parts):
    for name in ("pixels", "valid", "minimum", "maximum"):
        assert getattr(parts, name) == getattr(whole, name)
    finite = array[np.isfinite(array)].astype("float64")  # the least integer has no opposite
    error = 1e-14 * np.abs(finite).max(initial=0) + 1e-290
    assert parts.mean == pytest.approx(whole.mean, abs=error, nan_ok=True)
    assert parts.deviation == pytest.approx(whole.deviation, abs=error, nan_ok=True)
