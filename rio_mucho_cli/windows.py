"""Windows that cover a grid, and sizes of windows and blocks."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias, overload

from rasterio.errors import WindowError
from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.text import option

PlannedWindow: TypeAlias = "tuple[Any, Any]"
"""A window and its ij: (row, column) in the grid of windows."""


class Size(NamedTuple):
    """Width and height of a window or a block, in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class WindowGrid(Sequence[PlannedWindow]):
    """The windows of a grid, row by row, computed on access.

    A million windows take no more memory than one.

    Attributes
    ----------
    width, height : int
        Size of the raster.
    size : Size
        Size of a window; the last ones of a row and a column may be smaller.
    rows, cols : range
        Row and column indexes of the windows in the grid, or in one part of it.
    positions : range
        Positions of the selected windows, counted row by row.
    """

    width: int
    height: int
    size: Size
    rows: range
    cols: range
    positions: range

    @classmethod
    def of(cls, width: int, height: int, size: Size, rows: range, cols: range) -> WindowGrid:
        """Return all windows in the given rows and columns."""
        return cls(width, height, size, rows, cols, range(len(rows) * len(cols)))

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> PlannedWindow: ...

    @overload
    def __getitem__(self, index: slice) -> WindowGrid: ...

    def __getitem__(self, index: int | slice) -> PlannedWindow | WindowGrid:
        if isinstance(index, slice):
            return replace(self, positions=self.positions[index])
        row, col = divmod(self.positions[index], len(self.cols))
        return self._at(self.rows[row], self.cols[col])

    def __iter__(self) -> Iterator[PlannedWindow]:
        rows, cols, number = self.rows, self.cols, len(self.cols)
        for position in self.positions:
            row, col = divmod(position, number)
            yield self._at(rows[row], cols[col])

    def __contains__(self, planned: object) -> bool:
        match planned:
            case (_, (int(i), int(j))) if i in self.rows and j in self.cols:
                position = self.rows.index(i) * len(self.cols) + self.cols.index(j)
                return position in self.positions and planned == self._at(i, j)
        return False

    def _at(self, i: int, j: int) -> PlannedWindow:
        row, col = i * self.size.height, j * self.size.width
        width = min(self.size.width, self.width - col)
        return Window(col, row, width, min(self.size.height, self.height - row)), (i, j)

    @property
    def is_whole(self) -> bool:
        """Whether all windows of its rows and columns are selected."""
        return self.positions == range(len(self.rows) * len(self.cols))

    def outline(self) -> Sequence[PlannedWindow]:
        """Return a few windows with the edges and sizes of all.

        They are those in the first, second and last rows and columns.
        """
        if not self.is_whole:
            return self
        rows, cols = (
            list(dict.fromkeys([*indexes[:2], *indexes[-1:]])) for indexes in (self.rows, self.cols)
        )
        return [self._at(i, j) for i in rows for j in cols]

    def middle(self) -> PlannedWindow:
        """Return the window whose centre is closest to that of the raster."""
        middle = []
        for indexes, side, length in (
            (self.rows, self.size.height, self.height),
            (self.cols, self.size.width, self.width),
        ):
            # Twice the distance, to stay with integers.
            middle.append(
                min(indexes, key=lambda k: abs(k * side + min((k + 1) * side, length) - length))
            )
        return self._at(middle[0], middle[1])

    def count_pixels(self) -> int:
        """Return the total number of pixels."""
        step = self.positions.step
        if abs(step) != 1:
            return sum(window.width * window.height for window, _ in self)
        first, last = sorted((self.positions.start, self.positions.stop - step))
        return self._pixels_before(last + 1) - self._pixels_before(first) if len(self) else 0

    def _pixels_before(self, position: int) -> int:
        """Return the number of pixels in the windows before a position."""
        row, col = divmod(position, len(self.cols))
        whole = _length(self.rows[:row], self.size.height, self.height) * _length(
            self.cols, self.size.width, self.width
        )
        if not col:
            return whole
        height = _length(self.rows[row : row + 1], self.size.height, self.height)
        return whole + height * _length(self.cols[:col], self.size.width, self.width)

    def rebase(self) -> WindowGrid:
        """Return the windows as the grid of a raster of exactly their extent."""
        width = _length(self.cols, self.size.width, self.width)
        height = _length(self.rows, self.size.height, self.height)
        return WindowGrid.of(width, height, self.size, range(len(self.rows)), range(len(self.cols)))

    def group_by_part(self, part: Size) -> list[tuple[tuple[int, int], Window, WindowGrid]] | None:
        """Return the windows by part; None if parts are not made of whole windows."""
        if not self.is_whole or self.rows.start or self.cols.start:
            return None
        cuts = []
        for indexes, side, part_side, length in (
            (self.rows, self.size.height, part.height, self.height),
            (self.cols, self.size.width, part.width, self.width),
        ):
            if part_side % side and part_side < length:
                return None
            count = len(indexes)
            step = max(1, min(part_side // side, count) if part_side < length else count)
            cuts.append([indexes[start : start + step] for start in range(0, count, step)])
        parts = []
        for i, rows in enumerate(cuts[0]):
            for j, cols in enumerate(cuts[1]):
                top, left = i * part.height, j * part.width
                size = min(part.width, self.width - left), min(part.height, self.height - top)
                inside = WindowGrid.of(self.width, self.height, self.size, rows, cols)
                parts.append(((i, j), Window(left, top, *size), inside))
        return parts


def _length(indexes: range, side: int, length: int) -> int:
    """Return the extent of adjacent windows along one side, in pixels."""
    if not indexes:
        return 0
    return min(indexes.stop * side, length) - indexes.start * side


_MAX_WINDOWS = 2**24
_MAX_DIGITS = 18


def parse_size(text: str) -> Size | None:
    """Return the size in ``512`` or ``1024x512`` (width x height), else None."""
    match = re.fullmatch(r"(\d+)(?:[xX](\d+))?", text.strip())
    if match is None:
        return None
    if max(map(len, match[0].lower().split("x"))) > _MAX_DIGITS:
        raise WindowsError(f"windows of {text[:40]}... pixels are larger than any raster")
    size = Size(int(match[1]), int(match[2] or match[1]))
    if min(size) < 1:
        raise WindowsError(f"windows of {text} have no pixels: give at least 1x1")
    return size


def window_grid(width: int, height: int, size: Size) -> WindowGrid:
    """Return windows that cover a raster, row by row; the last ones may be smaller.

    Raises
    ------
    WindowsError
        If there would be too many to process: a file may claim any size.
    """
    rows, cols = -(-height // size.height), -(-width // size.width)
    if rows * cols > _MAX_WINDOWS:
        raise WindowsError(
            f"{width} x {height} pixels in windows of {size.width} x {size.height} are "
            f"{rows * cols} windows, and {_MAX_WINDOWS} are the most there can be: give larger ones"
        )
    return WindowGrid.of(width, height, size, range(rows), range(cols))


def outline(windows: Sequence[PlannedWindow]) -> Sequence[PlannedWindow]:
    """Return windows with the edges and sizes of all; only a few of a grid."""
    return windows.outline() if isinstance(windows, WindowGrid) else windows


def count_pixels(windows: Sequence[PlannedWindow], raster: Size) -> int:
    """Return the total number of pixels; invalid windows count as empty."""
    if isinstance(windows, WindowGrid):
        return windows.count_pixels()
    pixels = 0
    for window, _ in windows:
        with suppress(TypeError, ValueError, WindowError):
            normalized = normalize(window, *raster)
            pixels += int(round(normalized.width) * round(normalized.height))
    return pixels


def check_windows(windows: Sequence[PlannedWindow], width: int, height: int) -> None:
    """Raise WindowsError unless windows are inside the raster and do not overlap.

    Raises
    ------
    WindowsError
        If there is no window, one extends beyond the raster, or two overlap.
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
                f"{format_window(window)} is not inside the raster of {width} x {height} pixels: "
                "take windows from rio blocks of the first input"
            )
    pair = _overlapping([window for window, _ in windows])
    if pair:
        raise WindowsError(
            f"{format_window(pair[0])} and {format_window(pair[1])} overlap: "
            "every pixel may be in one window only"
        )


def common_multiple(windows: Sequence[PlannedWindow], width: int, height: int) -> Size:
    """Return the largest block size that divides every window.

    Blocks at the right and lower edge of a raster may be smaller, so window
    edges there set no limit. A side without any limit is 0: any block fits.
    """
    col_gcd = row_gcd = 0
    for window, _ in outline(windows):
        right, bottom = window.col_off + window.width, window.row_off + window.height
        col_gcd = math.gcd(col_gcd, window.col_off, right if right < width else 0)
        row_gcd = math.gcd(row_gcd, window.row_off, bottom if bottom < height else 0)
    return Size(col_gcd, row_gcd)


def aligned_to_blocks(
    windows: Sequence[PlannedWindow], block: Size, width: int, height: int
) -> bool:
    """Return whether every window is an integer Window of whole blocks."""
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


def group_by_part(
    windows: Sequence[PlannedWindow], width: int, height: int, part: Size
) -> Sequence[tuple[tuple[int, int], Window, Sequence[PlannedWindow]]]:
    """Return the parts of a raster with the windows in each.

    Parameters
    ----------
    windows : sequence of (window, ij)
    width, height : int
        Size of the raster.
    part : Size
        Size of a part; those at the right and lower edge may be smaller.

    Returns
    -------
    sequence of (ij, Window, sequence of (window, ij))
        Parts with at least one window, row by row; windows in the given order.

    Raises
    ------
    WindowsError
        If a window lies in several parts.
    """
    parts_of_grid = windows.group_by_part(part) if isinstance(windows, WindowGrid) else None
    if parts_of_grid is not None:
        return parts_of_grid
    by_part: dict[tuple[int, int], list[PlannedWindow]] = {}
    for planned in windows:
        window = normalize(planned[0], width, height)
        row, col = int(window.row_off // part.height), int(window.col_off // part.width)
        top, left = row * part.height, col * part.width
        if (
            window.row_off + window.height > top + part.height
            or window.col_off + window.width > left + part.width
        ):
            raise WindowsError(
                f"{format_window(window)} lies in more than one part of "
                f"{part.width} x {part.height} pixels: give windows that begin where "
                f"parts do, or another {option('part_size')}"
            )
        by_part.setdefault((row, col), []).append(planned)
    parts = []
    for (row, col), inside in sorted(by_part.items()):
        top, left = row * part.height, col * part.width
        size = min(part.width, width - left), min(part.height, height - top)
        parts.append(((row, col), Window(left, top, *size), inside))
    return parts


def normalize(window: Any, width: int, height: int) -> Window:
    """Return any window that rasterio accepts as a Window.

    Parameters
    ----------
    window : Window, or pair of ranges or slices
        Ranges and slices are (rows, columns); their ends may be open.
    width, height : int
        Size of the raster, for open ends.
    """
    if isinstance(window, Window):
        return window
    return Window.from_slices(*window, width=width, height=height)


def format_window(window: Any) -> str:
    """Return a window's rows and columns (ends excluded) for a message."""
    if isinstance(window, Window):
        (top, bottom), (left, right) = window.toranges()
    else:
        try:
            (top, bottom), (left, right) = window
        except (TypeError, ValueError):
            return f"window {window!r}"
    return f"window rows {top}:{bottom}, columns {left}:{right}"


def _overlapping(windows: Sequence[Window]) -> tuple[Window, Window] | None:
    """Return two windows that overlap, or None, in one sweep from the top down.

    `taken` holds the columns in use at the current row as sorted spans that do
    not overlap. A span that ended above is replaced when it is met.
    """
    taken: list[tuple[int, int, int]] = []  # first column, end column, index in `rows`
    rows = sorted(windows, key=lambda w: (w.row_off, w.col_off))
    for index, window in enumerate(rows):
        end = window.col_off + window.width
        first = last = max(0, bisect_left(taken, (window.col_off,)) - 1)
        if first < len(taken) and taken[first][1] <= window.col_off:
            first = last = first + 1
        while last < len(taken) and taken[last][0] < end:
            above = rows[taken[last][2]]
            if above.row_off + above.height > window.row_off:
                return above, window
            last += 1
        taken[first:last] = [(window.col_off, end, index)]
    return None
