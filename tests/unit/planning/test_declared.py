"""What the user gives takes precedence over what a function declares."""

import functools
import math

import pytest

from rio_mucho_cli.errors import NodataError
from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.planning.declared import fill_job


def ones(data, window, ij, global_args):
    return data[0]


def filled(declared, **given):
    function = functools.partial(ones)
    function.output = declared
    return fill_job(
        Job(**{"inputs": ["in.tif"], "output": "out.tif", "function": function, **given})
    )


def first_of(job):
    return job.outputs[0]


ALL = {"dtype": "float32", "nodata": -1, "count": 2, "overlap": 3, "masked": True}
NAMES = ("nodata", "dtype", "count")


def test_all_of_it_is_taken_where_nothing_is_given():
    result = filled(ALL)
    output = first_of(result.job)
    assert (output.dtype, output.nodata, output.count) == ("float32", -1, 2)
    assert (result.job.overlap, result.job.masked) == (3, True)
    assert result.declared == ("overlap", "masked")
    ((names, described),) = result.outputs
    assert names == NAMES
    assert described.sets_nodata


@pytest.mark.parametrize(
    ("given", "expected", "declared", "names"),
    [
        ({"dtype": "float64"}, ("float64", -1, 2, 3, True), ("overlap", "masked"), 2),
        ({"nodata": 5}, ("float32", 5, 2, 3, True), ("overlap", "masked"), 2),
        ({"keep_nodata": False}, ("float32", None, 2, 3, True), ("overlap", "masked"), 2),
        ({"count": 1}, ("float32", -1, 1, 3, True), ("overlap", "masked"), 2),
        ({"overlap": 0}, ("float32", -1, 2, 0, True), ("masked",), 3),
        ({"masked": False}, ("float32", -1, 2, 3, False), ("overlap",), 3),
        ({"fill": math.nan}, ("float32", -1, 2, 3, False), ("overlap",), 3),
        ({"mode": "manual_read"}, ("float32", -1, 2, 0, False), (), 3),
        ({"drop_in": True}, (None, None, None, 0, False), (), 0),
    ],
    ids=str,
)
def test_what_is_given_wins(given, expected, declared, names):
    result = filled(ALL, **given)
    output = first_of(result.job)
    job = result.job
    assert (output.dtype, output.nodata, output.count, job.overlap, job.masked) == expected
    assert result.declared == declared
    assert len(result.outputs[0][0]) == names


def test_a_profile_leaves_names_and_colours():
    profile = {"driver": "GTiff", "width": 9, "height": 9, "count": 1, "dtype": "uint8"}
    result = filled({**ALL, "units": "m"}, profile=profile)
    assert first_of(result.job).profile == profile
    assert result.outputs[0][0] == ("units",)
    assert result.outputs[0][1].units == "m"


def test_no_nodata_may_be_declared():
    output = first_of(filled({"nodata": None}).job)
    assert (output.nodata, output.keep_nodata) == (None, False)


def test_further_outputs():
    declared = {"units": "m", "also": {"mask": {"dtype": "uint8", "nodata": 255}}}
    also = [Output(path="mask.tif", name="mask", nodata=0), Output(path="o.tif", name="other")]
    result = filled(declared, also=also)
    mask, other = result.job.also
    assert (mask.dtype, mask.nodata, other.dtype) == ("uint8", 0, None)
    assert [names for names, _ in result.outputs] == [("units",), ("dtype",), ()]


def test_a_dtype_of_the_users_that_cannot_hold_it(caplog):
    with pytest.raises(NodataError, match=r"partial:.*|ones.output\['nodata'\] is -1, which uint8"):
        filled({"nodata": -1}, dtype="uint8")
    result = filled({"colormap": {0: (0, 0, 0)}, "units": "m"}, dtype="int32")
    assert result.outputs[0][0] == ("units",)
    assert "out.tif has no colour table: that of the function does not fit int32" in caplog.text


def test_options_that_say_what_bands_are():
    result = filled({"colorinterp": "gray"}, creation_options={"photometric": "rgb"})
    assert result.outputs[0][0] == ()
    assert result.outputs[0][1].colorinterp is None
