"""Find the scenes that touch a window, without opening them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.inputs.coverage import (
    TOUCHING,
    Points,
    are_apart,
    clip,
    outlines_in,
    polygon_area,
)
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.windows import PlannedWindow, WindowGrid, outline

# Points along each edge in another CRS. Every second one shows how far edges are from straight.
_EDGE_POINTS = 18
# Deviation of such a point, in lengths of the edge, from which the outline is not one curve: it
# crosses 180 degrees, and may enclose a pole.
_BROKEN = 0.25
# GDAL's resamplings by area also give values to pixels that end where a source begins.
_BY_AREA = frozenset({"average", "mode", "max", "min", "med", "q1", "q3", "sum", "rms"})
# Pixels beyond an outline that may still be such pixels, as coordinates are rounded.
_ROUNDING = 0.01
# Pixels by which places in items may be off: they are rounded as text.
_ROUNDED = 0.05
# Outlines of one scene that differ by less are the same: its files differ in resolution.
_SAME = 1.0

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the output's grid."""

EVERYWHERE: Box = (-np.inf, -np.inf, np.inf, np.inf)
"""Box of what may be anywhere."""

_NOWHERE: Box = (np.inf, np.inf, -np.inf, -np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """Where a file or a scene lies on the output's grid.

    Attributes
    ----------
    box : tuple of float
        Its bounds: left, top, right and bottom, in pixels.
    outline : ndarray or None
        (points, 2): the outline in pixels, unless it is the box.
    slack : float
        Pixels by which it may be outside the outline; the box includes them.
    """

    box: Box
    outline: Points | None = None
    slack: float = 0.0

    @classmethod
    def of(cls, source: Grid, target: Grid, resampling: str = "nearest") -> Footprint:
        """Return the footprint of a grid on another one, onto which it is resampled."""
        return cls.of_all([source], target, [resampling])[0]

    @classmethod
    def of_all(
        cls, sources: Sequence[Grid], target: Grid, resamplings: Sequence[str]
    ) -> list[Footprint]:
        """Return the footprints of many grids on another one."""
        if target.transform.is_degenerate:
            return [cls(EVERYWHERE)] * len(sources)
        usable = [source for source in sources if not source.transform.is_degenerate]
        outlines = iter(outlines_in(usable, target, _EDGE_POINTS))
        return [
            cls(EVERYWHERE)
            if source.transform.is_degenerate
            else cls._of_outline(next(outlines), source, target, resampling)
            for source, resampling in zip(sources, resamplings, strict=True)
        ]

    @classmethod
    def _of_outline(
        cls, points: Points | None, source: Grid, target: Grid, resampling: str
    ) -> Footprint:
        if points is None:
            return cls(_NOWHERE if are_apart(source, target) else EVERYWHERE)
        slack = 0.0
        if len(points) > 4:
            starts, middles = points[::2], points[1::2]
            ends = np.roll(starts, -1, axis=0)
            deviations = np.hypot(*(middles - (starts + ends) / 2).T)
            if (deviations > _BROKEN * np.hypot(*(ends - starts).T)).any():
                return cls(EVERYWHERE)
            slack = float(deviations.max()) + _ROUNDING
        elif resampling in _BY_AREA and source.pixel_offset(target) is None:
            slack = _ROUNDING
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        is_box = (right - left) * (bottom - top) - polygon_area(points) < TOUCHING
        box = left - slack, top - slack, right + slack, bottom + slack
        return cls(box, None if is_box else points, slack)

    @classmethod
    def union(cls, footprints: Sequence[Footprint]) -> Footprint:
        """Return the footprint of a scene from those of its files."""
        if all(footprint is footprints[0] for footprint in footprints):
            return footprints[0]
        boxes = np.array([footprint.box for footprint in footprints])
        left, top = boxes[:, :2].min(axis=0).tolist()
        right, bottom = boxes[:, 2:].max(axis=0).tolist()
        box = left, top, right, bottom
        outlines = [f.outline for f in footprints if f.outline is not None]
        if len(outlines) < len(footprints) or len({len(outline) for outline in outlines}) > 1:
            return cls(box)
        apart = float(np.abs(np.array(outlines) - outlines[0]).max())
        if apart >= _SAME:
            return cls(box)
        # Apart along both axes.
        slack = max(footprint.slack for footprint in footprints) + 1.5 * apart
        return cls(box, outlines[0], slack)

    def touches(self, box: Box) -> bool:
        """Return whether it shares pixels with a box."""
        left, top = max(self.box[0], box[0]), max(self.box[1], box[1])
        right, bottom = min(self.box[2], box[2]), min(self.box[3], box[3])
        if min(right - left, bottom - top) < TOUCHING:
            return False
        if self.outline is None or (left, top, right, bottom) == self.box:
            return True
        width, height = (
            int(np.ceil(end - start + 2 * self.slack))
            for start, end in ((box[0], box[2]), (box[1], box[3]))
        )
        moved = self.outline - box[:2] + self.slack
        return polygon_area(clip(moved, width, height)) > TOUCHING

    def contains(self, other: Footprint) -> bool:
        """Return whether the bounds of another footprint are within its own, or not known."""
        if other.box == EVERYWHERE:
            return True
        if other.box == _NOWHERE:
            return self.box in (EVERYWHERE, _NOWHERE)
        low = all(a <= b + _ROUNDED for a, b in zip(self.box[:2], other.box[:2], strict=True))
        return low and all(
            a >= b - _ROUNDED for a, b in zip(self.box[2:], other.box[2:], strict=True)
        )


class Footprints:
    """Footprints of the scenes of a series.

    Parameters
    ----------
    footprints : iterable of Footprint
        One for each scene.
    grid : Grid
        Grid of the output. Beyond it, overlap has no pixels of scenes.
    """

    def __init__(self, footprints: Iterable[Footprint], grid: Grid) -> None:
        self._all = list(footprints)
        self._grid = grid
        self._boxes = np.array([footprint.box for footprint in self._all]).reshape(-1, 4)

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self._all)

    def __getitem__(self, number: int) -> Footprint:
        """Return the footprint of a scene."""
        return self._all[number]

    def touching(self, window: Window, overlap: int = 0) -> list[int]:
        """Return the numbers of the scenes with pixels in a window, from 0, in order."""
        box = box_of(window, self._grid, overlap)
        boxes = self._boxes
        near = (
            (boxes[:, 0] < box[2])
            & (boxes[:, 1] < box[3])
            & (boxes[:, 2] > box[0])
            & (boxes[:, 3] > box[1])
        )
        return [
            number for number in np.flatnonzero(near).tolist() if self._all[number].touches(box)
        ]

    def most_over(self, windows: Sequence[PlannedWindow], overlap: int = 0) -> int:
        """Return the largest number of scenes whose bounds touch one window."""
        if not len(self) or not len(windows):
            return 0
        if isinstance(windows, WindowGrid):
            return self._most_over_grid(windows, overlap)
        return max(len(self.touching(window, overlap)) for window in outline(windows))

    def _most_over_grid(self, windows: WindowGrid, overlap: int) -> int:
        """Return the same for windows that can be too many to look at each."""
        sides = np.array(windows.size)
        numbers = -(-np.array((windows.width, windows.height)) // sides)
        ends = np.concatenate([numbers, numbers])
        first = np.floor((self._boxes[:, :2] - overlap + TOUCHING) / sides)
        last = np.ceil((self._boxes[:, 2:] + overlap - TOUCHING) / sides)
        cells = np.concatenate([first, last], axis=1).clip(0, ends).astype(np.int64)
        cells = cells[(cells[:, 0] < cells[:, 2]) & (cells[:, 1] < cells[:, 3])]
        # Each scene adds 1 at its first cell and takes it away after its last one.
        change = np.zeros((numbers[1] + 1, numbers[0] + 1), np.int64)
        for row, col, sign in ((1, 0, 1), (1, 2, -1), (3, 0, -1), (3, 2, 1)):
            np.add.at(change, (cells[:, row], cells[:, col]), sign)
        return int(change.cumsum(axis=0).cumsum(axis=1).max())


def box_of(window: Window, grid: Grid, overlap: int = 0) -> Box:
    """Return the box of a window with its overlap, as far as it is within the grid."""
    left, top = window.col_off - overlap, window.row_off - overlap
    right, bottom = window.col_off + window.width, window.row_off + window.height
    return (
        max(left, 0),
        max(top, 0),
        min(right + overlap, grid.width),
        min(bottom + overlap, grid.height),
    )
