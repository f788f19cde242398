"""Pixels beyond the raster are those of numpy.pad."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.inputs.overlap import Boundary, padded_indexes


@given(
    length=st.integers(1, 40),
    overlap=st.integers(0, 100),
    kind=st.sampled_from(["edge", "reflect"]),
    data=st.data(),
)
def test_positions_are_those_of_one_whole_pad(length, overlap, kind, data):
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    padded = np.pad(np.arange(length), overlap, mode=kind)
    found = padded_indexes(start, stop, length, overlap, Boundary(kind))
    np.testing.assert_array_equal(found, padded[start : stop + 2 * overlap])


@given(length=st.integers(1, 40), overlap=st.integers(0, 60), data=st.data())
def test_what_is_filled_is_marked(length, overlap, data):
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    padded = np.pad(np.arange(length), overlap, constant_values=-1)
    for boundary in (Boundary("nodata"), Boundary("constant", 5)):
        found = padded_indexes(start, stop, length, overlap, boundary)
        np.testing.assert_array_equal(found, padded[start : stop + 2 * overlap])


@pytest.mark.parametrize(
    ("text", "boundary"),
    [
        ("nodata", Boundary("nodata")),
        ("edge", Boundary("edge")),
        ("reflect", Boundary("reflect")),
        ("constant=-2.5", Boundary("constant", -2.5)),
    ],
)
def test_boundaries_by_name(text, boundary):
    assert Boundary.parse(text) == boundary


@pytest.mark.parametrize("text", ["", "wrap", "constant", "constant=", "constant=x", "edge=1"])
def test_what_is_no_boundary(text):
    with pytest.raises(UsageError, match=r"expected nodata, edge, reflect, or constant=VALUE"):
        Boundary.parse(text)
