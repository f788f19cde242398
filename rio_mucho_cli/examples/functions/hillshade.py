"""Hillshade of an elevation model.

rio mucho dem.tif hillshade.tif --func hillshade.py:hillshade --boundary edge -j 2
"""

import numpy as np


def hillshade(data, window, ij, global_args, *, info):
    """Return how brightly the sun lights each pixel: 1 to 255; 0 is nodata."""
    azimuth = np.radians(global_args.get("azimuth", 315))
    altitude = np.radians(global_args.get("altitude", 45))
    width, height = info.res
    to_south, to_east = np.gradient(data[0][0].filled(np.nan), height, width)
    towards_sun = np.cos(azimuth) * to_south - np.sin(azimuth) * to_east
    light = np.sin(altitude) + np.cos(altitude) * towards_sun
    light /= np.sqrt(1 + to_south**2 + to_east**2)
    shade = 1 + 254 * np.clip(light, 0, 1)
    return np.where(np.isnan(shade), 0, shade).astype("uint8")


# The slope of a pixel needs its neighbours, those in the next window as well.
hillshade.output = {"overlap": 1, "masked": True, "nodata": 0, "descriptions": "hillshade"}
