"""Pixels and functions for tests of overviews, of GeoTIFFs and COGs."""

import numpy as np


def content(count, height, width, dtype):
    """Return pixels that average, mode and nearest make different things of."""
    rng = np.random.default_rng(width * height + count)
    rows, cols = np.mgrid[:height, :width]
    waves = (np.sin(rows / 9) + np.cos(cols / 13) + 2) * 55
    bands = [waves + rng.normal(0, 4, waves.shape) + 3 * band for band in range(count)]
    array = np.stack(bands)
    return array if np.dtype(dtype).kind == "f" else np.round(array).astype(dtype)


def holed(array, value):
    """Write a value into blocks, stripes and single pixels of an array."""
    rows, cols = np.mgrid[: array.shape[1], : array.shape[2]]
    array[:, (rows < 140) & (cols < 140)] = value
    array[:, (rows // 7 + cols // 5) % 3 == 0] = value
    array[:, (rows * 13 + cols * 7) % 11 == 0] = value
    return array


def copy(data, window, ij, global_args):
    """Return the first input as it is."""
    return data[0]


def hide(data, window, ij, global_args):
    """Mask some blocks as a whole, and stripes, for an output without nodata."""
    (array,) = data
    rows = np.arange(window.row_off, window.row_off + window.height)[:, np.newaxis]
    cols = np.arange(window.col_off, window.col_off + window.width)
    mask = ((rows < 140) & (cols < 140)) | ((rows // 7 + cols // 5) % 3 == 0)
    return np.ma.array(array, mask=np.broadcast_to(mask, array.shape))
