"""The user's own modules: what code uses of them, and their files."""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import os
import site
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rio_mucho_cli.workers.functions import FunctionRef


# Type of functools.lru_cache objects, which pickle can only pickle by name.
CACHE = type(functools.lru_cache(len))

PACKAGE = __name__.partition(".")[0]
# Folders of installed packages: in a venv, on Debian, per user.
_INSTALLED = {"site-packages", "dist-packages"}
# Attributes of every module that code may use.
_OF_ITSELF = {"__name__", "__doc__", "__file__", "__package__", "__path__", "__getattr__"}
# Functions that let code reach globals that it does not name.
_ANY_GLOBAL = {"globals", "eval", "exec"}


def owner_of(value: Any) -> str:
    """Return the name of the module that an object belongs to, or that it is."""
    name = value.__name__ if isinstance(value, ModuleType) else value.__module__
    return name if isinstance(name, str) else ""


def is_own(module: ModuleType) -> bool:
    """Return whether a module is the user's: Python source that is not installed.

    Scripts are, and packages installed in editable mode.
    """
    name = module.__name__
    if name == "__main__":
        return True
    if name.partition(".")[0] == PACKAGE:
        return False
    file = getattr(module, "__file__", None)
    if file is None:  # built in, or the folder of a package without __init__.py
        file = next(iter(getattr(module, "__path__", ())), None)
        return file is not None and not is_installed(str(file))
    return file.endswith((".py", ".pyc")) and not is_installed(file)


@functools.cache
def is_installed(path: str) -> bool:
    """Return whether a path is part of the interpreter or an installed package."""
    resolved = Path(path).resolve()
    return not _INSTALLED.isdisjoint({*resolved.parts, *Path(path).parts}) or any(
        resolved.is_relative_to(folder) for folder in _stdlib()
    )


@functools.cache
def _stdlib() -> tuple[Path, ...]:
    # sysconfig would read all variables that Python was built with.
    folders = (Path(os.__file__).parent, *map(Path, site.getsitepackages()))
    return tuple({folder.resolve() for folder in folders})


def can_be_imported(module: ModuleType) -> bool:
    """Return whether importing a module by its name gives that module.

    importlib.util.find_spec would answer from sys.modules, which may contain
    modules that were loaded from a file.
    """
    name = module.__name__
    file = getattr(module, "__file__", None)
    if name == "__main__" or file is None:
        return name != "__main__" and _is_found_by_name(module)
    return is_installed(file) or _is_found_by_name(module)


def _is_found_by_name(module: ModuleType) -> bool:
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
    """Return the names of globals and attributes in code, nested code included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= names_in(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            names.add(constant)  # for getattr
    return frozenset(names)


def used_by(module: ModuleType, names: Collection[str]) -> dict[str, Any]:
    """Return a module's attributes that code names, and those all modules have."""
    needed = _OF_ITSELF.union(names)
    return {name: value for name, value in vars(module).items() if name in needed}


@functools.lru_cache(maxsize=4096)
def global_names(code: CodeType) -> frozenset[str]:
    """Return the names of globals in code, nested code included."""
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if "GLOBAL" in instruction.opname or instruction.opname == "LOAD_NAME"
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= global_names(constant)
    return frozenset(names)


def reaches_any_global(function: FunctionType) -> bool:
    """Return whether a function may use globals that its code does not name."""
    code = function.__code__
    return not _ANY_GLOBAL.isdisjoint(names_in(code)) and any(
        name not in function.__globals__ for name in _ANY_GLOBAL & global_names(code)
    )


def parts_of(value: Any) -> Iterator[Any]:
    """Yield the objects that are pickled with a function or class."""
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
        for name, attribute in vars(value).items():
            is_own = not (name.startswith("__") or name == "_abc_impl")
            if is_own and not hasattr(attribute, "__get__"):
                yield attribute


def _content(cell: CellType) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:  # the cell is empty
        return


