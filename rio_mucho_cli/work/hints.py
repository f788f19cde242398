"""What may have been meant by a function that is not as it should be."""

from __future__ import annotations

import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.text import closest, format_count, option

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


def hint_of_bands(shape: tuple[int, ...], window: Window, overlap: int) -> str:
    """Return what to do about a result whose bands come last, as pictures have them."""
    sizes = [(window.height + 2 * more, window.width + 2 * more) for more in (0, overlap)]
    if len(shape) != 3 or shape[:2] not in sizes:
        return ""
    return ": bands come first, return np.moveaxis(result, -1, 0)"


def nearest_module(name: str, folder: str) -> str:
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
