"""Windows that cover a grid, and sizes of windows and blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias, overload

from rasterio.errors import WindowError
from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError

WindowPair: TypeAlias = "tuple[Any, Any]"
"""A window as a caller gives it, and its ij: (row, column) in the grid of windows."""


class Size(NamedTuple):
    """Width and height of a window or a block, in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """A window of a run.

    Attributes
    ----------
    window : Window
    ij : object
        Row and column in the grid of windows; or what the caller gave.
    given : object
        The window as the caller gave it, for the function: a Window, or a pair
        of ranges or slices (rows, columns).
    index: int
        Position among all windows of the plan.
    """

    window: Window
    ij: Any
    given: Any
    index: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class WindowList(Sequence[PlannedWindow]):
    """Windows that a caller gave, combined on access.

    Attributes
    ----------
    pairs : sequence of (window, ij)
        Windows as they were given.
    windows : sequence of Window
        The same windows, each as a Window.
    positions : sequence of int
        Their positions among all windows that the caller gave.
    """

    pairs: Sequence[WindowPair]
    windows: Sequence[Window]
    positions: Sequence[int]

    @classmethod
    def of(cls, pairs: Sequence[WindowPair], raster: Size) -> WindowList:
        """Return the windows of a raster, given in any way that rasterio accepts.

        Parameters
        ----------
        pairs : sequence of (window, ij)
            A window is a Window, or a pair of ranges or slices (rows, columns),
            whose ends may be open.
        raster : Size
            Size of the raster, for open ends.

        Raises
        ------
        WindowsError
            If a window is none of these.
        """
        return cls(
            pairs,
            [
                window if isinstance(window, Window) else _as_window(window, raster)
                for window, _ in pairs
            ],
            range(len(pairs)),
        )

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> PlannedWindow: ...

    @overload
    def __getitem__(self, index: slice) -> WindowList: ...

    def __getitem__(self, index: int | slice) -> PlannedWindow | WindowList:
        if isinstance(index, slice):
            return WindowList(self.pairs[index], self.windows[index], self.positions[index])
        given, ij = self.pairs[index]
        return PlannedWindow(self.windows[index], ij, given, self.positions[index])

    def __iter__(self) -> Iterator[PlannedWindow]:
        for (given, ij), window, position in zip(
            self.pairs, self.windows, self.positions, strict=True
        ):
            yield PlannedWindow(window, ij, given, position)

    def select(self, indexes: Sequence[int]) -> WindowList:
        """Return some of the windows."""
        return WindowList(
            [self.pairs[k] for k in indexes],
            [self.windows[k] for k in indexes],
            [self.positions[k] for k in indexes],
        )


def _as_window(window: Any, raster: Size) -> Window:
    try:
        return Window.from_slices(*window, width=raster.width, height=raster.height)
    except (WindowError, TypeError, ValueError) as exc:
        raise WindowsError(
            f"{format_window(window)} is invalid ({exc}): expected a rasterio Window, or a pair "
            "of ranges (rows, columns)"
        ) from None


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

    def _at(self, i: int, j: int) -> PlannedWindow:
        row, col = i * self.size.height, j * self.size.width
        width = min(self.size.width, self.width - col)
        window = Window(col, row, width, min(self.size.height, self.height - row))
        across = -(-self.width // self.size.width)
        return PlannedWindow(window, (i, j), window, i * across + j)

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
            return sum(planned.window.width * planned.window.height for planned in self)
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


def pairs_of(windows: Sequence[PlannedWindow]) -> list[WindowPair]:
    """Return windows as (window, ij), which a Job takes."""
    return [(planned.given, planned.ij) for planned in windows]


def outline(windows: Sequence[PlannedWindow]) -> Sequence[Window]:
    """Return windows with the edges and sizes of all; only a few of a grid."""
    if isinstance(windows, WindowList):
        return windows.windows
    few = windows.outline() if isinstance(windows, WindowGrid) else windows
    return [planned.window for planned in few]


def count_pixels(windows: Sequence[PlannedWindow]) -> int:
    """Return the total number of pixels."""
    if isinstance(windows, WindowGrid):
        return windows.count_pixels()
    return sum(pixels_in(window) for window in outline(windows))


def pixels_in(window: Window) -> int:
    """Return the number of pixels of a window."""
    return int(round(window.width) * round(window.height))


def common_multiple(windows: Sequence[PlannedWindow], width: int, height: int) -> Size:
    """Return the largest block size that divides every window.

    Blocks at the right and lower edge of a raster may be smaller, so window
    edges there set no limit. A side without any limit is 0: any block fits.
    """
    col_gcd = row_gcd = 0
    for window in outline(windows):
        right, bottom = window.col_off + window.width, window.row_off + window.height
        col_gcd = math.gcd(col_gcd, window.col_off, right if right < width else 0)
        row_gcd = math.gcd(row_gcd, window.row_off, bottom if bottom < height else 0)
    return Size(col_gcd, row_gcd)


def aligned_to_blocks(
    windows: Sequence[PlannedWindow], block: Size, width: int, height: int
) -> bool:
    """Return whether every window consists of whole pixels and whole blocks."""
    for window in outline(windows):
        left, top = window.col_off, window.row_off
        right, bottom = left + window.width, top + window.height
        if any(int(value) != value for value in (left, top, right, bottom)):
            return False
        if left % block.width or (right % block.width and right != width):
            return False
        if top % block.height or (bottom % block.height and bottom != height):
            return False
    return True


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
