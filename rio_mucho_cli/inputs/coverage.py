"""Compute how much of a grid an input covers, without reading pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from rasterio.warp import transform, transform_bounds

from rio_mucho_cli.env import GDAL_ERRORS, captured_messages
from rio_mucho_cli.inputs.grid import Grid

Points: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

# Number of points along each edge that are transformed to another CRS.
_EDGE_POINTS = 33
TOUCHING = 1e-3
"""Overlap in pixels of either grid that counts as none: rounding between grids that touch."""
# Largest error in pixels after a transform to another CRS and back, if it is valid.
_ROUND_TRIP = 1.0


def coverage(source: Grid, target: Grid) -> float | None:
    """Return the fraction of a grid's pixels within the footprint of a source.

    Parameters
    ----------
    source, target : Grid

    Returns
    -------
    float or None
        Fraction from 0 to 1; None if it cannot be determined.

    Notes
    -----
    The outline of the target is transformed to pixels of the source and
    clipped there; the result is the ratio of the areas. This is exact within
    one CRS. Between two, edges are curves, approximated by 33 points each.

    If the outline cannot be represented in the source's CRS (the world in
    UTM), which a round trip shows, the source's outline is transformed to the
    target instead. If that fails too, grids whose bounds in degrees are apart
    do not overlap.
    """
    if target.transform.is_degenerate or source.transform.is_degenerate:
        return None
    pixels, source_pixels = target.width * target.height, source.width * source.height
    outline = outline_in(target, source)
    if outline is not None:
        in_source = polygon_area(clip(outline, source.width, source.height))
        fraction = in_source / polygon_area(outline)
    else:
        outline = outline_in(source, target)
        if outline is None:
            return 0.0 if are_apart(source, target) else None
        fraction = polygon_area(clip(outline, target.width, target.height)) / pixels
        in_source = fraction * pixels / polygon_area(outline) * source_pixels
    return 0.0 if max(fraction * pixels, in_source) < TOUCHING else min(1.0, fraction)


def outline_in(grid: Grid, other: Grid, edge_points: int = _EDGE_POINTS) -> Points | None:
    """Return the outline of a grid as (x, y) in the pixels of another, or None.

    Within one CRS, it has four points; else, so many for each edge.
    """
    return _outlines([grid], other, edge_points)[0]


def outlines_in(grids: Sequence[Grid], other: Grid, edge_points: int) -> list[Points | None]:
    """Return the outlines of many grids, as `outline_in`, with few calls of GDAL."""
    numbers_by_crs: dict[Any, list[int]] = {}
    for number, grid in enumerate(grids):
        numbers_by_crs.setdefault(grid.crs, []).append(number)
    outlines: list[Points | None] = [None] * len(grids)
    for numbers in numbers_by_crs.values():
        found = _outlines([grids[number] for number in numbers], other, edge_points)
        for number, outline in zip(numbers, found, strict=True):
            outlines[number] = outline
    return outlines


def _outlines(grids: Sequence[Grid], other: Grid, edge_points: int) -> list[Points | None]:
    """Return the outlines of grids that have one CRS."""
    crs = grids[0].crs
    steps = np.linspace(0, 1, 1 if crs == other.crs else edge_points, endpoint=False)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    edges = np.roll(corners, -1, axis=0) - corners
    units = (corners[:, np.newaxis] + steps[:, np.newaxis] * edges[:, np.newaxis]).reshape(-1, 2)
    pixels = units * np.array([(grid.width, grid.height) for grid in grids])[:, np.newaxis]
    xy = _apply([grid.transform for grid in grids], pixels)
    are_valid: Any = np.ones(len(grids), bool)
    if crs != other.crs:
        if not crs or not other.crs:
            return [None] * len(grids)
        try:
            with captured_messages():
                there = transform(crs, other.crs, *xy.reshape(-1, 2).T)
                back = transform(other.crs, crs, *there)
        except (*GDAL_ERRORS, ValueError):
            if len(grids) == 1:
                return [None]
            return [_outlines([grid], other, edge_points)[0] for grid in grids]
        # Far outside the area of a CRS, coordinates are meaningless.
        xy, back = (np.column_stack(points).reshape(pixels.shape) for points in (there, back))
        are_valid = np.isfinite([xy, back]).all(axis=(0, 2, 3))
        xy[~are_valid] = back[~are_valid] = 0
        misses = np.abs(_apply([~grid.transform for grid in grids], back) - pixels)
        are_valid &= misses.max(axis=(1, 2)) <= _ROUND_TRIP
    outlines = _apply([~other.transform], xy)
    return [points if ok else None for points, ok in zip(outlines, are_valid, strict=True)]


def _apply(affines: Sequence[Any], points: Points) -> Points:
    """Return points (grids, points, 2), transformed by an affine for each grid, or one for all."""
    matrices = np.array([tuple(affine) for affine in affines]).reshape(-1, 3, 3)[:, :2]
    turned = points @ matrices[:, :, :2].swapaxes(1, 2)
    transformed: Points = turned + matrices[:, np.newaxis, :, 2]
    return transformed


def clip(outline: Points, width: int, height: int) -> Points:
    """Return the part of a polygon within a rectangle that begins at 0, 0.

    Notes
    -----
    Sutherland and Hodgman, Reentrant polygon clipping, 1974.
    """
    for axis, edge, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        if not len(outline):
            break
        before = np.roll(outline, 1, axis=0)
        inside, was_inside = (sign * (p[:, axis] - edge) for p in (outline, before))
        crosses = (inside >= 0) != (was_inside >= 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = was_inside / (was_inside - inside)
            crossing = before + share[:, np.newaxis] * (outline - before)
        # A point inside follows the crossing of the edge that leads to it.
        both = np.stack([crossing, outline], axis=1).reshape(-1, 2)
        outline = both[np.stack([crosses, inside >= 0], axis=1).ravel()]
    return outline


def polygon_area(outline: Points) -> float:
    """Return the area of a polygon, also of an empty one."""
    x, y = (outline - outline.mean(axis=0)).T if len(outline) else np.zeros((2, 1))
    return float(abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1))) / 2)


def are_apart(source: Grid, target: Grid) -> bool:
    """Return whether bounds in degrees are known and do not touch."""
    try:
        with captured_messages():
            one, other = (
                transform_bounds(grid.crs, "EPSG:4326", *grid.bounds()) for grid in (source, target)
            )
    except (*GDAL_ERRORS, ValueError):
        return False
    if not np.isfinite([*one, *other]).all():
        return False
    across_180 = one[0] > one[2] or other[0] > other[2]
    apart_across = not across_180 and (one[2] < other[0] or other[2] < one[0])
    return bool(apart_across or one[3] < other[1] or other[3] < one[1])
