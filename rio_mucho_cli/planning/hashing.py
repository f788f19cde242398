"""Convert plain values to JSON that is the same in every process, and hash it.

Pickles are not suitable: they depend on the identity of objects and on the
order of sets.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Set
from datetime import date, time, timedelta
from operator import itemgetter
from pathlib import PurePath
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.text import option

_NUMBERS = (bool, int, float, complex)


def to_json(value: Any, name: str) -> Any:
    """Return a value as JSON; arrays and bytes are replaced by digests.

    Parameters
    ----------
    value : object
        JSON value, or sets, bytes, complex numbers, arrays, paths, dates,
        times, dtypes, transforms and CRSs.
    name : str
        Name of the value in messages.

    Raises
    ------
    UsageError
        If the value is, or contains, an object of another type.
    """
    try:
        return _to_json(value, name)
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply: pass plain values") from None


def digest(value: Any) -> str:
    """Return the SHA-256 of bytes or of a JSON value, in hex."""
    if not isinstance(value, bytes):
        value = json.dumps(value, sort_keys=True).encode("ascii")
    return hashlib.sha256(value).hexdigest()


def _to_json(value: Any, name: str) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": str(value)}
        case complex() | date() | time() | timedelta():
            return {type(value).__name__: str(value)}
        case bytes() | bytearray():
            return {"bytes": digest(bytes(value))}
        case np.ndarray() | np.generic():
            return _array_to_json(value, name)
        case PurePath():
            return str(value)
        case CRS():
            return {"crs": value.to_wkt()}
        case Mapping():
            pairs = [(_key(key, name), item) for key, item in value.items()]
            return {
                key: _to_json(item, f"{name}.{key}")
                for key, item in sorted(pairs, key=itemgetter(0))
            }
        case Affine():
            return list(value)
        case list() | tuple():
            return [_to_json(item, f"{name}.{number}") for number, item in enumerate(value, 1)]
        case Set():
            return {"set": sorted((_to_json(item, name) for item in value), key=json.dumps)}
        case np.dtype():
            return {"dtype": str(value)}
        case type() if issubclass(value, np.generic) or value in _NUMBERS:
            return {"dtype": str(np.dtype(value))}
    raise UsageError(
        f"{name} is of type {type(value).__name__}, and {option('resume')} needs plain values "
        "(numbers, text, lists, dicts, arrays, paths, dates): pass these, and make other objects "
        "from them in the function"
    )


def _key(key: Any, name: str) -> str:
    return key if isinstance(key, str) else json.dumps([_to_json(key, name)])


def _array_to_json(value: Any, name: str) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return {str(value.dtype): str(value)}
    if isinstance(value, np.generic) and value.dtype.kind in "biufcSU":
        item = value.item()
        if not isinstance(item, np.generic):  # item() of a longdouble is one
            return _to_json(item, name)
    description: dict[str, Any] = {"dtype": str(value.dtype), "shape": list(value.shape)}
    if value.dtype.hasobject:
        return {**description, "items": _to_json(value.tolist(), name)}
    if isinstance(value, np.ma.MaskedArray):
        description["mask"] = _array_to_json(np.ma.getmaskarray(value), name)
        value = value.filled(0)
    return {**description, "sha256": digest(np.ascontiguousarray(value).tobytes())}
