"""The user's function: import it, make it callable."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from rio_mucho_cli.errors import (
    FunctionNotFoundError,
    MuchoChildError,
    ResultError,
    UsageError,
    line_of,
)
from rio_mucho_cli.signals import INTERRUPTS
from rio_mucho_cli.text import closest, did_you_mean, functions_in, option
from rio_mucho_cli.workers.parameters import (
    INFO,
    check_info,
    check_keywords,
    hint_of_missing,
)
from rio_mucho_cli.workers.reloading import current_code, import_current
from rio_mucho_cli.workers.source import Code

UserFunction: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """Reference to a function by name, as on the command line.

    Attributes
    ----------
    name : str
        ``module:function`` or ``path/to/file.py:function``; the part after the
        colon may contain dots.
    folder : str
        Folder that is searched first for modules, and that paths are relative
        to.
    code : Code or None
        Code that the function must have; None for any.
    """

    name: str
    folder: str
    code: Code | None = None

    @property
    def is_file(self) -> bool:
        """Whether the name contains the path of a file."""
        module, _, _ = self.name.rpartition(":")
        return module.endswith(".py") or os.sep in module or (os.altsep or os.sep) in module

    @property
    def path(self) -> Path:
        """Path of the file, if it `is_file`."""
        return Path(self.folder, self.name.rpartition(":")[0]).resolve()

    def pinned(self) -> FunctionRef:
        """Return a reference that accepts only the function's current code."""
        return replace(self, code=current_code(self))

    def load(self) -> UserFunction:
        """Import the function or class; reload it if its files have changed.

        Raises
        ------
        FunctionNotFoundError
            If the module or the attribute does not exist, with the most similar
            name that does; or if the module cannot be imported.
        UsageError
            If its code is not the pinned code.
        """
        module_name, colon, attributes = self.name.rpartition(":")
        # C:\dir\file.py has a colon, but does not name a function.
        if not colon or not module_name or not attributes or set(attributes) & {"/", "\\"}:
            raise FunctionNotFoundError(
                f"{option('function')} {self.name!r} is not MODULE:FUNCTION, nor "
                "path/to/file.py:FUNCTION"
                f"{self._completed()}"
            )
        module = import_current(self, self._load_file if self.is_file else self._load_module)
        target: Any = module
        for attribute in attributes.split("."):
            owner = getattr(target, "__name__", module_name)
            try:
                target = getattr(target, attribute)
            except AttributeError:
                raise FunctionNotFoundError(
                    f"{module_name if target is module else owner} has no attribute "
                    f"{attribute!r}{did_you_mean(attribute, public_names(target))}"
                ) from None
        if not callable(target):
            raise FunctionNotFoundError(
                f"{self.name} is a {type(target).__name__} and cannot be called: "
                "give a function, a class, or an object with __call__"
            )
        function: UserFunction = target
        return function

    def _completed(self) -> str:
        """Return a hint at what a name without a function may mean, or nothing."""
        module = self.name.rstrip(":")
        path = Path(self.folder, module if module.endswith(".py") else f"{module}.py")
        functions = functions_in(path) if ":" not in module else []
        if functions:
            return f": did you mean {' or '.join(f'{module}:{name}' for name in functions[:3])}?"
        first, dot, last = self.name.rpartition(".")
        return f": did you mean {first}:{last}?" if dot and last != "py" and ":" not in last else ""

    def _load_module(self) -> ModuleType:
        name = self.name.rpartition(":")[0]
        _import_from(self.folder)
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name is None or not f"{name}.".startswith(f"{exc.name}."):
                raise _broken(name, exc) from None
            raise FunctionNotFoundError(
                f"there is no module named {exc.name!r}, neither installed nor in the current "
                f"folder{similar_module(exc.name, self.folder)}"
            ) from None
        except INTERRUPTS:
            raise
        except BaseException as exc:
            raise _broken(name, exc) from None

    def _load_file(self) -> ModuleType:
        name, path = self.name.rpartition(":")[0], self.path
        if not path.is_file():
            others = [entry.name for entry in path.parent.glob("*.py")]
            meant = closest(path.name, others, lambda other: Path(other).stem)
            hint = "" if meant is None else f": did you mean {meant!r}?"
            raise FunctionNotFoundError(f"there is no file {name}{hint}")
        # With a prefix, a file named like a module (random.py) does not replace that
        # module for other code.
        module_name = f"_mucho_{path.stem}"
        module = sys.modules.get(module_name)
        if module is not None and getattr(module, "__file__", None) == str(path):
            return module
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise FunctionNotFoundError(f"{name} is not a Python file: its name must end in .py")
        _import_from(str(path.parent))
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except INTERRUPTS:
            raise
        except BaseException as exc:
            del sys.modules[module_name]
            raise _broken(name, exc) from None
        return module


