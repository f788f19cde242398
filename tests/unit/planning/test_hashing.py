import json
import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, strategies as st
from rasterio.crs import CRS

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.planning.hashing import to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
def test_json_is_itself(value):
    assert to_json(value, "x") == value


VALUES = [
    float("nan"), float("inf"), b"", b"x", bytearray(b"y"), 1 + 2j, {1: "a"}, {1: "b"}, {"1": "a"},
    {1, 2}, {1, 3}, frozenset({"a", "b"}), np.arange(3), np.arange(3.0), np.arange(3)[::-1],
    np.arange(4).reshape(2, 2), np.array(["a", None], object), np.ma.array([1, 2], mask=[0, 1]),
    np.ma.array([1, 2], mask=[1, 0]), np.longdouble(3), np.dtype("u1"), np.dtype("u2"), np.int8,
    np.dtype([("a", "u1")]), float, Affine.scale(2), Affine.scale(3), CRS.from_epsg(4326),
    CRS.from_epsg(32633), date(2026, 1, 2), datetime(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC),
    time(3), timedelta(3), timedelta(microseconds=3), np.datetime64(3, "s"), np.datetime64(3, "ns"),
    np.timedelta64(3, "ns"), 3,
]  # fmt: skip


def test_other_values_are_other_json():
    texts = [json.dumps(to_json(value, "x")) for value in VALUES]
    assert len(set(texts)) == len(texts)
    assert texts == [json.dumps(to_json(value, "x")) for value in VALUES]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.uint8(3), 3), (np.float64(0.5), 0.5), (Path("a"), "a"), ((1, (2,)), [1, [2]])],
)
def test_what_json_has_a_word_for(value, expected):
    assert to_json(value, "x") == expected


def test_the_order_of_names_does_not_matter():
    assert list(to_json({"b": 1, "a": 2}, "x")) == ["a", "b"]


def test_a_value_that_is_there_twice_is_as_good_as_two_that_are_equal():
    one = [1, {"a": 2}]
    assert to_json([one, one], "x") == to_json([one, [1, {"a": 2}]], "x")


def test_what_refers_to_itself():
    endless = []
    endless.append(endless)
    with pytest.raises(UsageError, match="x is nested too deeply"):
        to_json(endless, "x")


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (threading.Lock(), "x is of type lock, and resume=True needs plain values"),
        ({"a": [1, threading.Lock()]}, r"x\.a\.2 is of type lock"),
        (Point(1), "x is of type Point"),
        (Point, "x is of type type"),
        (len, "x is of type builtin_function_or_method"),
        (partial(len), "x is of type partial"),
        (json, "x is of type module"),
    ],
)
def test_what_is_no_plain_value(value, name):
    with pytest.raises(UsageError, match=name):
        to_json(value, "x")
