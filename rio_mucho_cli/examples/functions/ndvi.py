"""Vegetation index (NDVI).

rio mucho nir.tif red.tif ndvi.tif --func ndvi.py:ndvi -j 2
"""

import numpy as np


def ndvi(data, window, ij, global_args):
    """Return (nir - red) / (nir + red): 0.8 in a forest, 0.1 on bare ground, < 0 on water."""
    nir, red = (array[0].astype("float32") for array in data)
    with np.errstate(invalid="ignore"):
        return (nir - red) / (nir + red)  # outside of the swath 0 / 0, which is NaN: nodata


ndvi.output = {"descriptions": "NDVI"}
