"""Put near infrared, vegetation index and hillshade side by side in one PNG.

    python make_picture.py [PICTURE]

Run make first: the panels are data/nir.tif, out/ndvi.tif, out/dem_hillshade.tif.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning

HERE = Path(__file__).resolve().parent
WIDTH, GAP = 394, 9  # pixels
# A palette makes the file a third of what RGB would need.
GREYS, COLOURS, WHITE = 72, 72, 144
RAMP = {
    -0.4: (38, 84, 148), -0.1: (120, 170, 208), 0.05: (176, 148, 116), 0.2: (218, 198, 148),
    0.4: (238, 232, 160), 0.6: (150, 200, 92), 0.75: (60, 146, 62), 0.9: (12, 84, 44),
}  # fmt: skip


def panel(
    path: str,
    low: float,
    high: float,
    first: int,
    count: int,
    resampling: Resampling = Resampling.average,
) -> np.ndarray:
    """Read a raster at the panel's width, as palette indexes; nodata is white."""
    with rasterio.open(HERE / path) as src:
        shape = (1, round(WIDTH * src.height / src.width), WIDTH)
        band = src.read(out_shape=shape, masked=True, resampling=resampling)[0]
    scaled = np.clip((band.astype("float64").filled(low) - low) / (high - low), 0, 1)
    return np.where(np.ma.getmaskarray(band), WHITE, first + scaled * (count - 1)).astype("uint8")


def write(picture: Path, *panels: np.ndarray) -> None:
    """Write panels side by side as a PNG."""
    gap = np.full((panels[0].shape[0], GAP), WHITE, dtype="uint8")
    image = np.hstack([part for panel in panels for part in (panel, gap)][:-1])

    greys = np.repeat(np.linspace(0, 255, GREYS)[:, None], 3, axis=1)
    steps = np.linspace(min(RAMP), max(RAMP), COLOURS)
    rgb = np.array(list(RAMP.values())).T
    ramp = np.stack([np.interp(steps, list(RAMP), band) for band in rgb], axis=1)
    palette = np.vstack([greys, ramp, [(255, 255, 255)]]).round().astype(int).tolist()
    rows, cols = image.shape
    profile = {"width": cols, "height": rows, "count": 1, "dtype": "uint8", "zlevel": 9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture is not a map
        with rasterio.open(picture, "w", "PNG", **profile) as dst:
            dst.write(image, 1)
            dst.write_colormap(1, dict(enumerate(map(tuple, palette))))


def main() -> None:
    write(
        Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "picture.png",
        panel("data/nir.tif", 0, 5200, 0, GREYS),
        panel("out/ndvi.tif", min(RAMP), max(RAMP), GREYS, COLOURS),
        panel("out/dem_hillshade.tif", 1, 255, 0, GREYS),
    )


if __name__ == "__main__":
    main()
