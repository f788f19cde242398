"""Make scenes with clouds, and the STAC items of them: always the same."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from benchmarks.rasters import SEED

EPSG = 32633
RESOLUTION = 10
BLOCK = 512
_CELL = 64  # side of the smallest cloud, in pixels
_CLOUDY = 0.4
_FIRST_DAY = datetime.fromisoformat("2024-01-01T10:00:00+00:00")


def scenes(folder: Path, count: int, size: int) -> Path:
    """Return the path of an ItemCollection of scenes; make those that do not exist.

    Each scene is a GeoTIFF of one uint16 band in deflated tiles; clouds are
    nodata, 0.
    """
    folder = folder / f"scenes_{size}"
    folder.mkdir(exist_ok=True)
    items = []
    for number in range(count):
        path = folder / f"scene_{number:03}.tif"
        if not path.exists():
            unfinished = path.with_suffix(".part.tif")
            _make(unfinished, number, size)
            unfinished.rename(path)
        items.append(item_of(path, number, 400_000, 5_600_000, size))
    collection = folder / f"items_{count}.json"
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return collection


def item_of(path: Path, number: int, left: float, top: float, size: int) -> dict[str, Any]:
    """Return the STAC item of a scene, with the extensions proj and raster."""
    right, bottom = left + size * RESOLUTION, top - size * RESOLUTION
    west, south, east, north = transform_bounds(EPSG, 4326, left, bottom, right, top)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        ],
        "id": f"scene-{number:05}",
        "bbox": [west, south, east, north],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": f"{_FIRST_DAY + timedelta(days=number):%Y-%m-%dT%H:%M:%SZ}",
            "proj:epsg": EPSG,
        },
        "links": [],
        "assets": {
            "red": {
                "href": str(path),
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "proj:shape": [size, size],
                "proj:transform": [RESOLUTION, 0, left, 0, -RESOLUTION, top],
                "raster:bands": [{"data_type": "uint16", "nodata": 0}],
            }
        },
    }


def _make(path: Path, number: int, size: int) -> None:
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": size,
        "height": size,
        "count": 1,
        "dtype": "uint16",
        "nodata": 0,
        "crs": f"EPSG:{EPSG}",
        "transform": from_origin(400_000, 5_600_000, RESOLUTION, RESOLUTION),
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
        "num_threads": "all_cpus",
    }
    random = np.random.default_rng((SEED, number))
    is_clear = _clear_cells(random, -(-size // _CELL))
    with rasterio.open(path, "w", **profile) as dataset:
        for top in range(0, size, BLOCK):
            rows = min(BLOCK, size - top)
            row = np.arange(top, top + rows, dtype="float32")[:, np.newaxis]
            col = np.arange(size, dtype="float32")
            waves = np.sin(row / 97 + number / 9) + np.cos(col / 131)
            pixels = (4000 + 900 * waves + random.integers(0, 60, (rows, size))).astype("uint16")
            cells = is_clear[top // _CELL : -(-(top + rows) // _CELL)]
            pixels *= cells.repeat(_CELL, axis=0).repeat(_CELL, axis=1)[:rows, :size]
            dataset.write(pixels, 1, window=Window(0, top, size, rows))


def _clear_cells(random: np.random.Generator, cells: int) -> NDArray[np.bool_]:
    """Return which cells have no clouds, which are several cells wide."""
    rough = random.random((cells + 4, cells + 4))
    smooth = sum(
        rough[down : down + cells, right : right + cells] for down in range(5) for right in range(5)
    )
    return np.asarray(smooth > np.quantile(smooth, _CLOUDY))
