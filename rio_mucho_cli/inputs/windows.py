"""Which windows cover a grid. Arithmetic only: no file is opened here."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rasterio.errors import WindowError
from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.inputs.window_grid import PlannedWindow, Size, WindowGrid
from rio_mucho_cli.spelling import option

__all__ = [
    "PlannedWindow",
    "Size",
    "WindowGrid",
    "are_whole_blocks",
    "as_window",
    "check",
    "common_multiple",
    "count_pixels",
    "cover",
    "default_size",
    "describe",
    "outline",
    "parse_size",
    "split",
]

TARGET_PIXELS = 1024 * 1024
"""Pixels of a window when nobody says otherwise.

Large enough that handing a window to a worker costs nothing beside computing
it, small enough that a few bands of it stay in a worker's memory.
"""


_MOST = 2**24
_MOST_DIGITS = 18


def parse_size(text: str) -> Size | None:
    """Read ``512`` or ``1024x512`` (width x height); None if it is neither."""
    match = re.fullmatch(r"(\d+)(?:[xX](\d+))?", text.strip())
    if match is None:
        return None
    if max(map(len, match[0].lower().split("x"))) > _MOST_DIGITS:
        raise WindowsError(f"windows of {text[:40]}... pixels are larger than any raster")
    size = Size(int(match[1]), int(match[2] or match[1]))
    if min(size) < 1:
        raise WindowsError(f"windows of {text} have no pixels: give at least 1x1")
    return size


def default_size(
    width: int,
    height: int,
    block: Size,
    *,
    whole_rows: bool = False,
    most: int | None = None,
    low: bool = False,
) -> Size:
    """Choose a window of about a million pixels that is a whole number of blocks.

    Parameters
    ----------
    width, height : int
        Of the raster.
    block : Size
        Of the output.
    whole_rows : bool
        Make windows as wide as the raster: where the blocks of the input or
        the output are strips, a narrower window would decode or encode every
        strip several times.
    most : int
        How many pixels there is memory for. One block is the least there is,
        and whole rows are not taken if there is no room for a row of blocks.
    low : bool
        Make windows as wide and as low as they can be: blocks that are side
        by side lie one after the other in a file, and are one request to a
        server.
    """
    pixels = TARGET_PIXELS if most is None else min(TARGET_PIXELS, most)
    if whole_rows and (most is None or width * block.height <= most or block.width >= width):
        return Size(width, max(1, pixels // width // block.height) * block.height)
    across = min(math.isqrt(pixels), pixels // block.height) // block.width
    if low:
        across = min(pixels // block.height // block.width, math.ceil(width / block.width))
    columns = max(1, across) * block.width
    return Size(columns, max(1, pixels // columns // block.height) * block.height)


def cover(width: int, height: int, size: Size) -> WindowGrid:
    """Cover a raster with windows, row by row; the last ones are cut off.

    Raises
    ------
    WindowsError
        If there would be more than anybody could wait for: a file may claim
        any size.
    """
    rows, cols = -(-height // size.height), -(-width // size.width)
    if rows * cols > _MOST:
        raise WindowsError(
            f"{width} x {height} pixels in windows of {size.width} x {size.height} are "
            f"{rows * cols} windows, and {_MOST} are the most there can be: give larger ones"
        )
    return WindowGrid.of(width, height, size, range(rows), range(cols))


def outline(windows: Sequence[PlannedWindow]) -> Sequence[PlannedWindow]:
    """Return windows that have the edges and the sizes of all: of a grid, a few."""
    return windows.outline() if isinstance(windows, WindowGrid) else windows


def count_pixels(windows: Sequence[PlannedWindow], raster: Size) -> int:
    """Return how many pixels windows have together; what is no window has none."""
    if isinstance(windows, WindowGrid):
        return windows.count_pixels()
    pixels = 0
    for window, _ in windows:
        with suppress(TypeError, ValueError, WindowError):
            whole = as_window(window, *raster)
            pixels += int(round(whole.width) * round(whole.height))
    return pixels


def check(windows: Sequence[PlannedWindow], width: int, height: int) -> None:
    """Raise WindowsError unless windows are inside the raster and apart.

    Raises
    ------
    WindowsError
        If there is no window, or one leaves the raster, or two overlap.
    """
    if not windows:
        raise WindowsError("the list of windows is empty: give at least one")
    windows = outline(windows)
    for window, _ in windows:
        if (
            min(window.col_off, window.row_off) < 0
            or min(window.width, window.height) < 1
            or window.col_off + window.width > width
            or window.row_off + window.height > height
        ):
            raise WindowsError(
                f"{describe(window)} is not inside the raster of {width} x {height} pixels: "
                "take windows from rio blocks of the first input"
            )
    pair = _overlapping([window for window, _ in windows])
    if pair:
        raise WindowsError(
            f"{describe(pair[0])} and {describe(pair[1])} overlap: "
            "every pixel may be in one window only"
        )


def common_multiple(windows: Sequence[PlannedWindow], width: int, height: int) -> Size:
    """Find the largest block of which every window is a whole number.

    Blocks at the right and the lower edge of a raster may be cut off, so an
    edge of a window that is an edge of the raster sets no limit. A side
    without any limit is 0, and any block fits there.
    """
    col_gcd = row_gcd = 0
    for window, _ in outline(windows):
        right, bottom = window.col_off + window.width, window.row_off + window.height
        col_gcd = math.gcd(col_gcd, window.col_off, right if right < width else 0)
        row_gcd = math.gcd(row_gcd, window.row_off, bottom if bottom < height else 0)
    return Size(col_gcd, row_gcd)


def are_whole_blocks(
    windows: Sequence[PlannedWindow], block: Size, width: int, height: int
) -> bool:
    """Whether every window is a Window of whole pixels and a whole number of blocks."""
    for window, _ in outline(windows):
        if not isinstance(window, Window):
            return False
        left, top = window.col_off, window.row_off
        right, bottom = left + window.width, top + window.height
        if any(int(value) != value for value in (left, top, right, bottom)):
            return False
        if left % block.width or (right % block.width and right != width):
            return False
        if top % block.height or (bottom % block.height and bottom != height):
            return False
    return True


def split(
    windows: Sequence[PlannedWindow], width: int, height: int, part: Size
) -> Sequence[tuple[tuple[int, int], Window, Sequence[PlannedWindow]]]:
    """Say which windows lie in which part of a raster.

    Parameters
    ----------
    windows : sequence of (window, ij)
    width, height : int
        Of the raster.
    part : Size
        Those at the right and the lower edge are cut off.

    Returns
    -------
    sequence of (ij, Window, sequence of (window, ij))
        The parts in which there is a window, row by row; windows in the order
        in which they were given.

    Raises
    ------
    WindowsError
        If a window lies in several.
    """
    of_grid = windows.split(part) if isinstance(windows, WindowGrid) else None
    if of_grid is not None:
        return of_grid
    found: dict[tuple[int, int], list[PlannedWindow]] = {}
    for planned in windows:
        window = as_window(planned[0], width, height)
        row, col = int(window.row_off // part.height), int(window.col_off // part.width)
        top, left = row * part.height, col * part.width
        if (
            window.row_off + window.height > top + part.height
            or window.col_off + window.width > left + part.width
        ):
            raise WindowsError(
                f"{describe(window)} lies in more than one part of {part.width} x {part.height} "
                "pixels: give windows that begin where parts do, or another "
                f"{option('part_size')}"
            )
        found.setdefault((row, col), []).append(planned)
    parts = []
    for (row, col), inside in sorted(found.items()):
        top, left = row * part.height, col * part.width
        size = min(part.width, width - left), min(part.height, height - top)
        parts.append(((row, col), Window(left, top, *size), inside))
    return parts


def as_window(window: Any, width: int, height: int) -> Window:
    """Return rasterio's Window for anything that rasterio takes as one.

    Parameters
    ----------
    window : Window, or pair of ranges or slices
        The latter are (rows, columns); their ends may be open.
    width, height : int
        Of the raster, for open ends.
    """
    if isinstance(window, Window):
        return window
    return Window.from_slices(*window, width=width, height=height)


def describe(window: Any) -> str:
    """Name a window in a message by its rows and columns (ends excluded)."""
    if isinstance(window, Window):
        (top, bottom), (left, right) = window.toranges()
    else:
        try:
            (top, bottom), (left, right) = window
        except (TypeError, ValueError):
            return f"window {window!r}"
    return f"window rows {top}:{bottom}, columns {left}:{right}"


def _overlapping(windows: Sequence[Window]) -> tuple[Window, Window] | None:
    """Find two windows that overlap, in one sweep from the top down.

    The columns that are taken at the current row are kept as spans that do
    not overlap, sorted; a span that ended above makes room when it is met.
    """
    taken: list[tuple[int, int, int]] = []  # first column, end column, place in `rows`
    rows = sorted(windows, key=lambda w: (w.row_off, w.col_off))
    for place, window in enumerate(rows):
        end = window.col_off + window.width
        first = last = max(0, bisect_left(taken, (window.col_off,)) - 1)
        if first < len(taken) and taken[first][1] <= window.col_off:
            first = last = first + 1
        while last < len(taken) and taken[last][0] < end:
            above = rows[taken[last][2]]
            if above.row_off + above.height > window.row_off:
                return above, window
            last += 1
        taken[first:last] = [(window.col_off, end, place)]
    return None
