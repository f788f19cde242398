"""Values that an output cannot hold are counted, and not changed in another way than before."""

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as npst

from rio_mucho_cli import Job, Output, describe, run
from rio_mucho_cli.outputs.value_loss import (
    NO_LOSS,
    ValueLoss,
    lost_in_cast,
    taken_for_nodata,
    valid_nan,
)
from rio_mucho_cli.windows import Size

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]


def is_held(value, dtype):
    """Whether a dtype has a place for a number, which may lose its fraction."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return not math.isfinite(value) or bool(np.isfinite(dtype.type(value)))
    info = np.iinfo(dtype)
    return math.isfinite(value) and info.min <= math.trunc(value) <= info.max


@given(
    st.sampled_from(INTEGERS + FLOATS).flatmap(
        lambda name: npst.arrays(name, npst.array_shapes(min_dims=3, max_dims=3, max_side=4))
    ),
    st.sampled_from([*INTEGERS, "float32", "float64"]),
    st.booleans(),
)
def test_what_does_not_fit_is_counted_one_by_one(array, dtype, masked):
    mask = np.zeros(array.shape, bool)
    mask[..., 0] = masked
    wrong = [
        value
        for value in array[~mask].tolist()
        if not is_held(value, np.dtype(dtype)) and not np.can_cast(array.dtype, dtype, "safe")
    ]
    found = lost_in_cast(np.ma.array(array, mask=mask) if masked else array, dtype)
    finite = [value for value in wrong if math.isfinite(value)]
    assert (found.outside, found.outside_windows) == (len(wrong), bool(wrong))
    assert found.lowest == min(map(float, finite), default=None)
    assert found.highest == max(map(float, finite), default=None)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_the_ends_of_a_range_fit(source, dtype):
    info = np.iinfo(dtype)
    ends = np.array([[[info.min, -0.5, 0.5, 1]]], "float64")
    above = np.array([[[float(info.max) + 1]]])
    assert lost_in_cast(ends.astype(source), dtype) == NO_LOSS
    assert lost_in_cast(above.astype(source), dtype).outside == 1


def test_masked_nan_are_not_counted():
    array = np.array([[[np.nan, np.nan, 1, np.inf]]], "float32")
    assert valid_nan(array) == ValueLoss(nan=2, nan_windows=1)
    assert valid_nan(np.ma.array(array, mask=[[[True, False, False, True]]])).nan == 1
    assert valid_nan(np.ma.masked_invalid(array)) == NO_LOSS


@pytest.mark.parametrize(
    ("found", "dtype", "wanted"),
    [
        (ValueLoss(3, 2, -1.0, 300.0), "uint8", "int16"),
        (ValueLoss(1, 1, 256.0, 256.0), "uint8", "uint16"),
        (ValueLoss(1, 1, -100.0, -1.0), "uint8", "int16"),
        (ValueLoss(1, 1, -1.0, 2.0), "uint16", "int32"),
        (ValueLoss(1, 1, -1.0, 2.0**40), "int16", "float32"),
        (ValueLoss(1, 1), "uint8", "float32"),
        (ValueLoss(1, 1, 1e300, 1e300), "float32", "float64"),
    ],
)
def test_a_dtype_that_is_wide_enough_is_named(found, dtype, wanted):
    (message,) = found.messages(dtype, None)
    assert f"pass dtype={wanted!r}," in message


def steps(data, window, ij, global_args):
    """Return values of which some are below 0, some above 255, in float64."""
    return data[0].astype("float64") * 3 - 100


def masked_steps(data, window, ij, global_args):
    return np.ma.masked_greater(data[0].astype("float64") * 3 - 100, 400)


def holes(data, window, ij, global_args):
    result = data[0].astype("float32")
    result[:, 0, :5] = np.nan
    return result


@pytest.fixture
def job(make_raster, tmp_path):
    def make(function, *, source=None, output="out.tif", **given):
        source = {"dtype": "uint8", "nodata": 0, **(source or {})}
        made = make_raster(width=96, height=64, tiled=True, blockxsize=32, blockysize=32, **source)
        given = {"windows": Size(32, 32), "overwrite": True, **given}
        return Job(inputs=[str(made)], output=str(tmp_path / output), function=function, **given)

    return make


@pytest.mark.parametrize(
    ("output", "more"), [("out.tif", {}), ("out.png", {}), ("out.vrt", {"part_size": 32})]
)
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_all_executors_count_the_same(job, read, caplog, executor, output, more):
    made = job(steps, dtype="uint8", executor=executor, jobs=2, output=output, **more)
    whole = read(made.inputs[0]).astype("float64") * 3 - 100
    with caplog.at_level(logging.WARNING):
        (found,) = run(made).value_loss
    wrong = whole[(whole <= -1) | (whole >= 256)]
    assert (found.outside, found.lowest, found.highest) == (len(wrong), wrong.min(), wrong.max())
    assert found.outside_windows == 6
    np.testing.assert_array_equal(read(made.output), whole.astype("uint8"))
    (said,) = [each.getMessage() for each in caplog.records if "do not fit" in each.getMessage()]
    assert said.startswith(f"{made.output}: {len(wrong)} pixels in 6 windows do not fit in uint8 (")


@pytest.mark.parametrize("nodata", [0, None])
def test_masked_results_are_cast_as_well(job, nodata):
    made = job(masked_steps, dtype="int16", nodata=nodata)
    run(made)
    with rasterio.open(made.inputs[0]) as src, rasterio.open(made.output) as dst:
        assert dst.dtypes == ("int16",)
        whole = src.read(1).astype("float64") * 3 - 100
        found = dst.read(1, masked=True)
    valid = whole <= 400
    if nodata == 0:
        valid &= whole != 0
    np.testing.assert_array_equal(~np.ma.getmaskarray(found), valid)
    np.testing.assert_array_equal(found.compressed(), whole[valid].astype("int16"))


FLOATING = {"dtype": "float32"}


@pytest.mark.parametrize(
    ("source", "given", "counted"),
    [
        ({}, {}, False),
        ({"nodata": None}, {}, False),
        ({}, {"nodata": -9999.0}, True),
        ({**FLOATING, "nodata": -9999}, {}, True),
        ({**FLOATING, "nodata": np.nan}, {}, False),
        ({**FLOATING, "nodata": None}, {}, False),
        ({}, {"nodata": np.nan}, False),
        ({}, {"nodata": None, "keep_nodata": False}, False),
    ],
)
def test_nan_is_said_where_it_counts_as_valid(job, caplog, source, given, counted):
    made = job(holes, source=source, **given)
    (found,) = run(made).value_loss
    assert found == (ValueLoss(nan=30, nan_windows=6) if counted else NO_LOSS)
    assert ("30 pixels in 6 windows are NaN" in caplog.text) == counted


def test_a_dry_run_says_it_of_its_window(job, caplog):
    describe(job(holes, nodata=-1))
    assert "5 pixels in 1 window are NaN" in caplog.text


def holes_at_last(data, window, ij, global_args):
    if ij == (1, 0) and not Path(global_args["again"]).exists():
        raise ValueError("not now")
    return holes(data, window, ij, global_args)


def test_a_resumed_run_does_not_claim_to_have_counted_all(job, caplog, tmp_path):
    again = tmp_path / "again"
    args = {"again": str(again)}
    given = {"nodata": -1, "resume": True, "overwrite": False}
    made = job(holes_at_last, global_args=args, executor="serial", **given)
    with pytest.raises(Exception, match="not now"):
        run(made)
    again.touch()
    caplog.clear()
    assert run(made).resumed == 3
    assert "at least 15 pixels in 3 windows are NaN" in caplog.text


def thirds(data, window, ij, global_args):
    """Return values of which some are 0, from pixels that are not."""
    return data[0] // np.uint16(100)


def marked(data, window, ij, global_args):
    return np.ma.masked_equal(data[0] // np.uint16(100), 1)


def unchanged(data, window, ij, global_args):
    return data[0]


def doubled(data, window, ij, global_args):
    return data[0].astype("float64")


HOLES = np.s_[:, 8:20, 40:70]


@pytest.fixture
def holed(make_raster):
    """Return a raster with nodata 0 in a rectangle, and values from 1 on elsewhere."""
    path = make_raster("holed.tif", width=96, height=64, dtype="uint16", nodata=0, tiled=True,
                       blockxsize=32, blockysize=32)  # fmt: skip
    with rasterio.open(path, "r+") as dst:
        data = dst.read()
        data[HOLES] = 0
        dst.write(data)
    return path, data


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    ("function", "given", "counted", "said"),
    [
        (thirds, {}, lambda data: (data // 100 == 0) & (data != 0), True),
        (thirds, {"masked": True}, lambda data: (data // 100 == 0) & (data != 0), True),
        (marked, {}, lambda data: data // 100 == 0, True),
        (thirds, {"nodata": 0}, lambda data: (data // 100 == 0) & (data != 0), True),
        (thirds, {"nodata": 1}, lambda data: data // 100 == 1, True),
        (thirds, {"nodata": 1, "dtype": "float32"}, lambda data: data // 100 == 1, False),
        (marked, {"nodata": 2, "dtype": "float32"}, lambda data: data // 100 == 2, True),
        (thirds, {"nodata": 1, "masked": True}, lambda data: data // 100 == 1, True),
        (unchanged, {}, lambda data: data < 0, False),
        (unchanged, {"masked": True}, lambda data: data < 0, False),
        (thirds, {"dtype": "uint8", "masked": True}, lambda data: data < 0, False),
        (thirds, {"dtype": "float32", "masked": True}, lambda data: data < 0, False),
        (thirds, {"keep_nodata": False}, lambda data: data < 0, False),
    ],
)
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_results_that_equal_nodata_are_counted(
    holed, job, caplog, function, given, counted, said, executor
):
    path, data = holed
    made = replace(job(function, executor=executor, jobs=2, **given), inputs=[str(path)])
    (found,) = run(made).value_loss
    wanted = counted(data)
    assert found.nodata == found.as_json()["nodata_pixels"] == np.count_nonzero(wanted)
    windows = sum(
        wanted[:, row : row + 32, col : col + 32].any() for row in (0, 32) for col in (0, 32, 64)
    )
    assert found.nodata_windows == windows
    assert ("are not masked and equal the output's nodata" in caplog.text) == said
    assert found.passed == 0


@pytest.mark.parametrize("overlap", [0, 3])
def test_nodata_of_the_input_that_counts_as_valid_is_counted(holed, job, caplog, overlap):
    path, data = holed
    for dtype, there in (("float64", "nodata nan"), ("int32", "no nodata")):
        made = replace(job(unchanged, dtype=dtype, overlap=overlap), inputs=[str(path)])
        caplog.clear()
        (found,) = run(made).value_loss
        assert (found.passed, found.passed_windows) == (np.count_nonzero(data == 0), 2)
        said = "still have the first input's nodata 0, which counts as valid because the output has"
        assert f"{said} {there}" in caplog.text
        made = replace(made, masked=True)
        assert run(made).value_loss == (NO_LOSS,)
    assert run(replace(made, masked=False, dtype="uint16")).value_loss == (NO_LOSS,)


def test_a_function_that_reads_for_itself_may_write_nodata(holed, job, caplog):
    def read_one(srcs, window, ij, global_args):
        return srcs[0].read(window=window) // 100

    path, data = holed
    made = replace(job(read_one, mode="manual_read", executor="serial"), inputs=[str(path)])
    (found,) = run(made).value_loss
    assert found.nodata == np.count_nonzero(data // 100 == 0)
    assert "nodata" not in caplog.text


def test_nodata_is_compared_in_the_dtype_of_the_result():
    array = np.array([[[0.1, 1, 2]]], "float32")
    found = taken_for_nodata(array, 0.1, is_chosen=True)
    assert found == ValueLoss(nodata=1, nodata_windows=1)
    array = np.array([[[2**53, 2**53 + 1]]], "int64")
    assert taken_for_nodata(array, 2**53 + 1).nodata == 1
    assert taken_for_nodata(array.astype("float32"), math.nan) == NO_LOSS


def test_several_outputs_and_parts_count_their_own(holed, job, tmp_path):
    def two(data, window, ij, global_args):
        return {"same": thirds(data, 0, 0, 0), "wide": thirds(data, 0, 0, 0).astype("float32")}

    path, data = holed
    for suffix, more in ((".tif", {}), (".vrt", {"part_size": 32})):
        others = [Output(path=str(tmp_path / f"wide{suffix}"), name="wide")]
        made = job(two, masked=True, executor="serial", also=others, output=f"o{suffix}", **more)
        first, second = run(replace(made, inputs=[str(path)])).value_loss
        assert first.nodata == np.count_nonzero((data // 100 == 0) & (data != 0))
        assert second == NO_LOSS
        for name, nodata in ((made.output, 0), (others[0].path, math.nan)):
            with rasterio.open(name) as dst:
                assert dst.nodata == pytest.approx(nodata, nan_ok=True)
                np.testing.assert_array_equal(dst.read_masks(1)[HOLES[1:]], 0)
