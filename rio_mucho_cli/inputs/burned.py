"""Vector inputs and the area of interest, burned into windows of the output's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.errors import InfoError
from rio_mucho_cli.inputs.burning import Burner
from rio_mucho_cli.inputs.geometries import Geometries
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.overlap import Boundary, read_padded
from rio_mucho_cli.inputs.shapes import Shapes
from rio_mucho_cli.text import redact

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features for functions that want shapes and properties.

    Attributes
    ----------
    geometries : Geometries
        In the CRS of the output's grid.
    properties : sequence of Mapping
    ids : sequence
        Id of each feature in its file, or None.
    """

    geometries: Geometries
    properties: Sequence[Mapping[str, Any]]
    ids: Sequence[Any]

    def feature(self, number: int) -> dict[str, Any]:
        """Return the feature with a number, from 1, as a GeoJSON-like dict."""
        if not 1 <= number <= len(self.ids):
            raise InfoError(
                f"there is no feature {number}: expected a number from 1 to {len(self.ids)}"
            )
        return {
            "type": "Feature",
            "id": self.ids[number - 1],
            "number": number,
            "geometry": self.geometries.geometry(number - 1),
            "properties": dict(self.properties[number - 1]),
        }


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """A vector input, or the area of interest, and what is burned of it.

    Attributes
    ----------
    name : str
    driver : str
        GDAL's name of the format, or "object".
    position : int
        Position among all inputs, from 0.
    features : int
        Number of features.
    attribute : str
        Attribute that is burned; empty for the number of the feature.
    shapes : Shapes
    boundary : Boundary or None
        Values of pixels beyond the raster. None: 0.
    table : FeatureTable or None
        The features themselves, if the function asks for them.
    """

    name: str
    driver: str
    position: int
    features: int
    attribute: str
    shapes: Shapes
    boundary: Boundary | None = None
    table: FeatureTable | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what is burned, as a JSON object."""
        return {
            "path": redact(self.name),
            "driver": self.driver,
            "position": self.position,
            "features": self.features,
            "attribute": self.attribute or None,
            "all_touched": self.shapes.all_touched,
            "dtype": self.shapes.values.dtype.name,
        }


class BurnedReader:
    """Reads windows of features that are burned into the grid, as if from a raster.

    Parameters
    ----------
    spec : VectorSpec
    grid : Grid
        Grid of the output.
    """

    # For `read_padded`, as of a raster with nodata 0.
    have_nodata = np.array([True])
    are_alpha = np.array([False])
    dataset = None

    def __init__(self, spec: VectorSpec, grid: Grid) -> None:
        self.spec = spec
        self._grid = grid
        self._burner = Burner(spec.shapes)

    @property
    def bands(self) -> Any:
        """What `read_padded` asks for bands."""
        return self

    def read(self, window: Any, *, masked: bool = False) -> Array:
        """Return the values of features in a window, (1, rows, cols); 0 where there is none."""
        return self._burner.burn(window)[np.newaxis]

    def pixels_outside(
        self, height: int, width: int, *, masked: bool, constant: float | None = None
    ) -> Array:
        """Return (1, height, width) of 0, which pixels beyond the raster have."""
        return np.zeros((1, height, width), self.spec.shapes.values.dtype)

    def read_with_overlap(
        self, window: Any, overlap: int, boundary: Boundary | None = None
    ) -> Array:
        """Return the values of features in a window with overlap, (1, rows, cols)."""
        window = whole_pixels(window)
        if not overlap:
            return self.read(window)
        boundary = boundary or self.spec.boundary
        padded: Array = read_padded(
            self,
            window,
            self._grid,
            overlap,
            boundary,
            masked=False,
        )
        return padded

    def features_in(self, window: Any, overlap: int) -> list[dict[str, Any]]:
        """Return the features whose bounds touch a window with overlap, by number."""
        core = whole_pixels(window)
        padded = Window(
            core.col_off - overlap,
            core.row_off - overlap,
            core.width + 2 * overlap,
            core.height + 2 * overlap,
        )
        return [self.feature_of(int(index) + 1) for index in self._burner.features_in(padded)]

    def features_outside(self) -> list[dict[str, Any]]:
        """Return the features that are burned in no window, by number."""
        inside = np.zeros(self.spec.features, bool)
        inside[self.spec.shapes.geometries.owners] = True
        return [self.feature_of(int(index) + 1) for index in np.flatnonzero(~inside)]

    def feature_of(self, number: int) -> dict[str, Any]:
        """Return the feature with a number, from 1."""
        table = self.spec.table
        assert table is not None  # the function takes info, so it came along
        return table.feature(number)

    def close(self) -> None:
        """Do nothing: no file is open."""


class Area:
    """The area of interest, in one worker.

    Parameters
    ----------
    spec : VectorSpec
    grid : Grid
        Grid of the output.
    """

    def __init__(self, spec: VectorSpec, grid: Grid) -> None:
        self._reader = BurnedReader(spec, grid)

    def outside(self, window: Any, overlap: int = 0) -> Array:
        """Return which pixels of a window are outside, (rows, cols) of bool.

        With overlap, those beyond the raster are like the nearest in it.
        """
        edge = Boundary("edge")
        outside: Array = self._reader.read_with_overlap(window, overlap, edge)[0] == 0
        return outside


def whole_pixels(window: Any) -> Window:
    """Return a window of whole pixels, rounded as rasterio rounds it for reading."""
    left, top = int(window.col_off), int(window.row_off)
    return Window(left, top, int(window.width + 0.5), int(window.height + 0.5))


def open_burned(
    specs: Sequence[VectorSpec], area: VectorSpec | None, grid: Grid
) -> tuple[list[tuple[int, BurnedReader]], Area | None]:
    """Return a reader for each vector input with its position, and the area of interest."""
    readers = [(spec.position, BurnedReader(spec, grid)) for spec in specs]
    return readers, None if area is None else Area(area, grid)
