"""Burn shapes into windows of a grid, as GDAL burns them into the whole grid.

`rasterio.features.rasterize` on a window is not a part of the same on the whole grid: where an
edge meets the centre or the corner of a pixel, the last digits of coordinates decide, and a
window's origin changes them. Here, coordinates are pixels of the whole grid, for every window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.windows import Window

from rio_mucho_cli.inputs.geometries import LINE, POINT, POLYGON, Array, ranges
from rio_mucho_cli.inputs.shapes import BoxIndex, Shapes

# Edges within _ALIGNED of the border of a pixel, with both ends, touch nothing. Edges whose ends
# differ by less than _AXIS are burned in one row or column: GDAL's constants, in pixels.
_ALIGNED = 1e-4
_AXIS = 0.01
_LEAST_STEP = 1e-9
# Before 3.11, GDAL also burned edges with both ends in the same row or column in that alone.
_IN_ONE_LINE = tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) < (3, 11)

# Pixels of edges longer than this are kept, to be cut out for the next window.
_LONG = 256
# Edges of parts with more points than _MANY are found by bands of rows.
_MANY = 10_000
_BAND = 256
# Spans that are longer on average are burned one by one.
_WIDE = 64


class Spans(NamedTuple):
    """Pixels of features in a window, as parts of rows.

    Attributes
    ----------
    features : ndarray
        Index of the feature of each span, in ascending order.
    rows, starts, stops : ndarray
        Row of each span, its first column, and the one after its last; from
        the first row and column of the window. Spans of a feature may overlap.
    """

    features: Array
    rows: Array
    starts: Array
    stops: Array


class Burner:
    """Burns shapes into windows, in one worker.

    Parameters
    ----------
    shapes : Shapes
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        geometries = shapes.geometries
        self._first_points = geometries.first_points
        self._ends = np.zeros(len(geometries.points), bool)
        self._ends[geometries.rings[1:] - 1] = True
        self._low, self._high = geometries.part_bounds()
        self._index = BoxIndex(self._low, self._high)
        self._walked: dict[int, Array] = {}
        self._bands: dict[int, tuple[Array, Array]] = {}

    def parts_in(self, window: Window) -> Array:
        """Return the indexes of parts whose bounds touch a window, in ascending order."""
        left, top, right, bottom = _edges_of(window)
        parts = self._index.query((left, top), (right, bottom))
        low, high = self._low[parts], self._high[parts]
        touch = (low <= (right, bottom)).all(axis=1) & (high >= (left, top)).all(axis=1)
        return np.sort(parts[touch])

    def features_in(self, window: Window) -> Array:
        """Return the indexes of features whose bounds touch a window, in ascending order."""
        return np.unique(self.shapes.geometries.owners[self.parts_in(window)])

    def burn(self, window: Window) -> Array:
        """Return the values of features in a window, (rows, cols); 0 where there is none."""
        height, width = int(window.height), int(window.width)
        array = np.zeros((height, width), self.shapes.values.dtype)
        spans = self.spans(window)
        values = self.shapes.values[spans.features]
        lengths = spans.stops - spans.starts
        if lengths.sum() > _WIDE * len(lengths):
            lists = (numbers.tolist() for numbers in spans[1:])
            for value, row, start, stop in zip(values, *lists, strict=True):
                array[row, start:stop] = value
            return array
        # Of an index that is given several times, numpy takes the last value.
        first = spans.rows * width + spans.starts
        pixels, which = ranges(first, first + lengths)
        array.reshape(-1)[pixels] = values[which]
        return array

    def spans(self, window: Window) -> Spans:
        """Return the pixels of all features in a window.

        Parameters
        ----------
        window : Window
            Whole pixels, inside the grid.
        """
        box = left, top, _, _ = _edges_of(window)
        parts = self.parts_in(window)
        kinds = self.shapes.geometries.kinds[parts]
        polygons, lines, dots = (parts[kinds == kind] for kind in (POLYGON, LINE, POINT))
        spans = [self._fill(polygons, box), self._dots(dots, box)]
        if self.shapes.all_touched:
            spans += [self._touched(polygons, box, inside=True), self._touched(lines, box)]
        else:
            spans.append(self._lines(lines, box))
        part, rows, starts, stops = map(np.concatenate, zip(*spans, strict=True))
        order = np.argsort(part, kind="stable")
        owners = self.shapes.geometries.owners[part[order]]
        return Spans(owners, rows[order] - top, starts[order] - left, stops[order] - left)

    def _edges(self, parts: Array, box: tuple[int, int, int, int]) -> tuple[Array, Array]:
        """Return the indexes of edges (of their first points), and of their parts.

        Of parts with many points, edges above and below the window are left out.
        """
        counts = self._first_points[parts + 1] - self._first_points[parts]
        few = parts[counts <= _MANY]
        points, which = ranges(self._first_points[few], self._first_points[few + 1])
        keep = ~self._ends[points]
        found = [(points[keep], few[which[keep]])]
        for part in parts[counts > _MANY]:
            edges = self._edges_in_rows(int(part), box[1] - 1, box[3] + 1)
            found.append((edges, np.full(len(edges), part)))
        edges, owners = map(np.concatenate, zip(*found, strict=True))
        return edges, owners

    def _edges_in_rows(self, part: int, top: int, bottom: int) -> Array:
        """Return the indexes of edges of a part in some rows, and of a few others."""
        if part not in self._bands:
            edges = np.arange(self._first_points[part], self._first_points[part + 1])
            edges = edges[~self._ends[edges]]
            rows = self.shapes.geometries.points[:, 1]
            first = np.minimum(rows[edges], rows[edges + 1]).clip(-_BAND, self.shapes.height)
            last = np.maximum(rows[edges], rows[edges + 1]).clip(-_BAND, self.shapes.height)
            bands, which = ranges(
                np.floor(first / _BAND).astype(np.int64),
                np.floor(last / _BAND).astype(np.int64) + 1,
            )
            order = np.argsort(bands, kind="stable")
            self._bands[part] = bands[order], edges[which[order]]
        bands, edges = self._bands[part]
        begin, end = np.searchsorted(bands, (top // _BAND, bottom // _BAND + 1))
        return np.unique(edges[begin:end])

    def _fill(self, parts: Array, box: tuple[int, int, int, int]) -> tuple[Array, ...]:
        """Return the spans of pixels whose centres are inside polygons.

        See GDALdllImageFilledPolygon in GDAL's alg/llrasterize.cpp.
        """
        left, top, right, bottom = box
        edges, part = self._edges(parts, box)
        points = self.shapes.geometries.points
        above = np.minimum(points[edges, 1], points[edges + 1, 1])
        below = np.maximum(points[edges, 1], points[edges + 1, 1])
        first = np.maximum(np.ceil(above - 0.5), top).astype(np.int64)
        last = np.minimum(np.ceil(below - 0.5), bottom).astype(np.int64)
        near = first < last
        level = (above == below) & (above - np.floor(above) == 0.5)
        level &= (above > top) & (above < bottom)
        flat = self._horizontal(edges[level], part[level], box)
        edges, part, first, last = edges[near], part[near], first[near], last[near]
        goes_up = points[edges, 1] > points[edges + 1, 1]
        x1, y1 = points[edges + goes_up].T
        x2, y2 = points[edges + ~goes_up].T
        across, down = x2 - x1, y2 - y1
        rows, which = ranges(first, last)
        columns = (rows + 0.5 - y1[which]) * across[which] / down[which] + x1[which]
        columns = np.floor(columns + 0.5).clip(left, right).astype(np.int64) - left
        width, height = right - left + 1, bottom - top
        # Of parts next to each other in `parts`, whose number is small, one number for all.
        position = np.searchsorted(parts, part)[which]
        keys = np.sort((position * height + rows - top) * width + columns)
        starts, stops = keys[0::2], keys[1::2]
        some = starts < stops
        line, start = np.divmod(starts[some], width)
        position, row = np.divmod(line, height)
        stop = stops[some] % width
        return tuple(
            np.concatenate(pair)
            for pair in zip(
                (parts[position], row + top, start + left, stop + left), flat, strict=True
            )
        )

    def _horizontal(
        self, edges: Array, part: Array, box: tuple[int, int, int, int]
    ) -> tuple[Array, ...]:
        """Return the spans of edges through the centres of pixels, from right to left."""
        points = self.shapes.geometries.points
        keep = points[edges, 0] > points[edges + 1, 0]
        edges, part = edges[keep], part[keep]
        start, stop = (
            np.floor(points[k, 0] + 0.5).clip(box[0], box[2]).astype(np.int64)
            for k in (edges + 1, edges)
        )
        rows = np.floor(points[edges, 1]).astype(np.int64)
        some = start < stop
        return part[some], rows[some], start[some], stop[some]

    def _dots(self, parts: Array, box: tuple[int, int, int, int]) -> tuple[Array, ...]:
        """Return the pixels of points."""
        points = self.shapes.geometries.points[self._first_points[parts]]
        columns, rows = np.floor(points).astype(np.int64).T
        return _inside(parts, rows, columns, columns + 1, box)

    def _lines(self, parts: Array, box: tuple[int, int, int, int]) -> tuple[Array, ...]:
        """Return the pixels of lines by Bresenham's algorithm.

        See GDALdllImageLine in GDAL's alg/llrasterize.cpp.
        """
        left, top, right, bottom = box
        edges, part = self._edges(parts, box)
        points = self.shapes.geometries.points
        end, start = (  # GDAL draws lines from their last point to the first
            np.floor(points[k]).clip(-(2.0**31), 2.0**31).astype(np.int64)
            for k in (edges, edges + 1)
        )
        delta = np.abs(end - start)
        step = np.where(start > end, -1, 1)
        axis = np.where(delta[:, 0] >= delta[:, 1], 0, 1)
        number = np.arange(len(edges))
        long, short = delta[number, axis], delta[number, 1 - axis]
        # Only the steps inside the window.
        low = np.where(axis == 0, left, top)
        high = np.where(axis == 0, right, bottom) - 1
        begin, direction = start[number, axis], step[number, axis]
        ahead, behind = (low - begin) * direction, (high - begin) * direction
        first = np.maximum(np.minimum(ahead, behind), 0)
        last = np.minimum(np.maximum(ahead, behind), long) + 1
        k, which = ranges(first, last)
        long, short, axis = long[which], short[which], axis[which]
        aside = np.maximum(-((long - 2 * short * k) // np.maximum(2 * long, 1)), 0)
        aside = np.where(long > 0, aside, 0)
        columns = start[which, 0] + step[which, 0] * np.where(axis == 0, k, aside)
        rows = start[which, 1] + step[which, 1] * np.where(axis == 0, aside, k)
        return _inside(part[which], rows, columns, columns + 1, box)

    def _touched(
        self, parts: Array, box: tuple[int, int, int, int], *, inside: bool = False
    ) -> tuple[Array, ...]:
        """Return the pixels that edges touch.

        See GDALdllImageLineAllTouched in GDAL's alg/llrasterize.cpp. It adds
        up steps from pixel to pixel, which is repeated here to the last digit;
        not so that it burns pixels of some edges beyond the right border of the
        grid into the next row.
        """
        left, top, right, bottom = box
        edges, part = self._edges(parts, box)
        points = self.shapes.geometries.points
        start, end = points[edges], points[edges + 1]
        low, high = np.minimum(start, end), np.maximum(start, end)
        # A pixel more, for coordinates that are rounded on the way.
        near = (high >= (left - 1, top - 1)).all(axis=1) & (low <= (right + 1, bottom + 1)).all(1)
        size = (self.shapes.width, self.shapes.height)
        near &= (high >= 0).all(axis=1) & (low <= size).all(axis=1)
        edges, part, start, end = edges[near], part[near], start[near], end[near]
        swap = start[:, 0] > end[:, 0]
        start, end = (
            np.where(swap[:, np.newaxis], end, start),
            np.where(swap[:, np.newaxis], start, end),
        )
        gap = np.abs(start - end) < _AXIS
        if _IN_ONE_LINE:
            gap |= np.floor(start) == np.floor(end)
        upright = gap[:, 0]
        level = gap[:, 1] & ~upright
        slope = ~(upright | level)
        straight = [
            _run(part[upright], start[upright], end[upright], 0, inside=inside),
            _run(part[level], start[level], end[level], 1, inside=inside),
        ]
        spans = [_inside(*span, box) for span in straight]
        length = np.abs(end - start).sum(axis=1)
        short = slope & (length <= _LONG)
        which, rows, columns = _walk(start[short], end[short], *size)
        spans.append(_inside(part[short][which], rows, columns, columns + 1, box))
        for k in np.flatnonzero(slope & ~short):
            pixels = self._walked.get(edges[k])
            if pixels is None:
                pixels = np.stack(_walk(start[k : k + 1], end[k : k + 1], *size)[1:])
                self._walked[edges[k]] = pixels.astype(np.int32)
            rows, columns = pixels.astype(np.int64)
            spans.append(_inside(np.full(len(rows), part[k]), rows, columns, columns + 1, box))
        return tuple(map(np.concatenate, zip(*spans, strict=True)))


def _edges_of(window: Window) -> tuple[int, int, int, int]:
    left, top = int(window.col_off), int(window.row_off)
    return left, top, left + int(window.width), top + int(window.height)


def _inside(
    part: Array, rows: Array, starts: Array, stops: Array, box: tuple[int, int, int, int]
) -> tuple[Array, Array, Array, Array]:
    """Return spans as far as they are inside a window."""
    left, top, right, bottom = box
    starts, stops = np.maximum(starts, left), np.minimum(stops, right)
    keep = (rows >= top) & (rows < bottom) & (starts < stops)
    return part[keep], rows[keep], starts[keep], stops[keep]


def _run(
    part: Array, start: Array, end: Array, axis: int, *, inside: bool
) -> tuple[Array, Array, Array, Array]:
    """Return the spans of edges along one column (axis 0) or one row (axis 1)."""
    if inside:
        aligned = [np.abs(at[:, axis] - np.round(at[:, axis])) < _ALIGNED for at in (start, end)]
        keep = ~(aligned[0] & aligned[1])
        part, start, end = part[keep], start[keep], end[keep]
    along = 1 - axis
    first = np.floor(np.minimum(start[:, along], end[:, along])).astype(np.int64)
    last = np.floor(np.maximum(start[:, along], end[:, along]) - _ALIGNED).astype(np.int64) + 1
    if axis == 1:
        return part, np.floor(start[:, 1]).astype(np.int64), first, last
    rows, which = ranges(first, last)
    columns = np.floor(end[:, 0]).astype(np.int64)[which]
    return part[which], rows, columns, columns + 1


def _walk(start: Array, end: Array, width: int, height: int) -> tuple[Array, Array, Array]:
    """Return the pixels of sloped edges, from left to right: edge, row and column."""
    x, y = start.T.copy()
    end_x, end_y = end.T.copy()
    slope = (end_y - y) / (end_x - x)
    cut = end_x > width
    end_y = np.where(cut, end_y - (end_x - width) * slope, end_y)
    end_x = np.where(cut, float(width), end_x)
    cut = x < 0
    y = np.where(cut, y + (0.0 - x) * slope, y)
    x = np.where(cut, 0.0, x)
    down = end_y > y
    cut = down & (y < 0)
    x = np.where(cut, x + (0.0 - y) / slope, x)
    y = np.where(cut, 0.0, y)
    cut = ~down & (y >= height)
    x = np.where(cut, x + (height - y) / slope, x)
    y = np.where(cut, float(height), y)
    cut = ~down & (end_y < 0)
    end_x = np.where(cut, end_x - end_y / slope, end_x)
    which = np.arange(len(x))
    walked: list[tuple[Array, Array, Array]] = []
    while True:
        row = np.floor(y)
        gone = ((slope > 0) & (row >= height)) | ((slope < 0) & (row < 0))
        keep = (x >= 0) & (x < end_x) & ~gone
        if not keep.all():
            x, y, end_x, slope = x[keep], y[keep], end_x[keep], slope[keep]
            which, row = which[keep], row[keep]
        if not len(x):
            break
        column = np.floor(x)
        walked.append((which, row, column))
        right = np.floor(x + 1.0) - x
        stays = np.floor(y + right * slope) == row
        up = np.minimum(row - y, -_LEAST_STEP)
        down_ = np.maximum(row + 1 - y, _LEAST_STEP)
        step_y = np.where(stays, right * slope, np.where(slope < 0, up, down_))
        with np.errstate(divide="ignore", invalid="ignore"):
            x = x + np.where(stays, right, step_y / slope)
        y = y + step_y
    if not walked:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing
    which, rows, columns = map(np.concatenate, zip(*walked, strict=True))
    return which, rows.astype(np.int64), columns.astype(np.int64)
