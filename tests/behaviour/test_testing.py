"""`check`: what it returns, and each thing that it may say."""

import functools
import random
import threading
import warnings

import numpy as np
import pytest
import rasterio

import rio_mucho_cli
from rio_mucho_cli import MuchoChildError, ResultError, UsageError
from rio_mucho_cli.testing import check, trials
from rio_mucho_cli.testing.comparison import Tolerance, choose_windows

ROWS, COLS = 50, 42
DATA = np.random.default_rng(0).integers(0, 1000, (ROWS, COLS)).astype("uint16")
FLOATS = DATA.astype("float64")


def says(function, arrays=DATA, **given):
    """Return the lines in which `check` says that something is wrong."""
    with pytest.raises(AssertionError) as caught:
        check(function, arrays, **given)
    return str(caught.value).splitlines()


def double(a):
    return a * 2


def shifted(a, by):
    """Return what stands so many columns to the left, and the edge where nothing does."""
    return np.pad(a, ((0, 0), (by, 0)), mode="edge")[:, : a.shape[1]]


def test_it_is_loaded_when_it_is_used():
    assert rio_mucho_cli.testing.check is check


# What it returns.


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (7, 5), (ROWS, COLS)])
def test_the_result_of_the_whole(shape):
    data = np.arange(np.prod(shape), dtype="uint16").reshape(shape)
    result = check(double, data, plain=True)
    assert (result.shape, result.dtype) == ((1, *shape), "uint16")
    np.testing.assert_array_equal(result[0], data * 2)


def test_arrays_of_several_bands_and_paths(make_raster, read):
    path = make_raster(data=np.stack([DATA, DATA + 1]))
    result = check(lambda data, *_: data, [path, DATA], mode="array_read")
    np.testing.assert_array_equal(result, [DATA, DATA + 1, DATA])
    np.testing.assert_array_equal(check(lambda a: a, str(path), plain=True), read(path))
    np.testing.assert_array_equal(check(double, path, plain=True, bidx=2)[0], (DATA + 1) * 2)


def test_a_lossy_input_does_not_make_a_lossy_output(make_raster, read):
    path = make_raster(data=np.stack([DATA.astype("uint8")] * 3), compress="jpeg")
    np.testing.assert_array_equal(check(lambda a: a, path, plain=True), read(path))


def both(a, factor=2):
    return {"double": a * factor, "square": a.astype("float32") ** 2}


class Both:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, data, window, ij, global_args):
        return both(data[0], self.factor)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (both, {"plain": True}),
        (lambda data, *_: both(data[0]), {}),
        (Both, {"global_args": {"factor": 2}}),
        (functools.partial(both, factor=2), {"plain": True}),
    ],
)
def test_arrays_by_name(function, given):
    result = check(function, DATA, **given)
    assert list(result) == ["double", "square"]
    assert [array.dtype for array in result.values()] == ["uint16", "float32"]
    np.testing.assert_array_equal(result["double"][0], DATA * 2)
    np.testing.assert_array_equal(result["square"][0], DATA.astype("float32") ** 2)


def test_one_array_by_its_name():
    result = check(lambda a: {"double": a * 2}, DATA, plain=True)
    assert list(result) == ["double"]
    np.testing.assert_array_equal(result["double"][0], DATA * 2)


def test_each_array_is_compared():
    lines = says(lambda a: {"one": a, "two": shifted(a, 1)}, plain=True)
    assert lines[0].startswith("array 'two': the result depends on the windows: with windows")
    assert lines[-1].startswith("with overlap=1 the result does not depend on the windows")


def test_an_array_that_some_windows_do_not_have():
    def changing(a):
        return {"one": a, "two": a} if a.size == DATA.size else {"one": a}

    with pytest.raises(MuchoChildError, match="the function returned no array 'two'"):
        check(changing, DATA, plain=True)


