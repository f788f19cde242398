"""The parameters of the user's function: what it takes, and hints where that does not fit."""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rio_mucho_cli.errors import ResultError, text_of
from rio_mucho_cli.text import argument, did_you_mean, format_count, option

# An exception that Python raises for wrong arguments has no frame of the user's.
_OURS = f"{Path(__file__).resolve().parents[1]}{os.sep}"

INFO = "info"
"""Name of the parameter of functions that get a WindowInfo."""


def takes_info(function: Callable[..., Any]) -> bool:
    """Return whether a function has a keyword-only parameter `info` that is not bound."""
    parameter = _parameters(function).get(INFO)
    if parameter is None or parameter.kind is not parameter.KEYWORD_ONLY:
        return False
    unwrapped: Any = inspect.unwrap(function)
    return not (isinstance(unwrapped, functools.partial) and INFO in unwrapped.keywords)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function; none if they are unknown."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def check_info(function: Callable[..., Any], positional: int, others: str) -> None:
    """Raise ResultError if `info` is a positional parameter for which there is no argument."""
    parameters = _parameters(function)
    parameter = parameters.get(INFO)
    if (
        parameter is not None
        and parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        and parameter.default is parameter.empty
        and list(parameters).index(INFO) >= positional
    ):
        raise ResultError(f"{_name_of(function)} has a positional parameter info: {_how(others)}")


def _name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, or that of an instance's class."""
    name: str = getattr(function, "__name__", type(function).__name__)
    return name


def _how(others: str) -> str:
    return f"make it keyword-only, with a star before it: ({others}, *, info)"


def check_keywords(function: Callable[..., Any], global_args: Mapping[str, Any]) -> None:
    """Raise ResultError if a global arg looks like a misspelt parameter."""
    parameters = _parameters(function)
    if not parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    ):
        return
    for name in global_args:
        if name not in parameters and did_you_mean(name, parameters):
            raise ResultError(
                f"{getattr(function, '__name__', 'the function')} takes no {name!r}, which is one "
                f"of the global args{did_you_mean(name, parameters)}"
            )


def hint_of_missing(function: Callable[..., Any], global_args: Mapping[str, Any]) -> str:
    """Return a hint at a required parameter for which there is no global arg, or nothing."""
    for name, parameter in _parameters(function).items():
        if (
            name not in global_args
            and parameter.default is parameter.empty
            and parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
        ):
            return f"; its arguments are the global args: pass {argument(name, '...')}"
    return ""


def hint_of_arguments(
    function: Callable[..., Any], raised: BaseException, arrays: int, *, plain: bool
) -> str:
    """Return a hint about a function that rejects its arguments, or nothing.

    Parameters
    ----------
    function : callable
        The callable from `make_callable`.
    raised : exception
        Exception that the call raised.
    arrays : int
        Number of arrays.
    plain : bool
        Whether the function is called with arrays alone.
    """
    if _lacks_info(function, raised):
        return f"; info is None, because the parameter is positional: {_how('...')}"
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
    if plain and takes_four and not _takes(signature, arrays):
        return (
            f"; with {option('plain')} it is called with {format_count(arrays, 'array')} alone: "
            "leave that out to call it with (data, window, ij, global_args)"
        )
    return ""


def _lacks_info(function: Callable[..., Any], raised: BaseException) -> bool:
    """Return whether a function uses a positional parameter `info` with its default None."""
    parameter = _parameters(function).get(INFO)
    return (
        isinstance(raised, AttributeError | TypeError)
        and "NoneType" in text_of(raised)
        and parameter is not None
        and parameter.default is None
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    )


def _takes(signature: inspect.Signature, number: int) -> bool:
    """Return whether a signature accepts this number of positional arguments."""
    parameter = signature.parameters.get(INFO)
    gets_info = parameter is not None and parameter.kind is parameter.KEYWORD_ONLY
    try:
        signature.bind(*[None] * number, **({INFO: None} if gets_info else {}))
    except TypeError:
        return False
    return True
