"""Reproject geometries, with more points where straight edges become curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rasterio.warp import transform

from rio_mucho_cli.env import GDAL_ERRORS
from rio_mucho_cli.inputs.geometries import Array, Geometries, join

# An edge is halved until its middle and its quarter lie this close to the straight line
# between its ends, in pixels, but no more often than this.
_CLOSE = 0.05
_MOST_HALVINGS = 12


def reproject(geometries: Geometries, crs: Any, to: Any, pixels: Array) -> Geometries:
    """Return geometries in another CRS, with more points where edges are curves there.

    Parameters
    ----------
    geometries : Geometries
    crs, to : rasterio.crs.CRS
    pixels : ndarray
        (2, 2): matrix from CRS units to pixels.

    Returns
    -------
    Geometries
        Parts with a point that has no place in the CRS are left out.

    Notes
    -----
    Edges are straight lines in the CRS of the features. An edge is halved
    until its middle and its quarter are within 1/20 of a pixel of the
    straight line between its ends, at most into 4096 pieces. Longitudes
    that jump from 180 to -180 within a ring go on beyond 180.
    """
    dense, moved = _densify(geometries, lambda points: transform_points(crs, to, points), pixels)
    if to.is_geographic:
        moved = _unwrap(moved, dense.rings)
    dense = replace(dense, points=moved)
    finite = np.isfinite(moved).all(axis=1)
    if not finite.all() and len(dense.kinds):
        dense = dense.select_parts(np.logical_and.reduceat(finite, dense.first_points[:-1]))
    return _with_both_sides(dense) if to.is_geographic else dense


def _with_both_sides(geometries: Geometries) -> Geometries:
    """Return longitudes with each part that leaves -180 to 180 also on the other side."""
    low, high = geometries.part_bounds()
    copies = [geometries]
    for leaves, shift in ((high[:, 0] > 180, -360.0), (low[:, 0] < -180, 360.0)):
        if leaves.any():
            other = geometries.select_parts(leaves)
            copies.append(replace(other, points=other.points + np.array([shift, 0.0])))
    return geometries if len(copies) == 1 else join(copies)


def transform_points(crs: Any, to: Any, points: Array) -> Array:
    """Return points (n, 2) in another CRS; NaN where they have no place in it."""
    if not len(points):
        return points
    try:
        xs, ys = transform(crs, to, points[:, 0], points[:, 1])
    except GDAL_ERRORS:  # of one point
        if len(points) == 1:
            return np.full((1, 2), np.nan)
        half = len(points) // 2
        return np.concatenate(
            [transform_points(crs, to, part) for part in (points[:half], points[half:])]
        )
    moved = np.stack([xs, ys], axis=1)
    moved[~np.isfinite(moved).all(axis=1)] = np.nan
    return moved


def _densify(
    geometries: Geometries, move: Callable[[Array], Array], pixels: Array
) -> tuple[Geometries, Array]:
    """Return geometries with more points, and all points moved."""
    points, rings = geometries.points, geometries.rings
    moved = move(points)
    is_open = np.ones(len(points), bool)  # whether the edge after a point may have to be halved
    for _ in range(_MOST_HALVINGS):
        is_open[rings[1:] - 1] = False
        edges = np.flatnonzero(is_open)
        start, end = points[edges], points[edges + 1]
        middle = (start + end) / 2
        there = move(middle)
        split = np.zeros(len(edges), bool)
        for weight, at in ((0.5, there), (0.25, move(0.75 * start + 0.25 * end))):
            chord = (1 - weight) * moved[edges] + weight * moved[edges + 1]
            with np.errstate(invalid="ignore"):
                away = np.abs((at - chord) @ pixels.T).max(axis=1, initial=0)
                split |= away > _CLOSE
        is_open[edges[~split]] = False
        at = edges[split]
        if not len(at):
            break
        points = np.insert(points, at + 1, middle[split], axis=0)
        moved = np.insert(moved, at + 1, there[split], axis=0)
        is_open = np.insert(is_open, at + 1, True)
        rings = rings + np.searchsorted(at, rings)
    return replace(geometries, points=points, rings=rings), moved


def _unwrap(points: Array, rings: Array) -> Array:
    """Return longitudes without the jumps of 360 degrees within rings."""
    steps = np.diff(points[:, 0], prepend=points[:1, 0])
    steps[rings[:-1]] = 0
    with np.errstate(invalid="ignore"):
        turns = np.cumsum(np.where(steps > 180, -1, 0) + np.where(steps < -180, 1, 0))
    if not turns.any():
        return points
    turns -= np.repeat(turns[rings[:-1]], np.diff(rings))
    return points + np.stack([360.0 * turns, np.zeros(len(points))], axis=1)
