"""Outputs that take values: merged exactly once, in order, resumed, whole or absent."""

import json
from functools import partial

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import (
    MuchoChildError,
    MuchoError,
    Output,
    OutputExistsError,
    ResultError,
    RioMucho,
    UsageError,
    reduce,
    run,
)
from rio_mucho_cli.windows import Size

WINDOWS = Size(16, 16)


@pytest.fixture
def source(make_raster):
    return make_raster("in.tif", width=64, height=48, dtype="uint8", nodata=0)


def places(data, window, ij, global_args):
    return [list(ij)]


def counts(data, window, ij, global_args):
    return np.bincount(data[0].ravel(), minlength=256)


def nothing(data, window, ij, global_args):
    return None


IN_ORDER = [[row, col] for row in range(3) for col in range(4)]


def test_values_are_collected_in_the_order_of_the_windows(source):
    assert reduce(source, places, windows=WINDOWS, jobs=2, executor="threads") == IN_ORDER


def test_a_merge_gets_every_value_once_in_order(source):
    calls = []

    def merge(total, value):
        calls.append((list(total), value))
        return total + value

    assert reduce(source, places, windows=WINDOWS, jobs=2, merge=merge) == IN_ORDER
    assert calls == [(IN_ORDER[:n], [IN_ORDER[n]]) for n in range(1, 12)]


def test_a_function_has_its_own_merge_and_finish(source):
    def span(data, window, ij, global_args):
        return [data[0].min(), data[0].max()]

    span.merge = lambda a, b: [min(a[0], b[0]), max(a[1], b[1])]
    span.finish = tuple
    low, high = reduce(source, span, windows=WINDOWS, jobs=1)
    assert low < high
    assert reduce(source, partial(span), windows=WINDOWS, jobs=1) == (low, high)
    # A merge of the job's wins.
    assert len(reduce(source, span, windows=WINDOWS, jobs=1, merge="list")) == 24


class Scaled:
    """A class whose merge needs no instance, and whose finish does."""

    made = 0

    def __init__(self, factor):
        type(self).made += 1
        self.factor = factor

    def __call__(self, data, window, ij, global_args):
        return int(data[0].max())

    @staticmethod
    def merge(a, b):
        return max(a, b)

    def finish(self, total):
        return total * self.factor


def test_a_class_has_methods(source):
    options = {"windows": WINDOWS, "executor": "serial", "global_args": {"factor": 10}}
    assert reduce(source, Scaled, **options) % 10 == 0
    assert Scaled.made == 2  # one for the windows, one for finish


def test_values_that_are_none_are_no_values_for_merges(source):
    options = {"windows": WINDOWS, "jobs": 1}
    assert reduce(source, nothing, merge="sum", **options) is None
    assert reduce(source, nothing, **options) == [None] * 12


def test_masked_windows_have_no_value(make_raster):
    source = make_raster("empty.tif", width=32, height=32, dtype="uint8", nodata=0)
    with rasterio.open(source, "r+") as dst:
        dst.write(np.zeros((1, 32, 32), "uint8"))
    assert reduce(source, counts, skip_masked=True, merge="sum", jobs=1) is None
    assert reduce(source, counts, skip_masked=True, jobs=1) == []


def test_a_window_that_raises_adds_nothing(source):
    def some(data, window, ij, global_args):
        if ij == (1, 1):
            raise ValueError("no")
        return [list(ij)]

    report = run(source, "-", some, windows=WINDOWS, jobs=1, on_error="nodata")
    assert report.values == {"-": [ij for ij in IN_ORDER if ij != [1, 1]]}
    assert [failure.ij for failure in report.failed] == [(1, 1)]


def test_an_old_file_is_replaced_at_the_end_only(source, tmp_path, leftovers):
    path = tmp_path / "out.json"
    path.write_text("old")
    with pytest.raises(OutputExistsError, match="exists: pass overwrite"):
        run(source, path, counts, windows=WINDOWS, jobs=1)

    def fails(total, value):
        raise RuntimeError("disk on fire")

    with pytest.raises(MuchoChildError, match="merge raised RuntimeError: disk on fire") as caught:
        run(source, path, places, windows=WINDOWS, jobs=1, merge=fails, overwrite=True)
    assert caught.value.ij == (0, 1)
    assert path.read_text() == "old"
    run(source, path, places, windows=WINDOWS, jobs=1, overwrite=True)
    assert json.loads(path.read_text()) == IN_ORDER
    assert not leftovers()


def boxes(data, window, ij, global_args):
    return [{"type": "Point", "coordinates": list(ij)}] * (ij[0] == ij[1])


def cells(data, window, ij, global_args):
    return {"row": ij[0], "col": ij[1]}


