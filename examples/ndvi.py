"""Normalized difference vegetation index.

rio mucho nir.tif red.tif ndvi.tif --func ndvi.py:ndvi
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.windows import Window


def ndvi(
    data: list[np.ndarray], window: Window, ij: tuple[int, int], global_args: dict[str, Any]
) -> np.ndarray:
    """Return (nir - red) / (nir + red), from -1 to 1.

    Parameters
    ----------
    data : list of ndarray
        Near infrared and red, each (1, rows, cols).
    window : Window
    ij : tuple
    global_args : dict
        ``nodata``: the inputs' nodata, 0 unless given.

    Returns
    -------
    ndarray
        float32, (1, rows, cols); NaN where an input has nodata or both are 0.
    """
    nir, red = data
    nodata = global_args.get("nodata", 0)
    valid = (nir != nodata) & (red != nodata)
    # Floating point first: in uint16, nir - red is never below 0 and wraps.
    nir, red = nir.astype("float32"), red.astype("float32")
    total = nir + red
    index = np.full(nir.shape, np.nan, dtype="float32")
    np.divide(nir - red, total, out=index, where=valid & (total != 0))
    return index
