"""Scenes from STAC items, which are plain JSON, as catalogues write them.

Fields are those of the STAC specification 1.0 and 1.1 and of its extensions proj,
raster and eo. They are at the asset or, for all assets, in the item's properties.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit

from affine import Affine
from rasterio.crs import CRS

from rio_mucho_cli.env import GDAL_ERRORS, captured_messages
from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.scenes import Asset, Scene
from rio_mucho_cli.text import did_you_mean, option, truncate

JsonObject: TypeAlias = Mapping[str, Any]

# Names of the raster extension for complex dtypes; others are numpy's.
_DTYPES = {"cint16": "complex_int16", "cfloat32": "complex64", "cfloat64": "complex128"}
_NUMPY_DTYPES = re.compile(r"u?int(8|16|32|64)|float(32|64)")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|[/\\]")
_MOST_KEYS = 200
# Of GDAL, on each side.
_MOST_PIXELS = 2**31 - 1


class MissingAssetError(InputError):
    """An item lacks an asset."""


def scene_of_item(item: JsonObject, names: Sequence[str]) -> Scene:
    """Return the scene of an item.

    Parameters
    ----------
    item : Mapping
    names : sequence of str
        Assets, by key, or by the name or common name of a band.

    Raises
    ------
    UsageError
        If there are no names.
    MissingAssetError
        If the item lacks an asset.
    InputError
        If it is not an item.
    """
    found, properties = item.get("assets"), item.get("properties")
    name = truncate(str(item.get("id") or "an item without an id"), 100)
    if not isinstance(found, Mapping) or not isinstance(properties, Mapping):
        raise InputError(
            f"{name} is not a STAC item, which has assets and properties: it has "
            f"{truncate(', '.join(map(str, item)), _MOST_KEYS) or 'nothing'}"
        )
    keys = truncate(", ".join(map(str, found)), _MOST_KEYS) or "none"
    if not names:
        raise UsageError(f"STAC items need {option('assets')}: {name} has {keys}")
    assets = []
    for wanted in names:
        asset = _find_asset(item, wanted)
        if asset is None:
            has = "no href for its asset" if wanted in found else "no asset"
            raise MissingAssetError(
                f"{name} has {has} {wanted!r}{did_you_mean(wanted, map(str, found))} (it has "
                f"{keys}): give others, or {option('missing_assets', 'skip')} to leave such items "
                "out"
            )
        assets.append(asset)
    text = json.dumps(dict(properties), separators=(",", ":"))
    return Scene(name, tuple(assets), _time_of(properties), text)


def _time_of(properties: JsonObject) -> datetime | None:
    """Return the datetime of an item; if it is null, the start of its interval."""
    for name in ("datetime", "start_datetime"):
        with suppress(TypeError, ValueError):
            return datetime.fromisoformat(properties.get(name))  # type: ignore[arg-type]
    return None


def _find_asset(item: JsonObject, wanted: str) -> Asset | None:
    """Return the asset with a key, or else the one with a band of this name."""
    assets = item["assets"]
    key, band = wanted, 0
    if wanted not in assets:
        found = [
            (len(bands), key, index)
            for key, asset in assets.items()
            if isinstance(asset, Mapping) and _may_be_geotiff(asset)
            for bands in [_names_of_bands(asset)]
            for index, names in enumerate(bands, 1)
            if wanted in names
        ]
        if not found:
            return None
        # Of several, the one with the fewest bands, as catalogues list composites too.
        count, key, index = min(found, key=lambda entry: entry[0])
        band = 0 if count == 1 else index
    asset = assets[key]
    if not isinstance(asset, Mapping) or not isinstance(asset.get("href"), str):
        return None
    path = absolute_href(item, asset["href"])
    return _with_bands(Asset(path, wanted, band, _grid_of(item, asset)), asset)


def _may_be_geotiff(asset: JsonObject) -> bool:
    """Return whether an asset's type is that of a GeoTIFF, not of its copy as JPEG 2000."""
    kind = str(asset.get("type") or "image/tiff")
    return kind.startswith(("image/tiff", "image/vnd.stac.geotiff"))


def _names_of_bands(asset: JsonObject) -> list[set[str]]:
    keys = ("name", "common_name", "eo:common_name")
    return [{str(band.get(key)) for key in keys} for band in _bands(asset, "eo:bands", "bands")]


def _bands(asset: JsonObject, *fields: str) -> list[JsonObject]:
    """Return the first list of bands that an asset has."""
    for field in fields:
        bands = asset.get(field)
        if isinstance(bands, list) and bands and all(isinstance(b, Mapping) for b in bands):
            return bands
    return []


