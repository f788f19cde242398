"""Water index (MNDWI) of green and short-wave infrared, here of 10 m and of 20 m.

rio mucho s2_10m.tif s2_20m.tif water.tif --func water.py:index \
    --like s2_10m.tif --resampling 2=bilinear --masked
"""


def index(data, window, ij, global_args):
    """Return (green - swir) / (green + swir), which is above 0 on water."""
    green, swir = (array[0].astype("float32") for array in data)
    return (green - swir) / (green + swir)


index.output = {"descriptions": "MNDWI"}
