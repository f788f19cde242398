import copyreg
import pickle

import numpy as np
import pytest
from rasterio.windows import Window

from rio_mucho_cli.errors import FunctionNotFoundError, MuchoChildError, ResultError
from rio_mucho_cli.workers import functions as f
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.results import check_result

MODULE = """
import collections

def run(data, window, ij, global_args):
    return data[0]

class Model:
    factor = 2

    def __init__(self, factor=1):
        self.factor = factor

    def __call__(self, data, window, ij, global_args):
        return data[0] * self.factor

    @staticmethod
    def method(data, window, ij, global_args):
        return data[1]

class Plain:
    pass

class Picky:
    def __init__(self):
        raise ValueError("no")

obj = Model(3)
number = 3
"""


def ref(name, folder):
    return FunctionRef(name, str(folder))


@pytest.mark.parametrize("source", ["user_functions", "user_functions.py", "./user_functions.py"])
@pytest.mark.parametrize(
    ("attribute", "value"), [("run", 10), ("obj", 30), ("Model.method", 20), ("obj.method", 20)]
)
def test_function_is_found_by_module_or_path(module, tmp_path, source, attribute, value):
    module(MODULE)
    function = ref(f"{source}:{attribute}", tmp_path).load()
    assert function([10, 20], None, None, {}) == value


def test_a_file_can_import_its_neighbours(module, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "neighbour_of_it.py").write_text("value = 5")
    (tmp_path / "deep" / "it.py").write_text(
        "import neighbour_of_it\ndef run(*args): return neighbour_of_it.value"
    )
    module("")
    assert ref("deep/it.py:run", tmp_path).load()() == 5


def test_a_file_does_not_take_the_place_of_a_module(module, tmp_path):
    module("def run(*args): return 7", "random.py")
    assert ref("random.py:run", tmp_path).load()() == 7
    import random

    assert random.random() < 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("user_functions", "is not MODULE:FUNCTION, nor path/to/file.py:FUNCTION"),
        ("user_functions:", "is not MODULE:FUNCTION"),
        ("user_functions.run", "did you mean user_functions:run?"),
        (":run", "is not MODULE:FUNCTION"),
        ("user_function:run", "did you mean 'user_functions'?"),
        ("user_functions:rum", "has no attribute 'rum': did you mean 'run'?"),
        ("user_functions:Model.methot", "Model has no attribute 'methot': did you mean 'method'?"),
        ("user_functions:number", "is a int and cannot be called"),
        ("user_function.py:run", "no file user_function.py: did you mean 'user_functions.py'?"),
        ("os.pth:join", "no module named 'os.pth'"),
        ("email.mim.text:f", "no module named 'email.mim', neither installed nor in the current"),
        ("email.mim:f", "did you mean 'email.mime'?"),
        ("nump:mean", "did you mean 'numpy'?"),
        ("user_function.mean:f", "did you mean 'user_functions'?"),
        ("broken:run", "broken cannot be imported: SyntaxError: "),
        ("broken.py:run", "broken.py, line 2)"),
        ("needs:run", "No module named 'not_there_at_all'"),
        ("raises.py:run", "NameError: name 'x' is not defined"),
        ("ends:run", "SystemExit: 4"),
    ],
)
def test_what_is_wrong_with_a_name(module, tmp_path, name, says):
    module(MODULE)
    module("x = 1\ndef run(data:\n", "broken.py")
    module("import not_there_at_all", "needs.py")
    module("x", "raises.py")
    module("import sys; sys.exit(4)", "ends.py")
    with pytest.raises(FunctionNotFoundError) as caught:
        ref(name, tmp_path).load()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nomodule:f", "bsa:f", "far.py:f", "user_functions:_ru"])
def test_what_is_not_near_is_not_meant(module, tmp_path, name):
    module(MODULE)
    with pytest.raises(FunctionNotFoundError) as caught:
        ref(name, tmp_path).load()
    assert "did you mean" not in str(caught.value)


