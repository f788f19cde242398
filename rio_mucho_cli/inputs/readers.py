"""Read windows of the output's grid from one open input.

same grid ────────────▶ PlainReader: unchanged pixels
shifted whole pixels ─▶ ShiftedReader: unchanged pixels, nodata outside of the input
any other grid ───────▶ WarpedReader: resampled by GDAL's WarpedVRT
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from rasterio.enums import Resampling
from rasterio.warp import SUPPORTED_RESAMPLING
from rasterio.windows import Window

from rio_mucho_cli.env import GDAL_ERRORS
from rio_mucho_cli.errors import GridError, MuchoError, UsageError, one_line
from rio_mucho_cli.gcps import has_gcps_or_rpcs
from rio_mucho_cli.inputs.bands import Bands, GivenNodata
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.warping import (
    check_nodata_for_warping,
    check_resampled,
    warp,
    without_nodata,
)
from rio_mucho_cli.text import did_you_mean

# Tolerance in pixels of the source, as in GDAL.
_NEARLY = 0.05


class Reader(Protocol):
    """Reads windows of the output's grid."""

    @property
    def dataset(self) -> Any:
        """The input as a dataset on the output's grid."""

    @property
    def bands(self) -> Bands:
        """The bands that are read, of the input or of `dataset`."""

    def read(self, window: Any, *, masked: bool) -> Any:
        """Return the pixels of a window as (count, rows, cols)."""

    def close(self) -> None:
        """Close all datasets that the reader opened."""


class PlainReader:
    """Reads an input that is on the output's grid."""

    def __init__(self, bands: Bands) -> None:
        self.bands = bands
        self.dataset = bands.src

    def read(self, window: Any, *, masked: bool) -> Any:
        """Return the unchanged pixels of a window."""
        return self.bands.read(window, masked=masked)

    def close(self) -> None:
        """Close the dataset."""
        self.dataset.close()


class ShiftedReader(PlainReader):
    """Reads an input that is shifted from the output's grid by whole pixels.

    Parameters
    ----------
    bands : Bands
    offset : tuple of int
        Column and row of the input's first pixel on the output's grid.
    """

    def __init__(self, bands: Bands, offset: tuple[int, int]) -> None:
        super().__init__(bands)
        self._offset = offset

    def read(self, window: Window, *, masked: bool) -> Any:
        """Return the pixels of a window; nodata, or 0, outside of the input."""
        src = self.dataset
        left, top = window.col_off - self._offset[0], window.row_off - self._offset[1]
        columns = max(left, 0), min(left + window.width, src.width)
        rows = max(top, 0), min(top + window.height, src.height)
        part = Window.from_slices(rows, columns) if _is_range(rows) and _is_range(columns) else None
        if part is not None and (part.width, part.height) == (window.width, window.height):
            return self.bands.read(part, masked=masked)
        whole = self.bands.pixels_outside(int(window.height), int(window.width), masked=masked)
        if part is not None:
            to_rows = slice(rows[0] - top, rows[1] - top)
            to_columns = slice(columns[0] - left, columns[1] - left)
            whole[:, to_rows, to_columns] = self.bands.read(part, masked=masked)
        return whole


@dataclass(frozen=True, slots=True)
class Layer:
    """Bands of an input with the same nodata, which are warped together.

    Attributes
    ----------
    src : dataset
        The input, or the input georeferenced by its GCPs or RPCs.
    nodata : float or None
    indexes : list of int
        Band indexes, from 1.
    positions : list of int
        Positions of these bands among all bands that are read.
    """

    src: Any
    nodata: float | None
    indexes: list[int]
    positions: list[int]

    @classmethod
    def all_of(cls, bands: Bands) -> list[Layer]:
        """Return bands grouped by nodata value."""
        layers: dict[str, Layer] = {}
        for position, (index, nodata) in enumerate(
            zip(bands.indexes, bands.nodatavals, strict=True)
        ):
            # NaN is not equal to itself.
            layer = layers.setdefault(repr(nodata), cls(bands.src, nodata, [], []))
            layer.indexes.append(index)
            layer.positions.append(position)
        return list(layers.values())


