"""A series of scenes, with clouds, as files and as the STAC items of a catalogue.

Items are written as those of Sentinel-2 in Earth Search: the bands are numbers
with a scale and an offset, and a band of classes, on larger pixels, tells clouds
and shadows.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rasterio.transform import Affine
from rasterio.warp import transform, transform_bounds

from rio_mucho_cli.examples.landscape import Array, Valley
from rio_mucho_cli.examples.scene import (
    COL as MIDDLE_COL,
    CRS,
    ROW as MIDDLE_ROW,
    grid_at,
    spectrum,
    write,
)

SIDE = 384
COL, ROW = MIDDLE_COL + 108, MIDDLE_ROW + 108
AREA = (slice(ROW, ROW + SIDE), slice(COL, COL + SIDE))
FIRST_DAY = datetime(2025, 4, 4, 10, 16, 1, 24_000, tzinfo=UTC)
DAYS = 10  # from one scene to the next
SCALE, OFFSET = 0.0001, -0.1
# Classes of Sentinel-2's scene classification, by the class of the land cover.
LAND = np.array([0, 6, 5, 4, 4, 4], "uint8")
SHADOW, THIN, CLOUD, CIRRUS = 3, 8, 9, 10


class Scene(NamedTuple):
    """One scene: when it was taken, and which columns of the area it covers."""

    number: int
    when: datetime
    first_col: int = 0
    end_col: int = SIDE

    @property
    def name(self) -> str:
        """Name as in the catalogue."""
        part = int(self.first_col > 0)
        return f"S2{'AB'[self.number % 2]}_32TNT_{self.when:%Y%m%d}_{part}_L2A"


def scenes() -> list[Scene]:
    """Return 20 scenes of 19 days: on one of them, each half of the area has its own."""
    found = [Scene(number, FIRST_DAY + number * timedelta(days=DAYS)) for number in range(19)]
    west, east = found[7]._replace(end_col=208), found[7]._replace(first_col=176)
    return [*found[:7], west, east._replace(when=east.when + timedelta(seconds=14)), *found[8:]]


def pictures(valley: Valley, clouds: Array, scene: Scene) -> dict[str, Array]:
    """Return red, nir and scl of the whole area on one day, each (rows, cols)."""
    bands = spectrum(valley.bands[:, *AREA])
    season = np.sin(np.pi * (scene.number + 4) / 24)  # 0 in winter, 1 in summer
    grows = bands["nir"] > 2 * bands["red"]
    red = bands["red"] * np.where(grows, 1.5 - 0.5 * season, 1)
    nir = bands["nir"] * np.where(grows, 0.7 + 0.3 * season, 1)

    # Clouds drift over the valley; how many there are differs from day to day.
    more = np.random.default_rng(scene.number).choice([-2.2, -1.2, -0.9, -0.6, -0.3, 0])
    sky = more + np.roll(clouds, (137 * scene.number, 211 * scene.number), (0, 1))
    thickness = sky[AREA].clip(0, 1)
    is_shadow = np.roll(sky, (-8, -10), (0, 1))[AREA] > 0.2  # the sun is in the southeast
    scl = np.where(is_shadow, SHADOW, LAND[valley.classes[AREA]])
    for least, value in [(0.02, CIRRUS), (0.15, THIN), (0.4, CLOUD)]:
        scl[thickness > least] = value
    light, white = np.where(is_shadow, 0.45, 1), np.sqrt(thickness)
    seen = np.stack([red, nir]) * light * (1 - white) + 7500 * white
    red, nir = (20 * np.rint(seen / 20) - OFFSET / SCALE).astype("uint16")
    return {"red": red, "nir": nir, "scl": scl[::2, ::2]}


def item_of(
    scene: Scene, grids: dict[str, tuple[Affine, tuple[int, int]]], cloud_cover: float
) -> dict[str, Any]:
    """Return the STAC item of a scene."""
    grid, shape = grids["red"]
    left, top = grid.c, grid.f
    right, bottom = left + 30 * shape[1], top - 30 * shape[0]
    bbox = transform_bounds(CRS, "OGC:CRS84", left, bottom, right, top)
    lons, lats = transform(
        CRS, "OGC:CRS84", [left, right, right, left, left], [bottom, bottom, top, top, bottom]
    )
    assets = {}
    for name, (grid, shape) in grids.items():
        band: dict[str, Any] = {"nodata": 0, "data_type": "uint8", "spatial_resolution": grid.a}
        asset: dict[str, Any] = {
            "href": f"./scenes/{scene.name}/{name}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:shape": list(shape),
            "proj:transform": list(grid)[:6],
            "raster:bands": [band],
        }
        if name != "scl":
            band |= {"data_type": "uint16", "scale": SCALE, "offset": OFFSET}
            asset["roles"] = ["data", "reflectance"]
            asset["eo:bands"] = [{"name": name, "common_name": name}]
        assets[name] = asset
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            f"https://stac-extensions.github.io/{extension}/schema.json"
            for extension in ("eo/v1.1.0", "projection/v2.0.0", "raster/v1.1.0")
        ],
        "id": scene.name,
        "bbox": [round(value, 6) for value in bbox],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[round(x, 6), round(y, 6)] for x, y in zip(lons, lats, strict=True)]],
        },
        "properties": {
            "datetime": scene.when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "platform": f"sentinel-2{'ab'[scene.number % 2]}",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "eo:cloud_cover": round(cloud_cover, 1),
            "proj:code": CRS,
        },
        "links": [],
        "assets": assets,
    }


def write_series(valley: Valley, folder: Path) -> None:
    """Write the files of all scenes, ``items.json``, and the paths of red in ``scenes.txt``."""
    clouds, items = valley.noise(1.6, 9), []
    for scene in scenes():
        (folder / "scenes" / scene.name).mkdir(parents=True)
        grids = {}
        for name, whole in pictures(valley, clouds, scene).items():
            step = SIDE // whole.shape[1]
            pixels = whole[:, scene.first_col // step : scene.end_col // step]
            grids[name] = grid_at(COL + scene.first_col, ROW, 30 * step), pixels.shape
            path = folder / "scenes" / scene.name / f"{name}.tif"
            cog = {"driver": "COG", "blocksize": 128, "overviews": "none"}
            write(path, pixels[None], [name], grids[name][0], **cog)
        hidden = np.isin(pixels, [SHADOW, THIN, CLOUD, CIRRUS])
        items.append(item_of(scene, grids, 100 * hidden.mean()))
    collection = {"type": "FeatureCollection", "features": items}
    (folder / "items.json").write_text(json.dumps(collection, indent=2) + "\n", encoding="utf-8")
    paths = [f"scenes/{scene.name}/red.tif\n" for scene in scenes()]
    (folder / "scenes.txt").write_text("".join(paths), encoding="utf-8")