def test_a_module_of_the_folder_comes_first(module, tmp_path):
    module("def run(*args): return 7", "nunpy.py")
    with pytest.raises(FunctionNotFoundError, match="did you mean 'nunpy'"):
        ref("munpy:run", tmp_path).load()


def test_a_reduction_that_is_imported_late_is_suggested(tmp_path):
    with pytest.raises(FunctionNotFoundError, match="did you mean 'Zonal'"):
        ref("rio_mucho_cli.reductions:Zonl", tmp_path).load()


def test_a_class_is_made_with_the_global_args(module, tmp_path):
    module(MODULE)
    call = f.make_callable(ref("user_functions:Model", tmp_path).load(), {"factor": 5})
    assert call([2], None, None, {}) == 10


def test_a_class_that_cannot_be_made(module, tmp_path):
    module(MODULE)
    with pytest.raises(ResultError, match=r"Model takes no 'factr', .* did you mean 'factor'"):
        f.make_callable(ref("user_functions:Model", tmp_path).load(), {"factr": 1})
    with pytest.raises(MuchoChildError, match="Picky cannot be created: it raised ValueError: no"):
        f.make_callable(ref("user_functions:Picky", tmp_path).load(), {})
    with pytest.raises(ResultError, match="Plain has no __call__"):
        f.make_callable(ref("user_functions:Plain", tmp_path).load(), {})


WINDOW = Window(0, 0, 4, 3)


def test_results_of_two_dimensions_are_one_band():
    assert check_result(np.zeros((3, 4)), WINDOW, None).shape == (1, 3, 4)
    assert check_result(np.zeros((2, 3, 4)), WINDOW, 2).shape == (2, 3, 4)


def test_booleans_become_bytes_and_masks_stay():
    assert check_result(np.ones((3, 4), bool), WINDOW, 1).dtype == np.uint8
    assert np.ma.isMaskedArray(check_result(np.ma.masked_all((3, 4)), WINDOW, 1))


