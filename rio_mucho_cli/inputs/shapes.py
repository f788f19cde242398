"""Shapes in pixels of a grid, and which boxes touch a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rio_mucho_cli.inputs.geometries import POLYGON, Array, Geometries, ranges
from rio_mucho_cli.inputs.grid import Grid


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes to burn, in pixels of a grid.

    Attributes
    ----------
    geometries : Geometries
        Columns and rows instead of x and y. Rings are clockwise in x and y.
    width, height : int
        Size of the grid.
    values : ndarray
        (features,): value of each feature.
    all_touched : bool
        Burn all pixels that are touched, not only those whose centre is inside
        or that Bresenham's line algorithm selects.
    """

    geometries: Geometries
    width: int
    height: int
    values: Array
    all_touched: bool = False

    @classmethod
    def on_grid(
        cls,
        geometries: Geometries,
        grid: Grid,
        values: Array | None = None,
        *,
        all_touched: bool = False,
    ) -> Shapes:
        """Return geometries in the CRS of a grid as shapes to burn into it.

        Parameters
        ----------
        geometries : Geometries
        grid : Grid
        values : ndarray, optional
            (features,). Default: the numbers of the features from 1, as uint32.
        all_touched : bool
        """
        if values is None:
            values = np.arange(1, len(geometries.types) + 1, dtype=np.uint32)
        columns = replace(geometries, points=to_pixels(geometries.points, grid.transform))
        low, high = columns.part_bounds()
        size = (grid.width, grid.height)
        inside = np.all(high >= 0, axis=1) & np.all(low <= size, axis=1)
        geometries, columns = geometries.select_parts(inside), columns.select_parts(inside)
        columns = _turn_clockwise(columns, geometries.points)
        return cls(columns, grid.width, grid.height, values, all_touched)

    @property
    def nbytes(self) -> int:
        """Size of the arrays, in bytes."""
        return self.geometries.nbytes + self.values.nbytes


def inverse(transform: Any) -> tuple[float, ...]:
    """Return the coefficients a to f of the inverse of a transform, rounded as GDAL does."""
    a, b, c, d, e, f = tuple(transform)[:6]
    if b == 0 and d == 0:
        return 1 / a, 0.0, -c / a, 0.0, 1 / e, -f / e
    factor = 1 / (a * e - b * d)
    return (
        e * factor,
        -b * factor,
        (b * f - c * e) * factor,
        -d * factor,
        a * factor,
        (-a * f + c * d) * factor,
    )


def to_pixels(points: Array, transform: Any) -> Array:
    """Return points (n, 2) as columns and rows, rounded as GDAL does."""
    a, b, c, d, e, f = inverse(transform)
    x, y = points[:, 0], points[:, 1]
    return np.stack([c + x * a + y * b, f + x * d + y * e], axis=1)


def _turn_clockwise(columns: Geometries, points: Array) -> Geometries:
    """Return polygons with rings that are clockwise in x and y, as GDAL burns them.

    It matters only for horizontal edges through the centres of pixels.
    """
    rows = columns.points[:, 1]
    level = np.flatnonzero((rows[1:] == rows[:-1]) & (rows[1:] - np.floor(rows[1:]) == 0.5))
    if not len(level):
        return columns
    rings = np.unique(np.searchsorted(columns.rings, level, side="right") - 1)
    part = np.searchsorted(columns.parts, rings, side="right") - 1
    turned = columns.points.copy()
    for ring in rings[columns.kinds[part] == POLYGON]:
        of_ring = slice(columns.rings[ring], columns.rings[ring + 1])
        if not _is_clockwise(points[of_ring].tolist()):
            turned[of_ring] = turned[of_ring][::-1]
    return replace(columns, points=turned)


def _is_clockwise(ring: Sequence[Sequence[float]]) -> bool:
    """Return whether a closed ring is clockwise, in the opinion of OGRLineString::isClockwise."""
    ring = ring[:-1]
    pivot = min(range(len(ring)), key=lambda k: (ring[k][1], -ring[k][0]))
    x, y = ring[pivot]
    around = [ring[pivot - 1], ring[(pivot + 1) % len(ring)]]
    is_unclear = ring.count(ring[pivot]) > 1 or any(
        abs(other[0] - x) < 1e-5 and abs(other[1] - y) < 1e-5 for other in around
    )
    (before_x, before_y), (after_x, after_y) = around
    turn = (after_x - x) * (before_y - y) - (before_x - x) * (after_y - y)
    if turn and not is_unclear:
        return turn < 0
    nexts = [*ring[1:], ring[0]]
    return sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(ring, nexts, strict=True)) < 0


class BoxIndex:
    """Finds the boxes that may touch a box.

    Parameters
    ----------
    low, high : ndarray
        (boxes, 2): least and greatest coordinates.

    Notes
    -----
    A box is in one cell, that of its low corner, of the coarsest of several grids
    whose cells are all as large as the boxes in them.
    """

    def __init__(self, low: Array, high: Array) -> None:
        self._levels: list[tuple[float, Array, Array, Array]] = []
        side = np.maximum((high - low).max(axis=1, initial=0), 1.0)
        levels = np.ceil(np.log2(side) / 2)
        for level in np.unique(levels):
            boxes = np.flatnonzero(levels == level)
            size = 4.0**level
            cells = np.floor(low[boxes] / size).astype(np.int64)
            least, most = cells.min(axis=0), cells.max(axis=0)
            keys = (cells[:, 1] - least[1]) * (most[0] - least[0] + 1) + cells[:, 0] - least[0]
            order = np.argsort(keys, kind="stable")
            self._levels.append((size, keys[order], boxes[order], np.stack([least, most])))

    def query(self, low: tuple[float, float], high: tuple[float, float]) -> Array:
        """Return the indexes of boxes that may touch a box, and of all that do."""
        found = [np.empty(0, np.int64)]
        for size, keys, boxes, (least, most) in self._levels:
            first_x, first_y = (
                max(math.floor(at / size) - 1, start) - start
                for at, start in zip(low, least.tolist(), strict=True)
            )
            last_x, last_y = (
                min(math.floor(at / size), end) - start
                for at, start, end in zip(high, least.tolist(), most.tolist(), strict=True)
            )
            if first_x > last_x or first_y > last_y:
                continue
            rows = np.arange(first_y, last_y + 1) * int(most[0] - least[0] + 1)
            begin = np.searchsorted(keys, rows + first_x)
            end = np.searchsorted(keys, rows + last_x, side="right")
            found.append(boxes[ranges(begin, end)[0]])
        return np.concatenate(found)
