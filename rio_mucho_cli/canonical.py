"""Say what a value is, as JSON: the same in every process, another for another value.

Pickles will not do for that: they depend on which of their objects are the
same one, on the order of sets, and on the line where a function stands.
"""

from __future__ import annotations

import copyreg
import hashlib
import inspect
import json
import math
import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from operator import itemgetter
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from rio_mucho_cli.errors import UsageError


def canonical(value: Any, *, module: str | None = None) -> Any:
    """Return what JSON can say of a value, in full or by a checksum.

    A function is its source and what it closes over. Any other object is what
    pickle would take it apart into.

    Parameters
    ----------
    value : object
    module : str or None
        Functions and classes of this module are looked into: what they use of
        it belongs to them.

    Raises
    ------
    UsageError
        If it cannot be taken apart: a lock, an open file.
    """
    try:
        return _Canon(module).of(value)
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

    def __init__(self, module: str | None) -> None:
        self._module = module
        # The objects themselves are kept: what goes away gives its id to another.
        self._seen: dict[int, tuple[int, Any]] = {}

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
                items = [_Canon(self._module).of(item) for item in value]
                return {"set": sorted(items, key=json.dumps)}
            case ModuleType():
                return {"module": value.__name__}
        if id(value) in self._seen:
            return {"again": self._seen[id(value)][0]}
        self._seen[id(value)] = len(self._seen), value
        match value:
            case FunctionType():
                return self._function(value)
            case type():
                return self._class(value)
            case _:
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
        found["source"] = _source(function.__code__)
        found["defaults"] = self.of([function.__defaults__, function.__kwdefaults__])
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        found["closure"] = {}
        for name, cell in cells.items():
            with suppress(ValueError):  # nothing is in it yet
                found["closure"][name] = self.of(cell.cell_contents)
        if self._is_here(function):
            names = sorted(set(_names(function.__code__)) & function.__globals__.keys())
            found["globals"] = {name: self._used(function.__globals__[name]) for name in names}
        return found

    def _is_here(self, value: Any) -> bool:
        return self._module is not None and value.__module__ == self._module

    def _used(self, value: Any) -> Any:
        try:
            return self.of(value)
        except UsageError:
            # Locks and open files that stand in a module are made by its source.
            return {"a": name_of(type(value))}

    def _class(self, cls: type) -> Any:
        found: dict[str, Any] = {"class": name_of(cls)}
        if self._is_here(cls):
            with suppress(OSError, TypeError):
                found["source"] = digest(inspect.getsource(cls).encode())
            found["bases"] = [self.of(base) for base in cls.__bases__]
            members = [vars(cls)[name] for name in sorted(vars(cls))]
            found["methods"] = [self.of(each) for each in members if isinstance(each, FunctionType)]
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


def _source(code: CodeType) -> str:
    # Of the code: of a function that is decorated, that is what is called,
    # not what the decorator says that it stands for.
    try:
        return digest(inspect.getsource(code).encode())
    except (OSError, TypeError, SyntaxError):
        return digest(_instructions(code))


def _instructions(code: CodeType) -> list[Any]:
    """Take code apart where it has no source, without the lines it stands on."""
    constants = [
        _instructions(each) if isinstance(each, CodeType) else _constant(each)
        for each in code.co_consts
    ]
    return [code.co_code.hex(), code.co_names, code.co_varnames, constants]


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
