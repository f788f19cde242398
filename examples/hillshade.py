"""Shaded relief of an elevation model.

The slope at a pixel needs the neighbouring pixels, and at the edge of a window
those are in the next window. So the function reads its own data, with one pixel
more on each side than it returns.

rio mucho dem.tif hillshade.tif --func hillshade.py:hillshade \
    --mode manual_read --nodata 0 --arg azimuth=315 --arg altitude=45
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window


def hillshade(
    data: list[DatasetReader], window: Window, ij: tuple[int, int], global_args: dict[str, Any]
) -> np.ndarray:
    """Return how brightly the sun lights each pixel.

    Parameters
    ----------
    data : list of datasets
        One elevation model, in a CRS whose units are those of the elevations.
    window : Window
    ij : tuple
    global_args : dict
        ``azimuth`` of the sun, in degrees clockwise from north (315),
        ``altitude`` of the sun above the horizon, in degrees (45),
        ``z_factor`` by which elevations are multiplied (1).

    Returns
    -------
    ndarray
        uint8, (rows, cols): 1 in the shade to 255 in full light; 0 where the
        pixel or one of its eight neighbours has nodata.
    """
    (src,) = data
    azimuth = np.radians(global_args.get("azimuth", 315))
    altitude = np.radians(global_args.get("altitude", 45))
    z = read_with_margin(src, window) * np.float32(global_args.get("z_factor", 1))

    dz_dx, dz_dy = gradient(z, *src.res)
    toward_sun = (
        np.sin(altitude)
        - np.cos(altitude) * np.sin(azimuth) * dz_dx
        - np.cos(altitude) * np.cos(azimuth) * dz_dy
    ) / np.sqrt(1 + dz_dx**2 + dz_dy**2)
    # NaN marks nodata. The gradient uses only the eight neighbours, so check the
    # pixel itself.
    valid = ~np.isnan(toward_sun) & ~np.isnan(z[1:-1, 1:-1])
    shade = 1 + 254 * np.clip(toward_sun, 0, 1)
    return np.where(valid, np.rint(shade), 0).astype("uint8")


def read_with_margin(src: DatasetReader, window: Window) -> np.ndarray:
    """Read a window and one pixel around it; NaN is nodata.

    Beyond the raster's edges, the pixels of the edge are repeated.
    """
    row_start, row_stop = window.row_off - 1, window.row_off + window.height + 1
    col_start, col_stop = window.col_off - 1, window.col_off + window.width + 1
    inside = Window.from_slices(
        (max(row_start, 0), min(row_stop, src.height)),
        (max(col_start, 0), min(col_stop, src.width)),
    )
    z = src.read(1, window=inside, masked=True, out_dtype="float32").filled(np.nan)
    rows = (int(row_start < 0), int(row_stop > src.height))
    cols = (int(col_start < 0), int(col_stop > src.width))
    return np.pad(z, (rows, cols), mode="edge")


def gradient(z: np.ndarray, x_res: float, y_res: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rise to the east and to the north, by Horn's formula.

    Parameters
    ----------
    z : ndarray
        (rows + 2, cols + 2).
    x_res, y_res : float
        Size of a pixel.

    Returns
    -------
    tuple of ndarray
        Each (rows, cols).

    Notes
    -----
    B. K. P. Horn, Hill shading and the reflectance map, Proceedings of the
    IEEE 69 (1981); gdaldem uses it, too.
    """
    columns = z[:-2] + 2 * z[1:-1] + z[2:]
    rows = z[:, :-2] + 2 * z[:, 1:-1] + z[:, 2:]
    dz_dx = (columns[:, 2:] - columns[:, :-2]) / (8 * x_res)
    dz_dy = (rows[:-2] - rows[2:]) / (8 * y_res)
    return dz_dx, dz_dy
