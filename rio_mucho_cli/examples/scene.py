"""The valley as rasters and polygons, on one grid and on others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform, transform_bounds

from rio_mucho_cli.examples.landscape import CROPS, Array, Valley

CRS = "EPSG:32632"
LEFT, TOP = 555_000, 5_290_000
SIDE = 600  # of the middle of the valley
COL, ROW = 700, 300  # of the upper left pixel of the middle
COVER = {
    1: ("water", (54, 99, 176)),
    2: ("bare or built", (196, 166, 128)),
    3: ("forest", (36, 110, 48)),
    4: ("grass", (138, 190, 90)),
    5: ("crops", (232, 214, 120)),
}


def grid_at(col: int, row: int, pixel: float = 30) -> Affine:
    """Return a transform whose origin is that of a pixel of 30 m of the valley."""
    return Affine(pixel, 0, LEFT + 30 * col, 0, -pixel, TOP - 30 * row)


def write(path: Path, bands: Array, names: list[str], grid: Affine, **profile: Any) -> None:
    """Write (count, rows, cols) with rasterio, by default as a tiled GeoTIFF."""
    options: dict[str, Any] = {"driver": "GTiff", "crs": CRS, "nodata": 0}
    if profile.get("driver") is None:
        options |= {"tiled": True, "blockxsize": 256, "blockysize": 256}
    count, height, width = bands.shape
    with rasterio.open(
        path,
        "w",
        transform=grid,
        count=count,
        height=height,
        width=width,
        dtype=bands.dtype,
        compress="deflate",
        predictor=3 if bands.dtype.kind == "f" else 2,
        **(options | profile),
    ) as dst:
        dst.descriptions = names
        dst.write(bands)


def spectrum(bands: Array) -> dict[str, Array]:
    """Return more bands, guessed from red and near infrared, in steps of 0.001."""
    red, nir = bands
    guessed = {
        "blue": 0.6 * red + 0.04 * nir + 90,
        "green": 0.7 * red + 0.06 * nir + 170,
        "red": red,
        "nir": nir,
        "swir": 1.1 * red + 0.35 * nir - 300,
    }
    return {name: (10 * np.rint(band / 10)).clip(10, 10_000) for name, band in guessed.items()}


def sixteenths(elevation: Array) -> Array:
    """Return elevations in steps of 1/16 m, which compress well."""
    return np.asarray(np.rint(16 * elevation) / 16)


def write_scene(valley: Valley, folder: Path) -> None:
    """Write one scene, the elevation and the land cover, all of them on one grid."""
    bands = spectrum(valley.bands)
    grid = grid_at(0, 0, 1000 * valley.pixel)
    for name, band, dtype, nodata in [
        ("red", bands["red"], "uint16", 0),
        ("nir", bands["nir"], "uint16", 0),
        ("dem", sixteenths(valley.elevation), "float32", -9999),
        ("landcover", valley.classes, "uint8", 0),
    ]:
        pixels = np.where(valley.in_swath, band, nodata).astype(dtype)
        description = "elevation" if name == "dem" else name
        write(folder / f"{name}.tif", pixels[None], [description], grid, nodata=nodata)
    with rasterio.open(folder / "landcover.tif", "r+") as dst:
        dst.write_colormap(1, {value: colour for value, (_, colour) in COVER.items()})
        dst.update_tags(1, **{f"CLASS_{value}": name for value, (name, _) in COVER.items()})


def write_parts(valley: Valley, folder: Path) -> None:
    """Write the middle of the valley: in several bands, in parts, and on other grids."""
    grid = grid_at(COL, ROW)
    bands = spectrum(valley.bands[:, ROW : ROW + SIDE, COL : COL + SIDE])
    scene = np.stack(list(bands.values())).astype("uint16")
    write(folder / "scene.tif", scene, list(bands), grid)
    red, first, end = scene[2:3], 250, 350  # the columns that both sides have
    write(folder / "west.tif", red[:, :, :end], ["red"], grid)
    write(folder / "east.tif", red[:, :, first:], ["red"], grid_at(COL + first, ROW))

    def warp(source: str, name: str, band: int, added: int = 0, **grid: Any) -> None:
        with (
            rasterio.open(folder / source) as src,
            WarpedVRT(src, resampling=Resampling.cubic, **grid) as vrt,
        ):
            description = src.descriptions[band - 1]
            options = {"nodata": src.nodata, "crs": vrt.crs}
            pixels = vrt.read([band]) + added
            if pixels.dtype.kind == "f":
                pixels = sixteenths(pixels)
            write(folder / name, pixels, [description], vrt.transform, **options)

    warp("east.tif", "east_utm33.tif", 1, crs="EPSG:32633")
    for name, band, pixel in [("s2_10m.tif", 2, 10), ("s2_20m.tif", 5, 20)]:
        side = 6000 // pixel
        at_the_dam = grid_at(COL + 150, ROW + 130, pixel)
        warp("scene.tif", name, band, 1000, transform=at_the_dam, width=side, height=side)
        with rasterio.open(folder / name, "r+") as dst:
            dst.scales, dst.offsets = [0.0001], [-0.1]  # as in products of today
    metres = 30 * SIDE
    bounds = grid.c, grid.f - metres, grid.c + metres, grid.f
    left, bottom, right, top = transform_bounds(CRS, "EPSG:4326", *bounds)
    second = 1 / 3600
    warp(
        "dem.tif",
        "dem_degrees.tif",
        1,
        crs="EPSG:4326",
        transform=Affine(second, 0, left, 0, -second, top),
        width=round((right - left) / second),
        height=round((top - bottom) / second),
    )


def write_fields(valley: Valley, folder: Path) -> None:
    """Write fields of the valley as GeoJSON, in longitude and latitude."""
    features = []
    for number, (crop, corners) in enumerate(valley.fields(), start=1):
        lons, lats = transform(
            CRS, "OGC:CRS84", LEFT + 1000 * corners[:, 0], TOP - 1000 * corners[:, 1]
        )
        ring = [[round(lon, 7), round(lat, 7)] for lon, lat in zip(lons, lats, strict=True)]
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "code": f"F{number:03}",
                    "crop": list(CROPS).index(crop) + 1,
                    "name": crop,
                },
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        )
    text = ",\n".join(json.dumps(feature) for feature in features)
    (folder / "fields.geojson").write_text(
        f'{{"type": "FeatureCollection", "features": [\n{text}\n]}}\n', encoding="utf-8"
    )
