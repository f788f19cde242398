"""Make the pictures of how-to pages whose rasters have colours of their own.

    python docs/_tools/make_photos.py

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

WIDTH, GAP = 260, 9  # pixels
# Panels of each picture: raster, and the bands of its colours; None for a colour table.
PICTURES = {
    "stretch": ("two-passes", [("scene.tif", [4, 3, 2]), ("picture.tif", [1, 2, 3])]),
    "cover": ("metadata", [("cover.tif", None)]),
}


def panel(path: Path, bands: list[int] | None) -> np.ndarray:
    """Return a raster at the panel's width, as (rows, cols, 3)."""
    with rasterio.open(path) as src:
        shape = (round(WIDTH * src.height / src.width), WIDTH)
        if bands is None:
            values = src.read(1, out_shape=shape, resampling=Resampling.mode)
            colours = [src.colormap(1).get(value, (255,) * 4)[:3] for value in range(256)]
            colours[int(src.nodata)] = (255, 255, 255)
            return np.array(colours, "uint8")[values]
        image = src.read(bands, out_shape=(3, *shape), resampling=Resampling.average)
    if image.dtype != "uint8":
        image = (image / 10_000 * 255).clip(0, 255)
    return np.moveaxis(image, 0, 2).astype("uint8")


def write(picture: Path, panels: list[np.ndarray]) -> None:
    """Write panels side by side as a PNG."""
    gap = np.full((panels[0].shape[0], GAP, 3), 255, "uint8")
    image = np.hstack([part for each in panels for part in (each, gap)][:-1])
    rows, cols, count = image.shape
    profile = {"width": cols, "height": rows, "count": count, "dtype": "uint8", "zlevel": 9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture is not a map
        with rasterio.open(picture, "w", "PNG", **profile) as dst:
            dst.write(np.moveaxis(image, 2, 0))


def main() -> None:
    """Make all pictures."""
    for name, (page, panels) in PICTURES.items():
        with tempfile.TemporaryDirectory() as folder:
            run_page(ROOT / "docs" / "how-to" / f"{page}.md", Path(folder))
            write(
                ROOT / "docs" / "images" / f"{name}.png",
                [panel(Path(folder, raster), bands) for raster, bands in panels],
            )


if __name__ == "__main__":
    main()
