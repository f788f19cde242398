"""Which windows show whether a function depends on them. Arithmetic only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rio_mucho_cli.windows import PlannedWindow, Size, window_grid

# How many windows the smallest size makes, about.
_MANY = 100


def choose_windows(width: int, height: int) -> list[Sequence[PlannedWindow]]:
    """Cover a raster in several ways, from few windows to many.

    Returns
    -------
    list of sequences of (window, ij)
        A little more than a half of each side; all but the last row and
        column, which leaves windows of one pixel as any size may; whole rows;
        whole columns; and about a hundred small ones, the last one first.
        Sizes do not divide the raster where that can be had.
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
    """Return a side that is no divisor of a length: the one given, or one more."""
    side = min(side, length)
    return side + 1 if 1 < side < length and length % side == 0 else side
