"""Masked pixels that arrive as a number: equal to filling whole arrays by hand."""

import math

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import NodataError, Output, RioMucho, UsageError, run
from rio_mucho_cli.testing import check
from rio_mucho_cli.windows import Size

SHAPE = (110, 150)


def unchanged(data, window, ij, global_args):
    return data[0]


def plain(array):
    assert not np.ma.isMaskedArray(array)
    return array


def mean3x3(array):
    """Average a neighbourhood; NaN spreads."""
    rows, cols = array.shape[0] - 2, array.shape[1] - 2
    parts = [array[i : i + rows, j : j + cols] for i in range(3) for j in range(3)]
    return np.mean(parts, axis=0, dtype="float64").astype("float32")


def hidden(seed=0):
    return np.random.default_rng(seed).random(SHAPE) < 0.1


@pytest.fixture
def sources(tiled):
    """Return rasters that hide the same pixels by nodata, a mask, and an alpha band."""

    def make(kind, dtype="uint8"):
        away = hidden()
        if kind == "nodata":
            path = tiled("nodata.tif", dtype=dtype, nodata=0)
            with rasterio.open(path, "r+") as dst:
                dst.write(np.where(away, 0, dst.read(1)).astype(dtype), 1)
        elif kind == "mask":
            path = tiled("mask.tif", dtype=dtype)
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
                dst.write_mask(~away)
        else:
            path = tiled("alpha.tif", dtype=dtype, count=2, alpha="yes")
            with rasterio.open(path, "r+") as dst:
                dst.write(np.where(away, 0, 255).astype(dtype), 2)
        with rasterio.open(path) as src:
            assert (src.read_masks(1) == 0).sum() == away.sum()
            return path, src.read(1), away

    return make


@pytest.mark.sweep(2)
@pytest.mark.parametrize("kind", ["nodata", "mask", "alpha"])
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("windows", [None, Size(64, 48), Size(37, 20)])
def test_masked_pixels_are_a_number_or_nan(sources, job_on, read, kind, executor, windows):
    path, array, away = sources(kind)
    given = {"plain": True, "bidx": 1, "executor": executor, "jobs": 2, "windows": windows}
    made = job_on([path], plain, **given, fill=7, keep_nodata=False)
    run(made)
    np.testing.assert_array_equal(read(made.output)[0], np.where(away, 7, array))
    run(job_on([path], plain, **given, fill=math.nan))
    with rasterio.open(made.output) as dst:
        assert dst.dtypes == ("float32",)
        assert math.isnan(dst.nodata)
        np.testing.assert_array_equal(dst.read(1), np.where(away, np.nan, array))