def _with_bands(asset: Asset, entry: JsonObject) -> Asset:
    """Return an asset with what its item says of its bands."""
    bands = _bands(entry, "raster:bands", "bands", "eo:bands")
    if asset.band:
        bands = bands[asset.band - 1 : asset.band]

    def of_bands(*keys: str) -> list[Any]:
        """Return a value for each band: its own, or that of the whole asset."""
        return [
            next((owner[key] for owner in (band, entry) for key in keys if key in owner), None)
            for band in bands
        ]

    dtypes = [_dtype(name) for name in of_bands("data_type")]
    nodata = {repr(number): number for number in map(_number, of_bands("nodata"))}
    scales, offsets = of_bands("scale", "raster:scale"), of_bands("offset", "raster:offset")
    return replace(
        asset,
        dtypes=tuple(name for name in dtypes if name) if all(dtypes) else (),
        nodata=next(iter(nodata.values())) if len(nodata) == 1 else None,
        scales=tuple(_number(scale) or 1.0 for scale in scales),
        offsets=tuple(_number(offset) or 0.0 for offset in offsets),
    )


def _dtype(name: Any) -> str | None:
    if isinstance(name, str):
        return _DTYPES.get(name) or (name if _NUMPY_DTYPES.fullmatch(name) else None)
    return None


def _number(value: Any) -> float | None:
    """Return a number; NaN and infinity are text in the raster extension."""
    with suppress(TypeError, ValueError):
        return None if isinstance(value, bool) else float(value)
    return None


def _grid_of(item: JsonObject, asset: JsonObject) -> Grid | None:
    """Return the grid that an item says an asset has; None if it does not."""

    def value(name: str) -> Any:
        return asset.get(name, item["properties"].get(name))

    crs = _crs(value("proj:code"), value("proj:epsg"), value("proj:wkt2"))
    shape, transform, bbox = value("proj:shape"), value("proj:transform"), value("proj:bbox")
    if crs is None or not _are_numbers(shape, 2):
        return None
    rows, cols = (int(float(side)) for side in shape)
    if min(rows, cols) < 1 or max(rows, cols) > _MOST_PIXELS:
        return None
    if _are_numbers(transform, 6) or _are_numbers(transform, 9):
        affine = Affine(*map(float, transform[:6]))
    elif _are_numbers(bbox, 4):
        west, south, east, north = map(float, bbox)
        affine = Affine((east - west) / cols, 0, west, 0, (south - north) / rows, north)
    else:
        return None
    # Some tools write a transform in the order of GDAL's geotransform, which has 0 where pixels
    # have a height.
    is_shuffled = affine.e == 0 != affine.a
    return None if affine.is_degenerate or is_shuffled else Grid(crs, affine, cols, rows)


def _are_numbers(values: Any, count: int) -> bool:
    if not isinstance(values, list | tuple) or len(values) != count:
        return False
    return all(number is not None and math.isfinite(number) for number in map(_number, values))


# By what items call them: thousands of items have few.
_known_crs: dict[str, CRS | None] = {}


def _crs(code: Any, epsg: Any, wkt: Any) -> CRS | None:
    """Return a CRS from the first of these that an item has."""
    text = str(code or (f"EPSG:{epsg}" if epsg else "") or wkt or "")
    if text and text not in _known_crs:
        _known_crs[text] = None
        with suppress(*GDAL_ERRORS, ValueError), captured_messages():
            _known_crs[text] = CRS.from_user_input(text)
    return _known_crs.get(text)


def absolute_href(item: JsonObject, href: str, folder: str = "") -> str:
    """Return the path of an asset.

    A relative href is relative to the item: to the folder in which it was found if
    the file exists there, else to the address that its link `self` has.
    """
    if href.startswith("file://"):
        return unquote(urlsplit(href).path)
    if _ABSOLUTE.match(href):
        return href
    here = os.path.normpath(os.path.join(folder, href))  # noqa: PTH118
    own = _own_address(item)
    if own is None or os.path.exists(here):  # noqa: PTH110
        return here
    if own.startswith("file://"):
        own = unquote(urlsplit(own).path)
    if own.startswith("/"):
        return os.path.normpath(urljoin(own, href))
    # urljoin knows no schemes of object storage.
    scheme, _, rest = own.partition(":")
    return f"{scheme}:{urljoin(f'http:{rest}', href).removeprefix('http:')}"


def _own_address(item: JsonObject) -> str | None:
    """Return the absolute address of an item, if it has one."""
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, Mapping) and link.get("rel") == "self":
            href = str(link.get("href"))
            return href if _ABSOLUTE.match(href) else None
    return None
