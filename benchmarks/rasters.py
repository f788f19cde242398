"""Make the rasters that the contenders read: always the same pixels.

They are written one row of blocks at a time, so that a raster of any size takes
little memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window

BLOCK = 256
"""Side of a tile, in pixels."""

SEED = 7


@dataclass(frozen=True)
class Kind:
    """A kind of raster.

    Attributes
    ----------
    bands : tuple of int
        Numbers of bands; different numbers have different pixels.
    dtype : str
    strips : bool
        Whether it has strips of one row, else tiles.
    """

    bands: tuple[int, ...]
    dtype: str = "uint16"
    strips: bool = False


KINDS = {
    "nir": Kind((0,)),
    "red": Kind((1,)),
    "nir_strips": Kind((0,), strips=True),
    "red_strips": Kind((1,), strips=True),
    "dem": Kind((5,), dtype="float32"),
    "rgb": Kind((2, 3, 4), dtype="uint8"),
}


def raster(folder: Path, name: str, size: int) -> Path:
    """Return the path of a raster; make it if it does not exist.

    Parameters
    ----------
    folder : Path
    name : str
        One of KINDS.
    size : int
        Rows and columns.
    """
    path = folder / f"{name}_{size}.tif"
    if not path.exists():
        unfinished = path.with_suffix(".part.tif")
        _make(unfinished, KINDS[name], size)
        unfinished.rename(path)
    return path


def _make(path: Path, kind: Kind, size: int) -> None:
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": size,
        "height": size,
        "count": len(kind.bands),
        "dtype": kind.dtype,
        "crs": "EPSG:32633",
        "transform": from_origin(400_000, 5_600_000, 10, 10),
        "compress": "deflate",
        "interleave": "pixel",
        "bigtiff": "if_safer",
        "num_threads": "all_cpus",
    }
    if kind.strips:
        profile.update(tiled=False, blockysize=1)
    else:
        profile.update(tiled=True, blockxsize=BLOCK, blockysize=BLOCK)
    with rasterio.open(path, "w", **profile) as dataset:
        for top in range(0, size, BLOCK):
            rows = min(BLOCK, size - top)
            pixels = np.stack([_rows(band, top, rows, size) for band in kind.bands])
            if kind.dtype == "uint8":
                pixels //= 32
            dataset.write(pixels.astype(kind.dtype), window=Window(0, top, size, rows))


def _rows(band: int, top: int, rows: int, cols: int) -> NDArray[np.uint16]:
    """Return some rows of a band: waves and noise, between 2000 and 6000."""
    row = np.arange(top, top + rows, dtype="float32")[:, np.newaxis]
    col = np.arange(cols, dtype="float32")
    waves = np.sin(row / (97 + 11 * band)) + np.cos(col / (131 - 7 * band))
    noise = np.random.default_rng((SEED, band, top)).integers(0, 60, (rows, cols))
    return (4000 - 250 * band + 900 * waves + noise).astype("uint16")
