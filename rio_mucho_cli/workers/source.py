"""Which modules are the user's own, what code uses of them, and the files they come from."""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import os
import sys
import sysconfig
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rio_mucho_cli.workers.functions import FunctionRef


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


@dataclass(frozen=True, slots=True)
class Code:
    """The files of a function by name, as they were when it was looked at.

    Attributes
    ----------
    files : tuple of (str, str)
        Their paths, and their names from the folder in which Python finds them.
    digest : str
        SHA-256 of names and contents.
    """

    files: tuple[tuple[str, str], ...]
    digest: str

    @classmethod
    def of(cls, reference: FunctionRef) -> Code | None:
        """Find the files that a function comes from.

        These are the file of its module, or all of the package's if that is in
        a package; and of the modules that it imports, those that are not
        installed. None if there is no such file.
        """
        start = list(_start(reference))
        first = [start[0][1]] if start else []
        return cls._read(_followed(start, [*first, *_own_folders()]))

    @classmethod
    def imported_by(cls, names: Iterable[str]) -> Code | None:
        """Find the files of modules, and of those they import, that are not installed."""
        folders = list(_own_folders())
        return cls._read(
            _followed([each for name in names for each in _in(folders, name)], folders)
        )

    @classmethod
    def _read(cls, files: Mapping[Path, tuple[str, bytes]]) -> Code | None:
        if not files:
            return None
        names = tuple((str(path), name) for path, (name, _) in files.items())
        return cls(names, _digest(files.values()))

    @property
    def paths(self) -> list[Path]:
        """Where the files are."""
        return [Path(path) for path, _ in self.files]

    def is_current(self) -> bool:
        """Whether all files are there, as they were."""
        try:
            now = [(name, Path(path).read_bytes()) for path, name in self.files]
        except OSError:
            return False
        return _digest(now) == self.digest


def source_digest(reference: FunctionRef) -> str | None:
    """Return the SHA-256 of the files that a function comes from; see `Code.of`."""
    code = reference.code or Code.of(reference)
    return None if code is None else code.digest


def is_of_installed(reference: FunctionRef) -> bool:
    """Whether a function's module is installed: then it is what it is."""
    return any(is_installed(str(file)) for file, _ in _start(reference))


def _digest(files: Iterable[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, content in sorted(files):
        for part in (os.fsencode(name), content):
            total.update(b"%d " % len(part))
            total.update(part)
    return total.hexdigest()


def _start(reference: FunctionRef) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a function's module, or package, and the folder they are found from."""
    if reference.is_file:
        yield reference.path, reference.path.parent
        return
    module, _, _ = reference.name.rpartition(":")
    spec = _found(module, reference.folder)
    if spec is None or spec.origin is None or not spec.has_location:
        return
    file = Path(spec.origin).resolve()
    is_package = spec.submodule_search_locations is not None
    folder = file.parents[module.count(".") + is_package]
    # Modules of a package may import any other of it, by a name that begins with a dot.
    package = folder / module.partition(".")[0]
    for each in _package(package) if package.is_dir() else [file]:
        yield each, folder


def _followed(
    start: Iterable[tuple[Path, Path]], folders: Iterable[Path]
) -> dict[Path, tuple[str, bytes]]:
    """Read files, and those that they import and that are not installed, and so on."""
    found: dict[Path, tuple[str, bytes]] = {}
    folders, waiting = list(dict.fromkeys(folders)), list(start)
    while waiting:
        file, folder = waiting.pop()
        if file in found:
            continue
        try:
            content = file.read_bytes()
        except OSError:
            continue
        found[file] = Path(os.path.relpath(file, folder)).as_posix(), content
        if not is_installed(str(file)):
            for name in _imported(content):
                waiting += _in(folders, name)
    return found


@functools.lru_cache(maxsize=1024)
def _imported(source: bytes) -> frozenset[str]:
    """Return the first parts of the names of modules that a module imports."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    found = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found.update(alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(module=str(name), level=0):
                found.add(name.partition(".")[0])
    return frozenset(found)


def _own_folders() -> Iterator[Path]:
    """Yield the folders of the import path in which nothing is installed."""
    for entry in sys.path:
        if isinstance(entry, str) and not is_installed(str(Path(entry).resolve())):
            yield Path(entry).resolve()


def _in(folders: Iterable[Path], name: str) -> list[tuple[Path, Path]]:
    """Return the files of the module, or package, that the first of the folders has."""
    if name == PACKAGE:
        return []
    for folder in folders:
        files = _package(folder / name) if (folder / name).is_dir() else []
        file = folder / f"{name}.py"
        files = files or ([file.resolve()] if file.is_file() else [])
        if files:
            return [(each, folder) for each in files]
    return []


def _package(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.py") if file.is_file())


def _found(module: str, folder: str) -> ModuleSpec | None:
    """Find a module; importlib would import the packages that it is in."""
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        if not part.isidentifier():
            return None
        name = f"{name}.{part}" if name else part
        path = None if spec is None else spec.submodule_search_locations
        if spec is not None and path is None:
            return None
        spec = PathFinder.find_spec(name, [folder]) if path is None else None
        spec = spec or _spec(name, None if path is None else list(path))
        if spec is None:
            return None
    return spec


def _spec(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None
