"""Choice of windows for `check`, and comparison of their results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from rio_mucho_cli.windows import Size, WindowPair, format_window, pairs_of, window_grid

# Approximate number of windows of the smallest size.
_SMALL_WINDOWS = 100


def choose_windows(width: int, height: int) -> list[list[WindowPair]]:
    """Return several sets of windows that cover a raster, from few windows to many.

    Returns
    -------
    list of lists of (window, ij)
        Windows of slightly more than half of each side; of all but the last
        row and column, which leaves windows one pixel wide or high; of whole
        rows; of whole columns; and about a hundred small ones, in reverse
        order. Sizes do not divide the raster evenly, if possible.
    """
    side = math.ceil(math.sqrt(width * height / _SMALL_WINDOWS))
    small = Size(_uneven_side(width, side), _uneven_side(height, side))
    sizes = [
        Size(width // 2 + 1, height // 2 + 1),
        Size(max(1, width - 1), max(1, height - 1)),
        Size(width, _uneven_side(height, math.ceil(height / 3))),
        Size(_uneven_side(width, math.ceil(width / 3)), height),
    ]
    whole = Size(width, height)
    large = [size for size in dict.fromkeys(sizes) if size != small and _is_smaller(size, whole)]
    window_sets = [pairs_of(window_grid(width, height, size)) for size in large]
    if _is_smaller(small, whole):
        window_sets.append(pairs_of(window_grid(width, height, small)[::-1]))
    return window_sets


def _is_smaller(size: Size, whole: Size) -> bool:
    return size.width < whole.width or size.height < whole.height


def _uneven_side(length: int, side: int) -> int:
    """Return a side, or one more, so that it does not divide a length."""
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

    def are_equal(self, one: Array, other: Array) -> bool:
        """Return whether two arrays are equal within the tolerance."""
        return not self.difference_mask(one, other).any()

    def difference_mask(self, one: Array, other: Array) -> Array:
        """Return where two arrays (count, rows, cols) of the same shape differ."""
        masks = np.ma.getmaskarray(one), np.ma.getmaskarray(other)
        a, b = np.ma.getdata(one), np.ma.getdata(other)
        # isclose alone is not enough: it converts integers to floats, which loses digits.
        differ = (a != b) & ~((a != a) & (b != b))
        if self.rtol or self.atol:
            differ &= ~np.isclose(b, a, rtol=self.rtol, atol=self.atol, equal_nan=True)
        result: Array = (differ & ~masks[0] & ~masks[1]) | (masks[0] != masks[1])
        return result


def describe_difference(
    whole: Array, parts: Array, tolerance: Tolerance, windows: Sequence[WindowPair]
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
    differ = tolerance.difference_mask(whole, parts)
    pixels = differ.any(axis=0)
    row, col = (int(value) for value in np.argwhere(pixels)[0])
    band = int(np.argmax(differ[:, row, col]))
    window = next(window for window, _ in windows if _contains(window, row, col))
    return (
        f"the result depends on the windows: with {describe_windows(windows)}, {pixels.sum()} of "
        f"{pixels.size} pixels differ from the result for the whole raster"
        f"{_largest_difference(whole, parts, differ)}\n"
        f"the first is at row {row}, column {col}, band {band + 1}: "
        f"{_value_text(parts[band, row, col])} in {format_window(window)}, "
        f"{_value_text(whole[band, row, col])} in the whole raster"
    )


def describe_type_difference(
    whole: Array, parts: Array, windows: Sequence[WindowPair]
) -> str | None:
    """Return how results differ in bands or dtype; None if they do not."""
    types = [f"count {len(result)} and dtype {result.dtype}" for result in (parts, whole)]
    if types[0] == types[1]:
        return None
    return (
        f"the result depends on the windows: with {describe_windows(windows)} it has {types[0]}, "
        f"for the whole raster {types[1]}"
    )


def describe_windows(windows: Sequence[WindowPair]) -> str:
    """Return the size of the largest window as text."""
    width = max(window.width for window, _ in windows)
    height = max(window.height for window, _ in windows)
    return f"windows of {width} x {height} pixels (width x height)"


def _contains(window: Any, row: int, col: int) -> bool:
    (top, bottom), (left, right) = window.toranges()
    return bool(top <= row < bottom and left <= col < right)


def _largest_difference(whole: Array, parts: Array, differ: Array) -> str:
    """Return the largest difference of numbers as text; empty without one."""
    dtype = np.complex128 if whole.dtype.kind == "c" else np.float64
    unmasked = ~np.ma.getmaskarray(whole) & ~np.ma.getmaskarray(parts)
    values = [np.ma.getdata(result)[differ & unmasked].astype(dtype) for result in (whole, parts)]
    with np.errstate(all="ignore"):
        differences = np.abs(values[0] - values[1])
    differences = differences[~np.isnan(differences)]
    return f", by up to {differences.max():g}" if differences.size else ""


def _value_text(value: Any) -> str:
    return "masked" if value is np.ma.masked else str(value)
