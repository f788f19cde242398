import functools
import importlib
import importlib.util
import pickle
import subprocess
import sys

import cloudpickle
import pytest

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.windows import format_window
from rio_mucho_cli.workers.pickling import dumps


def loaded_elsewhere(data):
    """Unpickle in a new interpreter, call, and return what it prints."""
    code = (
        "import sys, cloudpickle; "
        "print(cloudpickle.loads(sys.stdin.buffer.read())(1), 'script_of_it' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    return done.stdout.split()


SCRIPT = """
import functools
step = 2

@functools.lru_cache(maxsize=3)
def cached(x): return x + step

def run(x): return cached(x)
"""


@pytest.mark.parametrize("wrapped", ["plain", "cached", "partial", "closure", "module"])
def test_a_module_that_only_this_process_knows_travels_by_value(tmp_path, wrapped):
    path = tmp_path / "script_of_it.py"
    path.write_text(SCRIPT)
    spec = importlib.util.spec_from_file_location("script_of_it", path)
    script = importlib.util.module_from_spec(spec)
    sys.modules["script_of_it"] = script
    try:
        spec.loader.exec_module(script)
        function = {
            "plain": script.run,
            "cached": script.cached,
            "partial": functools.partial(script.run),
            "closure": lambda x, run=script.run: run(x),
            "module": lambda x: script.run(x),
        }[wrapped]
        data = dumps(function, "the function")
        assert "script_of_it" not in cloudpickle.list_registry_pickle_by_value()
    finally:
        del sys.modules["script_of_it"]
    assert loaded_elsewhere(data) == [b"3", b"False"]


def test_an_importable_function_travels_by_name():
    assert dumps(functools.reduce, "the function") == cloudpickle.dumps(functools.reduce)
    assert len(dumps(format_window, "the function")) < 200


def test_closures_and_lambdas_travel_by_value():
    step = 4
    assert loaded_elsewhere(dumps(lambda x: x + step, "the function")) == [b"5", b"False"]


def test_code_that_travels_by_value_knows_its_file():
    def outer(x):
        def inner():
            return sys._getframe()

        return {frame.f_code.co_filename for frame in (sys._getframe(), inner())}

    assert loaded_elsewhere(dumps(outer, "the function")) == [b"{%a}" % __file__, b"False"]


def test_what_cannot_travel_is_wrong_usage():
    with pytest.raises(UsageError, match="global_args cannot be sent to worker processes"):
        dumps({"file": sys.stdout}, "global_args")


OWN = """
import ctypes, dataclasses, enum, functools, threading
import own_helper
from own_helper import Odd

print("own was imported")
limit = 1
lock = threading.Lock()
library = ctypes.CDLL(None)

@dataclasses.dataclass
class Point:
    x: int = 2

class Kind(enum.Enum):
    ONE = 1

class Base:
    def twice(self, x): return 2 * x

class Scaler(Base):
    factor = 3
    def twice(self, x): return super().twice(x) * self.factor

def plain(x): return x + limit
def through_module(x): return own_helper.step(x) + own_helper.more.number
def classes(x): return Scaler().twice(x) + Point().x + Kind(1).value
def odd(x): return Odd(x).args[0]
def recursive(x): return 1 if x > 5 else recursive(x + 1) + 1
def locked(x):
    with lock:
        return own_helper.step(x)
def by_library(x): return library.abs(-x)
def any_global(x): return globals()["limit"]
def by_getattr(x): return getattr(own_helper, "".join(["st", "ep"]))(x)
"""
OWN_HELPER = """
import own_more as more, threading

print("own_helper was imported")
size, lock = 10, threading.Lock()
class Odd(Exception): pass
import own
def step(x): return own.plain(x) + size
def unused():
    with lock: pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Import modules of one's own, which other processes can import as well."""
    texts = {"own": OWN, "own_helper": OWN_HELPER, "own_more": "number = 100\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield importlib.import_module("own")
    for name in texts:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("plain", 8), ("through_module", 118), ("classes", 9), ("odd", 1), ("recursive", 6)],
)
def test_own_modules_travel_as_they_are_here(own, name, expected):
    own.limit = 7
    data = dumps(getattr(own, name), "the function", by_value=True)
    assert loaded_elsewhere(data) == [b"%d" % expected, b"False"]


def test_what_no_code_names_is_looked_up_where_it_is(own):
    own.limit = 7
    printed = loaded_elsewhere(dumps(own.by_getattr, "the function", by_value=True))
    assert printed == b"own_helper was imported own was imported 12 False".split()


@pytest.mark.parametrize("name", ["locked", "by_library", "any_global"])
def test_own_modules_that_cannot_be_pickled_travel_by_name(own, name):
    own.limit = 7
    function = getattr(own, name)
    printed = loaded_elsewhere(dumps(function, "the function", by_value=True))
    assert b"own was imported" in b" ".join(printed)
    assert printed[-2:] == [b"12" if name == "locked" else b"1", b"False"]
    if name != "any_global":
        with pytest.raises(UsageError, match="the function cannot be sent"):
            dumps(function, "the function", by_value=True, or_name=False)


def test_a_module_by_name_takes_along_what_it_imports(own):
    """Or a class would be there twice, by value and by name."""
    what = own.locked, own.Point(), own.Odd
    assert dumps(what, "the function", by_value=True) == dumps(what, "the function")


def test_classes_here_are_not_written_to_by_their_copies(own):
    twice, point = own.Scaler.twice, own.Point(5)
    data = dumps((own.Scaler, point), "the function", by_value=True)
    copy, copied = cloudpickle.loads(data)
    assert (copy, copied) == (own.Scaler, point)
    assert own.Scaler.twice is twice


def test_what_a_module_registers_itself_stays_registered(own):
    cloudpickle.register_pickle_by_value(own)
    try:
        dumps(own.plain, "the function", by_value=True)
        assert "own" in cloudpickle.list_registry_pickle_by_value()
    finally:
        cloudpickle.unregister_pickle_by_value(own)


def test_an_exception_comes_back_as_one_of_its_own_class(own):
    code = """if True:
        import sys, pickle, cloudpickle
        from rio_mucho_cli.workers.functions import wrap_user_error
        odd = cloudpickle.loads(sys.stdin.buffer.read())
        assert "own" not in sys.modules and "own_helper" not in sys.modules
        sys.stdout.buffer.write(pickle.dumps(wrap_user_error("it", odd(3))))
    """
    for make in (own.Odd, LocalError):
        data = dumps(make, "the function", by_value=True)
        done = subprocess.run(
            [sys.executable, "-c", code], input=data, capture_output=True, check=True
        )
        error = pickle.loads(done.stdout)
        assert type(error.exception) is make
        assert error.exception.args == (3,)


class LocalError(Exception):
    pass
