"""Reductions of windows, merged in order, equal numpy on the whole raster."""

import math
import pickle
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.crs import CRS
from rasterio.windows import Window

from rio_mucho_cli.errors import ResultError, UsageError
from rio_mucho_cli.reductions import Bounds, Counts, Histogram, Statistics, distribution, exact
from rio_mucho_cli.reductions.bands import name_of
from rio_mucho_cli.reductions.distribution import Distribution

DTYPES = [
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "float32", "float64",
]  # fmt: skip
UTM = Affine(30, 0, 500000, 0, -30, 4000000)


def info_of(inputs, window, *, crs=None, transform=UTM, nodata=None, overlap=0):
    """Return a stand-in for the WindowInfo of rasters in.tif, in2.tif, ..."""
    return SimpleNamespace(
        crs=crs,
        transform=transform,
        grid_transform=transform,
        shape=inputs[0].shape[1:],
        window=window,
        overlap=overlap,
        inputs=[
            SimpleNamespace(
                path=f"/folder/in{number or ''}.tif",
                nodata=[nodata] * len(array),
                indexes=list(range(1, len(array) + 1)),
                descriptions=[f"band {index}" for index in range(len(array))],
            )
            for number, array in enumerate(inputs)
        ],
    )


def sent(value):
    """Return a value as it arrives in the calling process: a copy, arrays read-only."""
    if isinstance(value, dict):
        return {name: sent(item) for name, item in value.items()}
    if isinstance(value, list):
        return [sent(item) for item in value]
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
        return value
    assert value is None or type(value) in (int, float, str)
    return value


def reduce(reduction, inputs, size, *, parts=False, **options):
    """Return the result of a reduction over windows of this size.

    With `parts`, rows of windows are merged first, and their totals afterwards.
    """
    reduction = pickle.loads(pickle.dumps(reduction))
    rows, cols = inputs[0].shape[1:]
    totals = []
    for row in range(0, rows, size[0]):
        for col in range(0, cols, size[1]):
            window = Window(col, row, min(size[1], cols - col), min(size[0], rows - row))
            data = [array[(slice(None), *window.toslices())] for array in inputs]
            before = [np.ma.getdata(array).copy() for array in data]
            info = info_of(inputs, window, **options)
            value = sent(reduction(data, window, (0, 0), {}, info=info))
            for array, other in zip(data, before, strict=True):
                np.testing.assert_array_equal(np.ma.getdata(array), other)
            if not totals or (parts and not col):
                totals.append(value)
            else:
                totals[-1] = reduction.merge(totals[-1], value)
    total = None
    for value in totals:
        total = value if total is None else reduction.merge(total, sent(value))
    result = reduction.finish(total)
    assert sent(result) == result or "nan" in repr(result)
    return result


def finite(dtype):
    """Return a strategy for numbers of a dtype whose squares numpy can sum."""
    if np.dtype(dtype).kind != "f":
        return arrays.from_dtype(np.dtype(dtype))
    most = {"float16": 60000, "float32": 2.0**120, "float64": 2.0**400}[dtype]
    return arrays.from_dtype(
        np.dtype(dtype), min_value=-most, max_value=most, allow_nan=False, allow_infinity=False
    )


