"""The user's function: find it, make it ready, check what it returns."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from rio_mucho_cli.errors import FunctionNotFoundError, MuchoChildError, ResultError, line_of
from rio_mucho_cli.signals import INTERRUPTS
from rio_mucho_cli.text import closest, did_you_mean, format_count, functions_in, option
from rio_mucho_cli.workers.reloading import current_code, import_current
from rio_mucho_cli.workers.source import Code

UserFunction: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A function by name, as the command line gives it.

    Attributes
    ----------
    name : str
        ``module:function`` or ``path/to/file.py:function``; what follows the
        colon may have dots.
    folder : str
        Where modules are looked for first, and paths start.
    code : Code or None
        What it must be made of; None: whatever is there.
    """

    name: str
    folder: str
    code: Code | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is in a file that is named by its path."""
        module, _, _ = self.name.rpartition(":")
        return module.endswith(".py") or os.sep in module or (os.altsep or os.sep) in module

    @property
    def path(self) -> Path:
        """The file, if it `is_file`."""
        return Path(self.folder, self.name.rpartition(":")[0]).resolve()

    def pinned(self) -> FunctionRef:
        """Return a reference to the function as it is now, which leads to nothing else."""
        return replace(self, code=current_code(self))

    def load(self) -> UserFunction:
        """Import the function, or the class; anew if its files have changed since it was imported.

        Raises
        ------
        FunctionNotFoundError
            If there is no such module or attribute, with the nearest name
            that exists; or if the module cannot be imported.
        UsageError
            If its code is not what it must be.
        """
        module_name, colon, attributes = self.name.rpartition(":")
        # C:\dir\file.py has a colon, but names no function.
        if not colon or not module_name or not attributes or set(attributes) & {"/", "\\"}:
            raise FunctionNotFoundError(
                f"{option('function')} {self.name!r} is not MODULE:FUNCTION, nor "
                "path/to/file.py:FUNCTION"
                f"{self._completed()}"
            )
        module = import_current(self, self._load_file if self.is_file else self._load_module)
        found: Any = module
        for attribute in attributes.split("."):
            owner = getattr(found, "__name__", module_name)
            try:
                found = getattr(found, attribute)
            except AttributeError:
                raise FunctionNotFoundError(
                    f"{module_name if found is module else owner} has no attribute "
                    f"{attribute!r}{did_you_mean(attribute, public_names(found))}"
                ) from None
        if not callable(found):
            raise FunctionNotFoundError(
                f"{self.name} is a {type(found).__name__} and cannot be called: "
                "give a function, a class, or an object with __call__"
            )
        function: UserFunction = found
        return function

    def _completed(self) -> str:
        """Say what a name without a function may have been meant to be."""
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
        # A name of its own keeps a file called like a module (random.py) from
        # taking that module's place for everything else.
        module_name = f"_mucho_{path.stem}"
        module = sys.modules.get(module_name)
        if module is not None and getattr(module, "__file__", None) == str(path):
            return module
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise FunctionNotFoundError(f"{name} is no Python file: its name must end in .py")
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


def make_callable(function: UserFunction, global_args: Any, *, plain: bool = False) -> UserFunction:
    """Return what is called for every window.

    A class is called once, with the global args as keyword arguments, and its
    instance is what is called for every window: the place to load a model.

    Parameters
    ----------
    function : callable
    global_args : object
        For a class, a Mapping; for a plain function as well.
    plain : bool
        The function takes arrays, one after the other, (rows, cols) where an
        input has one band, and the global args by their names, except those
        that its instance was made with.

    Raises
    ------
    MuchoChildError
        If making the instance raises.
    ResultError
        If one of the global args is nearly, but not, a parameter's name.
    """
    keywords = global_args
    if isinstance(function, type):
        arguments = "the arrays" if plain else "(data, window, ij, global_args)"
        function, keywords = _instance(function, global_args, arguments), {}
    if not plain:
        return function
    called: Callable[..., Any] = function
    _check_keywords(called, keywords)

    def call(data: Any, window: Any, ij: Any, global_args: Any) -> Any:
        arrays = data if isinstance(data, list) else [data]
        flat = [array[0] if array.shape[0] == 1 else array for array in arrays]
        return called(*flat, **keywords)

    call.__wrapped__ = called  # type: ignore[attr-defined]  # what `inspect.signature` looks at
    return call


def _instance(function: type, global_args: Any, arguments: str) -> UserFunction:
    try:
        made: Any = function(**global_args)
    except INTERRUPTS:
        raise
    except BaseException as exc:
        _check_keywords(function, global_args)
        raise wrap_user_error(f"{function.__name__} cannot be made: it", exc) from None
    if not callable(made):
        raise ResultError(
            f"{function.__name__} has no __call__: a class needs one, with {arguments}"
        )
    instance: UserFunction = made
    return instance


def _check_keywords(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raise ResultError for a global arg that is nearly, but not, a parameter's name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in given:
        if name not in parameters and did_you_mean(name, parameters):
            raise ResultError(
                f"{getattr(function, '__name__', 'the function')} takes no {name!r}, which is one "
                f"of the global args{did_you_mean(name, parameters)}"
            )


def wrap_user_error(what: str, exception: BaseException, hint: str = "") -> MuchoChildError:
    """Wrap what the user's function raised so that it can leave a worker."""
    kind = type(exception).__name__
    text = line_of(exception)
    return MuchoChildError(f"{what} raised {kind}{f': {text}' if text else ''}{hint}", exception)


