"""Find the pixels without a value in arrays that are not masked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def find_absent(
    array: np.ndarray[Any, Any], nodata: Sequence[float | None], overlap: int
) -> np.ndarray[Any, Any] | None:
    """Return where a band of an array has no value.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows + 2 * overlap, cols + 2 * overlap).
    nodata : sequence of float or None
        Of each band; NaN is no ordinary number, and is not looked for.
    overlap : int

    Returns
    -------
    ndarray of bool, or None
        (rows, cols), without the overlap; None if there are no such pixels.
    """
    core = array[:, overlap : array.shape[1] - overlap, overlap : array.shape[2] - overlap]
    data = np.ma.getdata(core).real  # as GDAL compares complex numbers
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
