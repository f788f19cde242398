"""Build the VRT of a mosaic.

GDAL writes a VRT of a small file that has the output's profile and metadata. In
its XML, that file is replaced by one source for each part. The sources have
SourceProperties, so that GDAL need not open every part.

Notes
-----
GDAL's page on the VRT driver: SourceProperties, MaskBand and OverviewList.
Where a VRT has no source, its pixels are nodata, else 0, and its mask band is
masked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.geotiff import gdal_io
from rio_mucho_cli.geotiff.appendable import small_file
from rio_mucho_cli.geotiff.gdal_io import needs_exact_nodata
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.windows import Size

_RASTER = "VRTRasterBand"


@dataclass(frozen=True, slots=True)
class PartFile:
    """A finished part of a mosaic.

    Attributes
    ----------
    name : str
        File name in the folder of parts.
    block : Size
        Block size in pixels.
    overviews : tuple of int
        Factors of the overviews.
    nbytes : int
        Size of the file in bytes.
    """

    name: str
    block: Size
    overviews: tuple[int, ...]
    nbytes: int

    @classmethod
    def of(cls, path: Path) -> PartFile:
        """Return the description of a file, opened with rasterio."""
        with captured_messages(), rasterio.open(path) as src:
            rows, cols = src.block_shapes[0]
            return cls(path.name, Size(cols, rows), tuple(src.overviews(1)), path.stat().st_size)


@dataclass(frozen=True, slots=True)
class PlacedPart:
    """A part and its window in the mosaic.

    Attributes
    ----------
    path : str
        Path of the part relative to the VRT.
    file : PartFile
    window : Window
        Window of the part in the mosaic.
    """

    path: str
    file: PartFile
    window: Window


def vrt_without_parts(
    profile: Mapping[str, Any], metadata: Metadata | None, name: str, *, masked: bool
) -> ElementTree.Element:
    """Return the XML of a VRT, complete except for its parts.

    Parameters
    ----------
    profile : Mapping
        Profile of the mosaic.
    metadata : Metadata or None
    name : str
        Name of the mosaic in messages.
    masked : bool
        Add a mask band.

    Raises
    ------
    OutputError
        If GDAL cannot make it.
    """
    try:
        with (
            small_file(profile, metadata, name) as (memory, dst),
            MemoryFile(ext=".vrt") as vrt,
        ):
            if masked:
                gdal_io.make_mask(dst)
            dst.close()
            with captured_messages():
                rasterio.shutil.copy(memory.name, vrt.name, driver="VRT")
            root = ElementTree.fromstring(bytes(vrt.getbuffer()))
    except OutputError:
        raise
    except Exception as exc:
        raise OutputError(f"{name} cannot be made: {one_line(exc)}") from None
    if needs_exact_nodata(profile):
        for element in root.iter("NoDataValue"):
            element.text = str(int(profile["nodata"]))
    root.set("rasterXSize", str(profile["width"]))
    root.set("rasterYSize", str(profile["height"]))
    if metadata is not None:
        _add_namespaces(root, metadata.tags)
        bands = root.findall(_RASTER)
        if len(bands) == len(metadata.bands):
            for element, band in zip(bands, metadata.bands, strict=True):
                _add_namespaces(element, band.tags)
    return root


def _add_namespaces(element: ElementTree.Element, tags: Mapping[str, Mapping[str, str]]) -> None:
    """Add the tags of custom namespaces, which GDAL does not copy."""
    existing = {entry.get("domain", "") for entry in element.findall("Metadata")}
    for namespace in tags.keys() - existing - {""}:
        _add_tags(element, tags[namespace], namespace)


def _add_tags(element: ElementTree.Element, tags: Mapping[str, str], namespace: str = "") -> None:
    entries = (e for e in element.findall("Metadata") if e.get("domain", "") == namespace)
    metadata = next(entries, None)
    if metadata is None:
        metadata = ElementTree.Element("Metadata", {"domain": namespace} if namespace else {})
        element.insert(0, metadata)
    for key, value in tags.items():
        ElementTree.SubElement(metadata, "MDI", key=key).text = value


def add_statistics(root: ElementTree.Element, tags: Sequence[Mapping[str, str]]) -> None:
    """Add statistics tags to each band."""
    for element, values in zip(root.findall(_RASTER), tags, strict=True):
        _add_tags(element, values)


def add_parts(root: ElementTree.Element, parts: Sequence[PlacedPart], resampling: str) -> None:
    """Replace the small file by the parts, and declare their overviews.

    Parameters
    ----------
    root : Element
        Result of `vrt_without_parts`.
    parts : sequence of PlacedPart
    resampling : str
        Resampling of the overviews, by rasterio's name.
    """
    largest = max(parts, key=lambda part: part.window.width * part.window.height, default=None)
    for element in root.iter(_RASTER):
        (small,) = element.findall("SimpleSource")
        element.remove(small)
        band = small.findtext("SourceBand", "1")
        if largest is not None:
            # Readers that go block by block then read the blocks of the parts.
            element.set("blockXSize", str(largest.file.block.width))
            element.set("blockYSize", str(largest.file.block.height))
        for part in parts:
            element.append(_source(part, band, element.get("dataType", "Byte")))
    if largest is not None and largest.file.overviews:
        overviews = ElementTree.SubElement(
            root, "OverviewList", resampling=resampling.replace("_", "").upper()
        )
        overviews.text = " ".join(map(str, largest.file.overviews))


def _source(part: PlacedPart, band: str, dtype: str) -> ElementTree.Element:
    window, block = part.window, part.file.block
    width, height = str(window.width), str(window.height)
    source = ElementTree.Element("SimpleSource")
    name = ElementTree.SubElement(source, "SourceFilename", relativeToVRT="1")
    name.text = part.path
    ElementTree.SubElement(source, "SourceBand").text = band
    ElementTree.SubElement(
        source,
        "SourceProperties",
        RasterXSize=width,
        RasterYSize=height,
        DataType=dtype,
        BlockXSize=str(block.width),
        BlockYSize=str(block.height),
    )
    left, top = str(window.col_off), str(window.row_off)
    ElementTree.SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
    ElementTree.SubElement(source, "DstRect", xOff=left, yOff=top, xSize=width, ySize=height)
    return source


def to_bytes(root: ElementTree.Element) -> bytes:
    """Return the XML as the bytes of a file."""
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8")
    return text + b"\n"


def folders_used(path: Path) -> set[str]:
    """Return the names of the run folders that a VRT's text mentions."""
    try:
        text = path.read_bytes()
    except OSError:
        return set()
    return {name.decode("ascii") for name in re.findall(rb"\.parts/([0-9a-f]{10})/", text)}


def parts_of(path: str) -> list[Path]:
    """Return the files of a VRT's parts, an empty list for other files."""
    if not path.lower().endswith(".vrt"):
        return []
    vrt = Path(os.path.realpath(path))
    try:
        names = {source.text for source in ElementTree.parse(vrt).iter("SourceFilename")}
    except (OSError, ValueError, ElementTree.ParseError):
        return []  # missing, or not a VRT despite its name
    return sorted(vrt.parent / name for name in names if name)
