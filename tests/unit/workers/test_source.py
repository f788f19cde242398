import math
import sys

import pytest

from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.source import source_digest


@pytest.fixture
def folder(tmp_path):
    files = {
        "ndvi.py": "import helpers, numpy\nfrom pkg.deep import x\nraise SystemExit\n",
        "helpers.py": "import more\nimport ndvi\n",
        "more.py": "1",
        "unused.py": "1",
        "broken.py": "def (\n",
        "binary.py": "\0",
        "escape.py": "'\\d'\n",
        "pkg/__init__.py": "raise SystemExit\n",
        "pkg/deep/__init__.py": "",
        "pkg/deep/inner.py": "raise SystemExit\n",
        "pkg/other.py": "",
        "space/part.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def changed_by(folder, name):
    """Return the files that a function's digest depends on."""
    reference = FunctionRef(name, str(folder))
    before = source_digest(reference)
    found = set()
    for file in folder.rglob("*.py"):
        content = file.read_bytes()
        file.write_bytes(content + b"# changed\n")
        if source_digest(reference) != before:
            found.add(str(file.relative_to(folder)))
        file.write_bytes(content)
    assert source_digest(reference) == before
    return found


PACKAGE = {"pkg/__init__.py", "pkg/deep/__init__.py", "pkg/deep/inner.py", "pkg/other.py"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndvi.py:run", {"ndvi.py", "helpers.py", "more.py"} | PACKAGE),
        ("ndvi:run", {"ndvi.py", "helpers.py", "more.py"} | PACKAGE),
        ("ndvi:Class.method", {"ndvi.py", "helpers.py", "more.py"} | PACKAGE),
        ("more:run", {"more.py"}),
        ("pkg:run", PACKAGE),
        ("pkg.other:run", PACKAGE),
        ("pkg.deep.inner:run", PACKAGE),
        ("pkg/other.py:run", {"pkg/other.py"}),
        ("space.part:run", {"space/part.py"}),
        ("broken:run", {"broken.py"}),
        ("binary:run", {"binary.py"}),
        ("escape:run", {"escape.py"}),
    ],
)
def test_all_files_that_a_function_comes_from_and_no_others(folder, name, expected):
    modules = set(sys.modules)
    assert changed_by(folder, name) == expected
    assert not (set(sys.modules) - modules) & {"ndvi", "pkg", "space"}


def test_where_the_files_lie_is_of_no_matter(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "folder"
    before = source_digest(FunctionRef("ndvi:run", str(folder)))
    folder.rename(elsewhere)
    assert source_digest(FunctionRef("ndvi:run", str(elsewhere))) == before


@pytest.mark.parametrize(
    "name",
    ["missing:run", "missing.py:run", "ndvi.part:run", "pkg.missing:run", "space:run", "run"],
)
def test_what_is_not_there_is_for_others_to_tell(folder, name):
    assert source_digest(FunctionRef(name, str(folder))) is None


def test_installed_modules(folder):
    assert source_digest(FunctionRef("json.decoder:JSONDecoder", str(folder)))
    assert source_digest(FunctionRef("sys:exit", str(folder))) is None
    file = getattr(math, "__file__", None)
    assert (source_digest(FunctionRef("math:hypot", str(folder))) is None) == (file is None)
