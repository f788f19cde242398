"""Rooms import downward only, no module outgrows its page, and the map of the rooms is true."""

import ast
import re
from pathlib import Path

import pytest

import rio_mucho_cli

ROOT = Path(rio_mucho_cli.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "architecture.md"
ROOMS = [
    "__init__", "riomucho", "testing", "reductions", "examples", "cli", "api", "job_options",
    "reports", "engine", "planning", "job", "validation", "workers", "utils", "outputs", "geotiff",
    "inputs", "gcps", "env", "windows", "paths", "timing", "system", "errors", "text", "dtypes",
    "signals",
    "single_process_pool",
]  # fmt: skip
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")
}
LIMIT = 400  # lines


def imported(path):
    """Yield what a module imports of this package, but not what type checkers alone import."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rio_mucho_cli"):
            base = node.module.split(".")[1:]
            for alias in node.names:
                name = ".".join([*base, alias.name])
                yield name if name in MODULES else ".".join(base) or "__init__"


def test_every_module_is_in_a_room():
    assert {name.split(".")[0] for name in MODULES} == set(ROOMS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    room = ROOMS.index(name.split(".")[0])
    assert [
        other for other in imported(MODULES[name]) if ROOMS.index(other.split(".")[0]) < room
    ] == []


def test_no_modules_import_each_other():
    """Take away what imports nothing that is left, until nothing is: a circle would stay."""
    graph = {name: {*imported(path)} - {name} for name, path in MODULES.items()}
    while done := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in done}
    assert graph == {}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_read_in_one_sitting(name):
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= LIMIT


def modules_named(name):
    """Return the modules that a module of this package imports, and those it imports from."""
    nodes = list(ast.walk(ast.parse(MODULES[name].read_text("utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("name", MODULES)
def test_only_the_command_line_imports_click(name):
    used = {module.split(".")[0] for module in modules_named(name)} & {"click", "cligj"}
    assert not used or name.startswith("cli.")


@pytest.mark.parametrize("name", MODULES)
def test_rasterio_s_private_modules_are_imported_in_two_places(name):
    used = [module for module in modules_named(name) if module.startswith("rasterio._")]
    assert not used or name in {"env", "paths"}


def test_the_map_of_the_rooms_is_that_of_the_package():
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    drawn = [re.match(r"[\w./]+", line) for line in blocks[0].splitlines()]
    names = [found.group().removesuffix("/").removesuffix(".py") for found in drawn if found]
    assert names == ROOMS
