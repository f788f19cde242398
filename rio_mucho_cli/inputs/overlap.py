"""Windows with overlap, and pixels beyond the edge of the raster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np

from rio_mucho_cli.dtypes import parse_number
from rio_mucho_cli.errors import UsageError

Kind: TypeAlias = Literal["nodata", "edge", "reflect", "constant"]


@dataclass(frozen=True, slots=True)
class Boundary:
    """Values of pixels beyond the edge of the raster.

    Attributes
    ----------
    kind : {"nodata", "edge", "reflect", "constant"}
        Padding mode; the last three are those of `numpy.pad`.
    value : float
        Value for "constant".
    """

    kind: Kind
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Boundary:
        """Return the boundary ``nodata``, ``edge``, ``reflect`` or ``constant=VALUE``.

        Raises
        ------
        UsageError
            If the text is none of these.
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
        """Whether pixels beyond the raster have a fixed value."""
        return self.kind in {"nodata", "constant"}


def padded_indexes(
    start: int, stop: int, length: int, overlap: int, boundary: Boundary
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the row (or column) indexes of a window with overlap.

    Parameters
    ----------
    start, stop : int
        Range of the window.
    length : int
        Number of rows (or columns) of the raster.
    overlap : int
        Number of extra rows (or columns) on each side.
    boundary : Boundary

    Returns
    -------
    ndarray
        (stop - start + 2 * overlap,); -1 where the boundary has a fixed
        value.
    """
    wanted = np.arange(start - overlap, stop + overlap)
    if boundary.is_filled:
        return np.where((wanted >= 0) & (wanted < length), wanted, -1)
    if boundary.kind == "edge":
        return wanted.clip(0, length - 1)
    # Reflect without repeating the last row.
    period = max(1, 2 * (length - 1))
    there = wanted % period
    return np.where(there < length, there, period - there)
