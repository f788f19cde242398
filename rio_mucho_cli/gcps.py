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


def fault_of_points(src: Any) -> str:
    """Return why GCPs or RPCs cannot georeference a dataset, or an empty string.

    Notes
    -----
    GDAL prefers GCPs to RPCs.
    """
    gcps, crs = src.gcps
    if gcps:
        return "" if crs else "GCPs without a CRS"
    return fault_of_rpcs(src)


def fault_of_rpcs(src: Any) -> str:
    """Return what is wrong with a dataset's RPCs, or an empty string."""
    tags = src.tags(ns="RPC")
    for name, number in _RPCS.items():
        if name not in tags:
            return f"incomplete RPCs (no {name})"
        # A unit may follow a number.
        words = tags[name].split()[:number]
        if len(words) < number or not all(map(_is_number, words)):
            expected = "a number" if number == 1 else f"{number} numbers"
            return f"invalid RPCs ({name} is {tags[name]!r}, expected {expected})"
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
