"""Send functions and their arguments to processes that share nothing with this one."""

from __future__ import annotations

import functools
import io
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import IO, Any

import cloudpickle

from rio_mucho_cli.errors import UsageError


def pack(value: Any, what: str, near: str | None = None) -> bytes:
    """Pickle a value for other processes.

    Functions and classes travel by name where their module can be imported
    by that name, and by value where it cannot: in a script, a notebook, a
    closure, a lambda, a module that was loaded from a file.

    Parameters
    ----------
    value : object
    what : str
        What messages call it.
    near : str or None
        A folder whose modules, and packages, only this process can import.

    Raises
    ------
    UsageError
        If it cannot be pickled.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, near)
    try:
        pickler.dump(value)
    except Exception as exc:
        raise UsageError(
            f"{what} cannot be sent to worker processes ({' '.join(str(exc).split())}): "
            "use the executor threads, or one job"
        ) from None
    finally:
        for module in pickler.by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return buffer.getvalue()


class _Pickler(cloudpickle.Pickler):
    """Sends by value, besides what cloudpickle does, what workers cannot import."""

    def __init__(self, file: IO[bytes], near: str | None) -> None:
        super().__init__(file)
        self._near = near
        self.by_value: list[ModuleType] = []
        self._importable: dict[str, bool] = {}

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type | ModuleType | _CACHE):
            name = obj.__name__ if isinstance(obj, ModuleType) else obj.__module__
            module = sys.modules.get(name)
            if module is not None and not self._can_import(module):
                cloudpickle.register_pickle_by_value(module)
                self.by_value.append(module)
                self._importable[name] = True  # it is taken care of
            if isinstance(obj, _CACHE) and (name == "__main__" or module in self.by_value):
                return _cached, (obj.__wrapped__, obj.cache_parameters())
        if isinstance(obj, CodeType):
            return _code, (*self.dispatch_table[CodeType](obj), obj.co_filename)
        return super().reducer_override(obj)

    def _can_import(self, module: ModuleType) -> bool:
        name = module.__name__
        if name not in self._importable:
            self._importable[name] = (
                self._near is None or home_of(module) != self._near
            ) and _importable(module)
        return self._importable[name]


# What functools.lru_cache makes; pickle knows it by its name only.
_CACHE = type(functools.lru_cache(len))


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _code(make: Callable[..., CodeType], args: tuple[Any, ...], filename: str) -> CodeType:
    """Make code that knows its file, without which a traceback shows no line.

    From 3.1.3 on, cloudpickle calls every file "<dynamic-code>".
    """
    return make(*args).replace(co_filename=filename)


def home_of(module: ModuleType) -> str | None:
    """Return the folder in which a module, or the outermost package that it is in, lies.

    None for what is installed, and for this package: others have it as well.
    """
    name = module.__name__.partition(".")[0]
    outermost = sys.modules.get(name, module)
    place = getattr(outermost, "__file__", None) or next(
        iter(getattr(outermost, "__path__", ())), None
    )
    if place is None or name == __name__.partition(".")[0]:
        return None
    path = Path(place).resolve()
    folder = (path.parent if path.name == "__init__.py" else path).parent
    is_installed = any(
        folder.is_relative_to(Path(sysconfig.get_path(key)).resolve())
        for key in ("stdlib", "purelib", "platlib")
    )
    return None if is_installed else str(folder)


def _importable(module: ModuleType) -> bool:
    """Whether importing a module by its name gives that module.

    importlib.util.find_spec would answer from sys.modules, where modules that
    were loaded from a file by hand stand as well.
    """
    name = module.__name__
    if name == "__main__":
        return True  # cloudpickle itself sends what is in it by value
    package = sys.modules.get(name.rpartition(".")[0])
    path = getattr(package, "__path__", None)
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            built_in = spec.origin in {None, "built-in", "frozen"}
            return built_in or spec.origin == getattr(module, "__file__", None)
    return False