def name_of(function: UserFunction | FunctionRef) -> str:
    """Return the name of a function, with its module or file."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, FunctionRef):
        return function.name
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or type(function).__module__}:{name}"


def make_callable(
    function: UserFunction, global_args: Any, *, plain: bool = False, arrays: int = 1
) -> UserFunction:
    """Return the callable for windows.

    A class is instantiated once, with the global args as keyword arguments; its
    instance is called for every window. Its ``__init__`` is the place to load a
    model. What `takes_info` is called with ``info=`` as well.

    Parameters
    ----------
    function : callable
    global_args : object
        A Mapping if the function is a class or `plain` is true.
    plain : bool
        Call the function with one array for each input, (rows, cols) for inputs
        with one band. Pass the global args as keyword arguments, unless a class
        was instantiated with them.
    arrays : int
        Number of arrays that a plain function gets.

    Raises
    ------
    MuchoChildError
        If the class raises.
    ResultError
        If a global arg looks like a misspelt parameter, or `info` is positional.
    """
    keywords = global_args
    if isinstance(function, type):
        arguments = "the arrays" if plain else "(data, window, ij, global_args)"
        function, keywords = _instance(function, global_args, arguments), {}
    if not plain:
        check_info(function, 4, "data, window, ij, global_args")
        return function
    called: Callable[..., Any] = function
    check_keywords(called, keywords)
    if INFO in keywords:
        called = functools.partial(called, **{INFO: keywords[INFO]})
    else:
        check_info(called, arrays, "...")

    def call(data: Any, window: Any, ij: Any, global_args: Any, **info: Any) -> Any:
        arrays = data if isinstance(data, list) else [data]
        flat = [_without_one_band(array) for array in arrays]
        return called(*flat, **keywords, **info)

    call.__wrapped__ = called  # type: ignore[attr-defined]  # for `inspect.signature`
    return call


def _without_one_band(array: Any) -> Any:
    """Return (rows, cols) for one band; (scenes, rows, cols) for scenes with one band."""
    bands = array.ndim - 3
    return array.squeeze(bands) if array.shape[bands] == 1 else array


def _instance(function: type, global_args: Any, arguments: str) -> UserFunction:
    try:
        instance: UserFunction = function(**global_args)
    except (*INTERRUPTS, UsageError):  # the latter by reductions
        raise
    except BaseException as exc:
        check_keywords(function, global_args)
        hint = hint_of_missing(function, global_args)
        raise wrap_user_error(f"{function.__name__} cannot be created: it", exc, hint) from None
    if not callable(instance):
        raise ResultError(
            f"{function.__name__} has no __call__: a class needs one, with {arguments}"
        )
    return instance


def wrap_user_error(what: str, exception: BaseException, hint: str = "") -> MuchoChildError:
    """Return a MuchoChildError for an exception of the user's function.

    Unlike the exception itself, it can always be pickled.
    """
    kind = type(exception).__name__
    text = line_of(exception)
    return MuchoChildError(f"{what} raised {kind}{f': {text}' if text else ''}{hint}", exception)


def _import_from(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _broken(name: str, exc: BaseException) -> FunctionNotFoundError:
    """Return an error that says on one line why and where an import failed."""
    if isinstance(exc, SyntaxError) and exc.filename:
        where, text = f"{exc.filename}, line {exc.lineno}", f"{type(exc).__name__}: {exc.msg}"
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(exc.__traceback__)
            if not frame.filename.startswith("<frozen")
            and frame.filename != __file__
            and frame.filename != importlib.__file__
        ]
        where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else name
        text = f"{type(exc).__name__}: {line_of(exc)}"
    return FunctionNotFoundError(f"{name} cannot be imported: {text} ({where})")


# Module names of at most this many letters are not compared with all installed ones.
_SHORT = 3


def similar_module(name: str, folder: str) -> str:
    """Return a hint at a module with a similar name, or nothing.

    Modules in the user's folder are preferred. Installed modules are not
    suggested for short names, which resemble too many of them, nor if their own
    names begin with an underscore.
    """
    package, _, last = name.rpartition(".")
    if package:
        path = getattr(sys.modules.get(package), "__path__", [])
        meant = closest(last, _modules(path))
    else:
        meant = closest(last, _modules([folder]))
        if meant is None and len(last) > _SHORT:
            meant = closest(last, _modules(None))
    return "" if meant is None else f": did you mean {f'{package}.{meant}'.lstrip('.')!r}?"


def _modules(path: Any) -> list[str]:
    """Return the names of public modules in folders; of all for None."""
    return [info.name for info in pkgutil.iter_modules(path) if not info.name.startswith("_")]


def public_names(owner: Any) -> list[str]:
    """Return the names of an object's public attributes."""
    return [name for name in dir(owner) if not name.startswith("_")]
