"""Merge the values of windows in their order, in the main process and in parts of mosaics."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from rio_mucho_cli.errors import ResultError, UsageError
from rio_mucho_cli.outputs.value_text import Lines, check_columns
from rio_mucho_cli.outputs.values import MERGES, Merge, ValueNotSupportedError
from rio_mucho_cli.signals import INTERRUPTS
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction, wrap_user_error

Finish: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Merging:
    """How values become one.

    Attributes
    ----------
    merge : callable or None
        Function of the total so far and the next value; None to collect values in a
        list, and to extend it with lists.
    finish : callable or None
        Function that makes the result from the last total.
    """

    merge: Merge | None = None
    finish: Finish | None = None


def find_mergings(
    function: UserFunction | FunctionRef, global_args: Any, merges: tuple[Any, ...]
) -> tuple[Merging, ...]:
    """Return how the values of each output are merged.

    Parameters
    ----------
    function : callable or FunctionRef
        Its own `merge` and `finish` are used, or those of its class. If they are methods
        that need an instance, one is created.
    global_args : object
        Arguments of the class.
    merges : tuple
        For each output a name in MERGES, a callable, a FunctionRef, or None for the
        function's own.

    Raises
    ------
    MuchoError
        If a merge cannot be imported, or an instance cannot be created.
    """
    target: Any = function.load() if isinstance(function, FunctionRef) else function
    while isinstance(target, functools.partial):
        target = target.func
    own = _OwnMethods(target, global_args)
    return tuple(Merging(_merge_of(merge, own), own.get("finish")) for merge in merges)


def _merge_of(merge: Any, own: _OwnMethods) -> Merge | None:
    match merge:
        case None:
            return cast("Merge | None", own.get("merge"))
        case str(name):
            return MERGES[name]
        case FunctionRef() as reference:
            return reference.load()
    return cast("Merge", merge)


class _OwnMethods:
    """The methods `merge` and `finish` of a function or of an instance of its class."""

    def __init__(self, function: Any, global_args: Any) -> None:
        self._function = function
        self._global_args = global_args

    def get(self, name: str) -> Any:
        """Return a method, or None if there is none."""
        if not callable(getattr(self._function, name, None)):
            return None
        if isinstance(self._function, type) and inspect.isfunction(
            inspect.getattr_static(self._function, name)
        ):
            self._function = self._instance()
        return getattr(self._function, name)

    def _instance(self) -> Any:
        try:
            return self._function(**self._global_args)
        except (*INTERRUPTS, UsageError):  # the latter by reductions
            raise
        except BaseException as exc:
            name = self._function.__name__
            raise wrap_user_error(f"{name} cannot be created: it", exc) from None


class Merger:
    """Merges values one after another.

    Parameters
    ----------
    merge : callable or None
        Function of the total and the next value; None to collect values in a list, and
        extend it with lists.
    """

    def __init__(self, merge: Merge | None) -> None:
        self._merge: Any = merge
        self.total: Any = [] if merge is None else None
        self._has_total = merge is None
        self._is_ours = merge in MERGES.values()

    def append(self, value: Any) -> None:
        """Merge the next value.

        Raises
        ------
        MuchoChildError
            If the merge raises.
        ResultError
            If there is no sum, minimum or maximum of the values.
        """
        if not self._has_total:
            self.total = self._merged(None, value) if self._is_ours else value
            self._has_total = True
        elif self._merge is not None:
            self.total = self._merged(self.total, value)
        elif isinstance(value, list):
            self.total += value
        else:
            self.total.append(value)

    def _merged(self, total: Any, value: Any) -> Any:
        if not self._is_ours:
            return call_user(self._merge, "merge", total, value)
        try:
            return self._merge(total, value)
        except ValueNotSupportedError as exc:
            raise ResultError(f"the values of windows cannot be merged: {exc}") from None


def call_user(function: Callable[..., Any], what: str, *args: Any) -> Any:
    """Call a function of the user's.

    Raises
    ------
    MuchoChildError
        If it raises.
    """
    try:
        return function(*args)
    except (*INTERRUPTS, ResultError):  # the latter by reductions
        raise
    except BaseException as exc:
        raise wrap_user_error(what, exc) from None


def join_lines(first: Lines, second: Lines) -> Lines:
    """Return the lines of both.

    Raises
    ------
    ResultError
        If rows of a table have other columns than the first row.
    """
    check_same_columns(first.columns, second.columns)
    return Lines(
        first.content + second.content,
        first.not_finite + second.not_finite,
        first.columns or second.columns,
    )


def check_same_columns(expected: tuple[str, ...], columns: tuple[str, ...]) -> None:
    """Raise ResultError if rows have other columns than the first row, or in another order."""
    if not expected or not columns or columns == expected:
        return
    try:
        check_columns(expected, columns)
    except ValueNotSupportedError as exc:
        raise ResultError(f"the function returned {exc}") from None
    raise ResultError(
        f"the function returned rows with columns in the order {', '.join(columns)}, unlike "
        f"{', '.join(expected)} in the first row: return the same order always"
    )
