"""Functions that know nothing of windows: func(*arrays, **global_args)."""

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Job, MuchoChildError, Output, ResultError, RioMucho, UsageError, run
from rio_mucho_cli.windows import Size

WAYS = [("serial", 1), ("threads", 2), ("processes", 2)]


def weighted(red, nir, *, weight=1.0):
    """Take two arrays; for one band they are 2-D."""
    assert (red.ndim, nir.ndim) == (2, 2)
    return red * weight - nir


def blurred(array):
    """Return fewer rows and columns than there were: those that have all neighbours."""
    return (array[:-2, 1:-1] + array[2:, 1:-1] + array[1:-1, :-2] + array[1:-1, 2:]) / 4


class Scale:
    """Made with the global args, called with the arrays alone."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, array):
        return array * self.factor


class Nothing:
    pass


@pytest.fixture
def job(make_raster, tmp_path):
    size = {"width": 100, "height": 70}
    paths = [
        make_raster("a.tif", dtype="float32", **size),
        make_raster("b.tif", dtype="float32", seed=1, **size),
        make_raster("rgb.tif", dtype="uint8", count=3, **size),
    ]

    def make(function, inputs=1, **given):
        return Job(**{
            "inputs": [str(path) for path in paths[:inputs]],
            "output": str(tmp_path / "out.tif"),
            "function": function,
            "plain": True,
            "windows": Size(32, 48),
            "overwrite": True,
            **given,
        })  # fmt: skip

    return make


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_numpys_own_functions(job, read, executor, jobs):
    made = job(np.hypot, 2, executor=executor, jobs=jobs)
    run(made)
    np.testing.assert_array_equal(read(made.output), np.hypot(*map(read, made.inputs)))


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_global_args_by_their_names(job, read, executor, jobs):
    made = job(weighted, 2, global_args={"weight": 2.5}, executor=executor, jobs=jobs)
    run(made)
    red, nir = map(read, made.inputs)
    np.testing.assert_array_equal(read(made.output), red * 2.5 - nir)


def test_an_input_of_several_bands_stays_3d(job, read):
    shapes = []

    def total(a, b, rgb):
        shapes.append((a.ndim, b.ndim, rgb.ndim))
        return a + b + rgb.sum(axis=0, dtype="float32")

    made = job(total, 3)
    run(made)
    a, b, rgb = map(read, made.inputs)
    assert set(shapes) == {(2, 2, 3)}
    np.testing.assert_array_equal(read(made.output)[0], a[0] + b[0] + rgb.sum(0, dtype="float32"))


def test_it_is_the_bands_that_are_read_that_count(job, read):
    made = job(lambda a, b, rgb: rgb, 3, bidx={3: "2"})
    run(made)
    np.testing.assert_array_equal(read(made.output)[0], read(made.inputs[2])[1])


@pytest.mark.parametrize("bidx", [None, {3: "2,3"}])
def test_array_read_gives_one_array(job, read, bidx):
    made = job(np.median, 3, mode="array_read", global_args={"axis": 0}, bidx=bidx)
    run(made)
    a, b, rgb = map(read, made.inputs)
    bands = np.concatenate([a, b, rgb[1:] if bidx else rgb])
    np.testing.assert_array_equal(read(made.output)[0], np.median(bands, axis=0))


def test_one_band_in_array_read_is_2d(job, read):
    made = job(lambda array: array[::-1], mode="array_read", windows=Size(100, 70))
    run(made)
    np.testing.assert_array_equal(read(made.output)[0], read(made.inputs[0])[0, ::-1])


@pytest.mark.parametrize("windows", [Size(32, 48), Size(7, 70), None], ids=str)
@pytest.mark.parametrize(("overlap", "padded"), [(1, False), (3, True)])
def test_overlap(job, read, windows, overlap, padded):
    """The function may return the window's size, or the padded one."""
    function = (lambda a: np.pad(blurred(a), 1)) if padded else blurred
    made = job(function, overlap=overlap, boundary="reflect", windows=windows)
    run(made)
    array = np.pad(read(made.inputs[0])[0], 1, mode="reflect")
    np.testing.assert_array_equal(read(made.output)[0], blurred(array))


def test_masked_arrays(job, read, make_raster):
    path = make_raster("masked.tif", width=100, height=70, nodata=90)
    kinds = set()

    def root(array):
        kinds.add(type(array))
        return np.sqrt(array, dtype="float32")

    made = job(root, inputs=1, masked=True)
    made = Job(**{**vars(made), "inputs": [str(path)]})
    run(made)
    array = read(path)
    expected = np.where(array == 90, np.nan, np.sqrt(array, dtype="float32"))
    np.testing.assert_array_equal(read(made.output), expected)
    assert kinds == {np.ma.MaskedArray}


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_a_class_is_made_with_the_args_and_called_without(job, read, executor, jobs):
    made = job(Scale, global_args={"factor": 3}, executor=executor, jobs=jobs)
    run(made)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]) * 3)


def test_a_dict_goes_to_several_outputs(job, read, tmp_path):
    also = [Output(path=tmp_path / "more.tif", name="more")]
    made = job(lambda a: {"less": a - 1, "more": a + 1}, also=also)
    run(made)
    np.testing.assert_array_equal(read(tmp_path / "more.tif"), read(made.inputs[0]) + 1)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]) - 1)


