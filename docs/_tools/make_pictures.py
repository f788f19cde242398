"""Make the pictures of README and pages: run pages, and draw the results.

    python docs/_tools/make_pictures.py

They show the same rasters that a reader of the page makes.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from blocks import ROOT, run_page
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning

WIDTH, GAP = 394, 9  # pixels
# A palette makes a file a third of what RGB would need.
RAMP = {
    -0.4: (38, 84, 148), -0.1: (120, 170, 208), 0.05: (176, 148, 116), 0.2: (218, 198, 148),
    0.4: (238, 232, 160), 0.6: (150, 200, 92), 0.75: (60, 146, 62), 0.9: (12, 84, 44),
}  # fmt: skip
INDEX = (min(RAMP), max(RAMP))
CLASSES = [(54, 99, 176), (196, 166, 128), (36, 110, 48), (138, 190, 90), (232, 214, 120)]
# First colour and number of colours of each scale.
GREY, COLOUR, CLASS = (0, 72), (72, 72), (144, len(CLASSES))
WHITE = sum(CLASS)

CLOUDY = "scenes/S2A_32TNT_20250623_0_L2A/red"
# Panels of each picture: page and raster, values at both ends of the scale, and the scale.
PICTURES = {
    "ndvi_hillshade": [
        ("tutorials/ndvi", "nir", (0, 5200), GREY),
        ("tutorials/ndvi", "ndvi", INDEX, COLOUR),
        ("tutorials/hillshade", "hillshade", (1, 255), GREY),
    ],
    "ndvi": [("tutorials/ndvi", "nir", (0, 5200), GREY), ("tutorials/ndvi", "ndvi", INDEX, COLOUR)],
    "hillshade": [
        ("tutorials/hillshade", "dem", (500, 1800), GREY),
        ("tutorials/hillshade", "hillshade", (1, 255), GREY),
    ],
    "classes": [
        ("tutorials/model", "classes", (1, len(CLASSES)), CLASS),
        ("tutorials/model", "certainty", (30, 100), GREY),
    ],
    "composite": [
        ("tutorials/series", CLOUDY, (1000, 3200), GREY),
        ("tutorials/series", "clear", (1000, 3200), GREY),
    ],
    "sentinel_2": [
        ("how-to/sentinel-2", "s2_20m", (1000, 3500), GREY),
        ("how-to/sentinel-2", "s2_10m", (1300, 2300), GREY),
        ("how-to/sentinel-2", "water", (-0.45, 0.8), GREY),
    ],
}


def panel(path: Path, values: tuple[float, float], scale: tuple[int, int]) -> np.ndarray:
    """Return a raster at the panel's width, as palette indexes; nodata is white."""
    (low, high), (first, count) = values, scale
    with rasterio.open(path) as src:
        shape = (1, round(WIDTH * src.height / src.width), WIDTH)
        # Classes cannot be averaged.
        resampling = Resampling.mode if scale is CLASS else Resampling.average
        band = src.read([1], out_shape=shape, masked=True, resampling=resampling)[0]
    scaled = np.clip((band.astype("float64").filled(low) - low) / (high - low), 0, 1)
    return np.where(np.ma.getmaskarray(band), WHITE, first + scaled * (count - 1)).astype("uint8")


def write(picture: Path, panels: list[np.ndarray]) -> None:
    """Write panels side by side as a PNG."""
    gap = np.full((panels[0].shape[0], GAP), WHITE, dtype="uint8")
    image = np.hstack([part for each in panels for part in (each, gap)][:-1])
    greys = np.repeat(np.linspace(0, 255, GREY[1])[:, None], 3, axis=1)
    steps = np.linspace(*INDEX, COLOUR[1])
    rgb = np.array(list(RAMP.values())).T
    ramp = np.stack([np.interp(steps, list(RAMP), band) for band in rgb], axis=1)
    palette = np.vstack([greys, ramp, CLASSES, [(255, 255, 255)]]).round().astype(int).tolist()
    rows, cols = image.shape
    profile = {"width": cols, "height": rows, "count": 1, "dtype": "uint8", "zlevel": 9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture is not a map
        with rasterio.open(picture, "w", "PNG", **profile) as dst:
            dst.write(image, 1)
            dst.write_colormap(1, dict(enumerate(map(tuple, palette))))


def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as work:
        for page in {page for panels in PICTURES.values() for page, *_ in panels}:
            folder = Path(work, page)
            folder.mkdir(parents=True)
            run_page(ROOT / "docs" / f"{page}.md", folder)
        for name, panels in PICTURES.items():
            write(
                ROOT / "docs" / "images" / f"{name}.png",
                [
                    panel(Path(work, page, f"{raster}.tif"), values, scale)
                    for page, raster, values, scale in panels
                ],
            )


if __name__ == "__main__":
    main()
