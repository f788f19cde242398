"""What numbers a dtype can hold."""

from __future__ import annotations

import math
from contextlib import suppress
from numbers import Integral
from typing import Any

import numpy as np
from rasterio.dtypes import dtype_rev

DTYPES = tuple(name for name in dtype_rev if name not in (None, "complex", "complex_int16"))
"""The names of all that this GDAL can write and numpy has."""


def nodata_fits(nodata: float, dtype: str | np.dtype[Any]) -> bool:
    """Return whether a dtype can hold a nodata value.

    Integers want a whole number in their range; floating point takes NaN and
    infinity, and what is not beyond its range (it may be rounded).
    """
    kind = numpy_dtype(dtype)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return math.isfinite(nodata) and nodata == int(nodata) and info.min <= nodata <= info.max
    return not math.isfinite(nodata) or abs(nodata) <= float(np.finfo(kind).max)


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype as which rasterio reads one of GDAL's."""
    return np.dtype("complex64" if str(dtype) == "complex_int16" else dtype)


def filled_dtype(dtype: Any, fill: float | None) -> np.dtype[Any]:
    """Return the dtype of arrays whose masked pixels are filled with a number.

    Integers become floating point to hold NaN: float32 where that holds all
    of them, else float64.
    """
    kind = numpy_dtype(dtype)
    if not fills_with_nan(fill) or kind.kind not in "iu":
        return kind
    return np.dtype("float32" if kind.itemsize <= 2 else "float64")


def fills_with_nan(fill: float | None) -> bool:
    """Return whether masked pixels become NaN."""
    return fill is not None and math.isnan(fill)


def number_text(value: float) -> str:
    """Return a number as short text that says all of it."""
    if isinstance(value, Integral):
        return str(int(value))
    text = f"{value:g}"
    return text if math.isnan(value) or float(text) == value else repr(float(value))


def parse_number(text: str) -> float:
    """Read a number; a whole number that floats may not hold stays one.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = float(text)
    if math.isfinite(found) and abs(found) >= 2**53:
        with suppress(ValueError):
            return int(text)
    return found