@st.composite
def rasters(draw, elements=finite, dtypes=tuple(DTYPES)):
    """Draw a masked array of one or two bands, and a window size."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)))
    values = draw(arrays.arrays(dtype, shape, elements=elements(dtype)))
    mask = draw(st.just(False) | st.just(True) | arrays.arrays(bool, shape))
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return np.ma.array(values, mask=np.broadcast_to(mask, shape)), size


@given(rasters())
def test_statistics_are_those_of_numpy(case):
    raster, size = case
    result = reduce(Statistics(), [raster], size)
    assert result == reduce(Statistics(), [raster], raster.shape[1:])
    assert result == reduce(Statistics(), [raster], size, parts=True)
    assert len(result["bands"]) == len(raster)
    for number, (entry, band) in enumerate(zip(result["bands"], raster, strict=True), start=1):
        values = band.compressed()
        assert list(entry)[:5] == ["input", "band", "description", "count", "valid_percent"]
        assert (entry["input"], entry["band"]) == ("in.tif", number)
        assert (entry["count"], entry["valid_percent"]) == (
            values.size,
            100 * values.size / band.size,
        )
        if not values.size:
            assert all(value is None for value in list(entry.values())[5:])
            continue
        assert (entry["min"], entry["max"]) == (values.min(), values.max())
        assert entry["percentile_error"] == 0
        reals = values.astype(float)
        size_of = float(np.abs(reals).max())
        if values.dtype.kind == "f":
            exact_sum = sum(map(Fraction, reals.tolist()))
        else:
            exact_sum = sum(values.tolist())
            assert entry["sum"] == exact_sum
        assert entry["sum"] == float(exact_sum) or entry["sum"] == exact_sum
        assert entry["mean"] == float(Fraction(exact_sum) / values.size)
        # numpy's squares underflow.
        error = max(1e-12 * size_of, 1e-150)
        assert entry["std"] == pytest.approx(reals.std(), rel=1e-12, abs=error)
        for rank in (2, 50, 98):
            expected = np.percentile(reals, rank)
            assert entry[f"percentile_{rank}"] == pytest.approx(expected, 1e-12, 1e-15 * size_of)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_percentiles_of_short_integers_are_exactly_those_of_numpy(dtype):
    rng = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    raster = rng.integers(limits.min, limits.max, (1, 301, 299), dtype, endpoint=True)
    ranks = [0, 0.1, 2, 25, 33.3, 50, 98, 100]
    (entry,) = reduce(Statistics(ranks), [raster], (100, 128))["bands"]
    expected = np.percentile(raster.astype(int), ranks)
    assert [entry[f"percentile_{rank:g}"] for rank in ranks] == expected.tolist()


@given(rasters(lambda dtype: arrays.from_dtype(np.dtype(dtype), allow_nan=False)))
@settings(max_examples=60)
def test_sums_of_any_numbers_are_exact(case):
    raster, _ = case
    values = raster.data.reshape(-1)
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    values = values if values.dtype != np.float16 else values.astype(np.float32)
    numbers = [Fraction(number) for number in values.tolist()]
    mantissa, exponent = exact.moments(values)[0]
    assert mantissa * Fraction(2) ** exponent == sum(numbers)
    if values.dtype != np.float64:
        mantissa, exponent = exact.moments(values)[1]
        assert mantissa * Fraction(2) ** exponent == sum(number**2 for number in numbers)


@pytest.mark.parametrize("offset", [0.0, 1e8, 1e15])
@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e170])
def test_deviations_far_from_zero_are_accurate(offset, scale):
    values = (np.random.default_rng(1).normal(size=(1, 80, 90)) + offset) * scale
    result = reduce(Statistics([]), [values], (32, 32))
    assert result == reduce(Statistics([]), [values], (80, 90))
    numbers = [Fraction(number) for number in values.reshape(-1).tolist()]
    mean = sum(numbers) / len(numbers)
    # Deviations of the mean are exact as fractions; their squares are summed as floats.
    expected = math.sqrt(math.fsum(float((x - mean) / Fraction(scale)) ** 2 for x in numbers))
    expected *= scale / math.sqrt(len(numbers))
    assert result["bands"][0]["std"] == pytest.approx(expected, rel=1e-14)
    assert result["bands"][0]["mean"] == float(mean)


def test_nan_is_invalid_and_infinities_count():
    raster = np.array([[[np.nan, 1, 2], [np.inf, 3, np.nan]]], "float32")
    (entry,) = reduce(Statistics([50]), [raster], (1, 2))["bands"]
    assert (entry["count"], entry["min"], entry["max"]) == (4, 1, math.inf)
    assert (entry["mean"], entry["sum"], entry["percentile_50"]) == (math.inf, math.inf, 2.5)
    assert math.isnan(entry["std"])
    raster[0, 0, 0] = -np.inf
    (entry,) = reduce(Statistics([0, 100]), [raster], (2, 1))["bands"]
    assert math.isnan(entry["mean"])
    assert (entry["percentile_0"], entry["percentile_100"]) == (-math.inf, math.inf)


def test_names_of_inputs_have_no_query():
    assert name_of("https://server/folder/in.tif?token=secret") == "in.tif"
    assert name_of("folder/what?.tif") == "what?.tif"


def test_nodata_of_plain_arrays_is_invalid():
    bytes_ = np.array([[[0, 255, 7]]], "uint8")
    floats = np.array([[[-9999, 255, np.nan]]], "float32")
    result = reduce(Statistics([]), [bytes_, floats], (1, 2), nodata=255)
    assert [(entry["input"], entry["sum"]) for entry in result["bands"]] == [
        ("in.tif", 7),
        ("in1.tif", -9999.0),
    ]
    assert reduce(Statistics([]), [bytes_], (1, 2), nodata=-9999.0)["bands"][0]["count"] == 3


@given(rasters(dtypes=("uint32", "int32", "uint64", "int64", "float32", "float64")))
@example((np.ma.array(np.arange(-40.0, 41).reshape(1, 9, 9)), (2, 3)))
@example((np.ma.array([[[-1, 1, 2**-8, 2, 1.04e34, 512, -(2**-8), 0, -2]]], dtype="f4"), (1, 1)))
@example((np.ma.array(np.geomspace(1, 1e30, 81).reshape(1, 9, 9)), (4, 4)))
def test_percentiles_from_bins_are_within_their_bound(case):
    raster, size = case
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(distribution, "LIMIT", 8)
        result = reduce(Statistics(), [raster], size)
        assert result == reduce(Statistics(), [raster], raster.shape[1:])
    for entry, band in zip(result["bands"], raster, strict=True):
        values = band.compressed().astype(float)
        for rank in (2, 50, 98) if values.size else ():
            off = abs(Fraction(entry[f"percentile_{rank}"]) - Fraction(np.percentile(values, rank)))
            # numpy's own rounding comes on top.
            assert off <= Fraction(entry["percentile_error"]) + Fraction(
                1e-15 * float(np.abs(values).max())
            )


def test_percentiles_of_many_floats_are_close():
    raster = np.random.default_rng(2).normal(280, 15, (1, 700, 800)).astype("float32")
    (entry,) = reduce(Statistics([2, 50, 99.9]), [raster], (512, 512))["bands"]
    assert 0 < entry["percentile_error"] < 0.01
    for rank in (2, 50, 99.9):
        off = entry[f"percentile_{rank}"] - np.percentile(raster.astype(float), rank)
        assert abs(off) <= entry["percentile_error"] / 2


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_keys_have_the_order_of_values(numbers):
    values = np.array(numbers, "float32")
    found = Distribution.of(values)
    expected, counts = np.unique(values, return_counts=True)
    assert found.values.tolist() == expected.tolist()
    assert found.counts.tolist() == counts.tolist()


@given(rasters(), st.integers(1, 300))
def test_histograms_with_a_range_are_those_of_numpy(case, bins):
    raster, size = case
    reduction = Histogram(bins=bins, range=[-3, 90.5])
    result = reduce(reduction, [raster], size)
    for entry, band in zip(result["bands"], raster, strict=True):
        values = band.compressed()
        values = values.astype(np.float32) if values.dtype == np.float16 else values
        counts, edges = np.histogram(values, bins, (-3, 90.5))
        assert (entry["counts"], entry["edges"]) == (counts.tolist(), edges.tolist())
        assert entry["below"] == (values < -3).sum()
        assert entry["above"] == (values > 90.5).sum()
        assert sum(entry["counts"]) + entry["below"] + entry["above"] == values.size


@given(rasters(dtypes=("uint8", "int8", "uint16", "int16")), st.integers(1, 300))
def test_histograms_of_short_integers_need_no_range(case, bins):
    raster, size = case
    result = reduce(Histogram(bins=bins), [raster], size)
    every = reduce(Histogram(), [raster], size)
    for entry, each, band in zip(result["bands"], every["bands"], raster, strict=True):
        values = band.compressed()
        if not values.size:
            assert entry["counts"] == each["counts"] == []
            continue
        counts, edges = np.histogram(values, bins)
        assert (entry["counts"], entry["edges"]) == (counts.tolist(), edges.tolist())
        counts = np.bincount(values.astype(int) - int(values.min()))
        assert each["counts"] == counts.tolist()
        assert each["edges"] == list(range(values.min(), int(values.max()) + 2))


@given(rasters())
def test_counts_are_those_of_numpy(case):
    raster, size = case
    result = reduce(Counts(), [raster], size, crs=CRS.from_epsg(32633))
    assert result == reduce(Counts(), [raster], raster.shape[1:], crs=CRS.from_epsg(32633))
    assert (result["crs"], result["pixel_area"]) == ("EPSG:32633", 900.0)
    assert result["area_unit"] == "square metre"
    for entry, band in zip(result["bands"], raster, strict=True):
        values, counts = np.unique(band.compressed(), return_counts=True)
        assert entry["values"] == [
            {"value": value, "count": count, "area": 900.0 * count}
            for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        ]


def test_counts_have_no_area_in_degrees():
    raster = np.array([[[1.0, 1.0, 2.5]]])
    result = reduce(Counts(), [raster], (1, 1), crs=CRS.from_epsg(4326))
    assert (result["pixel_area"], result["area_unit"]) == (None, None)
    rows = result["bands"][0]["values"]
    assert rows[0] == {"value": 1, "count": 2, "area": None}
    assert type(rows[0]["value"]) is int


def test_too_many_values_are_refused():
    raster = np.arange(70000, dtype="float32").reshape(1, 700, 100)
    message = "more than 65536 values of float32, too many to count each: use rio_mucho_cli.red"
    with pytest.raises(ResultError, match=f"there are {message}"):
        reduce(Counts(), [raster], (700, 100))
    with pytest.raises(ResultError, match=f"band 1 of in.tif has {message}"):
        reduce(Counts(), [raster], (350, 100))


ROTATED = Affine(1.5, 1, 10, 1, -1.5, 20)


@given(rasters(), st.sampled_from([UTM, ROTATED]), st.sampled_from(["any", "all"]))
def test_bounds_are_those_of_all_valid_pixels(case, transform, valid):
    raster, size = case
    options = {"transform": transform, "crs": CRS.from_epsg(32633)}
    result = reduce(Bounds(valid), [raster], size, **options)
    assert result == reduce(Bounds(valid), [raster], raster.shape[1:], **options)
    assert result["crs"] == "EPSG:32633"
    are_valid = ~np.ma.getmaskarray(raster)
    rows, cols = np.nonzero(are_valid.any(axis=0) if valid == "any" else are_valid.all(axis=0))
    if not rows.size:
        assert (result["bounds"], result["window"]) == (None, None)
        return
    window = Window(**result["window"])
    assert window.toslices() == (
        slice(rows.min(), rows.max() + 1),
        slice(cols.min(), cols.max() + 1),
    )
    # Corners of every pixel.
    right, down = np.array([(0, 0), (0, 1), (1, 0), (1, 1)]).T
    xs = transform.a * (cols[:, None] + right) + transform.b * (rows[:, None] + down) + transform.c
    ys = transform.d * (cols[:, None] + right) + transform.e * (rows[:, None] + down) + transform.f
    left, bottom, right, top = result["bounds"]
    assert left <= xs.min() <= xs.max() <= right
    assert bottom <= ys.min() <= ys.max() <= top
    if transform == UTM:
        assert [left, bottom, right, top] == [xs.min(), ys.min(), xs.max(), ys.max()]


REDUCTIONS = [Statistics(), Histogram(), Counts(), Bounds()]


def named(reduction):
    return type(reduction).__name__


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=named)
def test_the_overlap_is_left_out(reduction):
    raster = np.arange(1, 26, dtype="uint8").reshape(1, 5, 5)
    info = info_of([raster[:, 1:4, 1:4]], Window(0, 0, 3, 3), overlap=1)
    value = reduction([raster], None, (0, 0), {}, info=info)
    assert reduction.finish(value) == reduce(reduction, [raster[:, 1:4, 1:4]], (3, 3))


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=named)
def test_stacked_inputs_are_told_apart(reduction):
    first, second = np.ones((2, 2, 2), "uint8"), np.full((1, 2, 2), 7, "uint8")
    info = info_of([first, second], Window(0, 0, 2, 2))
    value = reduction(np.concatenate([first, second]), None, (0, 0), {}, info=info)
    assert reduction.finish(value) == reduce(reduction, [first, second], (2, 2))


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=named)
def test_without_windows_the_result_is_empty(reduction):
    result = reduction.finish(None)
    assert result.get("bands", []) == []
    assert result.get("bounds") is None


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=named)
def test_what_cannot_be_reduced_is_refused(reduction):
    raster = np.ones((1, 2, 2), "complex64")
    with pytest.raises(UsageError, match=r"in\.tif has pixels of dtype complex64, expected real"):
        reduce(reduction, [raster], (2, 2))
    info = info_of([raster], Window(0, 0, 2, 2))
    with pytest.raises(UsageError, match="mode manual_read gives datasets: use mode simple_read"):
        reduction([object()], None, (0, 0), {}, info=info)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Statistics, {"percentiles": "2,98"}, "percentiles are '2,98', expected a list of num"),
        (Statistics, {"percentiles": [101]}, r"percentiles are \[101\], expected a list of num"),
        (Histogram, {"bins": 0}, "bins is 0, expected a number of bins"),
        (Histogram, {"range": [5, 1]}, r"range is \[5, 1\], expected two numbers in ascending"),
        (Bounds, {"valid": "some"}, "valid is 'some', expected 'any' or 'all'"),
    ],
)
def test_wrong_arguments_are_refused(kind, arguments, message):
    with pytest.raises(UsageError, match=message):
        kind(**arguments)


def test_histograms_of_floats_need_a_range():
    with pytest.raises(
        UsageError, match=r"a histogram of float32 needs a range: pass range=\[0, 1\],"
    ):
        reduce(Histogram(), [np.ones((1, 2, 2), "float32")], (2, 2))


@given(
    numbers=st.one_of(
        *(
            arrays.arrays(dtype, st.integers(1, 40))
            for dtype in ("uint8", "int16", "uint32", "int32", "int64", "uint64")
        ),
        *(
            arrays.arrays(
                dtype,
                st.integers(1, 40),
                elements=st.floats(allow_nan=False, allow_infinity=False, width=width),
            )
            for dtype, width in (("float32", 32), ("float64", 64))
        ),
    ),
    data=st.data(),
)
def test_sums_of_groups_are_those_of_each(numbers, data):
    cuts = data.draw(st.sets(st.integers(1, numbers.size - 1))) if numbers.size > 1 else set()
    starts = np.array(sorted({0, *cuts}))
    totals, squares = exact.grouped_moments(numbers, starts)
    wanted = [exact.moments(group) for group in np.split(numbers, starts[1:])]
    as_fractions = [
        [Fraction(mantissa) * Fraction(2) ** power for mantissa, power in exacts]
        for exacts in (totals, [total for total, _ in wanted])
    ]
    assert as_fractions[0] == as_fractions[1]
    for number, (count, (_, square)) in zip(
        squares, zip(np.diff(starts, append=numbers.size), wanted, strict=True), strict=True
    ):
        assert exact.quotient(number, int(count)) == exact.quotient(square, int(count))
    assert exact.grouped_moments(numbers, starts, squares=False) == (totals, [])


def test_quotients_beyond_all_floats_are_infinite():
    """Also with more digits than a float can have."""
    total, _ = exact.moments(np.array([1e308, 1e308, 1e-300]))
    assert exact.quotient(total, 1) == np.inf
    assert exact.quotient((-total[0], total[1]), 1) == -np.inf