def test_rio_muchos_class_takes_plain_functions(job, tmp_path, read):
    inputs = job(np.hypot, 2).inputs
    with RioMucho(inputs, tmp_path / "out.tif", np.hypot, plain=True) as rm:
        rm.run(1)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), np.hypot(*map(read, inputs)))


TYPE_ERRORS = {
    "one array too few": (np.hypot, {}, r"hypot\(\) takes from 2 to 3 positional arguments but 1"),
    "no such name": (blurred, {"speed": 1}, "blurred.* got an unexpected keyword argument 'speed'"),
    "no name at all": (abs, {"x": 1}, r"abs\(\) takes no keyword arguments"),
    "a class without its args": (
        Scale,
        {},
        "Scale cannot be created: it raised.*'factor'; .* global args: pass factor=",
    ),
    "a class with others": (Scale, {"k": 1}, "Scale cannot be created: it raised TypeError.*'k'"),
}


@pytest.mark.parametrize(("executor", "jobs"), WAYS[:2])
@pytest.mark.parametrize("case", TYPE_ERRORS)
def test_arguments_that_do_not_fit_are_the_functions_own_error(
    job, leftovers, tmp_path, case, executor, jobs
):
    function, global_args, says = TYPE_ERRORS[case]
    with pytest.raises(MuchoChildError, match=says) as caught:
        run(job(function, global_args=global_args, executor=executor, jobs=jobs))
    assert isinstance(caught.value.exception, TypeError)
    assert "rio_mucho_cli" not in caught.value.formatted
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (np.gradient, "returned a (tuple|list), expected a numpy array"),
        (np.mean, "returned a float(32|64), expected a numpy array"),
        (lambda a: a.sum(axis=0), r"returned an array of shape \(32,\), expected"),
        (np.array_str, "returned a str, expected a numpy array"),
        (Nothing, "Nothing has no __call__: a class needs one, with the arrays"),
        (blurred, r"returned an array of shape \(46, 30\), expected \(count, 48, 32\)"),
    ],
)
def test_results_that_do_not_fit(job, leftovers, function, says):
    with pytest.raises(ResultError, match=says):
        run(job(function))
    assert not leftovers()


def test_datasets_are_not_plain(job):
    with pytest.raises(UsageError, match="plain functions get arrays, but manual_read passes data"):
        job(np.sqrt, mode="manual_read")


@pytest.mark.parametrize("global_args", [None, [1], "text"])
def test_global_args_must_have_names(job, global_args):
    with pytest.raises(UsageError, match=r"global args as keyword arguments.*: pass a dict"):
        job(np.sqrt, global_args=global_args)


class TestCommand:
    def test_functions_by_name(self, mucho, read):
        result = mucho("--func", "numpy:hypot", "--plain", "-j", "2", "-q")
        assert (result.exit_code, result.output) == (0, "")
        np.testing.assert_array_equal(read("out.tif"), np.hypot(read("a.tif"), read("b.tif")))

    def test_args(self, mucho, read):
        args = ["--arg", "min=20", "--arg", "max=90"]
        result = mucho("--func", "numpy:clip", "--plain", *args, "-q", inputs=["a.tif"])
        assert (result.exit_code, result.output) == (0, "")
        np.testing.assert_array_equal(read("out.tif"), read("a.tif").clip(20, 90))

    def test_the_functions_own_error_and_its_line(self, mucho, module, leftovers):
        module("def half(a, b):\n    return a / c\n", "plain.py")
        result = mucho("--func", "plain:half", "--plain", "-j", "1")
        assert result.exit_code == 1
        lines = result.stderr.splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert 'plain.py", line 2, in half' in lines[1]
        assert lines[-1].endswith("raised NameError: name 'c' is not defined; 0 windows were done")
        assert "rio_mucho_cli" not in result.stderr
        assert not leftovers()

    def test_a_function_of_arrays_that_gets_four_arguments(self, mucho, module, leftovers):
        module("def half(a):\n    return a\ndef inner(*_):\n    return len(5)\n", "plain.py")
        result = mucho("--func", "plain:half", "-j", "1")
        line = result.stderr.splitlines()[-1]
        assert "half() takes 1 positional argument but 4 were given; it is called with " in line
        assert "pass --plain" in line
        assert "--plain" not in mucho("--func", "plain:inner", "-j", "1").stderr

    def test_a_function_of_four_arguments_that_gets_arrays(self, mucho, leftovers):
        result = mucho("--func", "mod:copy", "--plain", "-j", "1", inputs=["a.tif"])
        assert result.exit_code == 1
        assert "with --plain it is called with 1 array alone" in result.stderr

    def test_arguments_that_do_not_fit(self, mucho, leftovers):
        result = mucho("--func", "numpy:hypot", "--plain", "-j", "1", inputs=["a.tif"])
        assert result.exit_code == 1
        kind, error = result.stderr.splitlines()
        assert kind.startswith("TypeError: hypot()")
        assert error.startswith("Error: at window rows 0:16, columns 0:16 (ij (0, 0)): the func")
        assert not leftovers()


def test_the_profile_is_that_of_the_result(job):
    made = job(lambda a: a > 0.5)
    run(made)
    with rasterio.open(made.output) as dst:
        assert (dst.count, dst.dtypes) == (1, ("uint8",))
