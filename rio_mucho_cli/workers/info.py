"""What a function is told of its window: position, coordinates, and the inputs' metadata.

A function with a keyword-only parameter `info` gets a WindowInfo for each window.
Everything beyond a few numbers is computed, or read from the inputs, on request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.transform import guard_transform
from rasterio.warp import transform
from rasterio.windows import Window

from rio_mucho_cli.dtypes import fills_with_nan
from rio_mucho_cli.env import GDAL_ERRORS
from rio_mucho_cli.errors import InfoError, one_line
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.scenes import Scene
from rio_mucho_cli.inputs.window_data import InputDatasets, no_vector
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.input_info import InputInfo, VectorInfo, pixel_size
from rio_mucho_cli.workers.numbering import worker_number

if TYPE_CHECKING:
    import xarray

Coordinates = tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]

_WGS84 = "EPSG:4326"


@dataclass(frozen=True, kw_only=True)
class WindowInfo:
    """Position of a window, for a function with a keyword-only parameter `info`.

    Attributes
    ----------
    window : rasterio.windows.Window
        The window that is written, in pixels of the output.
    grid_transform : affine.Affine
        Transform of the whole output.
    shape : tuple of int
        Rows and columns of the whole output.
    crs : rasterio.crs.CRS or None
        CRS of the output.
    ij : object
        Row and column in the grid of windows, or the caller's own value.
    overlap : int
        Extra pixels that the arrays have on each side.
    index, total : int
        Position of the window among all windows of the run, from 0, and their
        number.
    worker : int
        Number of the worker, from 0 to jobs - 1: the same for all windows that
        it computes. Choose a device by it; pixels must not depend on it.
    inputs : sequence of InputInfo
        Metadata of each input; none if inputs are a series.
    items : sequence of Scene
        Scenes of a series that touch the window, in the order of the arrays: their
        `path`, `datetime` and `properties`.
    """

    window: Window
    grid_transform: Affine
    shape: tuple[int, int]
    crs: CRS | None = None
    ij: Any = (0, 0)
    overlap: int = 0
    index: int = 0
    total: int = 1
    worker: int = 0
    inputs: Sequence[InputInfo] = ()
    items: Sequence[Scene] = ()
    _fill_is_nan: bool = field(default=False, repr=False)
    _vector: Callable[[], Any] = field(default=no_vector, repr=False)

    @property
    def transform(self) -> Affine:
        """Transform of the arrays, which begin with the margin of the overlap."""
        return transform_of_array(self, self.overlap)

    @property
    def bounds(self) -> BoundingBox:
        """Left, bottom, right and top of the window, without the margin."""
        window = self.window
        corners = [
            _apply(self.grid_transform, col, row)
            for col in (window.col_off, window.col_off + window.width)
            for row in (window.row_off, window.row_off + window.height)
        ]
        xs, ys = zip(*corners, strict=True)
        return BoundingBox(min(xs), min(ys), max(xs), max(ys))

    @property
    def res(self) -> tuple[float, float]:
        """Width and height of a pixel, in units of the CRS."""
        return pixel_size(self.grid_transform)

    @property
    def features(self) -> list[dict[str, Any]]:
        """Features of the first vector input whose bounds touch the arrays, GeoJSON-like."""
        features: list[dict[str, Any]] = self._vector().features_in(self.window, self.overlap)
        return features

    @property
    def features_outside(self) -> list[dict[str, Any]]:
        """Features of the first vector input that touch no window, or have no geometry."""
        features: list[dict[str, Any]] = self._vector().features_outside()
        return features

    def feature_of(self, number: int) -> dict[str, Any]:
        """Return the feature with a number, from 1, of the first vector input."""
        feature: dict[str, Any] = self._vector().feature_of(int(number))
        return feature

    def xy(self) -> Coordinates:
        """Return x and y of all pixel centres of the arrays.

        Returns
        -------
        tuple of ndarray
            Two float64 arrays (rows, cols), the margin included.
        """
        rows, cols = shape_of_arrays(self)
        xs, ys = pixel_centres(self, rows, cols, self.overlap)
        return np.broadcast_to(xs, (rows, cols)).copy(), np.broadcast_to(ys, (rows, cols)).copy()

    def lonlat(self) -> Coordinates:
        """Return longitude and latitude (WGS 84) of all pixel centres of the arrays.

        Returns
        -------
        tuple of ndarray
            Two float64 arrays (rows, cols) in degrees, the margin included.

        Raises
        ------
        InfoError
            If there is no CRS, or a pixel is where the CRS has no longitude and
            latitude.
        """
        if not self.crs:
            raise InfoError(
                "info.lonlat() needs a CRS, and the output has none: give the first input one "
                "with rio edit-info --crs, or use info.xy()"
            )
        xs, ys = self.xy()
        try:
            lons, lats = transform(self.crs, _WGS84, xs.ravel(), ys.ravel())
        except GDAL_ERRORS as exc:
            raise InfoError(
                f"info.lonlat() cannot transform the pixels of the window from "
                f"{self.crs.to_string()} to WGS 84: {one_line(exc)}"
            ) from None
        return np.array(lons).reshape(xs.shape), np.array(lats).reshape(ys.shape)

    def to_xarray(self, array: Any) -> xarray.DataArray:
        """Return an array as a DataArray with coordinates, as rioxarray has them.

        Parameters
        ----------
        array : ndarray or MaskedArray
            (count, rows, cols), or (rows, cols) for one band, with or without
            the margin. Masked pixels become NaN, and integers then floats.

        Returns
        -------
        xarray.DataArray
            Dimensions band, y and x; coordinates band, y, x (xc and yc on a
            rotated grid) and spatial_ref. Nodata is that of all inputs of the
            array's dtype, if it is the same for all.

        Raises
        ------
        InfoError
            If xarray is not installed, or the array does not have the size of
            the window.
        """
        from rio_mucho_cli.workers.data_array import data_array

        array = np.asanyarray(array)
        margin = _margin_of(self, array)
        rows, cols = array.shape[-2:]
        return data_array(
            array,
            pixel_centres(self, rows, cols, margin),
            transform_of_array(self, margin),
            self.crs,
            _nodata_of(self, array.dtype),
        )


def shape_of_arrays(info: WindowInfo) -> tuple[int, int]:
    """Return rows and columns of the arrays; fractions are rounded as rasterio does."""
    window, n = info.window, 2 * info.overlap
    return int(window.height + 0.5) + n, int(window.width + 0.5) + n


def pixel_centres(info: WindowInfo, rows: int, cols: int, margin: int) -> tuple[Any, Any]:
    """Return x and y of the pixels of an array, in shapes that can be broadcast.

    They are computed from the position in the whole output: those from the
    transform of the array would differ in the last digits between windows.
    """
    across = np.arange(cols)[np.newaxis] + (info.window.col_off - margin + 0.5)
    down = np.arange(rows)[:, np.newaxis] + (info.window.row_off - margin + 0.5)
    return _apply(info.grid_transform, across, down)


def transform_of_array(info: WindowInfo, margin: int) -> Affine:
    """Return the transform of an array with a margin."""
    a, b, _, d, e, _ = tuple(info.grid_transform)[:6]
    corner = info.window.col_off - margin, info.window.row_off - margin
    x, y = _apply(info.grid_transform, *corner)
    return Affine(a, b, x, d, e, y)


def _margin_of(info: WindowInfo, array: np.ndarray[Any, Any]) -> int:
    """Return the margin that an array has, or raise InfoError."""
    rows, cols = shape_of_arrays(info)
    for margin in (info.overlap, 0):
        less = 2 * (info.overlap - margin)
        if array.ndim in {2, 3} and array.shape[-2:] == (rows - less, cols - less):
            return margin
    raise InfoError(
        f"info.to_xarray() got an array of shape {array.shape}, expected (count, {rows}, {cols}) "
        f"or ({rows}, {cols})"
    )


def _nodata_of(info: WindowInfo, dtype: np.dtype[Any]) -> float | None:
    """Return the nodata that all inputs of a dtype have, or None."""
    if info._fill_is_nan and dtype.kind in "fc":
        return math.nan
    found = {
        repr(nodata): nodata
        for source in info.inputs
        for nodata, name in zip(source.nodata, source.dtypes, strict=True)
        if name == dtype.name
    }
    return next(iter(found.values())) if len(found) == 1 else None


def _apply(affine: Affine, cols: Any, rows: Any) -> tuple[Any, Any]:
    """Return x and y of columns and rows; in their own shapes if the grid is not rotated."""
    a, b, c, d, e, f = tuple(affine)[:6]
    xs = a * cols + c if b == 0 else a * cols + b * rows + c
    ys = e * rows + f if d == 0 else d * cols + e * rows + f
    return xs, ys


def info_of_windows(
    context: RunContext, datasets: InputDatasets, run_id: str
) -> Callable[[PlannedWindow], WindowInfo]:
    """Return a function that returns the WindowInfo of a window, for one worker.

    Parameters
    ----------
    context : RunContext
    datasets : InputDatasets
        The worker's open inputs.
    run_id : str
    """
    rasters = datasets.rasters
    grid = _output_grid(context, [open_src for _, open_src in rasters])
    reading = context.reading
    inputs = [
        InputInfo(open_src, spec.path, spec.indexes, spec.nodata) for spec, open_src in rasters
    ]
    for position, reader in datasets.burned:
        inputs.insert(position, VectorInfo(reader.spec, grid))
    constants: dict[str, Any] = {
        "overlap": reading.overlap,
        "total": context.total,
        "worker": worker_number(run_id, context.workers),
        "crs": grid.crs,
        "grid_transform": grid.transform,
        "shape": (grid.height, grid.width),
        "inputs": tuple(inputs),
        "_vector": datasets.first_vector,
        "_fill_is_nan": fills_with_nan(reading.fill),
    }

    def info_of(planned: PlannedWindow) -> WindowInfo:
        return WindowInfo(
            window=planned.window,
            ij=planned.ij,
            index=planned.index,
            items=tuple(datasets.scenes),
            **constants,
        )

    return info_of


def _output_grid(context: RunContext, rasters: Sequence[Callable[[], Any]]) -> Grid:
    """Return the grid of the output, which windows refer to."""
    template = context.specs[0].template if context.specs else None
    complete = None if template is None else template.complete
    if context.grid is not None:
        return context.grid
    if complete is not None:
        crs = complete.get("crs")
        crs = CRS.from_user_input(crs) if crs else None
        affine = guard_transform(complete.get("transform") or Affine.identity())
        return Grid(crs, affine, int(complete["width"]), int(complete["height"]))
    return context.reading.grid or Grid.of(rasters[0]())
