"""Block layout and compression of a GeoTIFF.

If no creation option sets the compression, one rule chooses it:

    first input                output
    GeoTIFF, not compressed    not compressed
    GeoTIFF, compressed        the same codec if the output supports it, with a predictor if
                               the first input has one; otherwise deflate
    any other format           deflate

Deflate gets the predictor that fits the output's dtype: 2 for integers, 3 for
floating point, none for complex numbers. A COG gets LZW, the default of GDAL's
COG driver, where a GeoTIFF would not be compressed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rio_mucho_cli.geotiff.options import is_no, is_yes, pixels_of
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.windows import PlannedWindow, Size, common_multiple

DEFAULT_BLOCK = 256
_LARGEST_BLOCK = 2048
# Range of tile sides tried to reduce padding, and the largest part of an
# uncompressed file that may be padding.
_LEAST_SIDE, _MOST_SIDE, _MOST_PADDING = 128, 512, 0.05
TILE_UNIT = 16
"""Unit of tile sides: width and height are multiples of it (TIFF 6.0, section 15)."""


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """Size and kind of the output's blocks.

    Attributes
    ----------
    block : Size
        Block size in pixels.
    tiled : bool
        True for tiles, False for strips, which are as wide as the raster.
    """

    block: Size
    tiled: bool


def choose_layout(
    first: DatasetInfo, options: Mapping[str, str], windows: Sequence[PlannedWindow] | None
) -> BlockLayout:
    """Return a block layout in which windows are whole blocks, if possible.

    Parameters
    ----------
    first : DatasetInfo
    options : Mapping
        Creation options given by the user, which take precedence.
    windows : sequence of (Window, ij), or None
        None if windows will be derived from the blocks.

    Notes
    -----
    GDAL does not reuse the space of a compressed block that it writes again,
    so a file with blocks written twice is larger: hence windows are whole
    blocks wherever possible. The first input's strips are not copied to a
    tiled output: 3-row strips would make invalid tiles. Tiles are padded at
    the right and lower edges, which takes space in an uncompressed file. There,
    tiles that do not come from the first input get a size that needs little
    padding, or the file has strips.
    """
    width, height = first.grid.width, first.grid.height
    asked_width, asked_height = pixels_of(options, "blockxsize"), pixels_of(options, "blockysize")
    if is_no(options.get("tiled")):
        return _strips(first, asked_height)
    preferred = _preferred_tile(first)
    common = common_multiple(windows, width, height) if windows is not None else Size(0, 0)
    tile = Size(
        asked_width or _fitting_side(common.width, preferred.width),
        asked_height or _fitting_side(common.height, preferred.height),
    )
    if min(tile) > 0 and preferred != first.block and is_uncompressed(first, options):
        if _padding(first, tile) > _MOST_PADDING:
            tile = Size(
                asked_width or _tightest_side(common.width, width, tile.width),
                asked_height or _tightest_side(common.height, height, tile.height),
            )
        is_free = not common.width and not asked_width and not is_yes(options.get("tiled"))
        if _padding(first, tile) > _MOST_PADDING and is_free:
            return _strips(first, asked_height or common.height)
    if min(tile) > 0:
        return BlockLayout(tile, tiled=True)
    if common.width == 0 and not asked_width:
        # Windows are as wide as the raster, and no tile fits their rows: use strips.
        return BlockLayout(Size(width, common.height), tiled=False)
    return BlockLayout(
        Size(asked_width or preferred.width, asked_height or preferred.height), tiled=True
    )


def layout_of(profile: Mapping[str, Any]) -> BlockLayout | None:
    """Return the block layout of a complete GeoTIFF profile, None if unset."""
    if str(profile.get("driver", "GTiff")).upper() != "GTIFF":
        return None
    try:
        width, height = int(profile["width"]), int(profile["height"])
        if is_yes(profile.get("tiled")):
            block = Size(int(profile.get("blockxsize", 256)), int(profile.get("blockysize", 256)))
            return BlockLayout(block, tiled=True)
        return BlockLayout(Size(width, min(int(profile["blockysize"]), height)), tiled=False)
    except (KeyError, TypeError, ValueError):
        return None


def _strips(first: DatasetInfo, rows: int | None) -> BlockLayout:
    """Return strips of `rows` rows, by default as many as in the first input."""
    rows = rows or (first.block.height if first.is_striped else TILE_UNIT)
    return BlockLayout(Size(first.grid.width, min(rows, first.grid.height)), tiled=False)


def _preferred_tile(first: DatasetInfo) -> Size:
    """Return the first input's tile size, else 256 x 256, at most the padded raster."""

    def side(block: int, length: int) -> int:
        if block % TILE_UNIT == 0 and 64 <= block <= min(_LARGEST_BLOCK, length):
            return block
        return min(DEFAULT_BLOCK, math.ceil(length / TILE_UNIT) * TILE_UNIT)

    if first.is_striped:
        return Size(side(0, first.grid.width), side(0, first.grid.height))
    return Size(
        side(first.block.width, first.grid.width), side(first.block.height, first.grid.height)
    )


