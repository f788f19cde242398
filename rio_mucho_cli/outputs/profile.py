"""The output's profile, from the first input, the options, and a first result.

Arithmetic and rules only: no file is opened here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.drivers import driver_from_extension

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.inputs.sources import Source
from rio_mucho_cli.inputs.windows import PlannedWindow, Size, common_multiple

DEFAULT_BLOCK = 256
_LARGEST_BLOCK = 2048
# TIFF tiles: both sides are multiples of 16 (TIFF 6.0, section 15).
_TILE_UNIT = 16

# What --co cannot set, because it is not the driver's.
_PROFILE_KEYS = {"driver", "width", "height", "count", "dtype", "nodata", "crs", "transform"}

_CODECS = {
    "deflate", "lzw", "zstd", "packbits", "lzma", "jpeg", "webp", "lerc", "lerc_deflate",
    "lerc_zstd",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """How the output's blocks lie.

    Attributes
    ----------
    block : Size
        In pixels.
    tiled : bool
        If not, blocks are strips, as wide as the raster.
    """

    block: Size
    tiled: bool


def choose_driver(asked: str | None, path: str, first: Source) -> str:
    """Return the driver that was asked for, else that of the extension."""
    if asked:
        return asked
    try:
        driver: str = driver_from_extension(path)
    except ValueError:
        driver = str(first.profile["driver"])
        # What else can be read (VRT, for instance) cannot be written like this.
        driver = driver if driver in {"GTiff", "COG", "PNG", "JPEG", "HFA", "ENVI"} else "GTiff"
    return driver


def choose_layout(
    first: Source, options: Mapping[str, str], windows: Sequence[PlannedWindow] | None
) -> Layout:
    """Choose blocks for a GeoTIFF of which every window is a whole number.

    Parameters
    ----------
    first : Source
    options : Mapping
        Creation options as the user gave them: they are followed.
    windows : sequence of (Window, ij), or None
        None if windows are to be made from the blocks.

    Notes
    -----
    A compressed block that is written twice takes the file's space twice,
    because GDAL does not use the place of the first again: hence windows are
    whole numbers of blocks wherever that is possible. A source's own strips
    are not copied to a tiled output; 3-row strips make invalid tiles.
    """
    width, height = first.grid.width, first.grid.height
    asked_width, asked_height = _asked(options, "blockxsize"), _asked(options, "blockysize")
    if str(options.get("tiled", "yes")).lower() in {"no", "false", "off", "0"}:
        rows = asked_height or (first.block.height if first.is_striped else _TILE_UNIT)
        return Layout(Size(width, min(rows, height)), tiled=False)
    tile = _preferred_tile(first)
    common = common_multiple(windows, width, height) if windows is not None else Size(0, 0)
    fitting = Size(
        asked_width or _fitting_side(common.width, tile.width),
        asked_height or _fitting_side(common.height, tile.height),
    )
    if min(fitting) > 0:
        return Layout(fitting, tiled=True)
    if common.width == 0 and not asked_width:
        # Windows as wide as the raster, with rows that no tile fits: strips.
        return Layout(Size(width, common.height), tiled=False)
    return Layout(Size(asked_width or tile.width, asked_height or tile.height), tiled=True)


def make_profile(
    first: Source,
    *,
    driver: str,
    layout: Layout | None,
    dtype: str,
    count: int,
    nodata: float | None,
    options: Mapping[str, str],
) -> dict[str, Any]:
    """Return the profile with which rasterio opens the output.

    Parameters
    ----------
    first : Source
        Gives size, CRS, transform, and the compression of a GeoTIFF.
    driver : str
    layout : Layout or None
        Of a GeoTIFF; None for other drivers.
    dtype : str
    count : int
        Bands.
    nodata : float or None
    options : Mapping
        Creation options; they win over everything that was chosen.
    """
    profile: dict[str, Any] = {
        "driver": driver,
        "width": first.grid.width,
        "height": first.grid.height,
        "count": count,
        "dtype": dtype,
        "nodata": nodata,
        "crs": first.grid.crs,
        "transform": first.grid.transform,
    }
    if layout is not None:
        profile.update(tiled=layout.tiled, blockysize=layout.block.height)
        if layout.tiled:
            profile.update(blockxsize=layout.block.width)
        if count > 1 and first.profile.get("interleave") in {"pixel", "band"}:
            profile["interleave"] = first.profile["interleave"]
        if "compress" not in options:
            profile.update(_compression(first, dtype, count, profile.get("interleave", "band")))
    profile.update(options)
    return profile


def with_defaults(profile: Mapping[str, Any], jobs: int = 1) -> dict[str, Any]:
    """Add what every GeoTIFF should have, unless the profile says otherwise.

    Notes
    -----
    A classic TIFF ends at 4 GB, and nobody can foresee the size of a
    compressed one: IF_SAFER takes BigTIFF where it might get there. The
    number of threads that compress makes no difference to the bytes.
    """
    profile = dict(profile)
    if str(profile.get("driver", "GTiff")).upper() == "GTIFF":
        given = {key.upper() for key in profile}
        if "BIGTIFF" not in given:
            profile["bigtiff"] = "IF_SAFER"
        if "NUM_THREADS" not in given and jobs > 1:
            profile["num_threads"] = jobs
    return profile


def check_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for creation options that are no driver's."""
    wrong = sorted(_PROFILE_KEYS.intersection(options))
    if wrong:
        raise UsageError(
            f"{wrong[0]} is no creation option: use "
            + {
                "dtype": "--dtype",
                "count": "--count",
                "nodata": "--nodata",
                "driver": "--driver",
            }.get(wrong[0], "rio warp or rio edit-info")
        )