@pytest.mark.parametrize(
    ("dtype", "filled"),
    [
        ("int8", "float32"),
        ("uint16", "float32"),
        ("int32", "float64"),
        ("uint32", "float64"),
        ("int64", "float64"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("complex64", "complex64"),
    ],
)
@pytest.mark.parametrize("mode", ["simple_read", "array_read"])
def test_integers_are_read_as_floats_for_nan_alone(sources, job_on, dtype, filled, mode):
    path, _, away = sources("mask", dtype)
    seen = {}

    def look(data, window, ij, global_args):
        seen["array"] = np.array(data[0] if mode == "simple_read" else data)
        return np.zeros((window.height, window.width), "uint8")

    for fill, expected in ((math.nan, filled), (3, dtype)):
        run(job_on([path], look, mode=mode, fill=fill, windows=Size(150, 110)))
        assert seen["array"].dtype == expected
        values = seen["array"][0][away]
        assert np.isnan(values).all() if math.isnan(fill) else (values == 3).all()


@pytest.mark.sweep(1)
@pytest.mark.parametrize("output", ["out.tif", "out.vrt", "cog.tif"])
@pytest.mark.parametrize(
    ("given", "nodata"),
    [
        ({}, math.nan),
        ({"dtype": "uint8"}, 0),
        ({"dtype": "int16"}, None),
        ({"dtype": "uint8", "nodata": 255}, 255),
        ({"dtype": "int16", "nodata": -1}, -1),
        ({"keep_nodata": False}, None),
        ({"dtype": "complex64"}, None),
    ],
)
def test_nan_in_a_result_is_masked_again(sources, job_on, tmp_path, output, given, nodata):
    path, array, away = sources("nodata")
    given = {**given, "driver": "COG"} if output == "cog.tif" else given
    if output == "out.vrt":
        given = {**given, "part_size": 64}
    made = job_on([path], plain, plain=True, fill=math.nan, output=str(tmp_path / output), **given)
    (value_loss,) = run(made).value_loss
    assert not value_loss
    with rasterio.open(made.output) as dst:
        assert dst.nodata == pytest.approx(nodata, nan_ok=True)
        np.testing.assert_array_equal(dst.read_masks(1) == 0, away)
        np.testing.assert_array_equal(dst.read(1)[~away], array[~away])


def test_a_window_without_nan_may_come_first(job_on, make_raster):
    data = np.ones((1, 64, 64), "float32")
    data[0, 40:, 40:] = 0
    path = make_raster("late.tif", data, tiled=True, blockxsize=16, blockysize=16)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
        dst.write_mask(data[0] != 0)
    made = job_on([path], plain, plain=True, fill=math.nan, windows=Size(16, 16))
    run(made)
    with rasterio.open(made.output) as dst:
        np.testing.assert_array_equal(dst.read_masks(1) != 0, data[0] != 0)


@pytest.mark.parametrize("boundary", ["edge", "reflect", "nodata", "constant=9"])
@pytest.mark.parametrize("fill", [math.nan, 5])
def test_overlap(sources, job_on, read, boundary, fill):
    path, array, away = sources("nodata")
    modes = {"edge": "edge", "reflect": "reflect"}
    mode = modes.get(boundary)
    values, empty = array.astype("float32"), away
    if mode:
        values, empty = (np.pad(each, 1, mode=mode) for each in (values, empty))
    else:
        values = np.pad(values, 1, constant_values=9)
        empty = np.pad(empty, 1, constant_values=boundary == "nodata")
    expected = mean3x3(np.where(empty, fill, values).astype("float32"))
    made = job_on([path], mean3x3, plain=True, overlap=1, boundary=boundary, fill=fill)
    run(made)
    np.testing.assert_allclose(read(made.output)[0], expected, rtol=1e-6)


def test_pixels_that_an_input_does_not_cover(sources, tiled, job_on, read):
    path, array, away = sources("nodata")
    like = tiled("like.tif", col=-20, row=-10, width=200)
    made = job_on([path], plain, plain=True, fill=math.nan, like=str(like))
    run(made)
    expected = np.full((110, 200), np.nan)
    expected[10:, 20:170] = np.where(away, np.nan, array)[:100]
    np.testing.assert_array_equal(read(made.output)[0], expected)


def test_windows_without_a_value_can_be_skipped(job_on, make_raster, read):
    data = np.full((1, 110, 150), 4, "uint8")
    data[:, :48, :64] = 0
    data[:, 60, 70] = 0
    path = make_raster("empty.tif", data, nodata=0, tiled=True, blockxsize=16, blockysize=16)
    seen = []

    def look(data, window, ij, global_args):
        seen.append((ij, data[0].min()))
        return data[0]

    made = job_on([path], look, fill=2, skip_masked=True)
    run(made)
    assert (0, 0) not in dict(seen)
    assert dict(seen)[1, 1] == 2
    assert read(made.output)[0, 60, 70] == 2
    assert (read(made.output)[:, :48, :64] == 0).all()


def test_several_outputs(sources, job_on, tmp_path):
    path, array, away = sources("nodata")

    def both(array):
        return {"a": array, "b": np.nan_to_num(array).astype("uint8")}

    others = [Output(path=str(tmp_path / "b.tif"), name="b")]
    made = job_on([path], both, plain=True, fill=math.nan, also=others)
    run(made)
    with rasterio.open(made.output) as dst, rasterio.open(others[0].path) as other:
        np.testing.assert_array_equal(dst.read_masks(1) == 0, away)
        np.testing.assert_array_equal(other.read(1), np.where(away, 0, array))


def test_the_class_and_open_datasets(sources, tmp_path, read):
    path, array, away = sources("nodata")
    expected = np.where(away, np.int16(-5), array)
    options = {"driver": "GTiff", "dtype": "int16", "nodata": -5, "count": 1,
               "width": 150, "height": 110}  # fmt: skip
    with RioMucho([path], tmp_path / "o.tif", unchanged, options=options, fill=math.nan) as rm:
        rm.run(1)
    np.testing.assert_array_equal(read(tmp_path / "o.tif")[0], expected)
    dst = rasterio.open(tmp_path / "open.tif", "w", **options)
    with RioMucho([path], dst, unchanged, fill=math.nan) as rm:
        rm.run(2)
    np.testing.assert_array_equal(read(tmp_path / "open.tif")[0], expected)


def test_check_fills_as_well():
    array = np.ma.array(np.arange(3000, dtype="uint16").reshape(60, 50), mask=False)
    array[20:30, 10:12] = np.ma.masked
    found = check(mean3x3, array, plain=True, overlap=1, boundary="edge", fill=math.nan)
    assert np.isnan(found[0, 19:31, 9:13]).all()
    assert np.isnan(found).sum() == 12 * 4


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"fill": 300}, NodataError, "fill is 300, which uint8 of .*cannot hold"),
        ({"fill": -1}, NodataError, "fill is -1, which uint8"),
        ({"fill": 0.5}, NodataError, "fill is 0.5, which uint8"),
        ({"fill": math.inf}, NodataError, "fill is inf, which uint8"),
        ({"fill": "nan"}, UsageError, "fill is 'nan': expected a number"),
        ({"fill": True}, UsageError, "fill is True: expected a number"),
        ({"fill": 1, "masked": True}, UsageError, "masked=True passes masked arrays"),
        ({"fill": 1, "mode": "manual_read"}, UsageError, "fill cannot be used with manual_read"),
    ],
)
def test_what_makes_no_sense_is_refused(sources, job_on, given, error, message):
    path = sources("nodata")[0]
    with pytest.raises(error, match=message):
        run(job_on([path], **given))


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("nodata", {"plain": True}, True),
        ("mask", {"plain": True}, True),
        ("alpha", {"plain": True, "bidx": 1}, True),
        ("alpha", {"plain": True}, False),
        ("nodata", {"plain": True, "masked": True}, False),
        ("nodata", {"plain": True, "fill": 3}, False),
        ("nodata", {"plain": True, "fill": math.nan}, False),
        ("nodata", {}, False),
    ],
)
@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_nodata_that_a_plain_function_takes_for_numbers_is_said_once(
    sources, job_on, tmp_path, caplog, kind, given, said, output
):
    path = sources(kind)[0]

    def first(array, *args):
        return np.array(array, copy=True) if given.get("plain") else array[0]

    made = job_on([path], first, **given, output=str(tmp_path / output), executor="serial")
    (value_loss,) = run(made).value_loss
    lines = [each.getMessage() for each in caplog.records if "as ordinary" in each.getMessage()]
    assert len(lines) == said
    assert value_loss.read_windows == (9 if said else 0)
    if said:
        assert "in 9 windows the function got nodata or masked pixels" in lines[0]