def _fitting_side(common: int, preferred: int) -> int:
    """Return the divisor of `common` nearest to `preferred`, or 0."""
    if common % preferred == 0:
        return preferred
    sides = [
        side
        for side in range(TILE_UNIT, min(common, _LARGEST_BLOCK) + 1, TILE_UNIT)
        if common % side == 0
    ]
    return min(sides, key=lambda side: abs(math.log(side / preferred)), default=0)


def _tightest_side(common: int, length: int, preferred: int) -> int:
    """Return the divisor of `common` that needs the least padding."""
    sides = [
        side
        for side in range(_LEAST_SIDE, _MOST_SIDE + 1, TILE_UNIT)
        if side <= length and common % side == 0
    ]
    if not common and length <= _MOST_SIDE:
        sides.append(math.ceil(length / TILE_UNIT) * TILE_UNIT)
    return min(
        [preferred, *sides],
        key=lambda side: (_filled(length, side), abs(math.log(side / DEFAULT_BLOCK))),
    )


def _padding(first: DatasetInfo, tile: Size) -> float:
    """Return the padding of a tiled raster, as a fraction of its pixels."""
    width, height = first.grid.width, first.grid.height
    return _filled(width, tile.width) * _filled(height, tile.height) / (width * height) - 1


def _filled(length: int, side: int) -> int:
    return math.ceil(length / side) * side


_CODECS = {
    "deflate", "lzw", "zstd", "packbits", "lzma", "jpeg", "webp", "lerc", "lerc_deflate",
    "lerc_zstd",
}  # fmt: skip
_WITH_PREDICTOR = {"deflate", "lzw", "zstd"}


def is_uncompressed(first: DatasetInfo, options: Mapping[str, str]) -> bool:
    """Return whether the output is uncompressed, if it is a GeoTIFF and not a COG."""
    if "compress" in options:
        return str(options["compress"]).lower() == "none"
    return (
        first.profile["driver"] in {"GTiff", "COG"}
        and not first.profile.get("compress")
        and "COMPRESSION" not in first.structure
    )


def choose_compression(
    first: DatasetInfo,
    options: Mapping[str, str],
    dtype: str,
    count: int,
    interleave: str,
) -> dict[str, str]:
    """Return the creation options that set the compression of a GeoTIFF.

    Parameters
    ----------
    first : DatasetInfo
    options : Mapping
        Creation options given by the user, without ``compress``.
    dtype : str
    count : int
        Number of bands.
    interleave : str
        ``band`` or ``pixel``.
    """
    deflate = _with_predictor("deflate", dtype, options)
    if is_uncompressed(first, {}):
        return {}
    codec = str(first.profile.get("compress", "")).lower()
    if first.profile["driver"] not in {"GTiff", "COG"} or codec not in _CODECS:
        return deflate
    if codec in {"jpeg", "webp"} and dtype != "uint8":
        return deflate
    if codec == "webp" and (count not in {3, 4} or interleave != "pixel"):
        return deflate
    if codec.startswith("lerc") and np.dtype(dtype).kind == "c":
        return deflate
    if first.structure.get("PREDICTOR", "1") != "1":
        return _with_predictor(codec, dtype, options)
    compression = {"compress": codec}
    is_ycbcr = codec == "jpeg" and first.profile.get("photometric") == "ycbcr"
    if is_ycbcr and count == 3 and interleave == "pixel":
        compression["photometric"] = "ycbcr"
    return compression


def predictor_of(dtype: str) -> str | None:
    """Return the TIFF predictor for a dtype, or None for complex numbers.

    Notes
    -----
    GDAL's page on the GTiff driver: 2 is for samples of 8, 16, 32 and 64 bits,
    3 for float32 and float64.
    """
    kind = np.dtype(dtype)
    if kind.kind == "c":
        return None
    return "3" if kind.kind == "f" and kind.itemsize > 2 else "2"


def _with_predictor(codec: str, dtype: str, options: Mapping[str, str]) -> dict[str, str]:
    predictor = predictor_of(dtype)
    # NBITS makes samples of other widths, which have no predictor.
    if predictor is None or codec not in _WITH_PREDICTOR or "nbits" in options:
        return {"compress": codec}
    return {"compress": codec, "predictor": predictor}
