"""How pixels of the output's grid are read from one open input.

same grid ───────────▶ as they are
same pixels, moved ──▶ as they are, and nodata where the input does not reach
any other ───────────▶ through a WarpedVRT of GDAL's
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import SUPPORTED_RESAMPLING
from rasterio.windows import Window

from rio_mucho_cli.errors import GridError, UsageError, one_line
from rio_mucho_cli.inputs.bands import numpy_dtype
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.overlap import Boundary, positions
from rio_mucho_cli.nearest import nearest

# In pixels of the source. GDAL interpolates coordinates within each piece that
# it warps, up to an eighth of a pixel off by default, and pieces depend on the
# windows: the result must not.
_TOLERANCE = 1e-6


class Reader(Protocol):
    """Reads windows of the output's grid."""

    @property
    def dataset(self) -> Any:
        """The input, as a dataset on that grid."""

    def read(self, window: Any, *, masked: bool) -> Any:
        """Return an array (count, rows, cols)."""


class SameGrid:
    """Reads an input that is on the output's grid."""

    def __init__(self, src: Any, indexes: Sequence[int]) -> None:
        self.dataset = src
        self._indexes = list(indexes)

    def read(self, window: Any, *, masked: bool) -> Any:
        """Return what rasterio returns."""
        return self.dataset.read(self._indexes, window=window, masked=masked)


class Moved:
    """Reads an input with the pixels of the output's grid that begins elsewhere.

    Parameters
    ----------
    src : dataset
    indexes : sequence of int
    offset : tuple of int
        The column and row of the output's grid where the input begins.
    """

    def __init__(self, src: Any, indexes: Sequence[int], offset: tuple[int, int]) -> None:
        self.dataset = src
        self._indexes = list(indexes)
        self._offset = offset

    def read(self, window: Window, *, masked: bool) -> Any:
        """Return what the input has, and nodata, or 0, where it does not reach."""
        src = self.dataset
        left, top = window.col_off - self._offset[0], window.row_off - self._offset[1]
        columns = max(left, 0), min(left + window.width, src.width)
        rows = max(top, 0), min(top + window.height, src.height)
        part = Window.from_slices(rows, columns) if _spans(rows) and _spans(columns) else None
        if part is not None and (part.width, part.height) == (window.width, window.height):
            return src.read(self._indexes, window=part, masked=masked)
        fill = 0 if src.nodata is None else src.nodata
        shape = len(self._indexes), int(window.height), int(window.width)
        data = np.full(shape, fill, numpy_dtype(src.dtypes[self._indexes[0] - 1]))
        whole: Any = np.ma.array(data, mask=True, fill_value=fill) if masked else data
        if part is not None:
            inside = src.read(self._indexes, window=part, masked=masked)
            to_rows = slice(rows[0] - top, rows[1] - top)
            to_columns = slice(columns[0] - left, columns[1] - left)
            whole[:, to_rows, to_columns] = inside
        return whole


class Warped:
    """Reads an input on any grid, resampled by GDAL.

    Notes
    -----
    GDAL stretches a resampling kernel by how much smaller the result is, and
    finds that out for each piece that it warps; it is told the scale of the
    whole instead, so that pixels do not depend on windows.
    """

    def __init__(self, src: Any, indexes: Sequence[int], grid: Grid, resampling: str) -> None:
        self._indexes = list(indexes)
        scales = zip(("XSCALE", "YSCALE"), grid.source_pixels(Grid.of(src)), strict=True)
        # Where the source's middle has no place in the output's CRS there is no scale.
        options = {name: repr(1 / size) for name, size in scales if math.isfinite(size) and size}
        self.dataset = WarpedVRT(
            src,
            crs=grid.crs,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=Resampling[resampling],
            tolerance=_TOLERANCE,
            add_alpha=_needs_alpha(src),
            **options,
        )

    def read(self, window: Any, *, masked: bool) -> Any:
        """Return resampled pixels."""
        return self.dataset.read(self._indexes, window=window, masked=masked)


def open_reader(
    src: Any, indexes: Sequence[int], grid: Grid | None, resampling: str, *, as_dataset: bool
) -> Reader:
    """Choose how an input is read.

    Parameters
    ----------
    src : dataset
    indexes : sequence of int
        Bands.
    grid : Grid or None
        The output's; None if inputs are taken as they are.
    resampling : str
        rasterio's name of it.
    as_dataset : bool
        The reader's dataset is used and must be on the grid.

    Raises
    ------
    GridError
        If GDAL finds no way from one grid to the other.
    """
    if grid is None:
        return SameGrid(src, indexes)
    try:
        if is_placed_by_points(src):
            src = _laid_out(src, grid)
        own = Grid.of(src)
        if own.difference(grid) is None:
            return SameGrid(src, indexes)
        offset = own.offset_on(grid)
        if offset is not None and not as_dataset:
            return Moved(src, indexes, offset)
        return Warped(src, indexes, grid, resampling)
    except (RasterioError, CPLE_BaseError, ValueError, np.linalg.LinAlgError) as exc:
        raise GridError(
            f"{src.name} cannot be read on the output's grid: {one_line(exc)}"
        ) from None


def read_padded(
    reader: Reader, window: Window, grid: Grid, overlap: int, boundary: Boundary, *, masked: bool
) -> Any:
    """Read a window with more pixels on each side.

    Returns
    -------
    ndarray
        (count, rows + 2 * overlap, cols + 2 * overlap).
    """
    top, left = int(window.row_off), int(window.col_off)
    rows = positions(top, top + int(window.height), grid.height, overlap, boundary)
    cols = positions(left, left + int(window.width), grid.width, overlap, boundary)
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
    if not boundary.is_filled:
        return data[:, (rows - first_row)[:, np.newaxis], cols - first_col]
    above, before = int((rows >= 0).argmax()), int((cols >= 0).argmax())
    is_nodata = boundary.kind == "nodata"
    fill = reader.dataset.nodata if is_nodata else boundary.value
    shape = data.shape[0], len(rows), len(cols)
    padded: Any = np.full(shape, fill, data.dtype)
    if masked:
        padded = np.ma.array(padded, mask=is_nodata, fill_value=data.fill_value)
    padded[:, above : above + data.shape[1], before : before + data.shape[2]] = data
    return padded


def _laid_out(src: Any, grid: Grid) -> Any:
    """Return an input that GCPs or RPCs place on a grid of its own, in the output's CRS.

    rasterio leaves it to GDAL to use such points, and GDAL then chooses the
    grid: about that of the input.
    """
    return WarpedVRT(src, crs=grid.crs, tolerance=_TOLERANCE, add_alpha=_needs_alpha(src))


def is_placed_by_points(src: Any) -> bool:
    """Whether GCPs or RPCs say where pixels are, and no transform."""
    return src.transform.is_identity and bool(src.gcps[0] or src.rpcs)


def _needs_alpha(src: Any) -> bool:
    """Whether only a band of its own can tell where a warped input has pixels."""
    return src.nodata is None and ColorInterp.alpha not in src.colorinterp


def _spans(pair: tuple[float, float]) -> bool:
    return pair[0] < pair[1]


def check_resampling(name: str) -> None:
    """Raise UsageError unless GDAL can warp with a resampling of that name."""
    supported = [method.name for method in SUPPORTED_RESAMPLING]
    if name not in supported:
        raise UsageError(
            f"resampling is {name!r}: expected one of {', '.join(supported)}"
            f"{nearest(str(name), supported)}"
        )
