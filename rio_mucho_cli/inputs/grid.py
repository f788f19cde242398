"""The grid of pixels that a dataset lies on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rio_mucho_cli.errors import GridError

# Transforms that went through a text format or a reprojection differ in their
# last digits; a hundredth of a pixel moves no pixel.
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Grid:
    """Size, position and CRS of a dataset's pixels.

    Attributes
    ----------
    crs : rasterio.crs.CRS or None
    transform : affine.Affine
        From (column, row) to CRS units.
    width, height : int
        In pixels.
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
        """Say how two grids differ.

        Returns
        -------
        tuple of str, or None
            The first difference as (what this grid is, what `other` is), or
            None if both have the same pixels.
        """
        if (self.width, self.height) != (other.width, other.height):
            return (
                f"is {self.width} x {self.height} pixels",
                f"is {other.width} x {other.height}",
            )
        if self.crs != other.crs:
            return f"is in {_crs_name(self.crs)}", f"is in {_crs_name(other.crs)}"
        if self._apart(other) > _TOLERANCE:
            return (
                f"has the transform {_transform_text(self.transform)}",
                f"has {_transform_text(other.transform)}",
            )
        return None

    def _apart(self, other: Grid) -> float:
        """Return the largest distance between two corners, in pixels."""
        if self.transform == other.transform:
            return 0.0
        if self.transform.is_degenerate or other.transform.is_degenerate:
            return math.inf
        # One matrix takes pixels of this grid to pixels of the other: at a
        # corner it is as far from the identity as the two grids are apart.
        across = np.linalg.solve(_matrix(other.transform), _matrix(self.transform))
        corners = np.array([(col, row, 1) for col in (0, self.width) for row in (0, self.height)]).T
        return float(np.abs(across @ corners - corners).max())


def require_one_grid(paths: Sequence[str], grids: Sequence[Grid]) -> None:
    """Raise GridError unless all grids are the first one."""
    for path, grid in zip(paths, grids, strict=True):
        differs = grid.difference(grids[0])
        if differs:
            raise GridError(
                f"{path} {differs[0]}, {paths[0]} {differs[1]}: "
                f"bring it onto that grid first, with rio warp --like {paths[0]}"
            )


def _matrix(transform: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(tuple(transform)).reshape(3, 3)


def _crs_name(crs: Any) -> str:
    return crs.to_string() if crs else "no CRS"


def _transform_text(transform: Any) -> str:
    return "(" + ", ".join(f"{value:.12g}" for value in tuple(transform)[:6]) + ")"
