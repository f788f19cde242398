"""Count pixels whose meaning changes when they are written, for the report.

No pixel is changed here. Four things are counted, which follow from the options
but are seldom intended:

- a cast to a narrower dtype wraps around;
- NaN is valid where nodata is a number;
- a result that equals nodata is nodata to every reader;
- a function without masks takes an input's nodata for a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rio_mucho_cli.dtypes import number_text
from rio_mucho_cli.text import format_count, option

_INTEGERS = ("uint16", "int16", "uint32", "int32")


@dataclass(frozen=True, slots=True)
class ValueLoss:
    """Counts of pixels whose meaning changes, and of windows with such pixels.

    Attributes
    ----------
    outside, outside_windows : int
        Pixels of all bands outside the range of the output's dtype, including
        NaN and infinities for an integer dtype.
    lowest, highest : float or None
        Range of the finite values among them.
    nan, nan_windows : int
        Unmasked NaN pixels that count as valid, because the output's nodata is
        not NaN.
    nodata, nodata_windows : int
        Unmasked pixels that equal the output's nodata, except those that are
        nodata in an input.
    is_loss : bool
        Whether some of these may be valid: the function did not choose to
        write nodata.
    passed, passed_windows : int
        Pixels that hold the first input's nodata in both input and result, and
        count as valid because the output's nodata differs.
    read_windows : int
        Windows in which a function without masks got nodata as numbers.
    """

    outside: int = 0
    outside_windows: int = 0
    lowest: float | None = None
    highest: float | None = None
    nan: int = 0
    nan_windows: int = 0
    nodata: int = 0
    nodata_windows: int = 0
    is_loss: bool = False
    passed: int = 0
    passed_windows: int = 0
    read_windows: int = 0

    def __bool__(self) -> bool:
        return self != NO_LOSS

    def merge(self, other: ValueLoss) -> ValueLoss:
        """Return the sum of two counts."""
        lows = [loss.lowest for loss in (self, other) if loss.lowest is not None]
        highs = [loss.highest for loss in (self, other) if loss.highest is not None]
        return ValueLoss(
            self.outside + other.outside,
            self.outside_windows + other.outside_windows,
            min(lows, default=None),
            max(highs, default=None),
            self.nan + other.nan,
            self.nan_windows + other.nan_windows,
            self.nodata + other.nodata,
            self.nodata_windows + other.nodata_windows,
            self.is_loss or other.is_loss,
            self.passed + other.passed,
            self.passed_windows + other.passed_windows,
            self.read_windows + other.read_windows,
        )

    def messages(
        self,
        dtype: str,
        nodata: float | None,
        *,
        inherited: float | None = None,
        some: bool = False,
    ) -> Iterator[str]:
        """Yield the warnings for the user.

        Parameters
        ----------
        dtype : str
            Dtype of the output.
        nodata : float or None
            Nodata of the output.
        inherited : float or None
            Nodata of the first input.
        some : bool
            True if some windows were not counted.
        """
        least = "at least " if some else ""
        if self.read_windows:
            yield (
                f"in {least}{format_count(self.read_windows, 'window')} the function got nodata or "
                f"masked pixels as ordinary numbers: pass {option('fill', math.nan)}, or "
                f"{option('masked')} if it heeds masks"
            )
        if self.outside:
            pixels = _pixels(self.outside, self.outside_windows)
            values = "NaN or infinite"
            if self.lowest is not None:
                values = f"from {self.lowest:.6g} to {self.highest:.6g}"
            yield (
                f"{least}{pixels} do not fit in {dtype} ({values}), and became other values: pass "
                f"{option('dtype', self._wide_enough(dtype))}, or let the function clip them"
            )
        own = "none" if nodata is None else number_text(nodata)
        output = "the output has no nodata" if nodata is None else f"the output has nodata {own}"
        if self.nan:
            yield (
                f"{least}{_pixels(self.nan, self.nan_windows)} are NaN, which counts as valid "
                f"because {output}: pass {option('nodata', math.nan)}, or let the "
                "function mask them"
            )
        if self.nodata and self.is_loss:
            yield (
                f"{least}{_pixels(self.nodata, self.nodata_windows)} are not masked and equal "
                f"the output's nodata {own}, so readers take them for nodata: if they are valid, "
                f"choose another with {option('nodata')}"
            )
        if self.passed and inherited is not None:
            first = number_text(inherited)
            yield (
                f"{least}{_pixels(self.passed, self.passed_windows)} still have the first "
                f"input's nodata {first}, which counts as valid because {output}: "
                f"pass {option('masked')}, {option('fill', math.nan)}, or "
                f"{option('nodata', inherited)}"
            )

    def _wide_enough(self, dtype: str) -> str:
        """Return the narrowest dtype that holds the lost values and the output's range."""
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
        """Return the counts as a dict for JSON."""
        return {
            "outside_pixels": self.outside,
            "outside_windows": self.outside_windows,
            "lowest": self.lowest,
            "highest": self.highest,
            "nan_pixels": self.nan,
            "nan_windows": self.nan_windows,
            "nodata_pixels": self.nodata,
            "nodata_windows": self.nodata_windows,
            "passed_nodata_pixels": self.passed,
            "passed_nodata_windows": self.passed_windows,
            "read_nodata_windows": self.read_windows,
        }


