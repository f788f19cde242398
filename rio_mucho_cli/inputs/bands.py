"""Bands of one open dataset, read as one array, with all that masks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the dtype as which rasterio reads one of GDAL's."""
    return np.dtype("complex64" if name == "complex_int16" else name)


def common_dtype(names: Sequence[str]) -> str:
    """Return the dtype in which bands of some dtypes are read together.

    It is numpy's, the one that an array of the bands of several files has.
    """
    if len(set(names)) == 1:
        return names[0]
    return str(np.result_type(*map(numpy_dtype, names)).name)


def alpha_of(src: Any) -> int:
    """Return which band of a dataset is opacity, from 1; 0 if none is."""
    colours = list(src.colorinterp)
    return colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else 0
