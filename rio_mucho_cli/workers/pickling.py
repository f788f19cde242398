"""Pickle functions and their arguments for worker processes.

installed module ─────────────▶ by name: workers import it
user's module ────────────────▶ by value, with the current globals that the function uses
user's module, not picklable ─▶ by name, like the user's modules that it imports
__main__, loaded from a file ─▶ by value: workers cannot import it
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import io
import pickle
import sys
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from types import CodeType, FunctionType, ModuleType
from typing import IO, Any
from weakref import WeakSet

import cloudpickle

from rio_mucho_cli import errors
from rio_mucho_cli.errors import UsageError, one_line
from rio_mucho_cli.workers.source import (
    CACHE,
    can_be_imported,
    is_own,
    names_in,
    owner_of,
    parts_of,
    reaches_any_global,
    used_by,
)

# cloudpickle has one list, for the whole process, of modules to pickle by value.
_lock = threading.RLock()


def dumps(value: Any, what: str, *, by_value: bool = False, or_name: bool = True) -> bytes:
    """Return the pickle of a value for other processes.

    Parameters
    ----------
    value : object
    what : str
        Name of the value in messages.
    by_value : bool
        Pickle functions and classes of modules that are not installed by value,
        with the globals that they use. Otherwise only those are that cannot be
        imported: from a script, a notebook, a closure, a lambda, or a module
        loaded from a file.
    or_name : bool
        Fall back to the name of a module that cannot be pickled by value.

    Raises
    ------
    UsageError
        If the value cannot be pickled.
    """
    with _lock:
        by_name: set[str] = set()
        while True:
            try:
                return _dumps(value, by_value=by_value, or_name=or_name, by_name=by_name)
            except _NotByValueError as exc:
                modules = exc.modules - by_name if or_name else set()
                if modules:
                    by_name |= modules
                    continue
                by_value, failure = by_value and or_name, exc.__cause__
                if not by_value:
                    break
                by_value = False
            except Exception as exc:
                failure = exc
                break
    assert failure is not None
    raise UsageError(
        f"{what} cannot be sent to worker processes ({one_line(failure)}): "
        "use the executor threads, or one job"
    ) from None


class _NotByValueError(Exception):
    """Modules that cannot be pickled by value; none if they are unknown."""

    def __init__(self, modules: set[str]) -> None:
        super().__init__()
        self.modules = modules


def _dumps(
    value: Any, *, by_value: bool, or_name: bool = False, by_name: Collection[str] = ()
) -> bytes:
    """Return the pickle of a value.

    Start over if code pickled later uses more of a module pickled earlier.
    """
    names: set[str] = set()
    while True:
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, names, by_value=by_value, or_name=or_name, by_name=by_name)
        try:
            pickler.dump(value)
        except _NotByValueError:
            raise
        except Exception as exc:
            if not by_value:
                raise
            raise _NotByValueError(_not_picklable(pickler.met)) from exc
        finally:
            pickler.unregister()
        if pickler.is_complete():
            return buffer.getvalue()
        names = pickler.names


class _Pickler(cloudpickle.Pickler):
    """Pickler that also pickles by value what workers cannot or should not import.

    Parameters
    ----------
    file : file
    names : set of str
        Names in code seen so far. Only these attributes of a module are pickled
        by value.
    by_value : bool
        Pickle the user's own modules by value.
    or_name : bool
        Refuse modules whose code may use unknown globals.
    by_name : collection of str
        Modules to pickle by name.
    """

    def __init__(
        self,
        file: IO[bytes],
        names: set[str],
        *,
        by_value: bool = False,
        or_name: bool = False,
        by_name: Collection[str] = (),
    ) -> None:
        super().__init__(file)
        self.names = set(names)
        # Objects pickled by value: their module, and a function that yields their parts.
        self.met: list[tuple[str, Callable[[], Iterable[Any]]]] = []
        self._sent: list[tuple[ModuleType, set[str]]] = []
        self._by_value = by_value
        self._or_name = by_value and or_name
        self._by_name = by_name
        self._decided: dict[str, bool] = {}
        self._registered: list[ModuleType] = []

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type | ModuleType | CACHE):
            name = owner_of(obj)
            module = sys.modules.get(name)
            if module is not None and self._travels(name, module):
                self._register(module)
                if isinstance(obj, ModuleType):
                    return self._reduce_module(obj)
                self.met.append((name, functools.partial(parts_of, obj)))
                if isinstance(obj, FunctionType) and reaches_any_global(obj):
                    self._refuse(module)
            if isinstance(obj, CACHE) and (name == "__main__" or self._decided.get(name)):
                return _cached, (obj.__wrapped__, obj.cache_parameters())
        if isinstance(obj, CodeType):
            self.names.update(names_in(obj))
            return _code, (*self.dispatch_table[CodeType](obj), obj.co_filename)
        if isinstance(obj, ctypes.CDLL):
            # pickle would store its address, which is valid in this process only.
            raise pickle.PicklingError(f"a {type(obj).__name__} of ctypes cannot be pickled")
        reduced = super().reducer_override(obj)
        return _with_care(obj, reduced) if isinstance(obj, type) else reduced

    def is_complete(self) -> bool:
        """Return whether everything that code may use of modules was pickled."""
        return all(used_by(module, self.names).keys() <= sent for module, sent in self._sent)

    def unregister(self) -> None:
        """Remove the modules that were registered with cloudpickle."""
        for module in self._registered:
            cloudpickle.unregister_pickle_by_value(module)

    def _travels(self, name: str, module: ModuleType) -> bool:
        """Return whether the contents of a module are pickled by value."""
        if name not in self._decided:
            if self._by_value and name not in self._by_name and is_own(module):
                self._decided[name] = True
            else:
                self._decided[name] = name != "__main__" and not can_be_imported(module)
        return self._decided[name]

    def _register(self, module: ModuleType) -> None:
        if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.register_pickle_by_value(module)
            self._registered.append(module)

    def _refuse(self, module: ModuleType) -> None:
        """Raise _NotByValueError for an importable module that may use any global."""
        if self._or_name and can_be_imported(module):
            cause = pickle.PicklingError(f"{module.__name__} may use any of its globals")
            raise _NotByValueError(_with_imports({module.__name__})) from cause

    def _reduce_module(self, module: ModuleType) -> Any:
        """Reduce a module to what code may use; workers import the rest on demand."""
        state = used_by(module, self.names)
        self._sent.append((module, set(state)))
        self.met.append((module.__name__, state.values))
        return ModuleType, (module.__name__,), state, None, None, _fill


def _not_picklable(met: Iterable[tuple[str, Callable[[], Iterable[Any]]]]) -> set[str]:
    """Return the modules with values that cannot be pickled, and their imports."""
    modules = {
        name
        for name, parts in met
        if can_be_imported(sys.modules[name]) and any(map(_fails, parts()))
    }
    return _with_imports(modules)


def _with_imports(names: set[str]) -> set[str]:
    """Return modules with the user's modules that they import.

    A worker that imports the former imports the latter too.
    """
    modules, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        modules.add(name)
        for value in list(vars(sys.modules[name]).values()):
            if isinstance(value, FunctionType | type | ModuleType | CACHE):
                other = sys.modules.get(owner_of(value))
                if other is not None and is_own(other) and can_be_imported(other):
                    waiting.append(other.__name__)
    return modules


def _fails(value: Any) -> bool:
    if isinstance(value, FunctionType | type | ModuleType | CACHE):
        return False  # if it is needed, it was pickled separately
    pickler = _Pickler(io.BytesIO(), set())
    try:
        pickler.dump(value)
    except Exception:
        return True
    finally:
        pickler.unregister()
    return False


# Classes that this process has pickled, and those that it has unpickled.
_sent: WeakSet[type] = WeakSet()
_got: WeakSet[type] = WeakSet()


def _with_care(cls: type, reduced: Any) -> Any:
    """Return a class's reduction that leaves the original class unchanged.

    When a copy is unpickled in the process that defined the class, cloudpickle
    finds the original and would overwrite its methods.
    """
    if not _is_by_value(reduced):
        return reduced
    if cls not in _got:
        _sent.add(cls)
    make, args, state, _, _, setter = reduced
    return make, args, (setter, state), None, None, _complete


def _is_by_value(reduced: Any) -> bool:
    return isinstance(reduced, tuple) and len(reduced) == 6


def _complete(cls: type, state: tuple[Callable[[type, Any], Any], Any]) -> None:
    setter, own = state
    if cls not in _sent:
        _got.add(cls)
        setter(cls, own)


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _code(make: Callable[..., CodeType], args: tuple[Any, ...], filename: str) -> CodeType:
    """Return code with its file name, so that tracebacks show its lines.

    From 3.1.3 on, cloudpickle names every file "<dynamic-code>".
    """
    return make(*args).replace(co_filename=filename)


def _fill(module: ModuleType, state: dict[str, Any]) -> None:
    """Set a module's pickled attributes, and import the others on demand."""

    def rest(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {attribute!r}")
        return getattr(importlib.import_module(module.__name__), attribute)

    vars(module).update({"__getattr__": rest, **state})


def pack_error(exception: BaseException | None) -> bytes:
    """Pickle an exception for the main process, where its class may come from.

    There it becomes an instance of the class of that name, if one exists.

    Raises
    ------
    Exception
        If it cannot be pickled.
    """
    buffer = io.BytesIO()
    _ErrorPickler(buffer).dump(exception)
    return buffer.getvalue()


class _ErrorPickler(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        reduced = super().reducer_override(obj)
        if not isinstance(obj, type) or not _is_by_value(reduced):
            return reduced
        copy = b""
        with suppress(Exception), _lock:
            copy = _dumps(obj, by_value=False)
        return _class_named, (obj.__module__, obj.__qualname__, copy)


def _class_named(module: str, name: str, copy: bytes) -> Any:
    target: Any = sys.modules.get(module)
    for part in name.split("."):
        target = getattr(target, part, None)
    return target if isinstance(target, type) else pickle.loads(copy)


errors.exception_pickler = pack_error