class WarpedReader:
    """Reads an input on any other grid, resampled by GDAL.

    Parameters
    ----------
    bands : Bands
        Bands of the input.
    layers : sequence of Layer
    grid : Grid
        Grid of the output.
    resampling : str
        rasterio's name of the resampling.
    as_dataset : bool
        Whether the function gets the dataset, which must then have the bands
        of the input and no others.

    Notes
    -----
    GDAL stretches a resampling kernel by the scale, which it estimates for
    each chunk that it warps. This class passes the scale of the whole instead
    (XSCALE, YSCALE), so that pixels do not depend on windows. GDAL rounds its
    own estimate (GDALWarpKernel::PerformWarp), but not a given scale.
    """

    def __init__(
        self,
        bands: Bands,
        layers: Sequence[Layer],
        grid: Grid,
        resampling: str,
        *,
        as_dataset: bool = False,
    ) -> None:
        check_nodata_for_warping(bands.src, bands.indexes, bands.nodatavals)
        src = layers[0].src
        self.bands = bands
        scales = zip(("XSCALE", "YSCALE"), grid.source_pixels(Grid.of(src)), strict=True)
        # There is no scale if the source's centre cannot be transformed to the output's CRS.
        options = {
            name: repr(1 / _round_scale(size))
            for name, size in scales
            if math.isfinite(size) and size
        }
        target: dict[str, Any] = {
            "crs": grid.crs,
            "transform": grid.transform,
            "width": grid.width,
            "height": grid.height,
            "resampling": Resampling[resampling],
            **options,
        }
        self._parts = [
            (
                layer.positions,
                Bands(
                    warp(layer.src, layer.nodata, adds_alpha=not as_dataset, **target),
                    layer.indexes,
                    bands.dtype,
                    _given_after_warping(bands, layer),
                ),
            )
            for layer in layers
        ]
        self.dataset = self._parts[0][1].src

    def read(self, window: Any, *, masked: bool) -> Any:
        """Return the resampled pixels of a window; nodata, or 0, outside of the input."""
        array = self.bands.join(
            [(positions, part.read(window, masked=masked)) for positions, part in self._parts],
            masked=masked,
        )
        check_resampled(array, self.bands.src)
        return array

    def close(self) -> None:
        """Close the datasets."""
        for _, part in self._parts:
            part.src.close()


def open_reader(
    src: Any,
    indexes: Sequence[int],
    grid: Grid | None,
    resampling: str,
    *,
    as_dataset: bool,
    nodata: GivenNodata | None = None,
) -> Reader:
    """Return the reader for an input and the output's grid.

    Parameters
    ----------
    src : dataset
    indexes : sequence of int
        Band indexes, from 1.
    grid : Grid or None
        Grid of the output; None to read the input on its own grid.
    resampling : str
        rasterio's name of the resampling.
    as_dataset : bool
        Whether the reader's dataset is used and must be on the grid.
    nodata : float, "none" or None
        Nodata in place of the input's own.

    Raises
    ------
    GridError
        If GDAL cannot warp the input to the grid.
    """
    bands = Bands(src, indexes, nodata=nodata)
    if grid is None:
        return PlainReader(bands)
    try:
        layers = Layer.all_of(bands)[: 1 if as_dataset else None]
        is_one = True
        if has_gcps_or_rpcs(src):
            if bands.is_given:
                layers = [_without_own_nodata(layer) for layer in layers]
            layers = [_georeference(layer, grid, as_dataset=as_dataset) for layer in layers]
            src, is_one = layers[0].src, len(layers) == 1
            if is_one:
                given = _given_after_warping(bands, layers[0])
                bands = Bands(src, indexes, bands.dtype, given)
        own = Grid.of(src)
        if is_one and own.difference(grid) is None:
            return PlainReader(bands)
        offset = own.pixel_offset(grid)
        if is_one and offset is not None and not as_dataset:
            return ShiftedReader(bands, offset)
        return WarpedReader(bands, layers, grid, resampling, as_dataset=as_dataset)
    except MuchoError:
        raise
    except (*GDAL_ERRORS, ValueError, np.linalg.LinAlgError) as exc:
        raise GridError(
            f"{src.name} cannot be read on the output's grid: {one_line(exc)}"
        ) from None


def _georeference(layer: Layer, grid: Grid, *, as_dataset: bool) -> Layer:
    """Return a layer warped to the output's CRS with its GCPs or RPCs.

    GDAL chooses the grid, with about the resolution of the input.
    """
    check_nodata_for_warping(layer.src, layer.indexes, [layer.nodata] * len(layer.indexes))
    src = warp(layer.src, layer.nodata, adds_alpha=not as_dataset, crs=grid.crs)
    return replace(layer, src=src)


def _without_own_nodata(layer: Layer) -> Layer:
    """Return a layer whose dataset has no other nodata than is given for it."""
    has_own = layer.nodata is None and any(value is not None for value in layer.src.nodatavals)
    return replace(layer, src=without_nodata(layer.src)) if has_own else layer


def _given_after_warping(bands: Bands, layer: Layer) -> GivenNodata | None:
    """Return the nodata to give to a warped layer, which may still have the input's own."""
    return "none" if bands.is_given and layer.nodata is None else None


def _round_scale(pixels: float) -> float:
    """Return a scale in pixels, rounded if it is nearly a whole number.

    A kernel that is stretched very slightly is sampled beyond its ends, where
    GDAL's cubic spline has large negative weights.
    """
    whole = max(1.0, float(round(pixels)))
    return whole if abs(pixels - whole) < _NEARLY else pixels


def _is_range(ends: tuple[float, float]) -> bool:
    return ends[0] < ends[1]


def check_resampling(name: str) -> None:
    """Raise UsageError unless GDAL can warp with this resampling."""
    supported = [method.name for method in SUPPORTED_RESAMPLING]
    if name not in supported:
        raise UsageError(
            f"resampling is {name!r}: expected one of {', '.join(supported)}"
            f"{did_you_mean(str(name), supported)}"
        )
