"""Datasets that are georeferenced by GCPs or RPCs instead of a transform."""

from __future__ import annotations

import math
from typing import Any

_PARTS = ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")
_COEFFICIENTS = ("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF")
# Names, and how many numbers each has (GDAL RFC 22).
_RPCS = {
    **{f"{part}_{kind}": 1 for kind in ("OFF", "SCALE") for part in _PARTS},
    **dict.fromkeys(_COEFFICIENTS, 20),
}


def has_gcps_or_rpcs(src: Any) -> bool:
    """Return whether a dataset has GCPs or RPCs and no transform."""
    return src.transform.is_identity and bool(src.gcps[0] or src.tags(ns="RPC"))


def why_gcps_or_rpcs_unusable(src: Any) -> str:
    """Return why GCPs or RPCs cannot georeference a dataset, or an empty string.

    Notes
    -----
    GDAL prefers GCPs to RPCs.
    """
    gcps, crs = src.gcps
    if gcps:
        return "" if crs else "GCPs without a CRS"
    return why_rpcs_unusable(src)


def why_rpcs_unusable(src: Any) -> str:
    """Return why a dataset's RPCs cannot be used, or an empty string."""
    tags = src.tags(ns="RPC")
    for name, count in _RPCS.items():
        if name not in tags:
            return f"incomplete RPCs (no {name})"
        # A unit may follow a number.
        words = tags[name].split()[:count]
        if len(words) < count or not all(map(_is_number, words)):
            expected = "a number" if count == 1 else f"{count} numbers"
            return f"invalid RPCs ({name} is {tags[name]!r}, expected {expected})"
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
