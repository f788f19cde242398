"""Which modules are the user's own, and what of them code uses."""

from __future__ import annotations

import dis
import functools
import sys
import sysconfig
from collections.abc import Collection, Iterator
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

# What functools.lru_cache makes; pickle knows it by its name only.
CACHE = type(functools.lru_cache(len))

PACKAGE = __name__.partition(".")[0]
# Folders for what is installed, in every layout: of a venv, of Debian, of the user.
_INSTALLED = {"site-packages", "dist-packages"}
# What every module has that code may ask for.
_OF_ITSELF = {"__name__", "__doc__", "__file__", "__package__", "__path__", "__getattr__"}
# With these, code reaches globals whose names it does not have.
_ANY_GLOBAL = {"globals", "eval", "exec"}


def owner_of(value: Any) -> str:
    """Return the name of the module that a function, class or module belongs to, or is."""
    name = value.__name__ if isinstance(value, ModuleType) else value.__module__
    return name if isinstance(name, str) else ""


def is_own(module: ModuleType) -> bool:
    """Whether a module is the user's: Python source that is not installed.

    What is installed in editable mode lies where the user works on it, and is
    the user's. A script is, too.
    """
    name = module.__name__
    if name == "__main__":
        return True
    if name.partition(".")[0] == PACKAGE:
        return False
    place = getattr(module, "__file__", None)
    if place is None:  # built in, or the folder of a package without __init__.py
        place = next(iter(getattr(module, "__path__", ())), None)
        return place is not None and not is_installed(str(place))
    return place.endswith((".py", ".pyc")) and not is_installed(place)


@functools.cache
def is_installed(place: str) -> bool:
    """Whether a file or a folder is the interpreter's or in a folder for installed packages."""
    path = Path(place).resolve()
    return not _INSTALLED.isdisjoint({*path.parts, *Path(place).parts}) or any(
        path.is_relative_to(folder) for folder in _stdlib()
    )


@functools.cache
def _stdlib() -> tuple[Path, ...]:
    paths = (sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib"))
    return tuple({Path(path).resolve() for path in paths})


def can_be_imported(module: ModuleType) -> bool:
    """Whether importing a module by its name gives that module.

    importlib.util.find_spec would answer from sys.modules, where modules that
    were loaded from a file by hand stand as well.
    """
    name = module.__name__
    place = getattr(module, "__file__", None)
    if name == "__main__" or place is None:
        return name != "__main__" and _found_by_name(module)
    return is_installed(place) or _found_by_name(module)


def _found_by_name(module: ModuleType) -> bool:
    name = module.__name__
    package = sys.modules.get(name.rpartition(".")[0])
    path = getattr(package, "__path__", None)
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            built_in = spec.origin in {None, "built-in", "frozen"}
            return built_in or spec.origin == getattr(module, "__file__", None)
    return False


@functools.lru_cache(maxsize=4096)
def names_in(code: CodeType) -> frozenset[str]:
    """Return the names of globals and attributes that code has, that within it included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= names_in(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            names.add(constant)  # for getattr
    return frozenset(names)


def used_by(module: ModuleType, names: Collection[str]) -> dict[str, Any]:
    """Return what a module has under names that code has, and what all modules have."""
    wanted = _OF_ITSELF.union(names)
    return {name: value for name, value in vars(module).items() if name in wanted}


@functools.lru_cache(maxsize=4096)
def global_names(code: CodeType) -> frozenset[str]:
    """Return the names of globals that code has, that within it included."""
    names = {
        each.argval
        for each in dis.get_instructions(code)
        if "GLOBAL" in each.opname or each.opname == "LOAD_NAME"
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= global_names(constant)
    return frozenset(names)


def reaches_any_global(function: FunctionType) -> bool:
    """Whether a function may look for globals by names that are not in its code."""
    code = function.__code__
    return not _ANY_GLOBAL.isdisjoint(names_in(code)) and any(
        name not in function.__globals__ for name in _ANY_GLOBAL & global_names(code)
    )


def parts_of(value: Any) -> Iterator[Any]:
    """Yield what goes with a function or a class that travels by value."""
    if isinstance(value, CACHE):
        value = value.__wrapped__
    if isinstance(value, FunctionType):
        names = global_names(value.__code__)
        yield from (value.__globals__[name] for name in names if name in value.__globals__)
        yield from (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        yield from vars(value).values()
        for cell in value.__closure__ or ():
            yield from _content(cell)
    elif isinstance(value, type):
        for name, each in vars(value).items():
            if not (name.startswith("__") or name == "_abc_impl" or hasattr(each, "__get__")):
                yield each


def _content(cell: CellType) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:  # nothing is in it yet
        return
