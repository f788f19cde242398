"""Values that functions return: what they may be, and how they are merged."""

import enum
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rio_mucho_cli.outputs.values import (
    ValueNotSupportedError,
    merge_max,
    merge_min,
    merge_sum,
    plain_value,
)


class Colour(enum.IntEnum):
    RED = 1


class Shape:
    @property
    def __geo_interface__(self):
        return {"type": "Point", "coordinates": (1, 2)}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (np.ma.masked, None),
        (np.True_, True),
        (np.uint8(200), 200),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.25), 0.25),
        (np.str_("a"), "a"),
        (Colour.RED, 1),
        ((1, (2.5, "x")), [1, [2.5, "x"]]),
        ({np.int64(3): np.int8(-1), "b": []}, {3: -1, "b": []}),
        (np.array(7, "int16"), 7),
        (np.array(["a", "b"]), ["a", "b"]),
        (Shape(), {"type": "Point", "coordinates": [1, 2]}),
    ],
)
def test_values_become_plain(value, plain):
    found = plain_value(value)
    assert found == plain
    assert type(found) is type(plain)


def test_arrays_are_copied():
    array = np.arange(3)
    plain = plain_value({"a": array})
    array[:] = 9
    assert plain["a"].tolist() == [0, 1, 2]
    assert plain_value(np.ma.array([1, 2])).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (object(), "an object of the type object, expected numbers"),
        ({"a": [1, {2}]}, r"of the type set at result\['a'\]\[1\], expected"),
        (1j, "of the type complex"),
        (b"x", "of the type bytes"),
        (np.zeros(2, "complex64"), "an array of dtype complex64, expected numbers"),
        (np.array([None]), "an array of dtype object"),
        (np.ma.array([1, 2], mask=[0, 1]), r"a masked array: take \.compressed\(\)"),
        ({(1, 2): 3}, r"a dict with the key \(1, 2\), expected text or numbers"),
        (np.datetime64("2020-01-01"), "of the type date"),
    ],
)
def test_other_values_are_refused(value, says):
    with pytest.raises(ValueNotSupportedError, match=says):
        plain_value(value)


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
DICTS = st.dictionaries(st.sampled_from("abc"), NUMBERS)


@given(st.lists(DICTS, min_size=1))
def test_dicts_are_merged_by_key(dicts):
    for merge, of_all in ((merge_sum, None), (merge_min, min), (merge_max, max)):
        total = dicts[0]
        for value in dicts[1:]:
            total = merge(total, value)
        for key in {key for value in dicts for key in value}:
            numbers = [value[key] for value in dicts if key in value]
            expected = of_all(numbers) if of_all else _sum_in_order(numbers)
            assert total[key] == expected


def _sum_in_order(numbers):
    total = numbers[0]
    for number in numbers[1:]:
        total = total + number
    return total


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint64", "float32", "float64"])
def test_sums_of_arrays_are_as_wide_as_those_of_numpy(dtype):
    arrays = [np.full(3, 1 if dtype == "bool" else 200).astype(dtype) for _ in range(300)]
    total = arrays[0]
    for array in arrays[1:]:
        total = merge_sum(total, array)
    expected = np.sum(arrays, axis=0, dtype="float64" if dtype == "float32" else None)
    assert total.dtype == expected.dtype
    assert total.tolist() == expected.tolist()


def test_none_and_nan_are_no_values_for_extremes():
    nan = math.nan
    assert merge_min(None, 3) == merge_min(3, None) == merge_min(nan, 3) == merge_min(3, nan) == 3
    assert merge_max({"a": None}, {"a": -1}) == {"a": -1}
    assert merge_max(np.array([nan, 1.0]), np.array([2.0, nan])).tolist() == [2, 1]
    assert merge_min(None, None) is None
    assert math.isnan(merge_sum(nan, 1))
    assert merge_sum(None, np.array([200], "uint8")).dtype == "uint64"


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (1, "x", "there is no sum of an int and a str: expected numbers"),
        ([1], [2], "there is no sum of a list and a list"),
        (np.zeros(2), np.zeros(3), r"no sum of arrays of shapes \(2,\) and \(3,\)"),
        ({"a": 1}, 1, "no sum of a dict and an int"),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, r"a str and a str at result\['a'\]\['b'\]: exp"),
    ],
)
def test_what_has_no_sum(a, b, says):
    with pytest.raises(TypeError, match=says):
        merge_sum(a, b)
