"""Say what a value is, as JSON: the same in every process, another for another value.

Pickles will not do for that: they depend on which of their objects are the
same one, on the order of sets, and on the line where a function stands.
"""

from __future__ import annotations

import copyreg
import hashlib
import json
import math
import sys
from collections import deque
from collections.abc import Collection, Mapping, Set
from contextlib import suppress
from functools import cached_property
from operator import itemgetter
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.work.modules import (
    global_names,
    imported_in,
    is_own,
    names_in,
    owner_of,
    used_by,
)
from rio_mucho_cli.work.source import Code


def canonical(value: Any) -> Any:
    """Return what JSON can say of a value, in full or by a checksum.

    A function is its code and what it uses: what it closes over, and, unless it
    is installed, the globals that it has names for, with what these use in
    turn. That is what is here in memory; only modules that code imports when it
    is called are what their files are. Any other object is what pickle would
    take it apart into.

    Raises
    ------
    UsageError
        If it cannot be taken apart: a lock, an open file.
    """
    try:
        return _Canon().walk(value)
    except RecursionError:
        raise UsageError(
            f"a {type(value).__name__} is nested without end: a run with it cannot be resumed"
        ) from None


def digest(value: Any) -> str:
    """Return the SHA-256 of bytes, or of anything that is JSON."""
    if not isinstance(value, bytes):
        value = json.dumps(value, sort_keys=True).encode("ascii")
    return hashlib.sha256(value).hexdigest()


