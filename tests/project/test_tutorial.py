"""What a reader of the tutorial gets is what a page says that it is."""

import runpy
from pathlib import Path

import numpy as np
import rasterio

ROOT = Path(__file__).parents[2]
run_page = runpy.run_path(str(ROOT / "docs" / "_tools" / "blocks.py"))["run_page"]


def test_the_hillshade_is_that_of_the_terrain(tmp_path):
    """The sun is in the northwest, 45 degrees high; edges have their own pixel once more."""
    run_page(ROOT / "docs" / "tutorials" / "hillshade.md", tmp_path)
    with rasterio.open(tmp_path / "dem.tif") as src:
        width, height = src.res
        elevation = np.pad(src.read(1, masked=True).astype("float64").filled(np.nan), 1, "edge")
    with rasterio.open(tmp_path / "hillshade.tif") as src:
        shade = src.read(1)
    east = (elevation[1:-1, 2:] - elevation[1:-1, :-2]) / (2 * width)
    north = (elevation[:-2, 1:-1] - elevation[2:, 1:-1]) / (2 * height)
    normal = np.stack([-east, -north, np.ones_like(east)])
    sun = np.array([-0.5, 0.5, np.sqrt(0.5)])
    light = np.tensordot(sun, normal, 1) / np.linalg.norm(normal, axis=0)
    expected = 1 + 254 * np.clip(light, 0, 1)
    is_void = np.isnan(expected)
    np.testing.assert_array_equal(shade == 0, is_void)
    np.testing.assert_allclose(shade[~is_void], expected[~is_void], atol=1.1)
    # A flat one has 180 everywhere.
    assert shade[~is_void].std() > 15
