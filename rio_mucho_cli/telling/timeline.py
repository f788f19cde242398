"""When each worker was busy with what: exact for some windows, coarser for many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rio_mucho_cli.telling.totals import Total

MOST = 1200
"""How many stretches there are at most, of all workers together."""


@dataclass(slots=True)
class Stretch:
    """Windows that a worker has worked on, one soon after the other.

    Attributes
    ----------
    started, ended : float
        In seconds since 1970.
    total : Total
        Of these windows.
    first : object
        The first one's ij.
    """

    started: float
    ended: float
    total: Total
    first: Any = None

    def absorb(self, other: Stretch) -> None:
        """Take over what follows."""
        self.started = min(self.started, other.started)
        self.ended = max(self.ended, other.ended)
        self.total.add(other.total)


class Timeline:
    """Stretches by worker; where there would be too many, neighbours become one.

    Parameters
    ----------
    most : int
        How many stretches there may be; with one for each worker at least.

    Attributes
    ----------
    rows : dict
        Stretches by the worker's name, as they came.
    shortest : float
        Neighbours that together take less, in seconds, are one stretch.
    """

    def __init__(self, most: int = MOST) -> None:
        self.rows: dict[str, list[Stretch]] = {}
        self.shortest = 0.0
        self._most = most
        self._count = 0

    def add(self, worker: str, stretch: Stretch) -> None:
        """Put a stretch at the end of a worker's row."""
        row = self.rows.setdefault(worker, [])
        before = len(row)
        _append(row, stretch, self.shortest)
        self._count += len(row) - before
        if self._count > max(self._most, 2 * len(self.rows)):
            self._coarsen()

    def _coarsen(self) -> None:
        """Make of all rows half as many stretches, or of each row one."""
        ends = [stretch for row in self.rows.values() for stretch in (row[0], row[-1])]
        span = max(each.ended for each in ends) - min(each.started for each in ends)
        wanted = max(self._most // 2, len(self.rows))
        self.shortest = max(self.shortest, span / self._most, 1e-6)
        while self._count > wanted:
            self.shortest *= 2
            self.rows = {worker: _joined(row, self.shortest) for worker, row in self.rows.items()}
            self._count = sum(map(len, self.rows.values()))


def _joined(row: Iterable[Stretch], shortest: float) -> list[Stretch]:
    joined: list[Stretch] = []
    for stretch in row:
        _append(joined, stretch, shortest)
    return joined


def _append(row: list[Stretch], stretch: Stretch, shortest: float) -> None:
    if row and stretch.ended - row[-1].started <= shortest:
        row[-1].absorb(stretch)
    else:
        row.append(stretch)
