"""Times by worker and by position on the grid, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.timing import StageTimes

NAMES = ("read", "function", "encode", "transfer", "write")
"""Names of the stages, in order."""


def _zeros() -> list[float]:
    return [0.0] * len(NAMES)


@dataclass(slots=True)
class Total:
    """Time of some windows together.

    Attributes
    ----------
    windows, pixels : int
    wall, cpu : list of float
        Seconds of each stage, in the order of `NAMES`.
    """

    windows: int = 0
    pixels: int = 0
    wall: list[float] = field(default_factory=_zeros)
    cpu: list[float] = field(default_factory=_zeros)

    @classmethod
    def of(cls, stages: StageTimes, windows: int = 1, pixels: int = 0) -> Total:
        """Return the total of some stage times."""
        times = (stages.read, stages.function, stages.encode, stages.transfer, stages.write)
        return cls(
            windows, pixels, [time.seconds for time in times], [time.cpu_seconds for time in times]
        )

    def add(self, other: Total) -> None:
        """Add another total."""
        self.windows += other.windows
        self.pixels += other.pixels
        for stage in range(len(NAMES)):
            self.wall[stage] += other.wall[stage]
            self.cpu[stage] += other.cpu[stage]

    @property
    def seconds(self) -> float:
        """Wall time of all stages."""
        return sum(self.wall)

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return wall and CPU time by stage, as a JSON object."""
        return {
            name: {"seconds": round(wall, 6), "cpu_seconds": round(cpu, 6)}
            for name, wall, cpu in zip(NAMES, self.wall, self.cpu, strict=True)
        }


MOST_INTERVALS = 1200
"""Largest number of intervals, of all workers together."""


@dataclass(slots=True)
class Interval:
    """An interval in which a worker processed one or more windows.

    Attributes
    ----------
    started, ended : float
        Start and end, in seconds since 1970.
    total : Total
        Time of the windows.
    first : object
        ij of the first window.
    """

    started: float
    ended: float
    total: Total
    first: Any = None

    def absorb(self, other: Interval) -> None:
        """Merge the interval that follows."""
        self.started = min(self.started, other.started)
        self.ended = max(self.ended, other.ended)
        self.total.add(other.total)


class Timeline:
    """Intervals by worker; neighbours are merged if there are too many.

    Parameters
    ----------
    most : int
        Largest number of intervals; each worker has at least one.

    Attributes
    ----------
    rows : dict
        Intervals by worker name, in order of arrival.
    shortest : float
        Seconds; neighbours that span no more are merged.
    """

    def __init__(self, most: int = MOST_INTERVALS) -> None:
        self.rows: dict[str, list[Interval]] = {}
        self.shortest = 0.0
        self._most = most
        self._count = 0

    def add(self, worker: str, interval: Interval) -> None:
        """Append an interval to the row of a worker."""
        row = self.rows.setdefault(worker, [])
        before = len(row)
        _append(row, interval, self.shortest)
        self._count += len(row) - before
        if self._count > max(self._most, 2 * len(self.rows)):
            self._coarsen()

    def _coarsen(self) -> None:
        """Halve the number of intervals, to no less than one per worker."""
        ends = [interval for row in self.rows.values() for interval in (row[0], row[-1])]
        span = max(end.ended for end in ends) - min(end.started for end in ends)
        most = max(self._most // 2, len(self.rows))
        self.shortest = max(self.shortest, span / self._most, 1e-6)
        while self._count > most:
            self.shortest *= 2
            self.rows = {
                worker: _merge_row(row, self.shortest) for worker, row in self.rows.items()
            }
            self._count = sum(map(len, self.rows.values()))


def _merge_row(row: Iterable[Interval], shortest: float) -> list[Interval]:
    merged: list[Interval] = []
    for interval in row:
        _append(merged, interval, shortest)
    return merged


def _append(row: list[Interval], interval: Interval, shortest: float) -> None:
    if row and interval.ended - row[-1].started <= shortest:
        row[-1].absorb(interval)
    else:
        row.append(interval)


MOST_CELLS = 2500
"""Largest number of cells."""


@dataclass(slots=True)
class Cell:
    """One window, or several adjacent ones.

    Attributes
    ----------
    left, top, right, bottom : int
        Edges in pixels; right and bottom are exclusive.
    total : Total
        Time of the windows.
    slowest : float
        Time of the slowest window, in seconds.
    ij : object
        ij of the first window.
    failed : int
        Number of windows that are nodata because the function raised.
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
        """Return a cell of one window."""
        left, top = round(window.col_off), round(window.row_off)
        right, bottom = left + round(window.width), top + round(window.height)
        return cls(left, top, right, bottom, total, total.seconds, ij, int(failed))

    def absorb(self, other: Cell) -> None:
        """Merge an adjacent cell."""
        self.left, self.top = min(self.left, other.left), min(self.top, other.top)
        self.right, self.bottom = max(self.right, other.right), max(self.bottom, other.bottom)
        self.total.add(other.total)
        self.slowest = max(self.slowest, other.slowest)
        self.failed += other.failed


class Cells:
    """Cells by position; neighbours are merged if there are too many.

    At first each window has its own cell. Then cells are merged on a grid of
    the first window's size, and of 2, 4, ... times that size.

    Parameters
    ----------
    most : int
        Largest number of cells.
    """

    def __init__(self, most: int = MOST_CELLS) -> None:
        self._cells: dict[tuple[int, int], Cell] = {}
        self._most = most
        self._step = (1, 1)

    def add(self, cell: Cell) -> None:
        """Add the cell of a window."""
        if not self._cells:
            self._first = (max(1, cell.right - cell.left), max(1, cell.bottom - cell.top))
        _put(self._cells, cell, self._step)
        while len(self._cells) > self._most:
            width, height = self._step
            is_exact = self._step == (1, 1)
            self._step = self._first if is_exact else (2 * width, 2 * height)
            merged: dict[tuple[int, int], Cell] = {}
            for existing in self._cells.values():
                _put(merged, existing, self._step)
            self._cells = merged

    def __iter__(self) -> Any:
        return iter(self._cells.values())

    def __len__(self) -> int:
        return len(self._cells)


def _put(cells: dict[tuple[int, int], Cell], cell: Cell, step: tuple[int, int]) -> None:
    position = (cell.left // step[0], cell.top // step[1])
    if position in cells:
        cells[position].absorb(cell)
    else:
        cells[position] = cell