class _Canon:
    """One walk over a value."""

    def __init__(self) -> None:
        # The objects themselves are kept: what goes away gives its id to another.
        self._seen: dict[int, tuple[int, Any]] = {}
        # Functions and classes call each other in long chains: they are taken one by one.
        self._waiting: deque[FunctionType | type] = deque()

    def walk(self, value: Any) -> Any:
        found = self.of(value)
        code = []
        while self._waiting:
            each = self._waiting.popleft()
            code.append(
                self._function(each) if isinstance(each, FunctionType) else self._class(each)
            )
        return {"value": found, "code": code} if code else found

    def of(self, value: Any) -> Any:
        match value:
            case None | bool() | int() | str():
                return value
            case float():
                return value if math.isfinite(value) else {"float": str(value)}
            case bytes() | bytearray():
                return {"bytes": digest(bytes(value))}
            case np.generic() | np.ndarray():
                return self._array(value)
            case PurePath():
                return str(value)
            case Mapping():
                pairs = [(self._key(key), item) for key, item in value.items()]
                return {key: self.of(item) for key, item in sorted(pairs, key=itemgetter(0))}
            case list() | tuple():
                return [self.of(item) for item in value]
            case Set():
                # Each for itself: what was seen before would depend on the order.
                items = [_Canon().walk(item) for item in value]
                return {"set": sorted(items, key=json.dumps)}
            case ModuleType():
                found: dict[str, Any] = {"module": value.__name__}
                if is_own(value) and value.__name__ != "__main__":
                    # What of it is used cannot be known where it is a value: all of it counts.
                    code = Code.imported_by([value.__name__])
                    found["code"] = None if code is None else code.digest
                return found
        if id(value) in self._seen:
            return {"again": self._seen[id(value)][0]}
        self._seen[id(value)] = len(self._seen), value
        if isinstance(value, FunctionType | type):
            self._waiting.append(value)
            return {"code": name_of(value)}
        return self._object(value)

    def _key(self, key: Any) -> str:
        return key if isinstance(key, str) else json.dumps([self.of(key)])

    def _array(self, value: Any) -> Any:
        if isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
            return self.of(value.item())
        if value.dtype.hasobject:
            return {"shape": list(value.shape), "items": self.of(value.tolist())}
        content = np.ascontiguousarray(value).tobytes()
        found = {"dtype": str(value.dtype), "shape": list(value.shape), "bytes": digest(content)}
        if isinstance(value, np.ma.MaskedArray):
            found["mask"] = self._array(np.ma.getmaskarray(value))
            found["bytes"] = self._array(value.filled(0))["bytes"]
        return found

    def _function(self, function: FunctionType) -> Any:
        found: dict[str, Any] = {"name": name_of(function)}
        if str(function.__module__).partition(".")[0] in sys.stdlib_module_names:
            return found
        found["code"] = digest(_instructions(function.__code__))
        found["defaults"] = self.of([function.__defaults__, function.__kwdefaults__])
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        found["closure"] = {}
        for name, cell in cells.items():
            with suppress(ValueError):  # nothing is in it yet
                found["closure"][name] = self.of(cell.cell_contents)
        if _is_own(function):
            names = names_in(function.__code__)
            used = sorted(global_names(function.__code__) & function.__globals__.keys())
            found["globals"] = {
                name: self._used(function.__globals__[name], names) for name in used
            }
            imports = imported_in(function)
            files = Code.imported_by(imports) if imports else None
            found["imports"] = None if files is None else files.digest
        return found

    def _used(self, value: Any, names: Collection[str]) -> Any:
        """Say what code with some names uses."""
        if isinstance(value, ModuleType) and is_own(value):
            return self._module(value, names)
        try:
            return self.of(value)
        except UsageError:
            # Locks and open files that stand in a module are made by its source.
            return {"a": name_of(type(value))}

    def _module(self, module: ModuleType, names: Collection[str], within: Any = ()) -> Any:
        if module in within:
            return {"module": module.__name__}
        found = {}
        for name, value in sorted(used_by(module, names).items()):
            if isinstance(value, ModuleType) and is_own(value):
                found[name] = self._module(value, names, (*within, module))
            elif not name.startswith("__"):
                found[name] = self._used(value, names)
        return {"module": module.__name__, "names": found}

    def _class(self, cls: type) -> Any:
        found: dict[str, Any] = {"name": name_of(cls)}
        if _is_own(cls):
            found["bases"] = [self.of(base) for base in cls.__bases__]
            found["members"] = {
                name: self._used(_unwrapped(value), ())
                for name, value in sorted(vars(cls).items())
                if isinstance(value, FunctionType) or not name.startswith(("__", "_abc_"))
            }
        return found

    def _object(self, value: Any) -> Any:
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            reduced = reduce(value) if reduce is not None else value.__reduce_ex__(4)
        except Exception as exc:
            raise UsageError(
                f"a run with a {type(value).__name__} cannot be resumed, because nobody can say "
                f"whether it is still the same ({' '.join(str(exc).split())})"
            ) from None
        if isinstance(reduced, str):
            found = {"name": name_of(value) if hasattr(value, "__name__") else reduced}
            wrapped = getattr(value, "__wrapped__", None)  # of lru_cache
            return found if wrapped is None else {**found, "wrapped": self.of(wrapped)}
        function, args, state, *items = (*reduced, None, None, None)[:5]
        parts = [function, args, state, *(list(item or ()) for item in items)]
        return {"object": [self.of(part) for part in parts]}


def name_of(value: Any) -> str:
    """Return ``module:name`` of a function or a class."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return f"{getattr(value, '__module__', None)}:{name or type(value).__qualname__}"


def _is_own(value: FunctionType | type) -> bool:
    """Whether a function or a class is the user's; what is in no module is."""
    module = sys.modules.get(owner_of(value))
    return module is None or is_own(module)


def _unwrapped(value: Any) -> Any:
    """Return what stands in a class as what it is made of."""
    match value:
        case staticmethod() | classmethod():
            return value.__func__
        case property():
            return [value.fget, value.fset, value.fdel]
        case cached_property():
            return value.func
    return value


def _instructions(code: CodeType) -> list[Any]:
    """Take code apart, without the lines it stands on, and without looking for its source.

    The file may have changed since it was imported.
    """
    constants = [
        _instructions(each) if isinstance(each, CodeType) else _constant(each)
        for each in code.co_consts
    ]
    return [
        code.co_code.hex(), code.co_exceptiontable.hex(), code.co_flags, constants,
        code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars,
        code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount,
    ]  # fmt: skip


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
