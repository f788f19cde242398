import functools
import importlib.util
import subprocess
import sys

import cloudpickle
import pytest

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.inputs.windows import describe
from rio_mucho_cli.work.pickling import pack


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
        data = pack(function, "the function")
        assert "script_of_it" not in cloudpickle.list_registry_pickle_by_value()
    finally:
        del sys.modules["script_of_it"]
    assert loaded_elsewhere(data) == [b"3", b"False"]


def test_an_importable_function_travels_by_name():
    assert pack(functools.reduce, "the function") == cloudpickle.dumps(functools.reduce)
    assert len(pack(describe, "the function")) < 200


def test_closures_and_lambdas_travel_by_value():
    step = 4
    assert loaded_elsewhere(pack(lambda x: x + step, "the function")) == [b"5", b"False"]


def test_code_that_travels_by_value_knows_its_file():
    def outer(x):
        def inner():
            return sys._getframe()

        return {frame.f_code.co_filename for frame in (sys._getframe(), inner())}

    assert loaded_elsewhere(pack(outer, "the function")) == [b"{%a}" % __file__, b"False"]


def test_what_cannot_travel_is_wrong_usage():
    with pytest.raises(UsageError, match="global_args cannot be sent to worker processes"):
        pack({"file": sys.stdout}, "global_args")