def test_what_a_run_refuses_is_refused_in_its_words():
    class Bare:
        def __init__(self, factor):
            pass

    with pytest.raises(ResultError, match="Bare has no __call__"):
        check(Bare, DATA, global_args={"factor": 2})
    with pytest.raises(MuchoChildError, match="pass plain=True"):
        check(lambda a: a, DATA)


def test_a_function_that_reads_for_itself():
    def read_window(datasets, window, ij, global_args):
        return datasets[0].read(window=window) * global_args["factor"]

    result = check(read_window, DATA, mode="manual_read", global_args={"factor": 3})
    np.testing.assert_array_equal(result[0], DATA * 3)


def test_a_function_by_name(module):
    module("def triple(a):\n    return a * 3\n", "functions.py")
    for name in ("functions:triple", "functions.py:triple"):
        np.testing.assert_array_equal(check(name, DATA, plain=True)[0], DATA * 3)


def test_what_is_said_of_the_job_counts():
    result = check(double, DATA, plain=True, dtype="float32", count=1, nodata=np.nan)
    assert result.dtype == "float32"
    smooth = check(lambda a: shifted(a, 2), DATA, plain=True, overlap=2, boundary="edge")
    np.testing.assert_array_equal(smooth[0], shifted(DATA, 2))


@pytest.mark.parametrize(("nodata", "kind"), [(0, np.ndarray), (None, np.ma.MaskedArray)])
def test_masked_arrays(nodata, kind):
    data = np.ma.masked_less(DATA, 500)
    result = check(lambda a: a + 1, data, plain=True, masked=True, nodata=nodata)
    assert type(result) is kind
    hidden = np.ma.getmaskarray(result)[0] if nodata is None else result[0] == 0
    np.testing.assert_array_equal(hidden, data.mask)


def test_rounding_that_is_allowed_for():
    def noisy(a):
        return a * (1 + 1e-9 * a.shape[1])

    assert check(noisy, FLOATS, plain=True, rtol=1e-6).shape == (1, ROWS, COLS)
    assert check(noisy, FLOATS, plain=True, atol=1e-3).shape == (1, ROWS, COLS)
    assert "differ" in says(noisy, FLOATS, plain=True, atol=1e-8)[0]


