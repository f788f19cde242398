"""Values that an output cannot hold as what they are: they are counted, and said at the end.

Nothing here changes a pixel. Casting to a narrower dtype wraps around, and NaN
is a number like any other where nodata is another one: both are what was asked
for, and seldom what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rio_mucho_cli.quantities import format_count

_INTEGERS = ("uint16", "int16", "uint32", "int32")


@dataclass(frozen=True, slots=True)
class Misfits:
    """How many pixels of some windows an output holds as something else.

    Attributes
    ----------
    outside : int
        Pixels, of all bands, that are beyond the range of the output's dtype,
        or NaN or infinite where that has integers.
    outside_windows : int
        Windows with such pixels.
    lowest, highest : float or None
        Of the finite ones among them.
    nan : int
        Pixels that are NaN, are not masked, and count as valid, because the
        output's nodata is another one.
    nan_windows : int
        Windows with such pixels.
    """

    outside: int = 0
    outside_windows: int = 0
    lowest: float | None = None
    highest: float | None = None
    nan: int = 0
    nan_windows: int = 0

    def __bool__(self) -> bool:
        return bool(self.outside or self.nan)

    def merged(self, other: Misfits) -> Misfits:
        """Return those of both."""
        lows = [each.lowest for each in (self, other) if each.lowest is not None]
        highs = [each.highest for each in (self, other) if each.highest is not None]
        return Misfits(
            self.outside + other.outside,
            self.outside_windows + other.outside_windows,
            min(lows, default=None),
            max(highs, default=None),
            self.nan + other.nan,
            self.nan_windows + other.nan_windows,
        )

    def messages(self, dtype: str, nodata: float | None, *, some: bool = False) -> Iterator[str]:
        """Yield what a user has to know of them.

        Parameters
        ----------
        dtype : str
            Of the output.
        nodata : float or None
            Of the output.
        some : bool
            There were other windows, which nobody has counted.
        """
        least = "at least " if some else ""
        if self.outside:
            what = _pixels(self.outside, self.outside_windows)
            found = "NaN or infinite"
            if self.lowest is not None:
                found = f"from {self.lowest:.6g} to {self.highest:.6g}"
            yield (
                f"{least}{what} do not fit in {dtype} ({found}), and became other values: pass "
                f"--dtype {self._wide_enough(dtype)}, or let the function clip them"
            )
        if self.nan:
            there = "has no nodata" if nodata is None else f"has nodata {nodata:g}"
            yield (
                f"{least}{_pixels(self.nan, self.nan_windows)} are NaN, which counts as valid "
                f"because the output {there}: pass --nodata nan, or let the function mask them"
            )

    def _wide_enough(self, dtype: str) -> str:
        """Return the narrowest dtype that holds all of them and what the output's holds."""
        target = np.dtype(dtype)
        if target.kind == "f":
            return "float64"
        if self.lowest is not None and self.highest is not None:
            own = np.iinfo(target)
            low, high = min(own.min, self.lowest), max(own.max, self.highest)
            for name in _INTEGERS:
                info = np.iinfo(name)
                if info.min <= low and high <= info.max:
                    return name
        return "float32"

    def as_json(self) -> dict[str, Any]:
        """Return it as what JSON can say."""
        return {
            "outside_pixels": self.outside,
            "outside_windows": self.outside_windows,
            "lowest": self.lowest,
            "highest": self.highest,
            "nan_pixels": self.nan,
            "nan_windows": self.nan_windows,
        }


NONE = Misfits()


def beyond(array: np.ndarray[Any, Any], dtype: str) -> Misfits:
    """Count what a cast of a window turns into other values.

    What only loses its fraction, or digits, is what was asked for.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols). Masked pixels do not count.
    dtype : str
        What it is cast to.
    """
    target = np.dtype(dtype)
    kinds = array.dtype.kind + target.kind
    if np.can_cast(array.dtype, target, "safe") or "c" in kinds or kinds in ("if", "uf"):
        return NONE
    values = array.compressed() if isinstance(array, np.ma.MaskedArray) else array
    fits = _fitting(values, target)
    outside = values.size - int(np.count_nonzero(fits))
    if not outside:
        return NONE
    wrong = values[~fits]
    finite = wrong[np.isfinite(wrong)]
    if not finite.size:
        return Misfits(outside, 1)
    return Misfits(outside, 1, float(finite.min()), float(finite.max()))


def _fitting(values: np.ndarray[Any, Any], target: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return of each value whether a dtype has its place for it."""
    fits: np.ndarray[Any, Any]
    if target.kind == "f":
        with np.errstate(over="ignore"):
            fits = np.isfinite(values.astype(target)) | ~np.isfinite(values)
        return fits
    info = np.iinfo(target)
    if values.dtype.kind == "f":
        if values.dtype.itemsize < 4:
            values = values.astype("float32")
        # Fractions are cut off, as far as numbers of this size have any; NaN is in no range.
        low, one = values.dtype.type(info.min), values.dtype.type(1)
        fits = values >= low if low - one == low else values > low - one
        fits &= values < values.dtype.type(info.max + 1)
        return fits
    own = np.iinfo(values.dtype)
    fits = values >= max(own.min, info.min)
    fits &= values <= min(own.max, info.max)
    return fits


def valid_nan(array: np.ndarray[Any, Any]) -> Misfits:
    """Count pixels of a window that are NaN and not masked.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols), floating point.
    """
    found = np.isnan(np.ma.getdata(array))
    if isinstance(array, np.ma.MaskedArray):
        found &= ~np.ma.getmaskarray(array)
    number = int(np.count_nonzero(found))
    return Misfits(nan=number, nan_windows=1) if number else NONE


def _pixels(number: int, windows: int) -> str:
    return f"{format_count(number, 'pixel')} in {format_count(windows, 'window')}"
