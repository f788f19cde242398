"""DataArrays of xarray, with the coordinates and attributes that rioxarray gives them."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from rio_mucho_cli.errors import InfoError, one_line

if TYPE_CHECKING:
    import xarray
    from affine import Affine
    from rasterio.crs import CRS


def data_array(
    array: np.ndarray[Any, Any],
    centres: tuple[Any, Any],
    transform: Affine,
    crs: CRS | None,
    nodata: float | None,
) -> xarray.DataArray:
    """Return an array as a DataArray.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols) or (rows, cols). Masked pixels become NaN.
    centres : tuple of ndarray
        x and y of the pixels: (1, cols) and (rows, 1), unless the grid is
        rotated.
    transform : Affine
    crs : CRS or None
    nodata : float or None

    Raises
    ------
    InfoError
        If xarray is not installed.
    """
    try:
        from xarray import DataArray
    except ImportError as exc:
        raise InfoError(
            f"info.to_xarray() needs xarray ({one_line(exc)}): pip install xarray"
        ) from None
    bands = array[np.newaxis] if array.ndim == 2 else array
    attrs: dict[str, Any] = {}
    encoding: dict[str, Any] = {"grid_mapping": "spatial_ref"}
    if np.ma.isMaskedArray(bands):
        encoding["dtype"] = bands.dtype.name
        bands = np.ma.filled(bands.astype(_with_nan(bands.dtype)), np.nan)
        # What is NaN in memory has the file's nodata in the encoding, if there is one.
        where, value = (attrs, np.nan) if nodata is None else (encoding, nodata)
        where["_FillValue"] = bands.dtype.type(value)
    elif nodata is not None:
        attrs["_FillValue"] = bands.dtype.type(nodata)
    coords = {
        "band": np.arange(1, len(bands) + 1),
        **_positions(*centres, bands.shape[1:], is_rotated=bool(transform.b or transform.d)),
        "spatial_ref": ((), 0, _spatial_ref(transform, crs)),
    }
    result = DataArray(bands, coords, ("band", "y", "x"), attrs=attrs)
    result.encoding = encoding
    return result


def _positions(xs: Any, ys: Any, shape: tuple[int, ...], *, is_rotated: bool) -> dict[str, Any]:
    """Return coordinates x and y; or xc and yc of each pixel, if the grid is rotated."""
    if not is_rotated:
        return {"y": ys.ravel(), "x": xs.ravel()}
    xs, ys = np.broadcast_to(xs, shape), np.broadcast_to(ys, shape)
    return {"xc": (("y", "x"), xs), "yc": (("y", "x"), ys)}


def _with_nan(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which xarray masks values of a dtype."""
    if dtype.kind in "fc":
        return dtype
    return np.dtype("float32" if dtype.itemsize <= 2 else "float64")


def _spatial_ref(transform: Affine, crs: CRS | None) -> dict[str, Any]:
    """Return the attributes of the coordinate spatial_ref."""
    numbers = " ".join(str(float(number)) for number in transform.to_gdal())
    return {**(_grid_mapping(crs) if crs else {}), "GeoTransform": numbers}


@functools.lru_cache(maxsize=8)
def _grid_mapping(crs: CRS) -> dict[str, Any]:
    """Return attributes for a CRS: those of the CF conventions too, if there is pyproj."""
    wkt = crs.to_wkt()
    attributes: dict[str, Any] = {}
    # pyproj may not be installed, and the CF conventions may not know the CRS.
    with suppress(Exception):
        from pyproj import CRS as AnyCRS  # noqa: N811

        attributes = AnyCRS.from_wkt(wkt).to_cf()
    return {**attributes, "spatial_ref": wkt, "crs_wkt": wkt}
