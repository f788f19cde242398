"""Water index (MNDWI) of green and short-wave infrared, here of 10 m and of 20 m.

rio mucho s2_10m.tif s2_20m.tif water.tif --func water.py:index \
    --like s2_10m.tif --resampling 2=bilinear --masked
"""


def index(data, window, ij, global_args, *, info):
    """Return (green - swir) / (green + swir), which is above 0 on water."""
    green, swir = (
        array * src.scales[0] + src.offsets[0] for array, src in zip(data, info.inputs, strict=True)
    )
    return ((green - swir) / (green + swir)).astype("float32")


index.output = {"descriptions": "MNDWI"}
