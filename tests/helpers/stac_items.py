"""STAC items as real catalogues write them, of rasters on this machine.

Each maker takes the item's id, the paths of its rasters by what they show ("red", "nir" and
"qa"), and the time of the acquisition.
"""

import rasterio
from rasterio.warp import transform_bounds

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
BANDS = {"red": "B04", "nir": "B08", "qa": "SCL"}


def _item(name, paths, properties, assets, version="1.0.0", **more):
    with rasterio.open(next(iter(paths.values()))) as src:
        west, south, east, north = transform_bounds(src.crs, "EPSG:4326", *src.bounds)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": version,
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": properties,
        "links": [{"rel": "self", "href": f"https://stac.example/items/{name}"}],
        "assets": {
            **assets,
            "thumbnail": {"href": "https://stac.example/t.jpg", "type": "image/jpeg"},
        },
        "collection": "scenes",
        **more,
    }


def _grid(path, entries=6):
    with rasterio.open(path) as src:
        return {
            "proj:shape": list(src.shape),
            "proj:transform": [*map(float, tuple(src.transform)[:entries])],
        }


def _epsg(paths):
    with rasterio.open(next(iter(paths.values()))) as src:
        return src.crs.to_epsg()


def _of_bands(kind):
    return [] if kind == "qa" else [{"name": BANDS[kind], "common_name": kind}]


def earth_search_v0(name, paths, when):
    """Sentinel-2 of 2020: transforms of nine numbers, keys that are names of bands."""
    assets = {"overview": {"href": "L2A_PVI.tif", "type": COG, "proj:shape": [343, 343]}}
    for kind, path in paths.items():
        assets[BANDS[kind]] = {"href": str(path), "type": COG, **_grid(path, entries=9)}
        assets[BANDS[kind]]["eo:bands"] = _of_bands(kind)
    properties = {"datetime": when, "proj:epsg": _epsg(paths), "sentinel:utm_zone": 33}
    return _item(name, paths, properties, assets, version="1.0.0-beta.2")


