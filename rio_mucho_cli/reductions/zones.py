"""Which pixels of a window belong to which polygon, those of overlapping ones included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.inputs.burning import Burner, Spans
from rio_mucho_cli.inputs.geometries import POLYGON, Array, GeometryBuilder, ranges
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.shapes import Shapes

# Coordinates are rounded: a box gets a pixel more where a centre is this close, in pixels.
_MARGIN = 1e-6
# Pixels of features that are measured together, which matters where many overlap.
_MOST_PIXELS = 2**22


@dataclass(frozen=True, slots=True)
class Zones:
    """Pixels of some features in a window.

    Attributes
    ----------
    features : ndarray
        (features,): indexes of the features.
    pixels : ndarray
        Indexes in the flat window, feature by feature, in ascending order for each.
    sizes : ndarray
        (features,): number of pixels of each feature.
    """

    features: Array
    pixels: Array
    sizes: Array

    def split(self, count: int) -> tuple[Zones, Zones]:
        """Return the first features, and the others."""
        end = int(self.sizes[:count].sum())
        return (
            Zones(self.features[:count], self.pixels[:end], self.sizes[:count]),
            Zones(self.features[count:], self.pixels[end:], self.sizes[count:]),
        )


class WindowZones:
    """Pixels of features in a window.

    Parameters
    ----------
    geometries : sequence of dict or None
        GeoJSON-like, in the CRS of the grid.
    grid : Grid
    window : rasterio.windows.Window
    all_touched : bool
        Whether a pixel belongs to all polygons that touch it, instead of those that
        contain its centre.

    Attributes
    ----------
    extents, seen : ndarray
        (features,): pixels that can belong to the feature, in the grid and in the
        window: those of the boxes of all its parts. Over all windows, `seen` adds up
        to `extents`.
    """

    def __init__(
        self,
        geometries: Sequence[Mapping[str, Any] | None],
        grid: Grid,
        window: Window,
        *,
        all_touched: bool,
    ) -> None:
        builder = GeometryBuilder()
        for geometry in geometries:
            builder.add(geometry)
        shapes = Shapes.on_grid(builder.build(), grid, all_touched=all_touched)
        self._width = int(window.width)
        rows, cols = int(window.height), self._width
        top, left = int(window.row_off), int(window.col_off)
        boxes, owners = _part_boxes(shapes), shapes.geometries.owners
        in_grid = _areas(boxes, (0, 0), (grid.height, grid.width))
        in_window = _areas(boxes, (top, left), (top + rows, left + cols))
        self.extents, self.seen = np.zeros((2, len(geometries)), np.int64)
        np.add.at(self.extents, owners, in_grid)
        np.add.at(self.seen, owners, in_window)
        self._spans = Burner(shapes).spans(window)

    def zones(self) -> Iterator[Zones]:
        """Yield the zones of all features with a pixel that could be theirs.

        Each has first the features that lie in the window, and then those beyond.
        There are several where many features overlap, to save memory.
        """
        (present,) = np.nonzero(self.seen)
        if not present.size:
            return
        is_partial = self.seen[present] < self.extents[present]
        present = present[np.argsort(is_partial, kind="stable")]
        position = np.full(self.seen.size, -1)
        position[present] = np.arange(present.size)
        which, starts, stops = _disjoint(self._spans, position, self._width)
        sizes = np.zeros(present.size, np.int64)
        np.add.at(sizes, which, stops - starts)
        batches = (np.cumsum(sizes) - sizes) // _MOST_PIXELS
        firsts = np.flatnonzero(np.diff(batches, prepend=-1))
        for first, last in zip(firsts, [*firsts[1:], present.size], strict=True):
            begin, end = np.searchsorted(which, [first, last])
            pixels, _ = ranges(starts[begin:end], stops[begin:end])
            yield Zones(present[first:last], pixels, sizes[first:last])


def _part_boxes(shapes: Shapes) -> Array:
    """Return (parts, 4): first row and column of each part, and those after the last."""
    low, high = shapes.geometries.part_bounds()
    by_centre = (shapes.geometries.kinds == POLYGON)[:, np.newaxis] & (not shapes.all_touched)
    # A centre lies within low and high; otherwise a point lies in the pixel.
    first = np.floor(low + np.where(by_centre, 0.5 - _MARGIN, 0))
    last = np.floor(high + np.where(by_centre, 0.5 + _MARGIN, 1))
    boxes: Array = np.concatenate([first[:, ::-1], last[:, ::-1]], axis=1)
    return boxes


def _areas(boxes: Array, corner: tuple[int, int], end: tuple[int, int]) -> Array:
    """Return the number of pixels of each box that are in another box."""
    sides = np.minimum(boxes[:, 2:], end) - np.maximum(boxes[:, :2], corner)
    sizes: Array = np.maximum(sides, 0).prod(axis=1).astype(np.int64)
    return sizes


def _disjoint(spans: Spans, position: Array, width: int) -> tuple[Array, Array, Array]:
    """Return position of the feature, first pixel, and last pixel + 1 of spans.

    They are sorted, those of features without a position are left out, and those of a
    feature that overlap are one.
    """
    which = position[spans.features]
    keep = which >= 0
    which, rows = which[keep], spans.rows[keep]
    starts = rows * width + spans.starts[keep]
    stops = starts + (spans.stops - spans.starts)[keep]
    # Features one after another, as if each had its own copy of the window.
    size = int(stops.max(initial=0))
    offset = which * size
    order = np.argsort(offset + starts, kind="stable")
    which, starts, stops, offset = which[order], starts[order], stops[order], offset[order]
    reached = np.maximum.accumulate(offset + stops)
    begins = np.ones(which.size, bool)
    begins[1:] = (offset + starts)[1:] >= reached[:-1]
    first = np.flatnonzero(begins)
    last = np.append(first[1:], which.size)[: first.size] - 1
    return which[first], starts[first], (reached - offset)[last]
