"""What a function is told of each input: the metadata of its file."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from affine import Affine
from rasterio.crs import CRS

from rio_mucho_cli.inputs.bands import GivenNodata, nodatavals_of
from rio_mucho_cli.inputs.grid import Grid

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.burned import VectorSpec


class InputInfo:
    """An input of a run: metadata of its file, even if its pixels are warped.

    Metadata is read on request.

    Parameters
    ----------
    open_src : callable
        Returns the open dataset. It is called for each request, because a worker
        may close an input that it did not use for a while.
    path : str
    indexes : sequence of int
    nodata : float, "none" or None
        Nodata in place of the file's own.

    Attributes
    ----------
    path : str
        Path of the input.
    is_vector : bool
        Whether it has features, which are burned into windows.
    """

    is_vector = False

    def __init__(
        self,
        open_src: Callable[[], Any],
        path: str,
        indexes: Sequence[int] = (),
        nodata: GivenNodata | None = None,
    ) -> None:
        self._open_src = open_src
        self._given_nodata = nodata
        self.path = path
        self._indexes = tuple(indexes)

    def __repr__(self) -> str:
        return f"InputInfo({self.path!r}, indexes={self.indexes})"

    @property
    def _src(self) -> Any:
        return self._open_src()

    @functools.cached_property
    def indexes(self) -> tuple[int, ...]:
        """Indexes of the bands that are read, from 1, in the order of the arrays.

        All attributes with a value for each band have this order.
        """
        return self._indexes or tuple(self._src.indexes)

    @functools.cached_property
    def nodata(self) -> tuple[float | None, ...]:
        """Nodata value of each band: that of `src_nodata`, else that of the file."""
        return self._of_bands(nodatavals_of(self._src, self._given_nodata))

    @functools.cached_property
    def dtypes(self) -> tuple[str, ...]:
        """Dtype of each band."""
        return self._of_bands(self._src.dtypes)

    @functools.cached_property
    def descriptions(self) -> tuple[str | None, ...]:
        """Description (name) of each band."""
        return self._of_bands(self._src.descriptions)

    @functools.cached_property
    def scales(self) -> tuple[float, ...]:
        """Scale of each band."""
        return self._of_bands(self._src.scales)

    @functools.cached_property
    def offsets(self) -> tuple[float, ...]:
        """Offset of each band."""
        return self._of_bands(self._src.offsets)

    @functools.cached_property
    def units(self) -> tuple[str | None, ...]:
        """Unit of each band."""
        return self._of_bands(self._src.units)

    @functools.cached_property
    def crs(self) -> CRS | None:
        """CRS of the file."""
        return self._src.crs

    @property
    def res(self) -> tuple[float, float]:
        """Width and height of the file's pixels, in units of its CRS."""
        return pixel_size(self._src.transform)

    def tags(self, ns: str | None = None) -> dict[str, str]:
        """Return the tags of the file, as rasterio does.

        Parameters
        ----------
        ns : str, optional
            Namespace, such as RPC.
        """
        return dict(self._src.tags(ns=ns))

    def band_tags(self, index: int, ns: str | None = None) -> dict[str, str]:
        """Return the tags of a band.

        Parameters
        ----------
        index : int
            Index of the band in the file, from 1.
        ns : str, optional
            Namespace.
        """
        return dict(self._src.tags(index, ns=ns))

    def _of_bands(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[index - 1] for index in self.indexes)


class VectorInfo(InputInfo):
    """A vector input, as the one band of numbers that a function gets of it.

    Parameters
    ----------
    spec : VectorSpec
    grid : Grid
        Grid of the output, into which it is burned.
    """

    is_vector = True

    def __init__(self, spec: VectorSpec, grid: Grid) -> None:
        self.path = spec.name
        self._grid = grid
        self.__dict__ |= {  # in place of what is read from a raster
            "indexes": (1,),
            "nodata": (None,),
            "dtypes": (spec.shapes.values.dtype.name,),
            "descriptions": (spec.attribute or None,),
            "scales": (1.0,),
            "offsets": (0.0,),
            "units": (None,),
            "crs": grid.crs,
        }

    @property
    def res(self) -> tuple[float, float]:
        """Width and height of the pixels, in units of the CRS."""
        return pixel_size(self._grid.transform)

    def tags(self, ns: str | None = None) -> dict[str, str]:
        """Return no tags."""
        return {}

    def band_tags(self, index: int, ns: str | None = None) -> dict[str, str]:
        """Return no tags."""
        return {}


def pixel_size(affine: Affine) -> tuple[float, float]:
    """Return width and height of a pixel."""
    return math.hypot(affine.a, affine.d), math.hypot(affine.b, affine.e)
