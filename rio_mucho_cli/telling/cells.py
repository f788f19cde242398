"""What windows took, by where they lie: exact for some windows, coarser for many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.telling.totals import Total

MOST = 2500
"""How many cells there are at most."""


@dataclass(slots=True)
class Cell:
    """Some windows that lie beside each other; often it is one.

    Attributes
    ----------
    left, top, right, bottom : int
        Where they lie, in pixels; ends excluded.
    total : Total
        What they took.
    slowest : float
        What the slowest one took, in seconds.
    ij : object
        The first one's.
    failed : int
        How many are nodata because the function raised.
    """

    left: int
    top: int
    right: int
    bottom: int
    total: Total
    slowest: float = 0.0
    ij: Any = None
    failed: int = 0

    @classmethod
    def of(cls, window: Window, ij: Any, total: Total, *, failed: bool = False) -> Cell:
        """Make a cell of one window."""
        left, top = round(window.col_off), round(window.row_off)
        right, bottom = left + round(window.width), top + round(window.height)
        return cls(left, top, right, bottom, total, total.seconds, ij, int(failed))

    def absorb(self, other: Cell) -> None:
        """Take over what lies beside it."""
        self.left, self.top = min(self.left, other.left), min(self.top, other.top)
        self.right, self.bottom = max(self.right, other.right), max(self.bottom, other.bottom)
        self.total.add(other.total)
        self.slowest = max(self.slowest, other.slowest)
        self.failed += other.failed


class Cells:
    """Cells by their place; where there would be too many, neighbours become one.

    The first window's size is the measure: cells are squares of 1, 2, 4, ...
    times that, once each window cannot have its own.

    Parameters
    ----------
    most : int
        How many cells there may be.
    """

    def __init__(self, most: int = MOST) -> None:
        self._cells: dict[tuple[int, int], Cell] = {}
        self._most = most
        self._step = (1, 1)

    def add(self, cell: Cell) -> None:
        """Put a window into its place."""
        if not self._cells:
            self._first = (max(1, cell.right - cell.left), max(1, cell.bottom - cell.top))
        _put(self._cells, cell, self._step)
        while len(self._cells) > self._most:
            width, height = self._step
            is_exact = self._step == (1, 1)
            self._step = self._first if is_exact else (2 * width, 2 * height)
            joined: dict[tuple[int, int], Cell] = {}
            for each in self._cells.values():
                _put(joined, each, self._step)
            self._cells = joined

    def __iter__(self) -> Any:
        return iter(self._cells.values())

    def __len__(self) -> int:
        return len(self._cells)


def _put(cells: dict[tuple[int, int], Cell], cell: Cell, step: tuple[int, int]) -> None:
    place = (cell.left // step[0], cell.top // step[1])
    if place in cells:
        cells[place].absorb(cell)
    else:
        cells[place] = cell