def test_nothing_is_warned_of_nor_left_in_memory(monkeypatch):
    made = []

    class Noted(trials.MemoryFile):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self.name)

    monkeypatch.setattr(trials, "MemoryFile", Noted)
    monkeypatch.setattr(trials, "MemoryFile", Noted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(double, [DATA], plain=True)
    assert len(made) > 2
    for name in made:
        with pytest.raises(rasterio.errors.RasterioIOError):
            rasterio.open(name)


# Where results differ.


def test_where_and_how_many_and_by_how_much():
    def strange(data, window, ij, global_args):
        out = np.full((2, window.height, window.width), DATA[0, 0])
        if window.width == 22 and window.col_off == 0 and window.row_off:
            out[1, 3, 4] += 7
            out[1, 5, 1] += 2
        return out

    value = DATA[0, 0]
    assert says(strange)[:2] == [
        "the result depends on the windows: with windows of 22 x 26 pixels (width x height), "
        "2 of 2100 pixels differ from the result for the whole raster, by up to 7",
        f"the first is at row 29, column 4, band 2: {value + 7} in window rows 26:50, "
        f"columns 0:22, {value} in the whole raster",
    ]


def test_pixels_that_are_masked_in_one_only():
    def mask(a):
        return np.ma.masked_where(np.full(a.shape, a.shape[1] == COLS), a)

    first, second, *_ = says(mask, plain=True)
    assert first.endswith("2100 of 2100 pixels differ from the result for the whole raster")
    where = "in window rows 0:26, columns 0:22, masked in the whole raster"
    assert second.endswith(f"{DATA[0, 0]} {where}")


def test_another_dtype_or_count_for_all_windows():
    def fewer(a):
        return np.stack([a] * (2 if a.size == DATA.size else 1))

    assert says(fewer, plain=True)[0] == (
        "the result depends on the windows: with windows of 22 x 26 pixels (width x height) it has "
        "count 1 and dtype uint16, for the whole raster count 2 and dtype uint16"
    )


# Why.


@pytest.mark.parametrize(
    ("reach", "given"), [(1, 0), (2, 0), (3, 0), (5, 0), (2, 1), (5, 1), (9, 3)]
)
def test_the_smallest_overlap_is_named(reach, given):
    hint = says(lambda a: shifted(a, reach), plain=True, overlap=given)[2]
    assert hint == (
        f"with overlap={reach} the result does not depend on the windows: the function uses "
        "neighbouring pixels"
    )
    check(lambda a: shifted(a, reach), DATA, plain=True, overlap=reach)


@pytest.mark.parametrize("function", [lambda a: a - a.mean(), lambda a: shifted(a, 11)])
def test_no_overlap_helps(function):
    assert says(function, plain=True)[2].startswith(
        "no overlap up to 10 is enough: pixels depend on"
    )


def test_an_overlap_with_which_the_function_fails_is_not_spoken_of():
    def fixed(data, window, ij, global_args):
        assert data[0].shape[1:] == (window.height, window.width)
        return data[0] - data[0].min()

    assert len(says(fixed)) == 2


def test_a_function_that_is_not_deterministic():
    assert "the function is not deterministic" in says(lambda a: a + random.random(), plain=True)[2]


def test_a_function_that_keeps_something_between_windows():
    calls = []
    most = [0]

    class Counting:
        def __init__(self):
            self.n = 0

        def __call__(self, data, window, ij, global_args):
            self.n += 1
            return data[0] + np.uint16(self.n)

    def numbered(a):
        calls.append(None)
        return a + np.uint16(len(calls))

    def brighter(a):
        most[0] = max(most[0], a.max())
        return a / most[0]

    hint = "the same windows in reverse order give another result: the function keeps state"
    assert says(Counting)[2].startswith(hint)
    assert says(numbered, plain=True)[2].startswith(hint)
    assert says(brighter, plain=True)[2].startswith(hint)
    assert (calls, most) == ([], [0])  # each run had a copy


def test_what_a_module_keeps_is_not_left_from_an_earlier_run(module):
    module(
        "most = 0\ndef brighter(a):\n    global most\n    most = max(most, a.max())\n"
        "    return a / most\n",
        "bright.py",
    )
    for name in ("bright:brighter", "bright.py:brighter"):
        assert "in reverse order give another result" in says(name, plain=True)[2]


def test_a_function_that_uses_ij():
    hint = says(lambda data, window, ij, global_args: data[0] + np.uint16(ij[1]))[2]
    assert hint.startswith("the same windows with ij (0, 0) give another result")


@pytest.mark.parametrize("name", ["col_off", "height"])
def test_a_function_that_uses_its_window(name):
    hint = says(lambda data, window, ij, _: data[0] + np.uint16(getattr(window, name)))[2]
    assert hint.startswith("the same data with another window gives the whole raster")


def test_windows_that_are_skipped():
    data = np.ma.masked_array(DATA, mask=np.arange(ROWS)[:, np.newaxis] < np.full(COLS, ROWS // 2))
    given = {"plain": True, "skip_masked": True, "nodata": 0}
    hint = says(lambda a: a + 1, data, **given)[2]
    assert hint.startswith("without skip_masked the result does not depend on the windows")
    assert check(lambda a: a + 1, data, masked=True, **given).min() == 0


def test_what_may_be_right_is_not_blamed():
    def ramp(data, window, ij, global_args):
        array = shifted(data[0][0], 2)
        left = window.col_off - (array.shape[1] - window.width) // 2
        return array + np.arange(left, left + array.shape[1])

    # It uses its window as it should; what it lacks is neighbours.
    assert says(ramp)[2].startswith("with overlap=2 the result does not depend on the windows")


def test_numbers_that_are_rounded_in_another_way():
    def rounded(a):
        return a + a.shape[1] * 1e-12

    assert says(rounded, FLOATS, plain=True)[2] == (
        "with rtol=1e-12 and atol=1e-09 the results are equal: rounding differs"
    )
    hint = says(lambda a: rounded(shifted(a, 2)), FLOATS, plain=True)[2]
    assert hint.startswith("with overlap=2, rtol=1e-12 and atol=1e-09 the result does not depend")


# What is no dependence on windows, and fails.


def test_what_the_function_raises_names_the_windows():
    def narrow(a):
        return np.gradient(a, axis=1)

    with pytest.raises(MuchoChildError, match="too small") as caught:
        check(lambda a: narrow(a) * 0, DATA, plain=True)
    assert caught.value.__notes__ == [
        "This happens in window rows 0:49, columns 41:42, with windows of 41 x 49 pixels (width x "
        "height); the whole raster, as one window, did not fail."
    ]
    with pytest.raises(MuchoChildError) as caught:
        check(lambda a: 1 / 0, DATA, plain=True)
    assert not hasattr(caught.value, "__notes__")
    assert len(caught.traceback) == 3


def test_results_unlike_each_other_are_the_engines_error():
    with pytest.raises(ResultError, match="dtype"):
        check(lambda a: a.astype("float32" if a.shape[1] == 22 else "float64"), DATA, plain=True)


def test_a_function_that_cannot_be_sent():
    lock = threading.Lock()

    def locked(a):
        with lock:
            return a

    with pytest.raises(UsageError, match="the function cannot be sent to worker processes"):
        check(locked, DATA, plain=True)
    with pytest.raises(UsageError, match="global_args cannot be sent to worker processes"):
        check(lambda data, *_: data[0], DATA, global_args={"lock": lock})


@pytest.mark.parametrize(
    ("arrays", "given", "message"),
    [
        (3, {}, "arrays are 3: expected an array, a path, or a sequence"),
        ([[1, 2]], {}, r"array 1 has the shape \(2,\): expected \(rows, cols\)"),
        (np.zeros((0, 3)), {}, r"array 1 has the shape \(1, 0, 3\)"),
        ([DATA, DATA[1:]], {}, "array 2 is 42 x 49 pixels, array 1 is 42 x 50"),
        ([DATA, DATA.astype("U3")], {}, "array 2 has the dtype <U3, which GDAL does not"),
        (np.ma.array([DATA] * 2, mask=[DATA > 9, DATA > 8]), {}, "an array have different masks"),
        (DATA, {"windows": 3}, "check has no 'windows': expected one of like, extent, "),
        (DATA, {"overlpa": 3}, "check has no 'overlpa': did you mean 'overlap'"),
        (DATA, {"overlap": -1}, "overlap is -1"),
        (DATA, {"mode": "read"}, "mode is 'read'"),
    ],
)
def test_what_makes_no_sense(arrays, given, message):
    with pytest.raises(UsageError, match=message):
        check(double, arrays, plain=True, **given)


# Which windows.


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (5, 7), (16, 16), (42, 50), (300, 260)])
def test_windows_cover_the_raster_and_are_several(size):
    width, height = size
    ways = choose_windows(width, height)
    assert bool(ways) == (size != (1, 1))
    for windows in ways:
        seen = np.zeros((height, width), int)
        for window, _ in windows:
            seen[window.toslices()] += 1
        assert (seen == 1).all()
        assert 1 < len(windows) < 200


def test_windows_are_of_all_kinds():
    ways = choose_windows(42, 50)
    shapes = [{(w.width, w.height) for w, _ in windows} for windows in ways]
    assert {(22, 26), (20, 24)} <= shapes[0]
    assert (1, 1) in shapes[1]
    assert {width for width, _ in shapes[2]} == {42}
    assert {height for _, height in shapes[3]} == {50}
    assert ways[4][0][1] > ways[4][-1][1]  # the last one first


def test_all_digits_of_integers_count():
    one = np.full((1, 2, 2), 2**60)
    assert Tolerance().are_equal(one, one)
    assert not Tolerance().are_equal(one, one + 1)
