"""Make the pictures of the tutorials: run their pages, and draw the results.

    python docs/_tools/make_pictures.py

They show the same rasters that a reader of the page makes.
"""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path

from blocks import ROOT, run_page
from rasterio.enums import Resampling

PICTURE = runpy.run_path(str(ROOT / "examples" / "make_picture.py"))
GREY = (0, PICTURE["GREYS"])
COLOUR = (PICTURE["GREYS"], PICTURE["COLOURS"])
INDEX = (min(PICTURE["RAMP"]), max(PICTURE["RAMP"]))

# Panels of each picture: raster, values at both ends of the scale, and the scale.
PANELS = {
    "ndvi": [("nir", (0, 5200), GREY), ("ndvi", INDEX, COLOUR)],
    "hillshade": [("dem", (500, 1800), GREY), ("hillshade", (1, 255), GREY)],
    "classes": [("classes", (0.9, 5), COLOUR), ("certainty", (30, 100), GREY)],
    "median": [("scene_2", (0, 1800), GREY), ("median", (0, 1800), GREY)],
}
PAGES = {"classes": "model", "median": "series"}


def main() -> None:
    """Make all pictures."""
    for name, panels in PANELS.items():
        with tempfile.TemporaryDirectory() as folder:
            run_page(ROOT / "docs" / "tutorials" / f"{PAGES.get(name, name)}.md", Path(folder))
            PICTURE["write"](
                ROOT / "docs" / "images" / f"{name}.png",
                *(
                    PICTURE["panel"](
                        str(Path(folder, f"{raster}.tif")),
                        *values,
                        *scale,
                        # Classes cannot be averaged.
                        Resampling.mode if raster == "classes" else Resampling.average,
                    )
                    for raster, values, scale in panels
                ),
            )


if __name__ == "__main__":
    main()
