"""Cloud-free composite of a series: the median of the clear pixels of all scenes.

rio mucho --inputs items.json composite.tif --assets red,nir,scl --extent union \
    --func composite.py:cloud_free -j 2
"""

import numpy as np

# Classes of Sentinel-2's scene classification (SCL): nothing, shadow, cloud of medium and of
# high probability, cirrus.
HIDDEN = [0, 3, 8, 9, 10]


def cloud_free(data, window, ij, global_args):
    """Return the median of red and of near infrared; each scene is (red, nir, scl)."""
    scenes = np.ma.stack(data)
    bands, classes = scenes[:, :2], scenes[:, 2:]
    hidden = np.isin(classes.filled(0), HIDDEN) | np.ma.getmaskarray(bands)
    return np.ma.median(np.ma.array(bands, mask=hidden), axis=0)


cloud_free.output = {
    "descriptions": ["red", "nir"],
    "dtype": "uint16",
    "masked": True,
    "scales": 0.0001,  # reflectance is value * 0.0001 - 0.1
    "offsets": -0.1,
}
