"""What a function declares: where it is found, and what is wrong with it."""

import functools

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from rio_mucho_cli import output
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.workers.declared import Declared, declaration_of
from rio_mucho_cli.workers.functions import FunctionRef

SLOPE = {"descriptions": "slope", "overlap": 1}


def bare(data, window, ij, global_args):
    return data[0]


@output(**SLOPE)
def slope(data, window, ij, global_args):
    return data[0]


@functools.wraps(slope)
def wrapped(*args):
    return slope(*args)


class Plain:
    def __call__(self, data, window, ij, global_args):
        return data[0]


@output(**SLOPE)
class Model(Plain):
    def method(self):
        return self


class OfCall:
    @output(**SLOPE)
    def __call__(self, data, window, ij, global_args):
        return data[0]


class Holder:
    @output(**SLOPE)
    def run(self, data, window, ij, global_args):
        return data[0]


class Unrelated(Plain):
    """Its output is not a declaration."""

    def output(self):
        return 1


class Lazy(Plain):
    @property
    def output(self):
        raise RuntimeError("not yet")


def by_hand():
    function = functools.partial(bare)
    function.output = SLOPE
    return function


@pytest.mark.parametrize(
    "function",
    [
        slope, wrapped, functools.partial(slope), functools.partial(functools.partial(wrapped)),
        Model, Model(), OfCall, OfCall(), functools.partial(OfCall()), Holder().run, by_hand(),
        functools.lru_cache(slope),
    ],
)  # fmt: skip
def test_it_is_found_through_what_wraps_a_function(function):
    assert declaration_of(function) == SLOPE


@pytest.mark.parametrize(
    "function", [bare, Plain, Plain(), Unrelated, Unrelated(), Lazy, Lazy(), np.hypot, len, map]
)
def test_functions_without_it(function):
    assert declaration_of(function) is None
    assert Declared.by(function) is None


def test_a_list_is_ignored_with_a_warning(caplog):
    function = functools.partial(bare)
    function.output = ["slope"]
    assert declaration_of(function) is None
    assert "bare.output is a list and says nothing of the output: expected a dict" in caplog.text


def test_by_name(module, tmp_path):
    module("def run(data, *_):\n    return data[0]\n\nrun.output = {'count': 2}\n", "mod.py")
    declared = Declared.by(FunctionRef("mod.py:run", str(tmp_path)))
    assert declared.first.count == 2
    assert declared.first.where == "mod.py:run.output"


def test_decorators_stack_and_subclasses_add():
    decorate = output(name="mask", dtype="uint8")(output(nodata=0, name="mask")(bare_copy()))
    assert output(count=1)(decorate).output == {
        "count": 1,
        "also": {"mask": {"dtype": "uint8", "nodata": 0}},
    }

    @output(units="degree")
    class Sub(Model):
        pass

    assert Sub.output == {**SLOPE, "units": "degree"}
    assert Model.output == SLOPE


def bare_copy():
    def function(data, window, ij, global_args):
        return data[0]

    return function


def test_a_method_named_output_is_not_replaced():
    with pytest.raises(UsageError, match="Unrelated has an attribute output of its own: rename"):
        output(count=1)(Unrelated)


def declared_by(**attributes):
    function = bare_copy()
    function.output = attributes
    return Declared.by(function)


def test_values_are_brought_into_one_form():
    declared = declared_by(
        descriptions=["a", None],
        units="m",
        scales=np.array([0.5, 2]),
        offsets=1,
        colorinterp=[ColorInterp.gray, "Alpha"],
        tags={"A": 1, "B": 0.25, "NS": {"C": "x"}},
        band_tags=[{}, {"D": np.float32(0.5)}],
        dtype=np.uint8,
        nodata=np.int16(7),
        count=np.int64(2),
        overlap=np.int8(3),
        masked=np.bool_(True),
    )
    first = declared.first
    described = first.described
    assert (described.descriptions, described.units) == (("a", ""), "m")
    assert (described.scales, described.offsets) == ((0.5, 2.0), 1.0)
    assert described.colorinterp == (ColorInterp.gray, ColorInterp.alpha)
    assert described.tags == {"": {"A": "1", "B": "0.25"}, "NS": {"C": "x"}}
    assert described.band_tags == ({}, {"": {"D": "0.5"}})
    assert (first.dtype, first.nodata, first.count) == ("uint8", 7, 2)
    assert type(first.nodata) is int
    assert (declared.overlap, declared.masked) == (3, True)
    assert "nodata" in declared_by(nodata=None).first.names
    assert declared_by(dtype=None, count=1).first.names == ("count",)
    colours = declared_by(
        colormap={0: [1, 2, 3], np.uint8(9): (1, 2, 3, 4)}
    ).first.described.colormap
    assert colours == {0: (1, 2, 3, 255), 9: (1, 2, 3, 4)}


