import functools
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

import rio_mucho_cli
from rio_mucho_cli.canonical import canonical, digest
from rio_mucho_cli.errors import UsageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
def test_json_is_itself(value):
    assert canonical(value) == value


@dataclass(unsafe_hash=True)
class Point:
    x: int
    y: object = None


VALUES = [
    float("nan"), float("inf"), b"", b"x", bytearray(b"y"), 1 + 2j, {1: "a"}, {1: "b"}, {"1": "a"},
    {1, 2}, {1, 3}, frozenset({"a", "b"}), np.arange(3), np.arange(3.0), np.arange(3)[::-1],
    np.arange(4).reshape(2, 2), np.array(["a", None], object), np.ma.array([1, 2], mask=[0, 1]),
    np.ma.array([1, 2], mask=[1, 0]), np.longdouble(3), np.dtype("u1"), np.dtype("u2"), np.uint8,
    Point(1), Point(2), Point(1, Point(1)), Affine.scale(2), Affine.scale(3), CRS.from_epsg(4326),
    CRS.from_epsg(32633), Ellipsis, range(3), len, np.sqrt, os.path, json.dumps,
]  # fmt: skip


def test_other_values_are_other_json():
    texts = [json.dumps(canonical(value)) for value in VALUES]
    assert len(set(texts)) == len(texts)
    assert texts == [json.dumps(canonical(value)) for value in VALUES]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.uint8(3), 3), (np.float64(0.5), 0.5), (Path("a"), "a"), ((1, (2,)), [1, [2]])],
)
def test_what_json_has_a_word_for(value, expected):
    assert canonical(value) == expected


def test_order_of_names_is_of_no_matter():
    assert list(canonical({"b": 1, "a": 2})) == ["a", "b"]
    here, there = Point(1), Point(1, 2)
    one = {"b": [here, there], "a": here, 1: {here.__eq__, there.__eq__}}
    other = {1: {there.__eq__, here.__eq__}, "a": here, "b": [here, there]}
    assert canonical(one) == canonical(other)


def test_a_value_that_is_there_twice_is_as_good_as_two_that_are_equal():
    one = [1, {"a": 2}]
    assert canonical([one, one]) == canonical([one, [1, {"a": 2}]])


def test_what_refers_to_itself():
    point = Point(1)
    point.y = point
    assert canonical(point) == canonical(point)
    endless = []
    endless.append(endless)
    with pytest.raises(UsageError, match="without end"):
        canonical(endless)


@pytest.mark.parametrize("value", [threading.Lock(), {"a": [threading.Lock()]}])
def test_what_cannot_be_taken_apart(value):
    with pytest.raises(UsageError, match="a run with a lock cannot be resumed"):
        canonical(value)


SCRIPT = """
import functools, logging, threading
import numpy as np

log = logging.getLogger("x")
lock = threading.Lock()
TABLE = np.arange(3)
FACTOR = 2

def wrapped(func):
    @functools.wraps(func)
    def inner(*args):
        return func(*args)
    return inner

@functools.lru_cache
def helper(x):
    return x * FACTOR

class Base:
    def twice(self, x):
        return helper(x) * 2

class Scaler(Base):
    offset = 3

    def __init__(self, by=1):
        self.by = by

    def __call__(self, data, window, ij, args):
        return self.twice(data[0])

def deep(n):
    return again(n - 1) if n else 0

def again(n):
    return deep(n)

def plain(data, window, ij, args):
    log.info("%s", {"a", "b", "c"})
    with lock:
        return [helper(x) + TABLE.sum() for x in data], deep(3)

def make(offset):
    return lambda data, window, ij, args: data[0] + offset

three, four = make(3), make(4)
four_again = make(4)
decorated = wrapped(plain)
partial = functools.partial(plain, ij={"x", "y"})
instance, another = Scaler(1), Scaler(2)
method = instance.__call__
"""
NAMES = ["plain", "three", "four", "decorated", "partial", "Scaler", "instance", "another"]

TELL = f"""
if __name__ == "__main__":
    import json
    from rio_mucho_cli.canonical import canonical, digest

    def of(name):
        return digest(canonical(globals()[name]))

    print(json.dumps({{name: of(name) for name in {[*NAMES, "four_again", "method"]!r}}}))
"""


def digests(path, **variables):
    """Return what another process makes of the functions of a script."""
    root = str(Path(rio_mucho_cli.__file__).parents[1])
    path.write_text(path.read_text() + TELL)
    environment = {**os.environ, "PYTHONPATH": root, **variables}
    ran = subprocess.run(
        [sys.executable, str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    path = tmp_path_factory.mktemp("before") / "script.py"
    path.write_text(SCRIPT)
    return digests(path, PYTHONHASHSEED="1")


def test_functions_are_told_from_each_other(before):
    assert len({before[name] for name in NAMES}) == len(NAMES)
    assert before["four"] == before["four_again"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("\nlog", "\n# a line more\n\nlog", set()),
        ('"x"', '"x"', set()),
        ("FACTOR = 2", "FACTOR = 3", {*NAMES} - {"three", "four"}),
        ("x * FACTOR", "x + FACTOR", {*NAMES} - {"three", "four"}),
        ("arange(3)", "arange(4)", {"plain", "decorated", "partial"}),
        ("offset = 3", "offset = 4", {"Scaler", "instance", "another"}),
        ("helper(x) * 2", "helper(x) * 3", {"Scaler", "instance", "another"}),
        ("return func(*args)", "return func(*args) + 1", {"decorated"}),
        ("return deep(n)", "return deep(n) + 1", {"plain", "decorated", "partial"}),
        ("make(3)", "make(5)", {"three"}),
        ("Scaler(1)", "Scaler(9)", {"instance"}),
        ('{"x", "y"}', '{"x", "z"}', {"partial"}),
    ],
)
def test_functions_are_what_they_use_and_not_where_they_stand(tmp_path, before, old, new, expected):
    assert old in SCRIPT
    (tmp_path / "script.py").write_text(SCRIPT.replace(old, new))
    after = digests(tmp_path / "script.py", PYTHONHASHSEED="2")
    assert {name for name in NAMES if before[name] != after[name]} == expected


def test_functions_without_source():
    def made(text):
        names = {"__name__": "made"}
        exec(text, names)
        return digest(canonical(names["f"]))

    text = "def f(x, y=1):\n    return [z + 1 for z in x if z in {1, 2}]\n"
    assert made(text) == made("\n\n" + text)
    changes = [("z + 1", "z + 2"), ("z + 1", "z - 1"), ("y=1", "y=2"), ("{1, 2}", "{1, 3}")]
    others = {made(text.replace(*change)) for change in changes}
    assert len(others | {made(text)}) == len(changes) + 1


def test_classes_without_source():
    def made(number):
        names = {"__name__": "made"}
        exec(f"class C:\n    def __call__(self):\n        return {number}\n", names)
        return digest(canonical(names["C"]))

    assert made(1) == made(1) != made(2)


def test_a_function_that_is_being_defined():
    def outer():
        def inner():
            return later

        found = canonical(inner)
        later = 1
        return found, canonical(inner), later

    before, after, _ = outer()
    closures = [found["code"][0]["closure"] for found in (before, after)]
    assert closures == [{}, {"later": 1}]


def test_methods_have_their_object():
    assert canonical(Point(1).__eq__) != canonical(Point(2).__eq__)
    assert canonical(functools.partial(len)) != canonical(functools.partial(abs))