NO_LOSS = ValueLoss()


def lost_in_cast(array: np.ndarray[Any, Any], dtype: str) -> ValueLoss:
    """Return the count of pixels in a window that a cast turns into other values.

    Losing only the fraction or digits does not count.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols). Masked pixels do not count.
    dtype : str
        Dtype to cast to.
    """
    target = np.dtype(dtype)
    kinds = array.dtype.kind + target.kind
    if np.can_cast(array.dtype, target, "safe") or "c" in kinds or kinds in ("if", "uf"):
        return NO_LOSS
    values = array.compressed() if isinstance(array, np.ma.MaskedArray) else array
    fits = _fits(values, target)
    outside = values.size - int(np.count_nonzero(fits))
    if not outside:
        return NO_LOSS
    wrong = values[~fits]
    finite = wrong[np.isfinite(wrong)]
    if not finite.size:
        return ValueLoss(outside, 1)
    return ValueLoss(outside, 1, float(finite.min()), float(finite.max()))


def _fits(values: np.ndarray[Any, Any], target: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a mask of the values within the range of a dtype."""
    fits: np.ndarray[Any, Any]
    if target.kind == "f":
        with np.errstate(over="ignore"):
            fits = np.isfinite(values.astype(target)) | ~np.isfinite(values)
        return fits
    info = np.iinfo(target)
    if values.dtype.kind == "f":
        if values.dtype.itemsize < 4:
            values = values.astype("float32")
        # Casting drops fractions, where values this large have any. NaN is out of every range.
        low, one = values.dtype.type(info.min), values.dtype.type(1)
        fits = values >= low if low - one == low else values > low - one
        fits &= values < values.dtype.type(info.max + 1)
        return fits
    own = np.iinfo(values.dtype)
    fits = values >= max(own.min, info.min)
    fits &= values <= min(own.max, info.max)
    return fits


def valid_nan(array: np.ndarray[Any, Any]) -> ValueLoss:
    """Return the count of unmasked NaN pixels in a window.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols), floating point.
    """
    is_nan = np.isnan(np.ma.getdata(array))
    if isinstance(array, np.ma.MaskedArray):
        is_nan &= ~np.ma.getmaskarray(array)
    number = int(np.count_nonzero(is_nan))
    return ValueLoss(nan=number, nan_windows=1) if number else NO_LOSS


def taken_for_nodata(
    array: np.ndarray[Any, Any],
    nodata: float | None,
    *,
    inherited: float | None = None,
    absent: np.ndarray[Any, Any] | None = None,
    is_chosen: bool = False,
) -> ValueLoss:
    """Return the count of unmasked pixels in a window that equal nodata.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols), in the output's dtype.
    nodata : float or None
        Nodata of the output.
    inherited : float or None
        Nodata of the first input, if the output's nodata is derived from it.
    absent : ndarray of bool, or None
        (rows, cols), True where an input has nodata that the function got as
        numbers.
    is_chosen : bool
        True if the function writes nodata into ordinary arrays on purpose.
    """
    loss = NO_LOSS
    if nodata is not None and nodata == nodata:
        equal = _equal(array, nodata)
        is_masked = isinstance(array, np.ma.MaskedArray)
        is_loss = is_masked or not is_chosen
        if absent is not None and not is_masked:
            equal &= ~absent
        number = int(np.count_nonzero(equal))
        if number:
            loss = ValueLoss(nodata=number, nodata_windows=1, is_loss=is_loss)
    if inherited is not None and inherited != nodata and absent is not None and absent.any():
        number = int(np.count_nonzero(_equal(array, inherited) & absent))
        if number:
            loss = loss.merge(ValueLoss(passed=number, passed_windows=1))
    return loss


def _equal(array: np.ndarray[Any, Any], value: float) -> np.ndarray[Any, Any]:
    """Return a mask of the unmasked pixels that equal a value in their dtype."""
    data = np.ma.getdata(array).real  # as GDAL compares complex numbers
    equal: np.ndarray[Any, Any] = data == data.dtype.type(value)
    if isinstance(array, np.ma.MaskedArray):
        equal &= ~np.ma.getmaskarray(array)
    return equal


def _pixels(number: int, windows: int) -> str:
    return f"{format_count(number, 'pixel')} in {format_count(windows, 'window')}"
