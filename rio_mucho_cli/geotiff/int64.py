"""Write exact nodata values of 64-bit integer GeoTIFFs.

rasterio passes nodata to GDAL as a double, which cannot hold every 64-bit
integer. Where the value would change, the file is created with a placeholder
whose text in the tag GDAL_NODATA is longer. The exact text replaces it once
GDAL has closed the file.

Notes
-----
GDAL writes doubles with 17 digits, and from 1e17 with an exponent. For 64-bit
integers it reads only the digits before the exponent: "1e+17" is read as 1.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.geotiff.ifd import IFD

_GDAL_NODATA = 42113
# 23 characters; a 64-bit integer has at most 20.
_PLACEHOLDER = 1.0000000000000002e-300
_WITH_EXPONENT = 10**17


def is_beyond_gdal(nodata: float | None, dtype: Any) -> bool:
    """Return whether GDAL would receive a different nodata value."""
    kind = numpy_dtype(dtype)
    if nodata is None or kind.kind not in "iu" or kind.itemsize < 8:
        return False
    number = int(nodata)
    return abs(number) >= _WITH_EXPONENT or int(float(number)) != number


def is_patched(profile: Mapping[str, Any]) -> bool:
    """Return whether a file with this profile needs `write_nodata`."""
    return is_beyond_gdal(profile.get("nodata"), profile.get("dtype", "uint8"))


def for_rasterio(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile to create the file with, which may hold the placeholder."""
    return {**profile, "nodata": _PLACEHOLDER} if is_patched(profile) else dict(profile)


def write_nodata(path: Path, profile: Mapping[str, Any]) -> None:
    """Write the exact nodata into a GeoTIFF created with `for_rasterio`."""
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