def nodata_fits(nodata: float, dtype: str) -> bool:
    """Whether a dtype can hold a nodata value.

    Integers want a whole number in their range; floating point takes NaN and
    infinity, and what is not beyond its range (it may be rounded).
    """
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return math.isfinite(nodata) and nodata == int(nodata) and info.min <= nodata <= info.max
    return not math.isfinite(nodata) or abs(nodata) <= float(np.finfo(kind).max)


def _preferred_tile(first: Source) -> Size:
    """Take the first input's tiles, if they are tiles, else 256, if the raster has as much."""

    def side(block: int, length: int) -> int:
        if block % _TILE_UNIT == 0 and 64 <= block <= min(_LARGEST_BLOCK, length):
            return block
        return min(DEFAULT_BLOCK, math.ceil(length / _TILE_UNIT) * _TILE_UNIT)

    if first.is_striped:
        return Size(side(0, first.grid.width), side(0, first.grid.height))
    return Size(
        side(first.block.width, first.grid.width), side(first.block.height, first.grid.height)
    )


def _fitting_side(common: int, preferred: int) -> int:
    """Return the side of a tile that divides `common`, nearest to the preferred one, or 0."""
    if common % preferred == 0:
        return preferred
    sides = [
        side
        for side in range(_TILE_UNIT, min(common, _LARGEST_BLOCK) + 1, _TILE_UNIT)
        if common % side == 0
    ]
    return min(sides, key=lambda side: abs(math.log(side / preferred)), default=0)


def _compression(first: Source, dtype: str, count: int, interleave: str) -> dict[str, str]:
    """Return the first input's compression, if the output can have it, else deflate."""
    codec = str(first.profile.get("compress", "")).lower()
    if first.profile["driver"] not in {"GTiff", "COG"} or codec not in _CODECS:
        return {}
    if codec in {"jpeg", "webp"} and dtype != "uint8":
        return {"compress": "deflate"}
    if codec == "webp" and (count not in {3, 4} or interleave != "pixel"):
        return {"compress": "deflate"}
    if codec.startswith("lerc") and np.dtype(dtype).kind == "c":
        return {"compress": "deflate"}
    compression = {"compress": codec}
    is_ycbcr = codec == "jpeg" and first.profile.get("photometric") == "ycbcr"
    if is_ycbcr and count == 3 and interleave == "pixel":
        compression["photometric"] = "ycbcr"
    return compression


def _asked(options: Mapping[str, str], name: str) -> int | None:
    value = options.get(name)
    if value is None:
        return None
    if not str(value).isdigit() or int(value) == 0:
        raise UsageError(f"{name} is {value!r}: expected a number of pixels")
    return int(value)
