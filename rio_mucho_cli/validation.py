"""Whether values given by hand are of the kind that they should be."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.text import truncate
from rio_mucho_cli.windows import Size

WHOLE, NUMBER, TEXT, FLAG = "a whole number", "a number", "text", "True or False"
_KINDS: Mapping[str, type] = {WHOLE: Integral, NUMBER: Real, TEXT: str, FLAG: bool}


def check_kinds(owner: object, names: Mapping[str, str]) -> None:
    """Raise UsageError for the first attribute that is of another kind; None is one of any.

    Parameters
    ----------
    owner : object
    names : Mapping of str to str
        The kind of each attribute: WHOLE, NUMBER, TEXT or FLAG.
    """
    for name, kind in names.items():
        value = getattr(owner, name)
        if value is None:
            continue
        # True is a number to Python, and to nobody else.
        if isinstance(value, bool) != (kind == FLAG) or not isinstance(value, _KINDS[kind]):
            hint = ', such as float("nan")' if kind == NUMBER else ""
            raise UsageError(f"{name} is {value!r}: expected {kind}{hint}")


def check_all_are(values: Any, kind: type, name: str) -> None:
    """Raise UsageError if something is no sequence of instances of a class."""
    wrong: Sequence[Any] = [values]
    if isinstance(values, Sequence):
        wrong = [value for value in values if not isinstance(value, kind)]
    if wrong:
        raise UsageError(f"{name} has {wrong[0]!r}: expected a list of {kind.__name__}s")


def check_windows_value(windows: Any) -> None:
    """Raise UsageError if something is neither None, "blocks", a Size, nor pairs (window, ij)."""
    if windows is None or isinstance(windows, Size) or windows == "blocks":
        return
    if not _is_sequence(windows) or not all(_is_sequence(each, 2) for each in windows):
        raise windows_error(windows)


def windows_error(windows: Any) -> UsageError:
    """Say what windows can be."""
    return UsageError(
        f"windows are {truncate(repr(windows), 60)}: expected 'blocks', a size in pixels, or a "
        "list of (window, ij)"
    )


def _is_sequence(value: Any, length: int | None = None) -> bool:
    is_one = isinstance(value, Sequence) and not isinstance(value, str)
    return is_one and length in {None, len(value)}


def path_text(value: Any, name: str) -> str:
    """Return a path as text, or raise UsageError."""
    try:
        return str(os.fspath(value))
    except TypeError:
        raise UsageError(f"{name} is {value!r}: expected a path") from None