@pytest.mark.parametrize(("masked", "said"), [(False, 1), (True, 0)])
def test_a_plain_function_that_returns_values_takes_no_nodata_in_silence(
    sources, job_on, tmp_path, caplog, masked, said
):
    output = str(tmp_path / "out.json")
    made = job_on([sources("nodata")[0]], np.max, plain=True, masked=masked, output=output)
    run(made)
    lines = [each.getMessage() for each in caplog.records if "as ordinary" in each.getMessage()]
    assert len(lines) == said
    assert not said or lines[0].startswith("in 9 windows the function got nodata")


def test_a_plain_function_may_have_windows_without_nodata(tiled, job_on, caplog):
    run(job_on([tiled(nodata=0)], plain, plain=True))
    assert not caplog.records


def test_the_command_line(rio, sources, read):
    path, array, away = sources("nodata")
    result = rio("mucho", str(path), "out.tif", "--func", "numpy:positive", "--plain",
                 "--fill", "nan", "-j", "1")  # fmt: skip
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read("out.tif")[0], np.where(away, np.nan, array))
    for text, status, message in (
        ("none", 2, "'none' is neither a number nor nan"),
        ("-3", 2, "fill is -3, which uint8 of"),
    ):
        args = ["--func", "numpy:positive", "--plain", "--fill", text, "--overwrite"]
        result = rio("mucho", str(path), "out.tif", *args)
        assert result.exit_code == status
        assert message in result.stderr