class Wrapped:
    """Converts itself to an array, as DataArrays and tensors do."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.array, Exception):
            raise self.array
        return self.array


def test_what_converts_itself_is_an_array():
    for array in [np.ones((3, 4)), np.ma.masked_greater(np.arange(12.0).reshape(3, 4), 5)]:
        found = check_result(Wrapped(array), WINDOW, 1)
        assert type(found) is type(array)
        np.testing.assert_array_equal(np.ma.filled(found[0], -1), np.ma.filled(array, -1))


class Tensor:
    """Has DLPack and nothing else, as tensors of some libraries do."""

    def __init__(self, array, device=1):
        self.array, self.device = array, device

    def __dlpack__(self, **given):
        if self.device != 1:
            raise BufferError("it is on a GPU")
        return self.array.__dlpack__(**given)

    def __dlpack_device__(self):
        return (self.device, 0)


def test_what_has_dlpack_is_an_array():
    array = np.arange(12.0, dtype="float32").reshape(3, 4)
    found = check_result(Tensor(array), WINDOW, 1)
    assert (found.shape, found.dtype) == ((1, 3, 4), "float32")
    np.testing.assert_array_equal(found[0], array)


def test_kinds_of_arrays_are_plain_or_masked(tmp_path):
    class Own(np.ma.MaskedArray):
        pass

    mapped = np.memmap(tmp_path / "mapped", "uint8", "w+", shape=(3, 4))
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(np.ones((3, 4)))
    for array in [mapped, matrix]:
        found = check_result(array, WINDOW, 1)
        assert (type(found), found.shape) == (np.ndarray, (1, 3, 4))
    found = check_result(np.ma.masked_all((3, 4)).view(Own), WINDOW, 1)
    assert (type(found), found.mask.all()) == (np.ma.MaskedArray, True)


def test_windows_off_the_pixels_may_be_rounded_either_way():
    window = Window(0.5, 0.5, 4.5, 2.5)
    assert check_result(np.zeros((3, 5)), window, 1).shape == (1, 3, 5)
    with pytest.raises(ResultError):
        check_result(np.zeros((4, 5)), window, 1)


@pytest.mark.parametrize(
    ("result", "count", "says"),
    [
        (None, None, "returned None, expected a numpy array"),
        ([1, 2], None, "returned a list, expected a numpy array"),
        (np.float32(1), None, "returned a float32, expected a numpy array"),
        (np.ndarray, None, "returned a type, expected a numpy array"),
        (
            Wrapped(TypeError("on a\nGPU")),
            1,
            "a Wrapped that cannot be converted to a numpy array (TypeError: on a GPU)",
        ),
        (
            Tensor(np.zeros((3, 4)), 2),
            1,
            "a Tensor that cannot be converted to a numpy array (BufferError: it is on a GPU)",
        ),
        (Wrapped(np.zeros((2, 4))), None, "shape (2, 4), expected (count, 3, 4)"),
        (np.zeros((1, 2, 4)), None, r"shape (1, 2, 4), expected (count, 3, 4)"),
        (np.zeros((4, 3)), 1, r"shape (4, 3), expected (1, 3, 4) or (3, 4)"),
        (np.zeros((2, 3, 4)), 3, r"shape (2, 3, 4), expected (3, 3, 4)"),
        (np.zeros((0, 3, 4)), None, r"shape (0, 3, 4), expected"),
        (np.zeros(4), None, r"shape (4,), expected"),
        (np.zeros((3, 4, 2)), None, "(count, 3, 4): bands come first, return np.moveaxis(result"),
        (np.zeros((3, 4, 2)), 2, "expected (2, 3, 4): bands come first, return np.moveaxis(result"),
        (np.full((3, 4), "a"), None, "dtype <U1, expected numbers"),
    ],
)
def test_results_that_do_not_fit(result, count, says):
    with pytest.raises(ResultError) as caught:
        check_result(result, WINDOW, count)
    assert says in str(caught.value)


def test_bands_that_come_last_within_an_overlap():
    with pytest.raises(ResultError, match=r"return np\.moveaxis\(result, -1, 0\)"):
        check_result(np.zeros((7, 8, 2)), WINDOW, None, overlap=2)


class AwkwardError(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def test_exceptions_that_cannot_travel_are_replaced_when_they_do(monkeypatch):
    # Libraries such as tblib teach pickle all exceptions that there are.
    monkeypatch.delitem(copyreg.dispatch_table, AwkwardError, raising=False)
    error = f.wrap_user_error("the function", AwkwardError(1, 2))
    assert isinstance(error.exception, AwkwardError)
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy.exception, RuntimeError)
    assert str(copy.exception) == "AwkwardError: 1 and 2"
    for either in (error, copy):
        assert "AwkwardError: 1 and 2" in either.formatted
        assert str(either).startswith("the function raised AwkwardError: 1 and 2")


@pytest.mark.parametrize(
    ("name", "path", "attribute"),
    [
        (r"dir\file.py:run", r"dir\file.py", "run"),
        (r"C:\dir\file.py:Model.run", r"C:\dir\file.py", "Model.run"),
        (r"C:/dir/file:run", "C:/dir/file", "run"),
        (r"C:\dir\file:run", r"C:\dir\file", "run"),
    ],
)
def test_paths_of_windows(name, path, attribute, monkeypatch):
    monkeypatch.setattr(f.os, "sep", "\\")
    monkeypatch.setattr(f.os, "altsep", "/")
    found = ref(name, "folder")
    assert found.is_file
    assert found.name.rpartition(":") == (path, ":", attribute)


@pytest.mark.parametrize("name", [r"C:\dir\file.py", "C:/dir/file.py", "C:file/x"])
def test_a_drive_is_no_module(name, tmp_path):
    with pytest.raises(FunctionNotFoundError, match="is not MODULE:FUNCTION"):
        ref(name, tmp_path).load()
