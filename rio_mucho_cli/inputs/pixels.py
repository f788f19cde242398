"""Arrays of pixels as they come from inputs, and what is masked or nodata in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rio_mucho_cli.dtypes import filled_dtype
from rio_mucho_cli.errors import GridError


class PixelsOfInput(NamedTuple):
    """Pixels of an input in a window.

    Attributes
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols).
    nodatavals : tuple of float or None
        Nodata value of each band.
    are_alpha : ndarray of bool
        Whether each band is the alpha band.
    """

    array: Any
    nodatavals: tuple[float | None, ...]
    are_alpha: np.ndarray[Any, Any]

    @property
    def are_masked(self) -> bool:
        """Whether all pixels are masked, ignoring the alpha band."""
        seen = ~self.are_alpha
        return bool(seen.any() and np.ma.getmaskarray(self.array)[seen].all())

    def hide(self, outside: np.ndarray[Any, Any]) -> None:
        """Mask pixels outside the area, if the array is a masked one."""
        array = self.array
        if np.ma.isMaskedArray(array) and array.shape[1:] == outside.shape:
            mask = outside & ~self.are_alpha[:, np.newaxis, np.newaxis]
            array.mask = np.ma.getmaskarray(array) | mask


def fill_masked(array: np.ndarray[Any, Any], fill: float | None) -> np.ndarray[Any, Any]:
    """Return a plain array, with masked pixels set to the fill value if given."""
    data = np.ma.getdata(array)
    if fill is None:
        return data
    data = data.astype(filled_dtype(data.dtype, fill), copy=False)
    np.copyto(data, data.dtype.type(fill), where=np.ma.getmaskarray(array))
    return data


def stack(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return one array with the bands of several.

    Parameters
    ----------
    arrays : sequence of ndarray
        Arrays (count, rows, cols), with the same rows and columns.

    Returns
    -------
    ndarray
        (sum of counts, rows, cols), in numpy's common dtype; masked if any
        of the arrays is.

    Raises
    ------
    GridError
        If rows or columns differ. A GridError is also a ValueError.
    """
    first = arrays[0].shape
    for array in arrays:
        if array.ndim != 3 or array.shape[1:] != first[1:]:
            raise GridError(
                f"arrays of shapes {first} and {array.shape} cannot be stacked: expected "
                "(count, rows, cols) each, with the same rows and columns"
            )
    concatenate = np.ma.concatenate if any(map(np.ma.isMaskedArray, arrays)) else np.concatenate
    stacked: np.ndarray[Any, Any] = concatenate(arrays)
    return stacked


def find_absent(
    array: np.ndarray[Any, Any], nodata: Sequence[float | None], overlap: int
) -> np.ndarray[Any, Any] | None:
    """Return where any band of an array is nodata or masked.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows + 2 * overlap, cols + 2 * overlap).
    nodata : sequence of float or None
        Nodata value of each band. NaN is ignored: it is not an ordinary number.
    overlap : int

    Returns
    -------
    ndarray of bool, or None
        (rows, cols), without the overlap; None if there are no such pixels.
    """
    core = array[:, overlap : array.shape[1] - overlap, overlap : array.shape[2] - overlap]
    data = np.ma.getdata(core).real  # GDAL compares only the real part
    masks = [
        band == band.dtype.type(value)
        for band, value in zip(data, nodata, strict=True)
        if value is not None and not math.isnan(value)
    ]
    if isinstance(core, np.ma.MaskedArray):
        masks.append(np.ma.getmaskarray(core).any(axis=0))
    if not masks:
        return None
    absent: np.ndarray[Any, Any] = masks[0]
    for mask in masks[1:]:
        absent |= mask
    return absent if absent.any() else None