def _import_from(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _broken(name: str, exc: BaseException) -> FunctionNotFoundError:
    """Say on one line where importing the user's module failed."""
    if isinstance(exc, SyntaxError) and exc.filename:
        place, text = f"{exc.filename}, line {exc.lineno}", f"{type(exc).__name__}: {exc.msg}"
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(exc.__traceback__)
            if not frame.filename.startswith("<frozen")
            and frame.filename != __file__
            and frame.filename != importlib.__file__
        ]
        place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else name
        text = f"{type(exc).__name__}: {line_of(exc)}"
    return FunctionNotFoundError(f"{name} cannot be imported: {text} ({place})")


def describe_type(value: Any) -> str:
    """Return the name of the type of a value, as messages have it."""
    return "None" if value is None else f"a {type(value).__name__}"


# What Python raises because of the arguments has no frame of the user's.
_OURS = f"{Path(__file__).resolve().parents[1]}{os.sep}"
# Of all that is installed, names of so few letters are too many.
_SHORT = 3


def hint_of_arguments(
    function: Callable[..., Any], raised: BaseException, given: int, *, plain: bool
) -> str:
    """Return what to do about a function that cannot take its arguments, or nothing.

    Parameters
    ----------
    function : callable
        What `make_callable` returned.
    raised : exception
        By the call.
    given : int
        How many arrays there are.
    plain : bool
    """
    frames = traceback.walk_tb(raised.__traceback__)
    is_inside = any(not frame.f_code.co_filename.startswith(_OURS) for frame, _ in frames)
    if not isinstance(raised, TypeError) or is_inside:
        return ""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    takes_four = _takes(signature, 4)
    if not plain and not takes_four:
        return (
            f"; it is called with (data, window, ij, global_args): pass {option('plain')} to call "
            "it with the arrays alone"
        )
    if plain and takes_four and not _takes(signature, given):
        arrays = format_count(given, "array")
        return (
            f"; with {option('plain')} it is called with {arrays} alone: leave that out to call it "
            "with (data, window, ij, global_args)"
        )
    return ""


def _takes(signature: inspect.Signature, number: int) -> bool:
    """Whether so many arguments, without names, are enough and not too many."""
    try:
        signature.bind(*[None] * number)
    except TypeError:
        return False
    return True


def similar_module(name: str, folder: str) -> str:
    """Return which module may have been meant by one that does not exist, or nothing.

    One of the user's own folder comes first. Of all that is installed, short
    names are too many, and names with an underscore are nobody else's.
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
    """Return the names of the public modules in some folders; of all there are for None."""
    return [each.name for each in pkgutil.iter_modules(path) if not each.name.startswith("_")]


def public_names(owner: Any) -> list[str]:
    """Return the names of an object's attributes, without those that are its own affair."""
    return [name for name in dir(owner) if not name.startswith("_")]
