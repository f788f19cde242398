"""GDAL's warping, told what hides pixels of the input."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import rasterio
from rasterio._path import _parse_path, _vsi_path
from rasterio.dtypes import _gdal_typename
from rasterio.enums import MaskFlags
from rasterio.vrt import WarpedVRT

from rio_mucho_cli.inputs.bands import alpha_of

# In pixels of the source. GDAL interpolates coordinates within each piece that
# it warps, up to an eighth of a pixel off by default, and pieces depend on the
# windows: the result must not.
_TOLERANCE = 1e-6


def warped(src: Any, nodata: float | None, *, adds_alpha: bool = True, **options: Any) -> Any:
    """Return a dataset on another grid, in which nothing that is hidden is mixed with the rest.

    Parameters
    ----------
    src : dataset
    nodata : float or None
        Of the bands that will be read. They have it where the input has no
        pixels.
    adds_alpha : bool
        Where bands have no nodata, add a band of opacity that is 0 where the
        input has no pixels, unless it has such a band.
    **options
        Of `WarpedVRT`.

    Raises
    ------
    ValueError
        If GDAL cannot heed all that hides pixels.

    Notes
    -----
    UNIFIED_SRC_NODATA is YES in rasterio: pixels count as nodata only if they
    are nodata in all bands. gdalwarp takes PARTIAL.
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
    """Whether a dataset has a mask in the file or beside it."""
    flags = src.mask_flag_enums[0]
    return list(flags) == [MaskFlags.per_dataset]


def _without_mask(src: Any, nodata: float | None, alpha: int) -> Any:
    """Return a dataset that is nodata, or transparent, where its mask hides it.

    GDAL's warping heeds one of them: opacity before nodata, and both before a
    mask.
    """
    if any("complex" in dtype for dtype in src.dtypes):
        raise ValueError("it has complex pixels, and a mask beside nodata or opacity")
    root = Element("VRTDataset", rasterXSize=str(src.width), rasterYSize=str(src.height))
    if src.crs:
        SubElement(root, "SRS").text = src.crs.to_wkt()
    points, crs = src.gcps
    if not src.transform.is_identity:
        SubElement(root, "GeoTransform").text = ", ".join(map(repr, src.transform.to_gdal()))
    elif points:
        gcps = SubElement(root, "GCPList", Projection=crs.to_wkt() if crs else "")
        for point in points:
            place = {"Pixel": point.col, "Line": point.row, "X": point.x, "Y": point.y,
                     "Z": point.z or 0}  # fmt: skip
            SubElement(gcps, "GCP", {name: repr(float(value)) for name, value in place.items()})
    if src.rpcs:
        rpcs = SubElement(root, "Metadata", domain="RPC")
        for name, value in src.rpcs.to_gdal().items():
            SubElement(rpcs, "MDI", key=name).text = value
    for index, dtype in zip(src.indexes, src.dtypes, strict=True):
        band = SubElement(root, "VRTRasterBand", dataType=_gdal_typename(dtype), band=str(index))
        if index != alpha:
            if nodata is not None:
                SubElement(band, "NoDataValue").text = repr(nodata)
            SubElement(_add_source(band, src, str(index)), "UseMaskBand").text = "true"
            continue
        SubElement(band, "ColorInterp").text = "Alpha"
        _add_source(band, src, str(index))
        # What is 255 in the mask is left out, what is 0 lies above the opacity.
        SubElement(_add_source(band, src, "mask,1"), "NODATA").text = "255"
    return rasterio.open(tostring(root, encoding="unicode"), sharing=False)


def _add_source(band: Element, src: Any, of: str) -> Element:
    """Put a band of a dataset, or its mask, above what a band of a VRT has."""
    source = SubElement(band, "ComplexSource")
    path = SubElement(source, "SourceFilename", relativeToVRT="0", shared="0")
    path.text = _vsi_path(_parse_path(src.name))
    SubElement(source, "SourceBand").text = of
    return source
