"""GDAL's warping, told what hides pixels of the input."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

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

    Notes
    -----
    UNIFIED_SRC_NODATA is YES in rasterio: pixels count as nodata only if they
    are nodata in all bands. GDAL heeds a mask beside nodata if it is NO, and
    there are several bands.
    """
    masks = has_mask(src)
    if masks and nodata is not None and src.count == 1 and not src.transform.is_identity:
        src = _twice(src)
    return WarpedVRT(
        src,
        src_nodata=nodata,
        nodata=nodata,
        add_alpha=adds_alpha and nodata is None and not alpha_of(src),
        unified_src_nodata="NO" if masks else "PARTIAL",
        tolerance=_TOLERANCE,
        **options,
    )


def has_mask(src: Any) -> bool:
    """Whether a dataset has a mask in the file or beside it."""
    flags = src.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def _twice(src: Any) -> Any:
    """Return a dataset that has the one band of another twice, and its mask."""
    root = ElementTree.Element(
        "VRTDataset", rasterXSize=str(src.width), rasterYSize=str(src.height)
    )
    ElementTree.SubElement(root, "SRS").text = src.crs.to_wkt() if src.crs else ""
    numbers = map(repr, src.transform.to_gdal())
    ElementTree.SubElement(root, "GeoTransform").text = ", ".join(numbers)
    for _ in range(2):
        _add_band(root, src, _gdal_typename(src.dtypes[0]), "1")
    _add_band(ElementTree.SubElement(root, "MaskBand"), src, "Byte", "mask,1")
    return rasterio.open(ElementTree.tostring(root, encoding="unicode"), sharing=False)


def _add_band(parent: ElementTree.Element, src: Any, kind: str, of: str) -> None:
    """Add a band to a VRT: the pixels of a band of another dataset, or of its mask."""
    band = ElementTree.SubElement(parent, "VRTRasterBand", dataType=kind)
    source = ElementTree.SubElement(band, "SimpleSource")
    path = ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0")
    path.text = _vsi_path(_parse_path(src.name))
    ElementTree.SubElement(source, "SourceBand").text = of
