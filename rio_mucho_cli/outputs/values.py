"""Values that functions return instead of pixels: check them, and merge those of windows.

A value consists of None, numbers, text, lists, dicts, and numpy arrays of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

import numpy as np

from rio_mucho_cli.text import describe_type

Merge: TypeAlias = Callable[[Any, Any], Any]
ValueFormat: TypeAlias = Literal["json", "ndjson", "geojsonl", "csv"]

STDOUT = "-"
"""Path of a value that the command prints."""

_FORMATS: Mapping[str, ValueFormat] = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".geojsonl": "geojsonl",
    ".csv": "csv",
}

VALUE_ENDINGS = tuple(_FORMATS)
"""Endings of outputs that take values."""


def value_format(path: Any) -> ValueFormat | None:
    """Return the format of a value output by its path; None for a raster.

    Parameters
    ----------
    path : object
        None is a value that is not written: it is returned as JSON would be.
    """
    if path is None or path == STDOUT:
        return "json"
    if not isinstance(path, str | PurePath):
        return None
    return _FORMATS.get(PurePath(path).suffix.lower())


_EXPECTED = "expected numbers, text, lists, dicts, or arrays of numbers"


class ValueNotSupportedError(TypeError):
    """A value cannot be written; the message says what was found and where."""


def plain_value(value: Any, where: str = "") -> Any:
    """Return a value as Python's own types and arrays of its own, or raise.

    Parameters
    ----------
    value : object
        numpy scalars become numbers, tuples become lists, `numpy.ma.masked`
        becomes None, and objects with ``__geo_interface__`` become dicts.
    where : str
        Place of the value in what the function returned, for the message.

    Raises
    ------
    ValueNotSupportedError
        If it cannot be written.
    """
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, np.generic):
        value = float(value) if isinstance(value, np.floating) else value.item()
    if type(value) in {bool, int, float, str}:
        return value
    if isinstance(value, Mapping):
        return {
            _plain_key(key, where): plain_value(item, f"{where}[{key!r}]")
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain_value(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if hasattr(value, "__geo_interface__"):
        return plain_value(value.__geo_interface__, where)
    if hasattr(type(value), "__array__"):
        return _plain_array(value, where)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):  # enumerations
            return kind(value)
    raise ValueNotSupportedError(
        f"an object of the type {type(value).__qualname__}{_at(where)}, {_EXPECTED}"
    )


def _plain_key(key: Any, where: str) -> Any:
    key = key.item() if isinstance(key, np.generic) else key
    if not isinstance(key, str | int | float):
        raise ValueNotSupportedError(
            f"a dict with the key {key!r}{_at(where)}, expected text or numbers as keys"
        )
    return key


def _plain_array(value: Any, where: str) -> Any:
    array = np.asanyarray(value)
    if np.ma.isMaskedArray(array):
        if np.ma.getmaskarray(array).any():
            raise ValueNotSupportedError(
                f"a masked array{_at(where)}: take .compressed() or .filled(number) of it"
            )
        array = np.ma.getdata(array)
    if array.dtype.kind == "U":
        return array.tolist()
    if array.dtype.kind not in "biuf":
        raise ValueNotSupportedError(f"an array of dtype {array.dtype}{_at(where)}, {_EXPECTED}")
    return array.item() if array.ndim == 0 else np.array(array)


def _at(where: str) -> str:
    return f" at result{where}" if where else ""


def count_bytes(value: Any) -> int:
    """Return about how many bytes a value has."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(count_bytes, value.values())) + 16 * len(value)
    if isinstance(value, list):
        return sum(map(count_bytes, value)) + 8 * len(value)
    return len(value) if isinstance(value, str) else 8


def merge_sum(a: Any, b: Any) -> Any:
    """Return the sum of two values; None is no value."""
    return _merge(a, b, np.add, "sum")


def merge_min(a: Any, b: Any) -> Any:
    """Return the minimum of two values; None and NaN are no values."""
    return _merge(a, b, np.fmin, "minimum")


def merge_max(a: Any, b: Any) -> Any:
    """Return the maximum of two values; None and NaN are no values."""
    return _merge(a, b, np.fmax, "maximum")


def _merge(a: Any, b: Any, ufunc: np.ufunc, what: str, where: str = "") -> Any:
    if a is None or b is None:
        return _wide(b if a is None else a, ufunc)
    if isinstance(a, dict) and isinstance(b, dict):
        merged = {
            key: _merge(item, b.get(key), ufunc, what, f"{where}[{key!r}]")
            for key, item in a.items()
        }
        new = {key: _wide(item, ufunc) for key, item in b.items() if key not in merged}
        return merged | new
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape:
            raise ValueNotSupportedError(
                f"there is no {what} of arrays of shapes {a.shape} and {b.shape}{_at(where)}"
            )
        return ufunc(_wide(a, ufunc), b)
    if _is_number(a) and _is_number(b):
        if ufunc is np.add:
            return a + b  # Python's integers do not overflow
        if a != a or b != b:
            return b if a != a else a
        return min(a, b) if ufunc is np.fmin else max(a, b)
    raise ValueNotSupportedError(
        f"there is no {what} of {describe_type(a)} and {describe_type(b)}{_at(where)}: expected "
        "numbers, arrays, or dicts of them"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _wide(value: Any, ufunc: np.ufunc) -> Any:
    """Return a value whose arrays are wide enough for a sum, as those of numpy.sum are."""
    if ufunc is not np.add:
        return value
    if isinstance(value, dict):
        return {key: _wide(item, ufunc) for key, item in value.items()}
    if not isinstance(value, np.ndarray):
        return value
    wide = {"b": "int64", "i": "int64", "u": "uint64", "f": "float64"}[value.dtype.kind]
    return value.astype(np.promote_types(value.dtype, wide), copy=False)


MERGES: Mapping[str, Merge | None] = {
    "sum": merge_sum,
    "min": merge_min,
    "max": merge_max,
    "list": None,
}
"""Merges by name. None: values are collected in a list, and lists are extended."""
