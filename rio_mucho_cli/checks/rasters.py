"""Make rasters of arrays, in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import numpy as np
import rasterio
from rasterio.dtypes import check_dtype
from rasterio.io import MemoryFile

from rio_mucho_cli.dtypes import nodata_fits
from rio_mucho_cli.env import without_georeferencing_warnings
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.gdal_io import internal_masks
from rio_mucho_cli.geotiff.int64 import is_beyond_gdal
from rio_mucho_cli.inputs.datasets import DatasetInfo

Array: TypeAlias = np.ndarray[Any, Any]


@contextmanager
def made_rasters(arrays: Any, options: Mapping[str, Any]) -> Iterator[list[str]]:
    """Make rasters of arrays, in memory; yield their paths, and those of what are paths.

    Arrays lie on the grid of the first path, if there is one.

    Raises
    ------
    UsageError
        If an array is none that a raster can hold, or they differ in size.
    """
    with ExitStack() as stack, without_georeferencing_warnings():
        inputs = [
            os.fspath(each) if isinstance(each, str | os.PathLike) else _checked(each, number)
            for number, each in enumerate(_several(arrays), start=1)
        ]
        if options.get("mode") != "manual_read" and not options.get("extent"):
            _check_sizes(inputs)
        place = _place(inputs)
        paths = []
        for number, each in enumerate(inputs, start=1):
            if isinstance(each, str):
                paths.append(each)
                continue
            memory = stack.enter_context(MemoryFile(filename=f"array{number}.tif"))
            _write(memory.name, each, options.get("nodata"), place)
            paths.append(memory.name)
        yield paths


def _check_sizes(inputs: Sequence[str | Array]) -> None:
    sizes = {
        number: f"{each.shape[2]} x {each.shape[1]}"
        for number, each in enumerate(inputs, start=1)
        if not isinstance(each, str)
    }
    first = next(iter(sizes), 0)
    for number, size in sizes.items():
        if size != sizes[first]:
            raise UsageError(
                f"array {number} is {size} pixels, array {first} is {sizes[first]}: give arrays of "
                "one size, or rasters, which have a place of their own"
            )


def _place(inputs: Sequence[str | Array]) -> dict[str, Any]:
    """Return the CRS and the transform of the first path."""
    path = next((each for each in inputs if isinstance(each, str)), None)
    if path is None:
        return {}
    grid = DatasetInfo.of(path).grid
    return {"crs": grid.crs, "transform": grid.transform}


def _several(arrays: Any) -> list[Any]:
    if isinstance(arrays, str | os.PathLike) or hasattr(arrays, "__array__"):
        return [arrays]
    try:
        return list(arrays)
    except TypeError:
        raise UsageError(f"arrays are {arrays!r}: expected an array, a path, or several") from None


def _checked(value: Any, number: int) -> Array:
    """Return an array as (count, rows, cols), of a dtype that GDAL has."""
    array: Array = np.asanyarray(value)
    array = array[np.newaxis] if array.ndim == 2 else array
    array = array.astype(np.uint8) if array.dtype == bool else array
    if array.ndim != 3 or not array.size:
        raise UsageError(
            f"array {number} has the shape {array.shape}: expected (rows, cols) or "
            "(count, rows, cols)"
        )
    if not check_dtype(array.dtype.name):
        raise UsageError(
            f"array {number} is of dtype {array.dtype}, which rasters cannot be: convert it"
        )
    return array


def _write(path: str, array: Array, nodata: float | None, place: Mapping[str, Any]) -> None:
    """Write a raster; what is masked becomes nodata, or a mask if there is none."""
    count, height, width = array.shape
    dtype = array.dtype.name
    fits = nodata is not None and nodata_fits(nodata, dtype)
    fits = fits and not is_beyond_gdal(nodata, dtype)
    mask = np.ma.getmaskarray(array)
    has_mask = np.ma.isMaskedArray(array) and not fits
    if has_mask and (mask != mask[0]).any():
        raise UsageError(
            "an array has other pixels masked in one band than in another: give nodata, which "
            "marks them, or mask the same in all bands"
        )
    with (
        internal_masks(True),
        rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=dtype,
            nodata=nodata if fits else None, **place,
        ) as dst,
    ):  # fmt: skip
        dst.write(np.ma.filled(array, nodata) if fits else np.ma.getdata(array))
        if has_mask:
            dst.write_mask(~mask[0])