@dataclass(frozen=True, slots=True)
class Code:
    """Files of a function by name, and a digest of their contents.

    Attributes
    ----------
    files : tuple of (str, str)
        Paths, and names relative to the folder in which Python finds them.
    digest : str
        SHA-256 of names and contents.
    """

    files: tuple[tuple[str, str], ...]
    digest: str

    @classmethod
    def of(cls, reference: FunctionRef) -> Code | None:
        """Return the code of a function; None if it has no files.

        These are the file of its module, or all files of its package, and the
        modules that these import and that are not installed.
        """
        start = list(_start(reference))
        first = [start[0][1]] if start else []
        return cls._read(_read_with_imports(start, [*first, *_own_folders()]))

    @classmethod
    def imported_by(cls, names: Iterable[str]) -> Code | None:
        """Return the code of modules and their imports that are not installed."""
        folders = list(_own_folders())
        return cls._read(
            _read_with_imports([file for name in names for file in _in(folders, name)], folders)
        )

    @classmethod
    def _read(cls, files: Mapping[Path, tuple[str, bytes]]) -> Code | None:
        if not files:
            return None
        names = tuple((str(path), name) for path, (name, _) in files.items())
        return cls(names, _digest(files.values()))

    @property
    def paths(self) -> list[Path]:
        """Paths of the files."""
        return [Path(path) for path, _ in self.files]

    def is_current(self) -> bool:
        """Return whether all files are unchanged."""
        try:
            now = [(name, Path(path).read_bytes()) for path, name in self.files]
        except OSError:
            return False
        return _digest(now) == self.digest


def source_digest(reference: FunctionRef) -> str | None:
    """Return the SHA-256 of the files of a function; see `Code.of`."""
    code = reference.code or Code.of(reference)
    return None if code is None else code.digest


def is_of_installed(reference: FunctionRef) -> bool:
    """Return whether a function's module is installed, and so will not change."""
    return any(is_installed(str(file)) for file, _ in _start(reference))


def _digest(files: Iterable[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, content in sorted(files):
        for part in (os.fsencode(name), content):
            total.update(b"%d " % len(part))
            total.update(part)
    return total.hexdigest()


def _start(reference: FunctionRef) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a function's module or package, with their import folder."""
    if reference.is_file:
        yield reference.path, reference.path.parent
        return
    module, _, _ = reference.name.rpartition(":")
    spec = _find_spec_from(module, reference.folder)
    if spec is None or spec.origin is None or not spec.has_location:
        return
    file = Path(spec.origin).resolve()
    is_package = spec.submodule_search_locations is not None
    folder = file.parents[module.count(".") + is_package]
    # Modules of a package may import each other by relative names.
    package = folder / module.partition(".")[0]
    for path in _package(package) if package.is_dir() else [file]:
        yield path, folder


def _read_with_imports(
    start: Iterable[tuple[Path, Path]], folders: Iterable[Path]
) -> dict[Path, tuple[str, bytes]]:
    """Read files and, recursively, those they import that are not installed."""
    contents: dict[Path, tuple[str, bytes]] = {}
    folders, waiting = list(dict.fromkeys(folders)), list(start)
    while waiting:
        file, folder = waiting.pop()
        if file in contents:
            continue
        try:
            content = file.read_bytes()
        except OSError:
            continue
        contents[file] = Path(os.path.relpath(file, folder)).as_posix(), content
        if not is_installed(str(file)):
            for name in _imported(content):
                waiting += _in(folders, name)
    return contents


@functools.lru_cache(maxsize=1024)
def _imported(source: bytes) -> frozenset[str]:
    """Return the top-level names of the modules that a source imports."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    names = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names.update(alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(module=str(name), level=0):
                names.add(name.partition(".")[0])
    return frozenset(names)


def _own_folders() -> Iterator[Path]:
    """Yield the folders of the import path that hold no installed packages."""
    for entry in sys.path:
        if isinstance(entry, str) and not is_installed(str(Path(entry).resolve())):
            yield Path(entry).resolve()


def _in(folders: Iterable[Path], name: str) -> list[tuple[Path, Path]]:
    """Return the files of a module or package from the first folder that has it."""
    if name == PACKAGE:
        return []
    for folder in folders:
        files = _package(folder / name) if (folder / name).is_dir() else []
        file = folder / f"{name}.py"
        files = files or ([file.resolve()] if file.is_file() else [])
        if files:
            return [(path, folder) for path in files]
    return []


def _package(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.py") if file.is_file())


def _find_spec_from(module: str, folder: str) -> ModuleSpec | None:
    """Return the spec of a module, without importing its parent packages."""
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