LINES = {
    "out.ndjson": "".join(f'{{"row": {row}, "col": {col}}}\n' for row, col in IN_ORDER),
    "out.csv": "row,col\n" + "".join(f"{row},{col}\n" for row, col in IN_ORDER),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_are_written_as_they_come(source, tmp_path, name, leftovers):
    report = run(source, tmp_path / name, cells, windows=WINDOWS, jobs=2, executor="threads")
    assert (tmp_path / name).read_text() == LINES[name]
    assert report.values == {}
    assert report.nbytes == len(LINES[name])
    assert not leftovers()


@pytest.mark.parametrize("name", ["none.ndjson", "none.csv", "none.geojsonl"])
def test_no_lines_are_an_empty_file(source, tmp_path, name):
    run(source, tmp_path / name, lambda *args: [], windows=WINDOWS, jobs=1)
    assert (tmp_path / name).read_bytes() == b""


def test_a_merged_value_becomes_lines(source, tmp_path):
    function = partial(cells)
    path = tmp_path / "out.csv"
    run(source, path, function, windows=WINDOWS, jobs=1, merge=lambda a, b: b)
    assert path.read_text() == "row,col\n2,3\n"
    run(source, tmp_path / "out.geojsonl", boxes, windows=WINDOWS, jobs=1)
    assert len((tmp_path / "out.geojsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "function", "says"),
    [
        ("out.json", lambda data, *args: {"a": data}, None),
        ("out.json", lambda *args: {"a": [object()]}, r"type object at result\['a'\]\[0\]"),
        ("out.csv", lambda *args: 3, "an int, which is not a row of a table"),
        ("out.csv", lambda d, w, ij, g: {f"c{ij[1]}": 1}, "without c0 and with c1"),
        ("out.csv", lambda d, w, ij, g: dict([("a", 1), ("b", 2)][:: 1 - 2 * ij[1]]), "the order"),
        ("out.geojsonl", lambda *args: 3, "an int: expected a GeoJSON feature"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_written(source, tmp_path, name, function, says, leftovers):
    given = {"windows": WINDOWS, "jobs": 1}
    if says is None:
        run(source, tmp_path / name, function, **given)
        return
    with pytest.raises(ResultError, match=says) as caught:
        run(source, tmp_path / name, function, **given)
    assert caught.value.window is not None
    assert not (tmp_path / name).exists()
    assert not leftovers()


def test_a_sum_of_what_has_none(source, tmp_path, leftovers):
    with pytest.raises(
        ResultError, match=r"cannot be merged: .* a list and a list at result\['a'\]"
    ):
        run(
            source,
            tmp_path / "o.json",
            lambda *args: {"a": [1]},
            merge="sum",
            windows=WINDOWS,
            jobs=1,
        )
    assert not leftovers()


def test_a_finish_that_raises_says_how_many_windows_were_done(source):
    def total(*args):
        return 1

    total.finish = len
    with pytest.raises(MuchoChildError, match="finish raised TypeError") as caught:
        reduce(source, total, merge="sum", windows=WINDOWS, jobs=1)
    assert caught.value.done == 12


def test_pixels_are_no_value(make_raster, tmp_path):
    source = make_raster("large.tif", width=80, height=80)
    with pytest.raises(ResultError, match="the pixels of the window, for an output of values"):
        run(source, tmp_path / "out.json", lambda data, *args: data[0], jobs=1)
    with pytest.raises(ResultError, match=r"values need an output such as out\.json"):
        run(source, tmp_path / "out.tif", lambda *args: 3, jobs=1)


def test_a_merged_value_that_cannot_be_written(source, tmp_path, leftovers):
    def places_with_finish(data, window, ij, global_args):
        return [list(ij)]

    places_with_finish.finish = lambda total: {"a": {1, 2}}
    with pytest.raises(ResultError, match=r"cannot be written to .*an object of the type set at"):
        run(source, tmp_path / "out.json", places_with_finish, windows=WINDOWS, jobs=1)
    assert not leftovers()
    # In Python any object will do.
    assert reduce(source, places_with_finish, windows=WINDOWS, jobs=1) == {"a": {1, 2}}


@pytest.mark.parametrize(
    ("output", "options", "says"),
    [
        ("out.tif", {"merge": "sum"}, "merge is for values, and out.tif is a raster"),
        ("out.json", {"merge": "som"}, "merge is 'som': expected sum, .* did you mean 'sum'"),
        ("out.json", {"merge": 3}, "merge is 3: expected sum"),
        ("out.json", {"dtype": "uint8"}, "takes values, which have no dtype"),
        ("out.json", {"creation_options": {"compress": "lzw"}}, "have no option compress"),
        ("out.json", {"stats": True}, "stats=True needs a raster, and out.json takes values"),
        ("out.json", {"overviews": "auto"}, "overviews needs a raster"),
        ("/vsimem/out.json", {}, r"which takes rasters: use reduce\(\)"),
        ("-", {"resume": True}, "only be resumed if its outputs are local files"),
        ("-", {"also": [Output(name="a", path="-")]}, "two outputs are -, standard output"),
        ("out.json", {"merge": "os:nothing"}, "has no attribute 'nothing'"),
    ],
)
def test_what_contradicts_itself(source, tmp_path, output, options, says, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        run(source, output, counts, jobs=1, **options)
    assert not (tmp_path / output).exists()


def test_the_class_of_rio_mucho_writes_rasters(source, tmp_path):
    with pytest.raises(
        UsageError, match=r"values, and a profile is that of a raster: .* reduce\(\)"
    ):
        RioMucho([source], tmp_path / "out.json", counts).run(1)


RESUMED = """
import os
import numpy as np

def parts(data, window, ij, global_args):
    if list(ij) >= global_args["end"] and not os.path.exists("go"):
        raise ValueError("that is enough")
    return {"least": float(data[0].min()) / 3, "counts": np.bincount(data[0].ravel()) / 7}

def merge(a, b):
    size = max(map(len, (a["counts"], b["counts"])))
    counts = [np.pad(part["counts"], (0, size - len(part["counts"]))) for part in (a, b)]
    return {"least": a["least"] + b["least"], "counts": counts[0] + counts[1]}

def rows(*args):
    return {"least": parts(*args)["least"]}
"""


@pytest.mark.parametrize(
    ("name", "function", "merge"),
    [
        ("out.json", "parts", "resumed.py:merge"),
        ("out.json", "parts", None),
        ("out.csv", "rows", None),
        ("out.ndjson", "rows", None),
        ("out.csv", "rows", "list"),
    ],
)
def test_an_interrupted_run_is_resumed(source, tmp_path, module, name, function, merge, leftovers):
    module(RESUMED, "resumed.py")
    options = {"windows": WINDOWS, "jobs": 1, "merge": merge, "global_args": {"end": [1, 2]}}
    with pytest.raises(MuchoError, match="that is enough"):
        run(source, name, f"resumed.py:{function}", resume=True, **options)
    assert not (tmp_path / name).exists()
    (tmp_path / "go").touch()
    report = run(source, name, f"resumed.py:{function}", resume=True, **options)
    assert report.resumed == 6
    resumed = (tmp_path / name).read_bytes()
    run(source, name, f"resumed.py:{function}", overwrite=True, **options)
    assert (tmp_path / name).read_bytes() == resumed
    assert not leftovers()
    assert not list(tmp_path.glob("*.mucho-partial"))


def test_another_merge_is_another_run(source, tmp_path, module):
    module(RESUMED, "resumed.py")
    options = {"windows": WINDOWS, "jobs": 1, "global_args": {"end": [1, 2]}, "resume": True}
    with pytest.raises(MuchoError, match="that is enough"):
        run(source, "out.json", "resumed.py:parts", merge="resumed.py:merge", **options)
    with pytest.raises(UsageError, match="merge"):
        run(source, "out.json", "resumed.py:parts", merge="list", **options)


def test_a_damaged_journal_is_noticed(source, tmp_path, module):
    module(RESUMED, "resumed.py")
    options = {"windows": WINDOWS, "jobs": 1, "global_args": {"end": [1, 2]}, "resume": True}
    with pytest.raises(MuchoError, match="that is enough"):
        run(source, "out.json", "resumed.py:parts", merge="resumed.py:merge", **options)
    (lines,) = tmp_path.glob("out.json.mucho-partial/*.ndjson")
    data = bytearray(lines.read_bytes())
    data[-5:-1] = b"1234"
    lines.write_bytes(data)
    (tmp_path / "go").touch()
    report = run(source, "out.json", "resumed.py:parts", merge="resumed.py:merge", **options)
    assert report.resumed == 5


MOSAIC = """
import os

def run(data, window, ij, global_args):
    if list(ij) == [2, 3] and not os.path.exists("go"):
        raise ValueError("that is enough")
    rows = [{"row": ij[0], "col": ij[1]}]
    total = float(data[0].mean()) / 3
    return {"out": data[0], "total": total, "rows": rows, "most": [ij[0]]}

def to_set(a, b):
    return {*a, *b}
"""


def test_an_interrupted_mosaic_keeps_the_values_of_its_parts(source, tmp_path, module, leftovers):
    module(MOSAIC, "mosaic.py")

    def make(name, most="numpy:maximum", **options):
        also = [
            Output(name="total", path=f"{name}.json", merge="sum"),
            Output(name="rows", path=f"{name}.csv"),
            Output(name="most", path=f"{name}_most.json", merge=most),
        ]
        return run(
            source, f"{name}.vrt", "mosaic.py:run", windows=WINDOWS, part_size=32, also=also,
            jobs=1, **options,
        )  # fmt: skip

    with pytest.raises(MuchoError, match="that is enough"):
        make("a", resume=True)
    assert not (tmp_path / "a.json").exists()
    (tmp_path / "go").touch()
    assert make("a", resume=True).resumed == 10
    make("b")
    for end in (".json", ".csv", "_most.json"):
        assert (tmp_path / f"a{end}").read_bytes() == (tmp_path / f"b{end}").read_bytes()
    with pytest.raises(
        ResultError, match=r"merge returned an object of the type set.* resume=True"
    ):
        make("c", most="mosaic.py:to_set", resume=True)
    assert not leftovers()
