"""Pixel grids: the grid of a dataset, and the common grid of several."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform, transform_bounds

from rio_mucho_cli.env import GDAL_ERRORS, captured_messages
from rio_mucho_cli.errors import GridError
from rio_mucho_cli.text import option

log = logging.getLogger(__name__)

Bounds: TypeAlias = "tuple[float, float, float, float]"
"""Left, bottom, right and top, in CRS units."""

Extent: TypeAlias = Literal["first", "intersection", "union"]
EXTENTS: tuple[Extent, ...] = get_args(Extent)

# In pixels. Text formats and reprojection change the last digits of a transform;
# a hundredth of a pixel is insignificant.
_TOLERANCE = 0.01

# Fractions of a union covered by inputs: less is probably, or certainly, a mistake.
_SPARSE = 0.05
_ABSURD = 1e-6

# EPSG:4326, +proj=utm or WKT, valid or not.
_LIKE_A_CRS = re.compile(r"[A-Za-z]{3,}:\d+$|\+\w+|[A-Z]+\[")


@dataclass(frozen=True, slots=True)
class Grid:
    """Size, position and CRS of a dataset's pixels.

    Attributes
    ----------
    crs : rasterio.crs.CRS or None
    transform : affine.Affine
        Transform from (column, row) to CRS units.
    width, height : int
        Size in pixels.
    """

    crs: Any
    transform: Any
    width: int
    height: int

    @classmethod
    def of(cls, src: Any) -> Grid:
        """Return the grid of an open dataset."""
        return cls(src.crs, src.transform, src.width, src.height)

    def difference(self, other: Grid) -> tuple[str, str] | None:
        """Return the first difference between two grids.

        Returns
        -------
        tuple of str, or None
            Descriptions of this grid and of `other`; None if both have the
            same pixels.
        """
        if (self.width, self.height) != (other.width, other.height):
            return (
                f"is {self.width} x {self.height} pixels",
                f"is {other.width} x {other.height}",
            )
        if self.crs != other.crs:
            return f"is in {_crs_name(self.crs)}", f"is in {_crs_name(other.crs)}"
        if self._distance(other) > _TOLERANCE:
            return (
                f"has the transform {_transform_text(self.transform)}",
                f"has {_transform_text(other.transform)}",
            )
        return None

    def pixel_offset(self, target: Grid) -> tuple[int, int] | None:
        """Return the column and row of this grid's first pixel on another grid.

        Returns
        -------
        tuple of int, or None
            Offset in pixels; None if pixels of the two grids do not coincide.
        """
        if self.crs != target.crs:
            return None
        if target.transform.is_degenerate or self.transform.is_degenerate:
            return None
        across = np.linalg.solve(_matrix(target.transform), _matrix(self.transform))
        corners = _corners(self.width, self.height)
        shifts = (across @ corners - corners)[:2]
        offset = np.round(shifts[:, 0])
        if np.abs(shifts - offset[:, np.newaxis]).max() > _TOLERANCE:
            return None
        return int(offset[0]), int(offset[1])

    def bounds(self) -> Bounds:
        """Return the bounds of the grid's four corners."""
        return _box(_matrix(self.transform) @ _corners(self.width, self.height))

    def crop(self, columns: tuple[int, int], rows: tuple[int, int]) -> Grid:
        """Return the grid of a range of columns and rows, which may exceed this one."""
        a, b, _, d, e, _ = tuple(self.transform)[:6]
        c, f, _ = _matrix(self.transform) @ (columns[0], rows[0], 1)
        transform = Affine(a, b, float(c), d, e, float(f))
        return Grid(self.crs, transform, columns[1] - columns[0], rows[1] - rows[0])

    def crop_to_bounds(self, bounds: Bounds) -> Grid:
        """Return the grid of all pixels that intersect some bounds.

        Raises
        ------
        GridError
            If no pixel intersects the bounds, the bounds are not left, bottom,
            right, top, or the grid is rotated.
        """
        left, bottom, right, top = bounds
        text = " ".join(f"{value:.10g}" for value in bounds)
        if not all(map(math.isfinite, bounds)) or left >= right or bottom >= top:
            raise GridError(
                f"bounds {text} are empty: expected left bottom right top, in units of the CRS"
            )
        if self.transform.b or self.transform.d:
            raise GridError(
                "bounds cannot be used with a rotated grid: give the windows with "
                f"{option('windows')}"
            )
        columns, rows = self._span(_corners_of(bounds), outward=True)
        columns = max(columns[0], 0), min(columns[1], self.width)
        rows = max(rows[0], 0), min(rows[1], self.height)
        if columns[0] >= columns[1] or rows[0] >= rows[1]:
            own = " ".join(f"{value:.10g}" for value in self.bounds())
            raise GridError(
                f"bounds {text} do not intersect the raster, which is at {own} "
                f"in {_crs_name(self.crs)}"
                f"{self._hint(bounds)}"
            )
        return self.crop(columns, rows)

    def source_pixels(self, source: Grid) -> tuple[float, float]:
        """Return the width and height of a pixel in pixels of a source.

        They are measured at the centre of the source, so that any part of a
        grid gives the same result as the whole. NaN if the centre cannot be
        transformed to this grid's CRS.
        """
        middle = _matrix(source.transform) @ (source.width / 2, source.height / 2, 1)
        across, down = _matrix(self.transform)[:2, :2].T
        try:
            (x,), (y,) = _transform(source.crs, self.crs, middle[:1], middle[1:2])
            points = np.array([(x, y), (x + across[0], y + across[1]), (x + down[0], y + down[1])])
            xs, ys = _transform(self.crs, source.crs, *points.T)
        except GDAL_ERRORS:
            return math.nan, math.nan
        there = np.array([xs, ys, np.ones(3)])
        pixels = np.linalg.solve(_matrix(source.transform), there)[:2]
        wide, high = np.linalg.norm(pixels[:, 1:] - pixels[:, :1], axis=0)
        return float(wide), float(high)

    def _span(self, points: Any, *, outward: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the ranges of columns and rows that points (x, y, 1) span."""
        pixels = np.linalg.inv(_matrix(self.transform)) @ points
        first, last = pixels[:2].min(axis=1), pixels[:2].max(axis=1)
        # Larger floats are not exact whole numbers.
        first, last = first.clip(-(2.0**53), 2.0**53), last.clip(-(2.0**53), 2.0**53)
        if outward:
            first, last = np.floor(first + _TOLERANCE), np.ceil(last - _TOLERANCE)
        else:
            first, last = np.ceil(first - _TOLERANCE), np.floor(last + _TOLERANCE)
        (left_col, top_row), (right_col, bottom_row) = first.astype(int), last.astype(int)
        return (int(left_col), int(right_col)), (int(top_row), int(bottom_row))

    def _hint(self, bounds: Bounds) -> str:
        """Return advice on bounds that seem to be in another CRS than the grid."""
        left, bottom, right, top = bounds
        are_degrees = left >= -180 and right <= 180 and bottom >= -90 and top <= 90
        if are_degrees and self.crs and not self.crs.is_geographic:
            return ": they look like degrees, which rio transform brings into that CRS"
        if not are_degrees and self.crs and self.crs.is_geographic:
            return ": they look like metres, and degrees are expected"
        return ": give bounds in that CRS"

    def _distance(self, other: Grid) -> float:
        """Return the largest distance between corresponding corners, in pixels."""
        if self.transform == other.transform:
            return 0.0
        if self.transform.is_degenerate or other.transform.is_degenerate:
            return math.inf
        # The matrix transforms pixels of this grid to pixels of the other. At a
        # corner, its distance from the identity is that between the two grids.
        across = np.linalg.solve(_matrix(other.transform), _matrix(self.transform))
        corners = _corners(self.width, self.height)
        return float(np.abs(across @ corners - corners).max())


def require_one_grid(paths: Sequence[str], grids: Sequence[Grid]) -> None:
    """Raise GridError unless all grids equal the first one."""
    for path, grid in zip(paths, grids, strict=True):
        differs = grid.difference(grids[0])
        if differs:
            raise GridError(
                f"{path} {differs[0]}, {paths[0]} {differs[1]}: "
                f"pass {option('like', paths[0])} to read all on that grid, or "
                f"{option('extent', 'union')} or {option('extent', 'intersection')}"
            )


def common_grid(paths: Sequence[str], grids: Sequence[Grid], extent: Extent) -> Grid:
    """Return a grid with the pixels of the first grid and the given extent.

    Parameters
    ----------
    paths : sequence of str
    grids : sequence of Grid
    extent : {"first", "intersection", "union"}
        Output extent. The intersection and union use the corners of each
        grid, or its transformed bounds if it is in another CRS.

    Raises
    ------
    GridError
        If the intersection is empty, inputs cover almost nothing of the
        union, a CRS is missing, or a grid cannot be transformed.
    """
    first = grids[0]
    spans = [((0, first.width), (0, first.height))]
    if extent == "first":
        return first
    for path, grid in zip(paths[1:], grids[1:], strict=True):
        if grid.crs == first.crs:
            points = _matrix(grid.transform) @ _corners(grid.width, grid.height)
        else:
            require_crs(path, grid, paths[0], first)
            bounds = _bounds_in(grid.crs, first.crs, grid.bounds())
            if bounds is None:
                raise GridError(
                    f"{path} has no place in {_crs_name(first.crs)}, the CRS of {paths[0]}: "
                    f"give a grid that all have a place on, with {option('like')}"
                )
            points = _corners_of(bounds)
        spans.append(first._span(points, outward=extent == "union"))
    low, high = (min, max) if extent == "union" else (max, min)
    columns, rows = (
        (low(span[side][0] for span in spans), high(span[side][1] for span in spans))
        for side in (0, 1)
    )
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        raise GridError(
            f"the intersection of {', '.join(paths)} is empty: "
            f"pass {option('extent', 'union')}, or inputs that overlap"
        )
    common = first.crop(columns, rows)
    covered = sum(grid.width * grid.height for grid in grids) / (common.width * common.height)
    if covered < _ABSURD:
        raise GridError(
            f"the union of {', '.join(paths)} is {common.width} x {common.height} pixels, and they "
            "have less than a millionth of that number: give the output's grid with "
            f"{option('like')}"
        )
    if covered < _SPARSE:
        log.warning(
            "the union is %d x %d pixels, and inputs have %.2g %% of that number",
            *(common.width, common.height, 100 * covered),
        )
    return common


def require_crs(path: str, grid: Grid, other_path: str, other: Grid) -> None:
    """Raise GridError if either of two grids has no CRS."""
    for missing, has, own in ((path, other_path, grid), (other_path, path, other)):
        if not own.crs:
            raise GridError(
                f"{missing} has no CRS, and without one it cannot be matched with {has}: "
                "give it one with rio edit-info --crs"
            )


def parse_crs(text: str) -> str | None:
    """Return a CRS quoted for a command line, or None if the text is not one."""
    if "://" in text or text.startswith("/"):
        return None
    try:
        with captured_messages():
            crs = CRS.from_user_input(int(text) if text.isdigit() else text)
    except (*GDAL_ERRORS, ValueError):
        return quote(text) if _LIKE_A_CRS.match(text) else None
    return quote(crs.to_string())


def _transform(crs: Any, to: Any, xs: Any, ys: Any) -> tuple[Any, Any]:
    if crs == to:
        return xs, ys
    transformed: tuple[Any, Any] = transform(crs, to, xs, ys)
    return transformed


def _bounds_in(crs: Any, to: Any, bounds: Bounds) -> Bounds | None:
    """Return bounds in another CRS, or None if they cannot be transformed."""
    try:
        transformed: Bounds = transform_bounds(crs, to, *bounds)
    except GDAL_ERRORS:
        return None
    return transformed if all(map(math.isfinite, transformed)) else None


def _corners(width: int, height: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([(col, row, 1) for col in (0, width) for row in (0, height)]).T


def _corners_of(bounds: Bounds) -> np.ndarray[Any, np.dtype[np.float64]]:
    left, bottom, right, top = bounds
    return np.array([(x, y, 1.0) for x in (left, right) for y in (bottom, top)]).T


def _box(points: np.ndarray[Any, Any]) -> Bounds:
    (left, bottom), (right, top) = points[:2].min(axis=1), points[:2].max(axis=1)
    return float(left), float(bottom), float(right), float(top)


def _matrix(transform: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(tuple(transform)).reshape(3, 3)


def _crs_name(crs: Any) -> str:
    return crs.to_string() if crs else "no CRS"


def _transform_text(transform: Any) -> str:
    return "(" + ", ".join(f"{value:.12g}" for value in tuple(transform)[:6]) + ")"
