import importlib
import os
import sys

import pytest

from rio_mucho_cli.errors import FunctionNotFoundError, UsageError
from rio_mucho_cli.workers import reloading
from rio_mucho_cli.workers.functions import FunctionRef


@pytest.fixture(params=["calls.py:run", "calls:run", "package.calls:run"])
def reference(request, module, tmp_path):
    """A function that calls another module of its folder, which has a number."""
    (tmp_path / "package").mkdir()
    module("", "package/__init__.py")
    for folder in ("", "package/"):
        module("from counted import number\ndef run(): return number\n", f"{folder}calls.py")
    set_number(tmp_path, 1)
    return FunctionRef(request.param, str(tmp_path))


def set_number(folder, number):
    (folder / "counted.py").write_text(f"number = {number}\n")


def test_a_function_is_imported_once_while_its_files_stay(reference):
    assert reference.load() is reference.load()


def test_a_function_is_imported_anew_when_what_it_imports_has_changed(reference, tmp_path):
    """Also within a second, and where the file has as many bytes as before."""
    for number in (1, 2, 3):
        set_number(tmp_path, number)
        assert reference.load()() == number


def test_what_the_program_imported_itself_counts_as_well(reference, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("counted")
    set_number(tmp_path, 2)
    assert reference.load()() == 2


def test_what_was_there_before_this_process_stays(reference, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    counted = importlib.import_module("counted")
    counted.number = 5
    for file in tmp_path.rglob("*.py"):
        os.utime(file, ns=(10**18, 10**18))
    assert reference.load()() == 5
    assert sys.modules["counted"] is counted


def test_a_mistake_leaves_what_was_there(reference, tmp_path):
    function = reference.load()
    counted = sys.modules["counted"]
    (tmp_path / "counted.py").write_text("number = (\n")
    with pytest.raises(FunctionNotFoundError, match="SyntaxError"):
        reference.load()
    assert sys.modules["counted"] is counted
    set_number(tmp_path, 1)
    assert reference.load()() == function() == 1


def test_a_pinned_function_is_refused_when_it_has_changed(reference, tmp_path, monkeypatch):
    pinned = reference.pinned()
    assert pinned.load()() == 1
    set_number(tmp_path, 2)
    with pytest.raises(UsageError, match=rf"the code of {reference.name} changed during the run"):
        pinned.load()
    assert reference.pinned().load()() == 2


def test_other_machines_have_it_elsewhere(module, tmp_path):
    module("def run(): return 1\n", "calls.py")
    pinned = FunctionRef("calls:run", str(tmp_path)).pinned()
    (tmp_path / "there").mkdir()
    (tmp_path / "calls.py").rename(tmp_path / "there" / "calls.py")
    sys.path.insert(0, str(tmp_path / "there"))
    assert pinned.load()() == 1


def test_installed_functions_are_what_they_are():
    assert FunctionRef("json:dumps", ".").pinned().code is None
    assert FunctionRef("numpy:hypot", ".").pinned().code is None


def test_a_process_knows_when_it_was_started():
    assert reloading._FIRST_SEEN - 3600 < reloading._started() <= reloading._FIRST_SEEN
