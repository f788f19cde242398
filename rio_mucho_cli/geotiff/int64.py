"""Nodata of 64-bit integers: rasterio passes it to GDAL as a double, which cannot hold all of them.

Where it would not come out as the same number, a GeoTIFF is made with another
value, whose text in the tag GDAL_NODATA is longer. The exact text replaces it
once GDAL has closed the file.

Notes
-----
GDAL writes doubles with 17 digits, and from 1e17 on with an exponent, which it
reads of 64-bit integers as the digits before it: "1e+17" is 1.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.geotiff.ifd import IFD

_GDAL_NODATA = 42113
# 23 characters, where a 64-bit integer has 20 at most.
_PLACEHOLDER = 1.0000000000000002e-300
_WITH_EXPONENT = 10**17


def is_beyond_gdal(nodata: float | None, dtype: Any) -> bool:
    """Return whether a nodata value of a dtype does not reach GDAL as the same number."""
    kind = numpy_dtype(dtype)
    if nodata is None or kind.kind not in "iu" or kind.itemsize < 8:
        return False
    number = int(nodata)
    return abs(number) >= _WITH_EXPONENT or int(float(number)) != number


def is_patched(profile: Mapping[str, Any]) -> bool:
    """Return whether `write_nodata` has something to do for a file with a profile."""
    return is_beyond_gdal(profile.get("nodata"), profile.get("dtype", "uint8"))


def for_rasterio(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile with which rasterio makes the file."""
    return {**profile, "nodata": _PLACEHOLDER} if is_patched(profile) else dict(profile)


def write_nodata(path: Path, profile: Mapping[str, Any]) -> None:
    """Write the exact nodata of a profile into a GeoTIFF that was made with `for_rasterio`."""
    if not is_patched(profile):
        return
    text = f"{int(profile['nodata'])}\0".encode("ascii")
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        is_big = 43 in (data[2], data[3])
        for directory in IFD.read_all(data):
            field = directory.fields.get(_GDAL_NODATA)
            if field is not None:
                data[field.offset : field.offset + len(text)] = text
                entry = directory.moved(field, len(text), field.offset, big=is_big)
                data[field.at : field.at + len(entry)] = entry
