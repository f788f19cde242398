"""Every dtype that GDAL has, from the input to the output, and on the command line."""

import math

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Output, RioMucho, UsageError, describe, run
from rio_mucho_cli.dtypes import DTYPES, filled_dtype, nodata_fits
from rio_mucho_cli.windows import Size


def size_of(data, window, ij, global_args):
    return np.abs(data[0])


def unchanged(data, window, ij, global_args):
    return data[0]


@pytest.fixture
def complex_raster(make_raster):
    """Return a raster of complex integers, and its values."""
    rng = np.random.default_rng(0)
    data = (rng.integers(-9, 9, (1, 70, 90)) + 1j * rng.integers(-9, 9, (1, 70, 90))) + 0.0
    data = data.astype("complex64")

    def make(name="slc.tif", dtype="complex_int16", **given):
        return make_raster(name, data, dtype=dtype, tiled=True, blockxsize=16, blockysize=16,
                           **given)  # fmt: skip

    return make, data


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_results_are_cast_to_every_dtype(rio, make_raster, read, dtype, driver):
    source = np.arange(100, dtype="uint8").reshape(1, 10, 10)
    make_raster("in.tif", source)
    args = ["--func", "numpy:positive", "--plain", "-t", dtype, "-f", driver, "-j", "1"]
    result = rio("mucho", "in.tif", "out.tif", *args)
    assert result.exit_code == 0, result.output
    with rasterio.open("out.tif") as dst:
        assert dst.dtypes == (dtype,)
        assert (dst.nodata is not None and math.isnan(dst.nodata)) == ("float" in dtype)
    np.testing.assert_array_equal(read("out.tif"), source.astype(dtype))


@pytest.mark.sweep(1)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_inputs_of_every_dtype(make_raster, job_on, read, dtype, executor):
    data = np.arange(100).reshape(1, 10, 10).astype(dtype)
    path = make_raster("in.tif", data, nodata=7)
    for given in ({"masked": True}, {"overlap": 1}, {"fill": 9}):
        made = job_on([path], unchanged, executor=executor, jobs=2, **given)
        run(made)
        expected = np.where(data == 7, data.dtype.type(9), data) if "fill" in given else data
        np.testing.assert_array_equal(read(made.output), expected)
        with rasterio.open(made.output) as dst:
            assert dst.nodata == 7


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("flaot32", "float32"), ("uint46", "uint64"), ("complex46", "complex64"), ("int", "int")],
)
def test_names_of_no_dtype_have_a_hint(rio, make_raster, typed, hint):
    make_raster("in.tif")
    result = rio("mucho", "in.tif", "out.tif", "--func", "numpy:abs", "-t", typed)
    assert result.exit_code == 2
    assert f"did you mean '{hint}" in result.stderr
    if typed != "int":  # which numpy knows
        with pytest.raises(UsageError, match=f"did you mean '{hint}"):
            Output(path="a.tif", dtype=typed)


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"masked": True},
        {"overlap": 2},
        {"driver": "COG"},
        {"dtype": "float64"},
        {"nodata": math.nan},
        {"keep_nodata": False},
        {"fill": 0},
        {"fill": math.nan},
        {"skip_masked": True},
        {"stats": True, "overviews": (2, 4)},
        {"windows": Size(33, 20)},
        {"executor": "processes", "jobs": 2},
        {"on_error": "nodata"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["complex_int16", "complex64", "complex128"])
@pytest.mark.parametrize("nodata", [None, 0])
def test_magnitudes_of_complex_numbers(complex_raster, job_on, read, given, dtype, nodata):
    make, data = complex_raster
    path = make(dtype=dtype, nodata=nodata)
    made = job_on([path], size_of, **given)
    describe(made)
    run(made)
    array = data.astype("complex128" if dtype == "complex128" else "complex64")
    expected = np.abs(array)
    if nodata == 0 and {"masked", "fill"} & given.keys():
        # GDAL compares nodata with the real part.
        expected[array.real == 0] = given.get("fill", np.nan)
    np.testing.assert_array_equal(read(made.output), expected)


@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_complex_integers_on_another_grid(complex_raster, job_on, tiled, read, tmp_path, output):
    make, data = complex_raster
    like = tiled("like.tif", col=5, row=-3, width=60, height=40)
    made = job_on([make()], size_of, like=str(like), output=str(tmp_path / output))
    run(made)
    np.testing.assert_array_equal(read(made.output)[0, 3:], np.abs(data[0, :37, 5:65]))
    finer = tiled("finer.tif", pixel=15.0, width=180, height=140)
    made = job_on([make()], size_of, like=str(finer), output=str(tmp_path / output))
    run(made)
    expected = np.abs(data[0]).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(read(made.output)[0], expected)


def test_complex_integers_through_the_class(complex_raster, tmp_path, read):
    """The profile is the first input's, and GDAL's complex integers are written."""
    make, data = complex_raster
    path = make()
    for processes in (1, 2):
        with RioMucho([path], tmp_path / "copy.tif", unchanged) as rm:
            rm.run(processes)
        with rasterio.open(tmp_path / "copy.tif") as dst:
            assert dst.dtypes == ("complex_int16",)
        np.testing.assert_array_equal(read(tmp_path / "copy.tif"), data)


def test_nothing_of_complex_integers_is_computed(complex_raster, job_on, make_raster):
    data = np.zeros((1, 32, 32), "complex64")
    path = make_raster("empty.tif", data, dtype="complex_int16", nodata=0)
    made = job_on([path], unchanged, skip_masked=True)
    run(made)
    with rasterio.open(made.output) as dst:
        assert dst.dtypes == ("complex64",)


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [("int8", math.nan, "float32"), ("uint32", math.nan, "float64"), ("uint32", 3, "uint32"),
     ("complex_int16", math.nan, "complex64"), ("float32", math.nan, "float32")],
)  # fmt: skip
def test_filled_dtype(dtype, fill, expected):
    assert filled_dtype(dtype, fill) == expected


def test_nodata_of_complex_integers():
    assert nodata_fits(-9999, "complex_int16")
