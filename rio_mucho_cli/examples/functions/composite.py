"""Cloud-free composite of a series: the median of what each scene sees of the ground.

Each scene has red, near infrared, and the classes of Sentinel-2's scene
classification (SCL), which tell where clouds and their shadows are.
"""

import numpy as np

CLOUDS = [3, 8, 9, 10]  # shadow, cloud of medium and of high probability, cirrus


def cloud_free(data, window, ij, global_args):
    """Return the median of red and of near infrared; each scene is (3, rows, cols)."""
    scenes = np.ma.stack(data)
    bands, classes = scenes[:, :2], scenes[:, 2:]
    hidden = np.isin(classes, CLOUDS) | np.ma.getmaskarray(classes)
    return np.ma.median(np.ma.masked_where(hidden | np.ma.getmaskarray(bands), bands), axis=0)


cloud_free.output = {"descriptions": ["red", "nir"], "dtype": "uint16", "masked": True}
