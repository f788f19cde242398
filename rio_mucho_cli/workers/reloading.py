"""Import the current version of a function, even if an older one is loaded."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.workers.source import Code, is_of_installed

if TYPE_CHECKING:
    from rio_mucho_cli.workers.functions import FunctionRef

_lock = threading.RLock()
# SHA-256 of modules' files when they were imported here.
_imported: dict[Path, str] = {}
# The last known code, by name of a function's module or file.
_known: dict[str, Code] = {}


def import_current(reference: FunctionRef, load: Callable[[], ModuleType]) -> ModuleType:
    """Import a function's module; reload it and its imports if files changed.

    Parameters
    ----------
    reference : FunctionRef
    load : callable
        Imports the module, or returns it from ``sys.modules``.

    Raises
    ------
    UsageError
        If the files are not those of the reference's code.
    """
    with _lock:
        importlib.invalidate_caches()
        code = current_code(reference)
        _check(reference, code)
        if code is None:
            return load()
        loaded = _loaded(code.paths)
        stale = loaded if any(map(_is_stale, loaded)) else {}
        new = [path for path in code.paths if path not in loaded or path in stale]
        before = {name: sys.modules.pop(name) for name in stale.values()}
        for path in new:
            _remove_old_bytecode(path)
        try:
            module = load()
        except BaseException:
            sys.modules.update(before)
            raise
        _imported.update({path: _sha(path) for path in new})
        return module


def _check(reference: FunctionRef, code: Code | None) -> None:
    """Raise UsageError if files have changed since the reference was pinned.

    Other machines may have the same code in other files.
    """
    pinned = reference.code
    if pinned is None or (code is not None and code.digest == pinned.digest):
        return
    if any(path.exists() for path in pinned.paths):
        raise UsageError(
            f"the code of {reference.name} changed during the run: run it again, and do not change "
            "the function's files meanwhile"
        )


def current_code(reference: FunctionRef) -> Code | None:
    """Return the current code of a function.

    None if the function is installed or does not exist.
    """
    key = str(reference.path) if reference.is_file else f"{reference.folder}:{reference.name}"
    for known in (reference.code, _known.get(key)):
        if known is not None and known.is_current():
            return known
    code = None if is_of_installed(reference) else Code.of(reference)
    if code is not None:
        _known[key] = code
    return code


def _loaded(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the names of modules that were imported from files, by file."""
    names = {path.name for path in paths}
    names_by_path = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        # Creating and resolving a Path for every module would be slow.
        if isinstance(file, str) and name != "__main__" and os.path.basename(file) in names:  # noqa: PTH119
            path = Path(file).resolve()
            if path in paths:
                names_by_path[path] = name
    return names_by_path


def changed_modules(code: Code) -> list[str]:
    """Return the imported modules whose functions differ from their files."""
    return [
        name
        for path, name in _loaded(code.paths).items()
        if not _is_as_in_file(sys.modules[name], path)
    ]


def _is_as_in_file(module: ModuleType, path: Path) -> bool:
    compiled = getattr(getattr(module, "__loader__", None), "source_to_code", None)
    if compiled is None:
        return True
    try:
        codes = set(_codes_in(compiled(path.read_bytes(), module.__file__)))
    except (OSError, SyntaxError, ValueError):
        return False
    values = list(vars(module).values())
    for cls in values.copy():
        if isinstance(cls, type) and cls.__module__ == module.__name__:
            values += vars(cls).values()
    return all(
        value.__code__ in codes
        for value in values
        if isinstance(value, FunctionType) and value.__code__.co_filename == module.__file__
    )


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _is_stale(path: Path) -> bool:
    """Return whether a file has changed since it was imported, as far as known."""
    was = _imported.get(path)
    if was is not None:
        return was != _sha(path)
    return path.stat().st_mtime >= _started()


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _started() -> float:
    """Return when this process started, in seconds since 1970."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):  # not on Linux
        return _FIRST_SEEN
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


_FIRST_SEEN = time.time()


def _remove_old_bytecode(path: Path) -> None:
    """Remove compiled code that is older than its source.

    Python compares only whole seconds and sizes.
    """
    with suppress(OSError, NotImplementedError):
        compiled = Path(importlib.util.cache_from_source(str(path)))
        if compiled.stat().st_mtime_ns <= path.stat().st_mtime_ns:
            compiled.unlink()
