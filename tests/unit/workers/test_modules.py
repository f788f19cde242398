import email.message
import json
import sys
import types
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import rio_mucho_cli
from rio_mucho_cli.workers import source as m


@pytest.mark.parametrize("module", [json, email.message, np, sys, cloudpickle, rio_mucho_cli])
def test_what_is_installed_is_not_ones_own(module):
    assert not m.is_own(module)
    assert m.can_be_imported(module)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/home/me/work/ndvi.py", True),
        ("/home/me/.local/lib/python3.11/site-packages/ndvi.py", False),
        ("/usr/lib/python3/dist-packages/ndvi/__init__.py", False),
        ("/home/me/work/fast.cpython-311-x86_64-linux-gnu.so", False),
        (None, False),
    ],
)
def test_the_place_of_a_file_says_whose_it_is(place, expected):
    module = types.ModuleType("ndvi")
    module.__file__ = place
    assert m.is_own(module) == expected


def test_this_module_is_ones_own():
    assert m.is_own(sys.modules[__name__])
    assert m.is_own(sys.modules["__main__"])


def test_a_link_into_a_folder_of_packages_is_installed(tmp_path):
    place = Path(json.__file__)
    (tmp_path / "json.py").symlink_to(place)
    assert m.is_installed(str(tmp_path / "json.py"))


def test_a_function_that_evaluates_may_use_any_global():
    def plain(x):
        return x

    def model(x):
        return x.eval()

    def inner(x):
        return [eval(each) for each in x]

    def own(x, globals=dict):  # noqa: A002
        return globals(x)

    found = [m.reaches_any_global(each) for each in (plain, model, inner, own)]
    assert found == [False, False, True, False]
