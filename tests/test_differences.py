import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rio_mucho_cli.differences import differences

NEW = {
    "versions": {"GDAL": "3.10.0"},
    "inputs": [{"path": "a.tif", "files": {"a.tif": [123, 10**18]}}],
    "like": [],
    "function": {"name": "a:b", "sha256": "0"},
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
    found = differences(old, NEW)
    assert (found == []) == (old == NEW)
    for sentence in found:
        assert sentence.isascii()
        assert sentence.isprintable()
        assert len(sentence) < 1000


def test_nothing_differs():
    assert differences(NEW, json.loads(json.dumps(NEW))) == []


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
    assert differences(old, NEW) != []


@pytest.mark.parametrize("depth", [200, 900, 5000])
def test_what_is_nested_without_end(depth):
    old = {**NEW, "options": {"nodata": nested(depth)}}
    assert len(differences(old, NEW)) >= 1


@pytest.mark.parametrize("moment", [10**30, -(10**30), -(10**19), 10**21])
def test_moments_beyond_the_calendar(moment):
    old = {**NEW, "inputs": [{"path": "a.tif", "files": {"a.tif": [1, moment]}}]}
    (sentence,) = differences(old, NEW)
    assert sentence.startswith("a.tif has changed: it was 1 bytes, modified ")


def test_terminals_are_not_told_what_to_do():
    old = {**NEW, "options": {**NEW["options"], "dtype": "\x1b[2Jnew\nline\u202e\ud800"}}
    (sentence,) = differences(old, NEW)
    assert sentence == r"dtype was \u001b[2Jnew\nline\u202e\ud800 and is not given"
