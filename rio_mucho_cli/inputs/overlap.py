"""Read windows with overlap, and set pixels beyond the edge of the raster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.dtypes import parse_number
from rio_mucho_cli.errors import UsageError

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.grid import Grid
    from rio_mucho_cli.inputs.readers import Reader

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


def read_padded(
    reader: Reader,
    window: Window,
    grid: Grid,
    overlap: int,
    boundary: Boundary | None,
    *,
    masked: bool,
) -> Any:
    """Return the pixels of a window with overlap.

    Parameters
    ----------
    reader : Reader
    window : Window
    grid : Grid
    overlap : int
        Number of extra pixels on each side.
    boundary : Boundary or None
        Values of pixels beyond the raster. None: nodata in bands that have
        it, the nearest pixels in others.
    masked : bool
        Return a masked array.

    Returns
    -------
    ndarray
        (count, rows + 2 * overlap, cols + 2 * overlap).
    """
    bands = reader.bands
    chosen = boundary or Boundary("nodata" if bands.have_nodata.any() else "edge")
    top, left = int(window.row_off), int(window.col_off)
    rows = padded_indexes(top, top + int(window.height), grid.height, overlap, chosen)
    cols = padded_indexes(left, left + int(window.width), grid.width, overlap, chosen)
    inside_rows, inside_cols = rows[rows >= 0], cols[cols >= 0]
    first_row, first_col = int(inside_rows.min()), int(inside_cols.min())
    part = Window(
        first_col,
        first_row,
        int(inside_cols.max()) + 1 - first_col,
        int(inside_rows.max()) + 1 - first_row,
    )
    data = reader.read(part, masked=masked)
    if data.shape[1:] == (len(rows), len(cols)):
        return data
    if not chosen.is_filled:
        return data[:, (rows - first_row)[:, np.newaxis], cols - first_col]
    above, before = int((rows >= 0).argmax()), int((cols >= 0).argmax())
    constant = chosen.value if chosen.kind == "constant" else None
    padded = bands.pixels_outside(len(rows), len(cols), masked=masked, constant=constant)
    padded[:, above : above + data.shape[1], before : before + data.shape[2]] = data
    edge = ~(bands.have_nodata | bands.are_alpha)
    if boundary is None and edge.any():
        from_rows = (np.arange(len(rows)) - above).clip(0, data.shape[1] - 1)
        from_cols = (np.arange(len(cols)) - before).clip(0, data.shape[2] - 1)
        padded[edge] = data[edge][:, from_rows[:, np.newaxis], from_cols]
    return padded


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
    indexes = np.arange(start - overlap, stop + overlap)
    if boundary.is_filled:
        return np.where((indexes >= 0) & (indexes < length), indexes, -1)
    if boundary.kind == "edge":
        return indexes.clip(0, length - 1)
    # Reflect without repeating the last row.
    period = max(1, 2 * (length - 1))
    indexes %= period
    return np.where(indexes < length, indexes, period - indexes)
