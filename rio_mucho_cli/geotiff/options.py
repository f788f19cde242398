"""Creation options of GDAL's GTiff and COG drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rio_mucho_cli.errors import UsageError


def is_yes(value: Any) -> bool:
    """Return whether GDAL reads a value as true."""
    return str(value).lower() in {"yes", "true", "on", "1"}


def is_no(value: Any) -> bool:
    """Return whether GDAL reads a value as false."""
    return str(value).lower() in {"no", "false", "off", "0"}


def pixels_of(options: Mapping[str, str], name: str) -> int | None:
    """Return an option in pixels, or None; raise UsageError if it is invalid."""
    value = options.get(name)
    if value is None:
        return None
    if not value.isdigit() or int(value) == 0:
        raise UsageError(f"{name} is {value!r}: expected a whole number from 1")
    return int(value)


# The usual options, from GDAL's page on the GTiff driver.
GTIFF_OPTIONS = (
    *("TILED", "BLOCKXSIZE", "BLOCKYSIZE", "INTERLEAVE", "NBITS", "PHOTOMETRIC", "ALPHA"),
    *("COMPRESS", "PREDICTOR", "ZLEVEL", "ZSTD_LEVEL", "LZMA_PRESET", "JPEG_QUALITY"),
    *("WEBP_LEVEL", "WEBP_LOSSLESS", "MAX_Z_ERROR", "DISCARD_LSB", "BIGTIFF", "SPARSE_OK"),
    *("GEOTIFF_VERSION", "PROFILE", "ENDIANNESS", "NUM_THREADS", "TFW"),
)


# The same for the COG driver.
COG_OPTIONS = (
    *("BLOCKSIZE", "COMPRESS", "LEVEL", "QUALITY", "PREDICTOR", "MAX_Z_ERROR", "NBITS"),
    *("BIGTIFF", "SPARSE_OK", "INTERLEAVE", "STATISTICS", "ADD_ALPHA", "GEOTIFF_VERSION"),
    *("OVERVIEWS", "OVERVIEW_COUNT", "OVERVIEW_RESAMPLING", "OVERVIEW_COMPRESS"),
    *("OVERVIEW_QUALITY", "OVERVIEW_PREDICTOR", "RESAMPLING", "WARP_RESAMPLING", "NUM_THREADS"),
    *("TILING_SCHEME", "ZOOM_LEVEL", "ZOOM_LEVEL_STRATEGY", "ALIGNED_LEVELS", "TARGET_SRS"),
    *("RES", "EXTENT"),
)
# Fields of an output that are not creation options.
OUTPUT_FIELDS = ("dtype", "count", "nodata", "driver")


BLOCK = 512
"""Default side of tiles, in pixels."""

LEAST_BLOCK = 128
"""Smallest side of tiles that GDAL's COG driver accepts, in pixels."""

_SAME = {"sparse_ok", "nbits", "max_z_error", "geotiff_version"}
_SUPPORTED = _SAME | {
    "blocksize", "compress", "level", "quality", "predictor", "bigtiff", "num_threads",
    "overviews", "overview_count", "overview_resampling", "resampling",
}  # fmt: skip
_CODECS = {
    "none", "lzw", "deflate", "zstd", "lzma", "jpeg", "webp", "lerc", "lerc_deflate", "lerc_zstd",
}  # fmt: skip
_REBUILT = {"auto", "ignore_existing", "none"}
_SWITCHES = {"yes", "true", "on", "1", "no", "false", "off", "0"}
_CHOICES = {
    "predictor": {"yes", "no", "standard", "floating_point", "2", "3"},
    "bigtiff": {"yes", "no", "if_needed", "if_safer"},
    "sparse_ok": _SWITCHES,
}


def check_cog_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for a value that GDAL's driver would only warn about."""
    for name, choices in _CHOICES.items():
        value = options.get(name, min(choices))
        if value.lower() not in choices:
            expected = ", ".join(sorted(choice.upper() for choice in choices))
            raise UsageError(f"{name} is {value!r}: expected one of {expected}")
    for name, most in (("level", None), ("quality", 100)):
        value = options.get(name, "1")
        if not value.isdigit() or (most is not None and not 1 <= int(value) <= most):
            expected = "a whole number" if most is None else f"1 to {most}"
            raise UsageError(f"{name} is {value!r}: expected {expected}")


def only_gdal_supports(options: Mapping[str, str]) -> str | None:
    """Return the name of an option that only GDAL's COG driver supports, or None."""
    others = sorted(set(options) - _SUPPORTED)
    if others:
        return others[0]
    if options.get("compress", "none").lower() not in _CODECS:
        return "compress"
    if options.get("overviews", "auto").lower() not in _REBUILT:
        return "overviews"
    return None


def has_overviews(options: Mapping[str, str]) -> bool:
    """Return whether a COG gets overviews."""
    return options.get("overviews", "auto").lower() != "none"


def resampling_of(options: Mapping[str, str]) -> str | None:
    """Return rasterio's name of the resampling of overviews, or None if not given."""
    name = options.get("overview_resampling", options.get("resampling"))
    return None if name is None else {"cubicspline": "cubic_spline"}.get(name.lower(), name.lower())


def geotiff_options(
    options: Mapping[str, str], codec: str, count: int, dtype: str
) -> dict[str, str]:
    """Return the GTiff options of a temporary GeoTIFF with the blocks of a COG.

    Parameters
    ----------
    options : Mapping
        Options of the COG driver, with names in lower case.
    codec : str
        Compression, which the options may omit.
    count : int
        Number of bands.
    dtype : str
    """
    codec = codec.lower()
    block = options.get("blocksize", str(BLOCK))
    gtiff = {key: value for key, value in options.items() if key in _SAME}
    gtiff.update(compress=codec, tiled="yes", blockxsize=block, blockysize=block)
    gtiff.update(interleave="pixel", bigtiff="yes")
    predictor = _predictor(options.get("predictor", "no").lower(), dtype)
    if predictor and codec in {"lzw", "deflate", "zstd"}:
        gtiff["predictor"] = predictor
    if "level" in options:
        by_codec = {"zstd": "zstd_level", "lerc_zstd": "zstd_level", "lzma": "lzma_preset"}
        gtiff[by_codec.get(codec, "zlevel")] = options["level"]
    if "quality" in options and codec == "jpeg":
        gtiff["jpeg_quality"] = options["quality"]
    if "quality" in options and codec == "webp":
        gtiff["webp_level"] = options["quality"]
        gtiff["webp_lossless"] = "yes" if options["quality"] == "100" else "no"
    if codec == "jpeg" and count == 3:
        gtiff["photometric"] = "ycbcr"
    return gtiff


def _predictor(asked: str, dtype: str) -> str | None:
    """Return the GTiff driver's number for a predictor, or None."""
    by_dtype = "3" if np.dtype(dtype).kind == "f" else "2"
    numbers = {"yes": by_dtype, "standard": "2", "floating_point": "3"}
    return numbers.get(asked, asked if asked in {"2", "3"} else None)
