"""How an output is compressed if no creation option says so: one rule.

    first input                output
    GeoTIFF, not compressed    not compressed
    GeoTIFF, compressed        the same codec, with a predictor if the first input has one,
                               where the output can have that codec; else deflate
    any other                  deflate

Deflate comes with the predictor that fits the output's dtype: 2 for integers,
3 for floating point, none for complex numbers. A COG has LZW, as GDAL's driver
has it, where a GeoTIFF would not be compressed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rio_mucho_cli.inputs.datasets import DatasetInfo

_CODECS = {
    "deflate", "lzw", "zstd", "packbits", "lzma", "jpeg", "webp", "lerc", "lerc_deflate",
    "lerc_zstd",
}  # fmt: skip
_WITH_PREDICTOR = {"deflate", "lzw", "zstd"}


def is_uncompressed(first: DatasetInfo, options: Mapping[str, str]) -> bool:
    """Return whether a GeoTIFF that is no COG is not compressed."""
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
    """Return the creation options for the compression of a GeoTIFF.

    Parameters
    ----------
    first : DatasetInfo
    options : Mapping
        Creation options as the user gave them, without a compression.
    dtype : str
    count : int
        Bands.
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
    """Return the number of the predictor that fits a dtype, or None for complex numbers.

    Notes
    -----
    GDAL's page on the driver GTiff: 2 is for samples of 8, 16, 32 and 64 bits,
    3 for float32 and float64.
    """
    kind = np.dtype(dtype)
    if kind.kind == "c":
        return None
    return "3" if kind.kind == "f" and kind.itemsize > 2 else "2"


def _with_predictor(codec: str, dtype: str, options: Mapping[str, str]) -> dict[str, str]:
    predictor = predictor_of(dtype)
    # Samples of other numbers of bits have none.
    if predictor is None or codec not in _WITH_PREDICTOR or "nbits" in options:
        return {"compress": codec}
    return {"compress": codec, "predictor": predictor}
