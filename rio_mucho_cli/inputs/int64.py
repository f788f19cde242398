"""Exact 64-bit integers, where GDAL and rasterio convert them to doubles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio.shutil
from rasterio.enums import MaskFlags
from rasterio.io import MemoryFile

from rio_mucho_cli.dtypes import number_text
from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import InputError

_WIDE = {"int64", "uint64"}
# Doubles hold every smaller whole number.
_EXACT = 2**53
# GDAL's warper adds 0.5 before it truncates.
_RESAMPLED = 2**52


def exact_nodatavals(src: Any) -> tuple[float | None, ...]:
    """Return the exact nodata values of all bands.

    rasterio returns them as doubles, or None if out of the dtype's range.
    GDAL has the exact number and writes it into a VRT.
    """
    values = tuple(src.nodatavals)
    doubtful = [
        dtype in _WIDE and (MaskFlags.nodata in flags if value is None else abs(value) >= _EXACT)
        for value, dtype, flags in zip(values, src.dtypes, src.mask_flag_enums, strict=True)
    ]
    if not any(doubtful):
        return values
    with captured_messages(), MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(src, memory.name, driver="VRT")
        bands = ElementTree.fromstring(bytes(memory.getbuffer())).findall("VRTRasterBand")
    texts = [band.findtext("NoDataValue") for band in bands]
    return tuple(
        int(text) if is_doubtful and text is not None else value
        for value, text, is_doubtful in zip(values, texts, doubtful, strict=True)
    )


def check_nodata_for_warping(src: Any, indexes: Sequence[int]) -> None:
    """Raise InputError if GDAL's warper might confuse other values with nodata."""
    values = exact_nodatavals(src)
    for index in indexes:
        nodata, dtype = values[index - 1], src.dtypes[index - 1]
        if dtype in _WIDE and nodata is not None and abs(nodata) >= _RESAMPLED:
            raise _inexact(src, f"nodata {number_text(nodata)}", dtype)


def check_resampled(array: np.ndarray[Any, Any], src: Any) -> None:
    """Raise InputError if resampled integers may be inexact.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols), from GDAL's warper, which works in float64.
    src : dataset
    """
    if array.dtype.name not in _WIDE:
        return
    for band in array:
        data = np.ma.getdata(band)
        large = data >= _RESAMPLED
        if array.dtype.kind == "i":
            large |= data <= -_RESAMPLED
        large &= ~np.ma.getmaskarray(band)
        if large.any():
            raise _inexact(src, f"values such as {data[large][0]}", array.dtype.name)


def _inexact(src: Any, what: str, dtype: str) -> InputError:
    return InputError(
        f"{src.name} has {what}, and GDAL resamples {dtype} as float64, which is exact below 2**52 "
        "only: convert it to float64 or int32 first (gdal_translate -ot), or keep its grid"
    )
