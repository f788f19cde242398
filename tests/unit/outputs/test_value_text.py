"""Values as text."""

import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rio_mucho_cli.outputs.value_text import (
    Lines,
    from_journal,
    header_line,
    json_text,
    make_lines,
    pretty_json,
    read_columns,
    to_journal,
)
from rio_mucho_cli.outputs.values import ValueNotSupportedError, value_format


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("a.json", "json"), ("-", "json"), (None, "json"), ("b/A.JSON", "json"),
        ("a.ndjson", "ndjson"), ("a.geojsonl", "geojsonl"), ("a.csv", "csv"),
        ("a.tif", None), ("json", None), (object(), None), ("a.geojson", None),
    ],
)  # fmt: skip
def test_formats_follow_from_the_path(path, form):
    assert value_format(path) == form


def test_json_has_null_for_what_is_not_finite():
    value = {"a": math.nan, 2: [math.inf, 1.5], "c": np.array([[1.0, -np.inf]]), True: "x"}
    text, not_finite = json_text(value)
    assert json.loads(text) == {"a": None, "2": [None, 1.5], "c": [[1, None]], "true": "x"}
    assert not_finite == 3


@given(st.recursive(
    st.none() | st.integers() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
))  # fmt: skip
def test_pretty_json_is_the_same_value(value):
    assert json.loads(pretty_json(value)[0]) == value


def test_pretty_json():
    value = {"a": [1] * 40, "b": [{"name": "x" * 50, "c": 1.5}, {"name": "y" * 50}], "d": {}}
    assert pretty_json(value)[0].splitlines() == [
        "{",
        f'  "a": [{", ".join(["1"] * 40)}],',
        '  "b": [',
        f'    {{"name": "{"x" * 50}", "c": 1.5}},',
        f'    {{"name": "{"y" * 50}"}}',
        "  ],",
        '  "d": {}',
        "}",
    ]


def test_keys_that_are_the_same_as_text_are_refused():
    with pytest.raises(ValueNotSupportedError, match=r"the same as text \(1 and '1'\)"):
        json_text({1: "a", "1": "b"})


def test_lines_of_json():
    assert make_lines([{"a": 1}, math.nan], "ndjson") == Lines(b'{"a": 1}\nnull\n', 1)
    assert make_lines({"a": np.arange(2)}, "ndjson").content == b'{"a": [0, 1]}\n'
    assert make_lines([], "ndjson").content == b""


POINT = {"type": "Point", "coordinates": [1, 2]}


def test_features_one_a_line():
    feature = {"type": "Feature", "geometry": POINT, "properties": {"a": 1}}
    empty = {"type": "Feature", "geometry": None}
    collection = {"type": "FeatureCollection", "features": [feature, empty]}
    lines = make_lines([POINT, collection], "geojsonl").content.decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"type": "Feature", "properties": {}, "geometry": POINT},
        feature,
        {**empty, "properties": {}},
    ]


@pytest.mark.parametrize("value", [1, None, {"a": 1}, {"type": "Feature"}, ["x"]])
def test_what_is_no_feature(value):
    with pytest.raises(ValueNotSupportedError, match="expected a GeoJSON feature"):
        make_lines(value, "geojsonl")


def test_rows_of_a_table():
    rows = [{"a": 1, "b": "x, y"}, {"b": None, "a": [1, 2]}]
    lines = make_lines(rows, "csv")
    assert lines.columns == ("a", "b")
    text = (header_line(lines.columns) + lines.content).decode()
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"a": "1", "b": "x, y"},
        {"a": "[1, 2]", "b": ""},
    ]
    assert make_lines([], "csv") == Lines(b"")


@pytest.mark.parametrize("text", ["a,b", "a\nb", "a\r\nb\n", "a\rb", '"', " ", "", "\u2028"])
def test_any_text_is_one_cell_of_a_table(text):
    lines = make_lines([{text: text, "b": None}], "csv")
    content = header_line(lines.columns) + lines.content
    assert list(csv.reader(io.StringIO(content.decode(), newline=""))) == [[text, "b"], [text, ""]]
    assert read_columns(content.splitlines(keepends=True)) == (text, "b")


@pytest.mark.parametrize("row", [{"a": "x\ud800"}, {"a\udcff": 1}])
def test_text_that_utf8_cannot_hold_is_no_cell(row):
    with pytest.raises(ValueNotSupportedError, match=r"text with '\\ud\w{3}', which UTF-8 cannot"):
        make_lines(row, "csv")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (3, "an int, which is not a row of a table"),
        ([{"a": 1}, {"a": 1, "b": 2}], "a row with b, unlike the first row"),
        ([{"a": 1, "c": 1}, {"b": 2}], "a row without a, c and with b"),
    ],
)
def test_what_is_no_table(value, says):
    with pytest.raises(ValueNotSupportedError, match=says):
        make_lines(value, "csv")


ARRAYS = st.sampled_from(["bool", "uint8", "int64", "float32", ">u2"]).flatmap(
    lambda dtype: st.lists(st.integers(0, 1)).map(lambda values: np.array(values, dtype))
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS,
    lambda values: st.lists(values) | st.dictionaries(st.text() | st.integers(), values),
)


@given(VALUES)
def test_the_journal_gives_the_same_value_back(value):
    line = to_journal(value)
    assert line.count(b"\n") == 1
    assert_same(from_journal(line), value)


def assert_same(found, value):
    assert type(found) is type(value)
    if isinstance(value, dict):
        assert list(found) == list(value)
        assert list(map(type, found)) == list(map(type, value))
        for key in value:
            assert_same(found[key], value[key])
    elif isinstance(value, list):
        assert len(found) == len(value)
        for one, other in zip(found, value, strict=True):
            assert_same(one, other)
    elif isinstance(value, np.ndarray):
        assert (found.dtype, found.tobytes()) == (value.dtype, value.tobytes())
        assert found.flags.writeable  # a merge may add to it in place
    else:
        assert found == value or (found != found and value != value)


@pytest.mark.parametrize(
    "line",
    [
        b"{", b'{"array": "AAAA", "dtype": "O", "shape": [1]}', b'{"x": 1}',
        b'{"array": "AA", "dtype": "u1", "shape": [1]}', b'{"dict": 3}',
        b'{"array": "AAAA", "dtype": "u1", "shape": [-5, 2]}',
    ],
)  # fmt: skip
def test_damaged_journals_are_noticed(line):
    with pytest.raises((ValueError, TypeError, KeyError)):
        from_journal(line)
