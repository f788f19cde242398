import json

import pytest
from hypothesis import given, strategies as st

from rio_mucho_cli.outputs.run_diff import describe_changes

NEW = {
    "versions": {"GDAL": "3.10.0"},
    "inputs": [{"path": "a.tif", "files": {"a.tif": {"bytes": 1, "modified": "2001"}}}],
    "like": [],
    "function": {"name": "a:b", "code": {"sha256": "0"}},
    "global_args": {"a": 1},
    "options": {"nodata": {"float": "nan"}, "creation_options": {"tiled": "yes"}},
    "windows": {"number": 1, "size": [512, 256], "sha256": "0"},
}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted({*NEW, "path", "files", "number", "size", "nodata", "float"}))


@st.composite
def changed(draw):
    """Return a fingerprint of which something, somewhere, is something else."""
    value = json.loads(json.dumps(NEW))
    place, path = value, []
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return value
        key = draw(st.sampled_from(keys))
        path.append(key)
        if not isinstance(place[key], dict | list) or draw(st.booleans()):
            break
        place = place[key]
    place[key] = draw(ANY)
    return value


@given(changed() | st.dictionaries(KEYS | st.text(), ANY, max_size=4))
def test_whatever_it_is_what_differs_is_told(old):
    found = describe_changes(old, NEW)
    assert (found == "") == (old == NEW)
    assert found.isascii()
    assert found.isprintable()
    assert len(found) < 5000


def test_nothing_differs():
    assert describe_changes(NEW, json.loads(json.dumps(NEW))) == ""


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "old",
    [{}, {"versions": 3}, {**NEW, "more": 1}, {**NEW, "like": 3}, {**NEW, "like": [{"files": {}}]}],
)
def test_what_no_version_of_ours_would_say(old):
    assert describe_changes(old, NEW) != ""


@pytest.mark.parametrize("depth", [200, 900, 5000])
def test_what_is_nested_without_end(depth):
    old = {**NEW, "options": {"nodata": nested(depth)}}
    assert describe_changes(old, NEW) != ""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 0}, {"a": {"float": "nan"}}, "a was 0 and is nan"),
        ({"a": {"b": None}}, {"a": {"c": "x"}},
         "a.b was none and is absent; a.c was absent and is x"),
        ({"a": [1]}, {"a": [1, 2]}, "a was [1] and is [1, 2]"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {}]}, "a.2 was absent and is {}"),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, "a.2.b was 2 and is 3"),
        ({"a": {"sha256": "0"}}, {"a": {"sha256": "1"}}, "a changed"),
        ({"a": {"sha256": "0", "n": 1}}, {"a": {"sha256": "1", "n": 2}}, "a.n was 1 and is 2"),
        ({"a": "1"}, {"a": 1}, "a changed"),
        ({"a": "x" * 300}, {"a": 1}, f"a was {'x' * 197}... and is 1"),
    ],
)  # fmt: skip
def test_differences_have_dotted_names(old, new, expected):
    assert describe_changes(old, new) == expected


def test_the_first_five_differences_are_listed():
    changes = describe_changes(dict.fromkeys("gfedcba", 1), {}).split("; ")
    assert changes == [*(f"{name} was 1 and is absent" for name in "abcde"), "and 2 more"]


def test_terminals_are_not_told_what_to_do():
    old = {**NEW, "options": {**NEW["options"], "dtype": "\x1b[2Jnew\nline\u202e\ud800"}}
    changes = describe_changes(old, NEW)
    assert changes == r"options.dtype was \u001b[2Jnew\nline\u202e\ud800 and is absent"