def earth_search_v1(name, paths, when):
    """Sentinel-2 of today: each asset twice, the second time as JPEG 2000."""
    assets = {}
    for kind, path in paths.items():
        about = {"eo:bands": _of_bands(kind)} if kind != "qa" else {}
        about["raster:bands"] = [
            {"nodata": 0, "data_type": "uint16", "bits_per_sample": 15, "spatial_resolution": 10,
             "scale": 0.0001, "offset": -0.1}
        ]  # fmt: skip
        key = "scl" if kind == "qa" else kind
        if kind == "qa":
            about["raster:bands"] = [{"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}]
        jp2 = {"href": f"s3://sentinel-s2-l2a/{key}.jp2", "type": "image/jp2"}
        assets[f"{key}-jp2"] = {**jp2, **about}
        assets[key] = {"href": str(path), "type": COG, **about, **_grid(path)}
    properties = {"datetime": when, "proj:code": f"EPSG:{_epsg(paths)}", "proj:epsg": None}
    return _item(name, paths, properties, assets)


def planetary_sentinel_2(name, paths, when):
    """Planetary Computer: a bounding box in each asset, and no nodata anywhere."""
    assets = {}
    for kind, path in paths.items():
        with rasterio.open(path) as src:
            bounds = [*src.bounds]
        assets[BANDS[kind]] = {
            "href": str(path), "type": COG, "proj:bbox": bounds, **_grid(path), "gsd": 10.0,
            "eo:bands": _of_bands(kind), "roles": ["data"],
        }  # fmt: skip
    assets["visual"] = {
        "href": "TCI_10m.tif", "type": COG,
        "eo:bands": [{"name": name, "common_name": name} for name in ("red", "green", "blue")],
    }  # fmt: skip
    return _item(name, paths, {"datetime": when, "proj:epsg": _epsg(paths)}, assets)


def planetary_landsat(name, paths, when):
    """Landsat Collection 2 of the Planetary Computer: one grid in the item's properties."""
    keys = {"red": "red", "nir": "nir08", "qa": "qa_pixel"}
    bands = {"red": ("OLI_B4", "red"), "nir": ("OLI_B5", "nir08")}
    assets = {"qa": {"href": "ST_QA.TIF", "type": COG}, "mtl.json": {"href": "MTL.json"}}
    for kind, path in paths.items():
        asset = {"href": str(path), "type": COG}
        if kind in bands:
            number, common = bands[kind]
            asset["eo:bands"] = [{"name": number, "common_name": common, "center_wavelength": 0.65}]
            asset["raster:bands"] = [
                {"scale": 2.75e-05, "nodata": 0, "offset": -0.2, "data_type": "uint16"}
            ]
        else:
            asset["raster:bands"] = [{"nodata": 1, "data_type": "uint16", "unit": "bit index"}]
        assets[keys[kind]] = asset
    grid = _grid(paths["red"])
    return _item(name, paths, {"datetime": when, "proj:epsg": _epsg(paths), **grid}, assets)


def usgs_landsat(name, paths, when):
    """Landsat Collection 2 of USGS: the transform is that of the first pixel's centre."""
    item = planetary_landsat(name, paths, when)
    transform = item["properties"]["proj:transform"]
    transform[2] += transform[0] / 2
    transform[5] += transform[4] / 2
    for asset in item["assets"].values():
        asset["type"] = "image/vnd.stac.geotiff; cloud-optimized=true"
        asset["alternate"] = {"s3": {"href": "s3://usgs-landsat/LC08.TIF"}}
    return item


def stac_1_1(name, paths, when):
    """STAC 1.1: `bands` in place of those of extensions, what all share at the asset."""
    assets = {}
    for kind, path in paths.items():
        with rasterio.open(path) as src:
            assets[kind] = {
                "href": str(path), "type": COG, "data_type": src.dtypes[0],
                "nodata": "nan" if src.dtypes[0] == "float32" else 0,
                "bands": [{"name": BANDS[kind], "eo:common_name": kind}],
                "proj:shape": [*src.shape], "proj:bbox": [*src.bounds],
            }  # fmt: skip
    properties = {"datetime": None, "start_datetime": when, "end_datetime": when}
    properties["proj:code"] = f"EPSG:{_epsg(paths)}"
    return _item(name, paths, properties, assets, version="1.1.0", geometry=None, bbox=None)


def without_grids(name, paths, when):
    """Items of tools that do not know the extension proj, or write that it knows nothing."""
    assets = {kind: {"href": str(path)} for kind, path in paths.items()}
    return _item(name, paths, {"datetime": when, "proj:epsg": None, "proj:shape": None}, assets)


CATALOGUES = {
    maker.__name__: (maker, names)
    for maker, names in (
        (earth_search_v0, ["B04", "nir", "SCL"]),
        (earth_search_v1, ["red", "nir", "scl"]),
        (planetary_sentinel_2, ["red", "B08", "SCL"]),
        (planetary_landsat, ["red", "nir08", "qa_pixel"]),
        (usgs_landsat, ["OLI_B4", "nir08", "qa_pixel"]),
        (stac_1_1, ["red", "B08", "qa"]),
        (without_grids, ["red", "nir", "qa"]),
    )
}
"""Makers of items, and how one asks each of them for red, nir and qa."""


def naip(name, path, when):
    """NAIP: one image, whose bands have names."""
    bands = [("Red", "red"), ("Green", "green"), ("Blue", "blue"), ("NIR", "nir")]
    image = {
        "href": str(path), "type": COG, "roles": ["data"],
        "eo:bands": [{"name": name, "common_name": common} for name, common in bands],
    }  # fmt: skip
    properties = {"datetime": when, "gsd": 0.6, "proj:epsg": _epsg({"image": path}), **_grid(path)}
    return _item(name, {"image": path}, properties, {"image": image})


def collection(items):
    """Return an ItemCollection."""
    return {"type": "FeatureCollection", "features": list(items), "links": [], "context": {}}