WRONG = {
    "has an unknown entry 'nodatta': did you mean 'nodata'?": {"nodatta": 1},
    "has an unknown entry 'x': expected one of descriptions, colormap": {"x": 1},
    "has an unknown entry 'overlpa': did you mean 'overlap'?": {"overlpa": 1},
    "['also']['mask'] has an unknown entry 'dtpye': did you mean": {"also": {"mask": {"dtpye": 1}}},
    "['also']['mask'] has 'overlap', which is of the run": {"also": {"mask": {"overlap": 1}}},
    "['also']['mask'] is 'uint8': expected a dict": {"also": {"mask": "uint8"}},
    "['also'] is 1: expected a dict": {"also": 1},
    "['dtype'] is 'flaot32': expected a dtype such as uint8 or float32: did you mean 'float32'?": {
        "dtype": "flaot32"
    },
    "['dtype'] is 'O': expected": {"dtype": "O"},
    "['count'] is 0: expected at least 1 band": {"count": 0},
    "['count'] is True: expected": {"count": True},
    "['nodata'] is 'x': expected a number": {"nodata": "x"},
    "['nodata'] is 300: expected a number that uint8 can hold": {"nodata": 300, "dtype": "uint8"},
    "['overlap'] is -1: expected 0 or more pixels": {"overlap": -1},
    "['masked'] is 1: expected True or False": {"masked": 1},
    "['descriptions'] is 3: expected text": {"descriptions": ["a", 3]},
    "['descriptions'] is []: expected a list with text for each band": {"descriptions": []},
    "['scales'] is nan: expected a number": {"scales": np.nan},
    "['colorinterp'] is 'grren': expected one of undefined, gray,": {"colorinterp": "grren"},
    "['colorinterp'] has a palette: give its colours as colormap": {"colorinterp": "palette"},
    "has a colormap and another colorinterp": {"colormap": {0: (0, 0, 0)}, "colorinterp": "gray"},
    "['colormap'] is {300: (0, 0, 256)}: expected a dict of colours": {
        "colormap": {1: (0, 0, 0), 300: (0, 0, 256)}
    },
    "['colormap'] is {'1': (0, 0, 0)}: expected": {"colormap": {"1": (0, 0, 0)}},
    "['tags'] is {'A': [1]}: expected a dict of numbers and text by name": {"tags": {"A": [1]}},
    "['tags'] is {'A=B': 1}: expected": {"tags": {"A=B": 1}},
    "['tags'] is {'MUCHO': {'A': 1}}: expected": {"tags": {"MUCHO": {"A": 1}}},
    "['band_tags'] is 'x': expected a dict": {"band_tags": ["x"]},
    "['units'] has 3 values, but 'descriptions' is for 2 bands": {
        "descriptions": ["a", "b"], "units": ["m"] * 3,
    },
    "['scales'] has 2 values, but count is 1: give": {"count": 1, "scales": [1, 2]},
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(message):
    with pytest.raises(UsageError) as raised:
        declared_by(**WRONG[message])
    assert "test_declared:bare_copy.<locals>.function.output" in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("attributes", "names", "counts"),
    [
        ({"count": 1}, [None], [1]),
        ({"count": 1, "also": {"mask": {"count": 2}}}, [None, "mask"], [1, 2]),
        ({"count": 1, "also": {"mask": {"count": 2}}}, [None], [1]),
        ({"count": 1, "also": {"mask": {"count": 2}}}, [None, "other"], [1, None]),
        ({"also": {"slope": {"count": 1}, "mask": {"count": 2}}}, [None, "mask"], [1, 2]),
        ({"also": {"slope": {"count": 1}, "mask": {"count": 2}}}, [None, "slope"], [2, 1]),
        ({"also": {"slope": {"count": 1}, "mask": {"count": 2}}}, [None], [None]),
    ],
)
def test_which_output_is_meant(attributes, names, counts):
    found = declared_by(**attributes).for_outputs(names)
    assert [each.count for each in found] == counts
