"""What a function by name is made of: files, found without running any of them."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from rio_mucho_cli.work.functions import FunctionRef


def digest_of(reference: FunctionRef) -> str | None:
    """Return the SHA-256 of the files that a function comes from.

    These are the file of its module, or all of the package's if that is in a
    package; and of the modules that it imports, those that lie in the same
    folder as it does or in the current one. None if there is no such file.
    """
    module, _, _ = reference.name.rpartition(":")
    if reference.is_file:
        root, start = reference.path.parent, [reference.path]
    else:
        root, start = Path(reference.folder).resolve(), list(_found(module, reference.folder))
    files = _followed(start, root)
    if not files:
        return None
    total = hashlib.sha256()
    for file in sorted(files):
        for part in (os.fsencode(os.path.relpath(file, root)), files[file]):
            total.update(b"%d " % len(part))
            total.update(part)
    return total.hexdigest()


def _followed(start: Sequence[Path], root: Path) -> dict[Path, bytes]:
    """Read files, and those under the root that they import, and so on."""
    found: dict[Path, bytes] = {}
    waiting = list(start)
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        try:
            found[file] = file.read_bytes()
        except OSError:
            continue
        if file.is_relative_to(root):
            for name in _imported(found[file]):
                waiting += _files_in(root, name)
    return found


def _imported(source: bytes) -> Iterator[str]:
    """Yield the first parts of the names of modules that a module imports."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(module=str(name), level=0):
                yield name.partition(".")[0]


def _files_in(folder: Path, name: str) -> list[Path]:
    if (folder / name).is_dir():
        return _package(folder / name)
    file = folder / f"{name}.py"
    return [file] if file.is_file() else []


def _package(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.py") if file.is_file())


def _found(module: str, folder: str) -> list[Path]:
    """Return the files of a module; importlib would import the packages that it is in."""
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        if not part.isidentifier():
            return []
        name = f"{name}.{part}" if name else part
        path = None if spec is None else spec.submodule_search_locations
        if spec is not None and path is None:
            return []
        spec = PathFinder.find_spec(name, [folder]) if path is None else None
        spec = spec or _spec(name, None if path is None else list(path))
        if spec is None:
            return []
    if spec is None or spec.origin is None or not spec.has_location:
        return []
    file = Path(spec.origin).resolve()
    return _package(file.parent) if spec.parent else [file]


def _spec(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None
