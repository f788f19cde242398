"""More pixels than the window's, and what they are beyond the raster. Arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np

from rio_mucho_cli.dtypes import parse_number
from rio_mucho_cli.errors import UsageError

Kind: TypeAlias = Literal["nodata", "edge", "reflect", "constant"]


@dataclass(frozen=True, slots=True)
class Boundary:
    """What pixels beyond the raster are.

    Attributes
    ----------
    kind : {"nodata", "edge", "reflect", "constant"}
        As `numpy.pad` calls the last three.
    value : float
        Of "constant".
    """

    kind: Kind
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Boundary:
        """Read ``nodata``, ``edge``, ``reflect`` or ``constant=VALUE``.

        Raises
        ------
        UsageError
            If it is none of them.
        """
        kind, equals, value = text.strip().partition("=")
        if kind == "constant" and equals:
            try:
                return cls("constant", parse_number(value))
            except ValueError:
                pass
        elif kind in get_args(Kind) and kind != "constant" and not equals:
            return cls(cast("Kind", kind))
        raise UsageError(f"boundary is {text!r}: expected nodata, edge, reflect, or constant=VALUE")

    @property
    def is_filled(self) -> bool:
        """Whether pixels beyond the raster have one value, and are not the raster's own."""
        return self.kind in {"nodata", "constant"}


def padded_indexes(
    start: int, stop: int, length: int, overlap: int, boundary: Boundary
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return which rows (or columns) of a raster a padded window shows.

    Parameters
    ----------
    start, stop : int
        Of the window.
    length : int
        Of the raster.
    overlap : int
        How many more are wanted on each side.
    boundary : Boundary

    Returns
    -------
    ndarray
        (stop - start + 2 * overlap,); -1 where the boundary has a value of
        its own.
    """
    wanted = np.arange(start - overlap, stop + overlap)
    if boundary.is_filled:
        return np.where((wanted >= 0) & (wanted < length), wanted, -1)
    if boundary.kind == "edge":
        return wanted.clip(0, length - 1)
    # There and back again, without showing the last row twice.
    period = max(1, 2 * (length - 1))
    there = wanted % period
    return np.where(there < length, there, period - there)
