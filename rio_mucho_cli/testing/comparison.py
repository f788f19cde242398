"""Choice of windows for `check`, and comparison of their results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from rio_mucho_cli.windows import PlannedWindow, Size, format_window, window_grid

# Approximate number of windows of the smallest size.
_MANY = 100


def choose_windows(width: int, height: int) -> list[Sequence[PlannedWindow]]:
    """Return several ways to cover a raster, from few windows to many.

    Returns
    -------
    list of sequences of (window, ij)
        Windows of slightly more than half of each side; of all but the last
        row and column, which leaves windows one pixel wide or high; of whole
        rows; of whole columns; and about a hundred small ones, in reverse
        order. Sizes do not divide the raster evenly, if possible.
    """
    side = math.ceil(math.sqrt(width * height / _MANY))
    small = Size(_uneven(width, side), _uneven(height, side))
    sizes = [
        Size(width // 2 + 1, height // 2 + 1),
        Size(max(1, width - 1), max(1, height - 1)),
        Size(width, _uneven(height, math.ceil(height / 3))),
        Size(_uneven(width, math.ceil(width / 3)), height),
    ]
    whole = Size(width, height)
    several = [size for size in dict.fromkeys(sizes) if size != small and _covers_not(size, whole)]
    found: list[Sequence[PlannedWindow]] = [window_grid(width, height, size) for size in several]
    if _covers_not(small, whole):
        found.append(window_grid(width, height, small)[::-1])
    return found


def _covers_not(size: Size, whole: Size) -> bool:
    return size.width < whole.width or size.height < whole.height


def _uneven(length: int, side: int) -> int:
    """Return a side that does not divide a length: the given one, or one more."""
    side = min(side, length)
    return side + 1 if 1 < side < length and length % side == 0 else side


Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest difference between results, as for `numpy.isclose`.

    Attributes
    ----------
    rtol, atol : float
        Relative and absolute tolerance. With 0 for both, results must be
        equal to the last bit. NaN equals NaN.
    """

    rtol: float = 0
    atol: float = 0

    def __str__(self) -> str:
        return f"rtol={self.rtol:g}" + (f" and atol={self.atol:g}" if self.atol else "")

    def same(self, one: Array, other: Array) -> bool:
        """Return whether two arrays are equal within the tolerance."""
        return not self.apart(one, other).any()

    def apart(self, one: Array, other: Array) -> Array:
        """Return where two arrays (count, rows, cols) of the same shape differ."""
        masks = np.ma.getmaskarray(one), np.ma.getmaskarray(other)
        a, b = np.ma.getdata(one), np.ma.getdata(other)
        # isclose alone is not enough: it converts integers to floats, which loses digits.
        apart = (a != b) & ~((a != a) & (b != b))
        if self.rtol or self.atol:
            apart &= ~np.isclose(b, a, rtol=self.rtol, atol=self.atol, equal_nan=True)
        differ: Array = (apart & ~masks[0] & ~masks[1]) | (masks[0] != masks[1])
        return differ


def describe_difference(
    whole: Array, parts: Array, tolerance: Tolerance, windows: Sequence[PlannedWindow]
) -> str:
    """Return how many pixels differ, by how much, and which one is first, as text.

    Parameters
    ----------
    whole, parts : ndarray
        Results for one window and for several; they must differ somewhere.
    tolerance : Tolerance
    windows : sequence of (window, ij)
        The windows of `parts`.
    """
    apart = tolerance.apart(whole, parts)
    pixels = apart.any(axis=0)
    row, col = (int(value) for value in np.argwhere(pixels)[0])
    band = int(np.argmax(apart[:, row, col]))
    window = next(window for window, _ in windows if _contains(window, row, col))
    return (
        f"the result depends on the windows: in {size_of(windows)}, {pixels.sum()} of "
        f"{pixels.size} pixels differ from the whole{_by_how_much(whole, parts, apart)}\n"
        f"the first is row {row}, column {col}, band {band + 1}: "
        f"{_text(parts[band, row, col])} in {format_window(window)}, and "
        f"{_text(whole[band, row, col])} in the whole"
    )


def describe_form(whole: Array, parts: Array, windows: Sequence[PlannedWindow]) -> str | None:
    """Return how results differ in bands or dtype; None if they do not."""
    forms = [f"count {len(each)} and dtype {each.dtype}" for each in (parts, whole)]
    if forms[0] == forms[1]:
        return None
    return (
        f"the result depends on the windows: in {size_of(windows)} it has {forms[0]}, and "
        f"{forms[1]} in the whole"
    )


def size_of(windows: Sequence[PlannedWindow]) -> str:
    """Return the size of the largest window as text."""
    width = max(window.width for window, _ in windows)
    height = max(window.height for window, _ in windows)
    return f"windows of {width} x {height} pixels (width x height)"


def _contains(window: Any, row: int, col: int) -> bool:
    (top, bottom), (left, right) = window.toranges()
    return bool(top <= row < bottom and left <= col < right)


def _by_how_much(whole: Array, parts: Array, apart: Array) -> str:
    """Return the largest difference of numbers as text; empty without one."""
    kind = np.complex128 if whole.dtype.kind == "c" else np.float64
    both = ~np.ma.getmaskarray(whole) & ~np.ma.getmaskarray(parts)
    values = [np.ma.getdata(each)[apart & both].astype(kind) for each in (whole, parts)]
    with np.errstate(all="ignore"):
        differences = np.abs(values[0] - values[1])
    differences = differences[~np.isnan(differences)]
    return f", by up to {differences.max():g}" if differences.size else ""


def _text(value: Any) -> str:
    return "masked" if value is np.ma.masked else str(value)
