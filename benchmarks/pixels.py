"""Compare two rasters, in windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

_ROWS = 512


def difference(path: Path, reference: Path) -> float:
    """Return the largest difference of two rasters' pixels; 0 if they are identical.

    Infinity if shapes or dtypes differ, or if only one of them has NaN.
    """
    with rasterio.open(path) as one, rasterio.open(reference) as other:
        if (one.shape, one.dtypes) != (other.shape, other.dtypes):
            return float("inf")
        largest = 0.0
        for top in range(0, one.height, _ROWS):
            window = Window(0, top, one.width, min(_ROWS, one.height - top))
            a, b = one.read(window=window), other.read(window=window)
            if np.array_equal(a, b):
                continue
            differences = np.abs(a.astype("float64") - b.astype("float64"))
            equal = (a == b) | ((a != a) & (b != b))
            differences[equal] = 0
            largest = max(
                largest, float(np.nan_to_num(differences, nan=np.inf, posinf=np.inf).max())
            )
    return largest
