"""Range of dtypes, and the numbers they can hold."""

from __future__ import annotations

import math
from contextlib import suppress
from numbers import Integral
from typing import Any

import numpy as np
from rasterio.dtypes import dtype_rev

DTYPES = tuple(name for name in dtype_rev if name not in (None, "complex", "complex_int16"))
"""Names of the dtypes that both the installed GDAL and numpy support."""


def nodata_fits(nodata: float, dtype: str | np.dtype[Any]) -> bool:
    """Return whether a dtype can hold a nodata value.

    Integer dtypes hold whole numbers in their range. Floating-point dtypes
    hold NaN, infinity and numbers in their range, which may be rounded.
    """
    kind = numpy_dtype(dtype)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return math.isfinite(nodata) and nodata == int(nodata) and info.min <= nodata <= info.max
    return not math.isfinite(nodata) or abs(nodata) <= float(np.finfo(kind).max)


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the numpy dtype in which rasterio reads a GDAL dtype."""
    return np.dtype("complex64" if str(dtype) == "complex_int16" else dtype)


def filled_dtype(dtype: Any, fill: float | None) -> np.dtype[Any]:
    """Return the dtype of an array after its masked pixels are filled.

    Integers are converted to hold NaN: to float32 if it holds all their
    values, else to float64.
    """
    kind = numpy_dtype(dtype)
    if not fills_with_nan(fill) or kind.kind not in "iu":
        return kind
    return np.dtype("float32" if kind.itemsize <= 2 else "float64")


def fills_with_nan(fill: float | None) -> bool:
    """Return whether a fill value is NaN."""
    return fill is not None and math.isnan(fill)


def number_text(value: float) -> str:
    """Return the shortest text that loses no digits of a number."""
    if isinstance(value, Integral):
        return str(int(value))
    text = f"{value:g}"
    return text if math.isnan(value) or float(text) == value else repr(float(value))


def parse_number(text: str) -> float:
    """Return the number in a text: an int where a float may not be exact.

    Raises
    ------
    ValueError
        If the text is not a number.
    """
    number = float(text)
    if math.isfinite(number) and abs(number) >= 2**53:
        with suppress(ValueError):
            return int(text)
    return number
