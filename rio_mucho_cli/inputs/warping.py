"""Warp datasets with GDAL, respecting everything that masks their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import MaskFlags
from rasterio.vrt import WarpedVRT

from rio_mucho_cli.dtypes import number_text
from rio_mucho_cli.errors import InputError
from rio_mucho_cli.inputs.bands import WIDE_INTEGERS, alpha_of, vrt_of
from rio_mucho_cli.paths import vsi_path

# In pixels of the source. By default, GDAL interpolates coordinates within each
# chunk that it warps, with errors up to 1/8 pixel. Chunks depend on windows, so
# results would too.
_TOLERANCE = 1e-6

# The warper works in float64, and adds 0.5 before it truncates to integers.
_EXACT = 2**52


def warp(src: Any, nodata: float | None, *, adds_alpha: bool = True, **options: Any) -> Any:
    """Return a dataset on another grid, without resampling masked pixels.

    Parameters
    ----------
    src : dataset
    nodata : float or None
        Nodata of the bands to read, also used where the input has no pixels.
    adds_alpha : bool
        If bands have no nodata, add an alpha band that is 0 where the input
        has no pixels, unless there is an alpha band.
    **options
        Options of `WarpedVRT`.

    Raises
    ------
    ValueError
        If GDAL cannot use everything that masks pixels.

    Notes
    -----
    rasterio sets UNIFIED_SRC_NODATA=YES: a pixel is nodata only if it is
    nodata in all bands. gdalwarp uses PARTIAL.
    """
    alpha = alpha_of(src)
    if has_mask(src) and (alpha or nodata is not None):
        src = _without_mask(src, nodata, alpha)
    return WarpedVRT(
        src,
        src_nodata=nodata,
        nodata=nodata,
        add_alpha=adds_alpha and nodata is None and not alpha,
        unified_src_nodata="PARTIAL",
        tolerance=_TOLERANCE,
        **options,
    )


def has_mask(src: Any) -> bool:
    """Return whether a dataset has a mask in the file or in a sidecar file."""
    flags = src.mask_flag_enums[0]
    return list(flags) == [MaskFlags.per_dataset]


def _without_mask(src: Any, nodata: float | None, alpha: int) -> Any:
    """Return a dataset with masked pixels set to nodata or transparent.

    GDAL's warper uses only one of these: the alpha band, else nodata, else a
    mask.
    """
    if any("complex" in dtype for dtype in src.dtypes):
        raise ValueError("it has complex pixels, and a mask beside nodata or opacity")
    root = Element("VRTDataset", rasterXSize=str(src.width), rasterYSize=str(src.height))
    if src.crs:
        SubElement(root, "SRS").text = src.crs.to_wkt()
    gcps, crs = src.gcps
    if not src.transform.is_identity:
        SubElement(root, "GeoTransform").text = ", ".join(map(repr, src.transform.to_gdal()))
    elif gcps:
        gcp_list = SubElement(root, "GCPList", Projection=crs.to_wkt() if crs else "")
        for gcp in gcps:
            values = {"Pixel": gcp.col, "Line": gcp.row, "X": gcp.x, "Y": gcp.y, "Z": gcp.z or 0}
            SubElement(gcp_list, "GCP", {name: repr(float(values[name])) for name in values})
    if src.rpcs:
        rpcs = SubElement(root, "Metadata", domain="RPC")
        for name, value in src.rpcs.to_gdal().items():
            SubElement(rpcs, "MDI", key=name).text = value
    for index, dtype in zip(src.indexes, src.dtypes, strict=True):
        band = SubElement(
            root, "VRTRasterBand", dataType=typename_fwd[dtype_rev[dtype]], band=str(index)
        )
        if index != alpha:
            if nodata is not None:
                SubElement(band, "NoDataValue").text = repr(nodata)
            SubElement(_add_source(band, src, str(index)), "UseMaskBand").text = "true"
            continue
        SubElement(band, "ColorInterp").text = "Alpha"
        _add_source(band, src, str(index))
        # 255 in the mask is skipped; 0 replaces the alpha value.
        SubElement(_add_source(band, src, "mask,1"), "NODATA").text = "255"
    return rasterio.open(tostring(root, encoding="unicode"), sharing=False)


def without_nodata(src: Any) -> Any:
    """Return a dataset whose bands have no nodata.

    GDAL uses a band's own nodata, whatever is passed, where it also chooses
    the grid (GDALAutoCreateWarpedVRT).
    """
    root = vrt_of(src)
    for band in root.findall("VRTRasterBand"):
        for nodata in band.findall("NoDataValue"):
            band.remove(nodata)
    return rasterio.open(tostring(root, encoding="unicode"), sharing=False)


def _add_source(band: Element, src: Any, source_band: str) -> Element:
    """Add a dataset's band, or its mask, as the top source of a VRT band."""
    source = SubElement(band, "ComplexSource")
    path = SubElement(source, "SourceFilename", relativeToVRT="0", shared="0")
    path.text = vsi_path(src.name)
    SubElement(source, "SourceBand").text = source_band
    return source


def check_nodata_for_warping(
    src: Any, indexes: Sequence[int], nodatavals: Sequence[float | None]
) -> None:
    """Raise InputError if GDAL's warper might confuse other values with nodata.

    Parameters
    ----------
    src : dataset
    indexes : sequence of int
        Band indexes, from 1.
    nodatavals : sequence of float or None
        Nodata value of each of these bands.
    """
    for index, nodata in zip(indexes, nodatavals, strict=True):
        dtype = src.dtypes[index - 1]
        if dtype in WIDE_INTEGERS and nodata is not None and abs(nodata) >= _EXACT:
            raise _inexact(src, f"nodata {number_text(nodata)}", dtype)


def check_resampled(array: np.ndarray[Any, Any], src: Any) -> None:
    """Raise InputError if resampled integers may be inexact.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols), from GDAL's warper, which works in float64.
    src : dataset
    """
    if array.dtype.name not in WIDE_INTEGERS:
        return
    for band in array:
        data = np.ma.getdata(band)
        large = data >= _EXACT
        if array.dtype.kind == "i":
            large |= data <= -_EXACT
        large &= ~np.ma.getmaskarray(band)
        if large.any():
            raise _inexact(src, f"values such as {data[large][0]}", array.dtype.name)


def _inexact(src: Any, what: str, dtype: str) -> InputError:
    return InputError(
        f"{src.name} has {what}, and GDAL resamples {dtype} as float64, which is exact below 2**52 "
        "only: convert it to float64 or int32 first (gdal_translate -ot), or keep its grid"
    )
