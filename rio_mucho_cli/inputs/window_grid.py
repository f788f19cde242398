"""Windows of one size, row by row, in no memory. Arithmetic only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias, overload

from rasterio.windows import Window

PlannedWindow: TypeAlias = "tuple[Any, Any]"
"""A window and its ij: (row, column) in the grid of windows."""


class Size(NamedTuple):
    """Width and height of a window or a block, in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class WindowGrid(Sequence[PlannedWindow]):
    """The windows of a grid, row by row, each made when it is asked for.

    A million of them take no more memory than one.

    Attributes
    ----------
    width, height : int
        Of the raster.
    size : Size
        Of a window; the last ones of a row and a column are cut off.
    rows, cols : range
        Indexes of the windows' rows and columns: all of them, or those of one
        part of the raster.
    places : range
        Which of these windows, counted row by row.
    """

    width: int
    height: int
    size: Size
    rows: range
    cols: range
    places: range

    @classmethod
    def of(cls, width: int, height: int, size: Size, rows: range, cols: range) -> WindowGrid:
        """Return all windows in some rows and columns."""
        return cls(width, height, size, rows, cols, range(len(rows) * len(cols)))

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> PlannedWindow: ...

    @overload
    def __getitem__(self, index: slice) -> WindowGrid: ...

    def __getitem__(self, index: int | slice) -> PlannedWindow | WindowGrid:
        if isinstance(index, slice):
            return replace(self, places=self.places[index])
        row, col = divmod(self.places[index], len(self.cols))
        return self._at(self.rows[row], self.cols[col])

    def __iter__(self) -> Iterator[PlannedWindow]:
        rows, cols, number = self.rows, self.cols, len(self.cols)
        for place in self.places:
            row, col = divmod(place, number)
            yield self._at(rows[row], cols[col])

    def __contains__(self, planned: object) -> bool:
        match planned:
            case (_, (int(i), int(j))) if i in self.rows and j in self.cols:
                place = self.rows.index(i) * len(self.cols) + self.cols.index(j)
                return place in self.places and planned == self._at(i, j)
        return False

    def _at(self, i: int, j: int) -> PlannedWindow:
        row, col = i * self.size.height, j * self.size.width
        width = min(self.size.width, self.width - col)
        return Window(col, row, width, min(self.size.height, self.height - row)), (i, j)

    @property
    def is_whole(self) -> bool:
        """Whether it has all windows of its rows and columns."""
        return self.places == range(len(self.rows) * len(self.cols))

    def outline(self) -> Sequence[PlannedWindow]:
        """Return a few windows that have the edges and the sizes of all: first, second and last."""
        if not self.is_whole:
            return self
        rows, cols = (
            list(dict.fromkeys([*each[:2], *each[-1:]])) for each in (self.rows, self.cols)
        )
        return [self._at(i, j) for i in rows for j in cols]

    def middle(self) -> PlannedWindow:
        """Return the window whose middle is nearest to that of the raster."""
        nearest = []
        for indexes, side, length in (
            (self.rows, self.size.height, self.height),
            (self.cols, self.size.width, self.width),
        ):
            # Twice the distance, in whole numbers.
            nearest.append(
                min(indexes, key=lambda k: abs(k * side + min((k + 1) * side, length) - length))
            )
        return self._at(nearest[0], nearest[1])

    def count_pixels(self) -> int:
        """Return how many pixels they have together."""
        step = self.places.step
        if abs(step) != 1:
            return sum(window.width * window.height for window, _ in self)
        first, last = sorted((self.places.start, self.places.stop - step))
        return self._pixels_before(last + 1) - self._pixels_before(first) if len(self) else 0

    def _pixels_before(self, place: int) -> int:
        """Return how many pixels the windows before a place have."""
        row, col = divmod(place, len(self.cols))
        whole = _length(self.rows[:row], self.size.height, self.height) * _length(
            self.cols, self.size.width, self.width
        )
        if not col:
            return whole
        height = _length(self.rows[row : row + 1], self.size.height, self.height)
        return whole + height * _length(self.cols[:col], self.size.width, self.width)

    def rebased(self) -> WindowGrid:
        """Return them as windows of a raster that is no larger than they are together."""
        width = _length(self.cols, self.size.width, self.width)
        height = _length(self.rows, self.size.height, self.height)
        return WindowGrid.of(width, height, self.size, range(len(self.rows)), range(len(self.cols)))

    def split(self, part: Size) -> list[tuple[tuple[int, int], Window, WindowGrid]] | None:
        """Return them by the parts that they lie in; None if parts are no whole windows."""
        if not self.is_whole or self.rows.start or self.cols.start:
            return None
        cuts = []
        for indexes, side, of_part, length in (
            (self.rows, self.size.height, part.height, self.height),
            (self.cols, self.size.width, part.width, self.width),
        ):
            if of_part % side and of_part < length:
                return None
            step = max(1, min(of_part // side, len(indexes)) if of_part < length else len(indexes))
            cuts.append([indexes[start : start + step] for start in range(0, len(indexes), step)])
        parts = []
        for i, rows in enumerate(cuts[0]):
            for j, cols in enumerate(cuts[1]):
                top, left = i * part.height, j * part.width
                size = min(part.width, self.width - left), min(part.height, self.height - top)
                inside = WindowGrid.of(self.width, self.height, self.size, rows, cols)
                parts.append(((i, j), Window(left, top, *size), inside))
        return parts


def _length(indexes: range, side: int, length: int) -> int:
    """Return how many pixels some neighbouring windows have along one side of the raster."""
    if not indexes:
        return 0
    return min(indexes.stop * side, length) - indexes.start * side
