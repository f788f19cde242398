"""A VRT over parts: GDAL says what is said of the whole, and this says where the parts are.

GDAL describes a small file with the output's profile and metadata as a VRT. In
its XML, that file is replaced by one source for each part. Sources come with
what GDAL would otherwise open each part for.

Notes
-----
GDAL's page on the VRT driver: SourceProperties, MaskBand and OverviewList.
Where no source is, a VRT has nodata, or 0, and its mask band says: masked.
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
from rio_mucho_cli.geotiff.int64 import is_patched
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.windows import Size

_RASTER = "VRTRasterBand"


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part of a mosaic that is in its place.

    Attributes
    ----------
    name : str
        In the folder of parts.
    block : Size
        Of its blocks.
    overviews : tuple of int
        Their factors.
    nbytes : int
        Of the file.
    """

    name: str
    block: Size
    overviews: tuple[int, ...]
    nbytes: int

    @classmethod
    def of(cls, path: Path) -> PartFile:
        """Look at a file, as a reader will see it."""
        with captured_messages(), rasterio.open(path) as src:
            rows, cols = src.block_shapes[0]
            return cls(path.name, Size(cols, rows), tuple(src.overviews(1)), path.stat().st_size)


@dataclass(frozen=True, slots=True)
class Placed:
    """A part, and where it lies.

    Attributes
    ----------
    path : str
        From the VRT to it.
    file : PartFile
    window : Window
        In the whole.
    """

    path: str
    file: PartFile
    window: Window


def describe_whole(
    profile: Mapping[str, Any], metadata: Metadata | None, name: str, *, masked: bool
) -> ElementTree.Element:
    """Return the XML of a VRT that has everything but its parts.

    Parameters
    ----------
    profile : Mapping
        Of the whole.
    metadata : Metadata or None
    name : str
        What messages call it.
    masked : bool
        With a mask band.

    Raises
    ------
    OutputError
        If GDAL cannot make it.
    """
    try:
        with (
            small_file(profile, metadata, name) as (memory, dst),
            MemoryFile(ext=".vrt") as described,
        ):
            if masked:
                gdal_io.make_mask(dst)
            dst.close()
            with captured_messages():
                rasterio.shutil.copy(memory.name, described.name, driver="VRT")
            root = ElementTree.fromstring(bytes(described.getbuffer()))
    except OutputError:
        raise
    except Exception as exc:
        raise OutputError(f"{name} cannot be made: {one_line(exc)}") from None
    if is_patched(profile):
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
    """Add the tags that GDAL does not carry over: those in other namespaces than its own."""
    there = {each.get("domain", "") for each in element.findall("Metadata")}
    for namespace in tags.keys() - there - {""}:
        _add_tags(element, tags[namespace], namespace)


def _add_tags(element: ElementTree.Element, tags: Mapping[str, str], namespace: str = "") -> None:
    found = [each for each in element.findall("Metadata") if each.get("domain", "") == namespace]
    if not found:
        found = [ElementTree.Element("Metadata", {"domain": namespace} if namespace else {})]
        element.insert(0, found[0])
    for key, value in tags.items():
        ElementTree.SubElement(found[0], "MDI", key=key).text = value


def add_statistics(root: ElementTree.Element, tags: Sequence[Mapping[str, str]]) -> None:
    """Write tags of each band."""
    for element, values in zip(root.findall(_RASTER), tags, strict=True):
        _add_tags(element, values)


def add_parts(root: ElementTree.Element, parts: Sequence[Placed], resampling: str) -> None:
    """Put the parts in place of the small file, and declare the overviews that they have.

    Parameters
    ----------
    root : Element
        What `describe_whole` returned.
    parts : sequence of Placed
    resampling : str
        Of the overviews, by rasterio's name.
    """
    largest = max(parts, key=lambda part: part.window.width * part.window.height, default=None)
    for element in root.iter(_RASTER):
        (small,) = element.findall("SimpleSource")
        element.remove(small)
        band = small.findtext("SourceBand", "1")
        if largest is not None:
            # Whoever reads by blocks reads the parts' own.
            element.set("blockXSize", str(largest.file.block.width))
            element.set("blockYSize", str(largest.file.block.height))
        for part in parts:
            element.append(_source(part, band, element.get("dataType", "Byte")))
    if largest is not None and largest.file.overviews:
        overviews = ElementTree.SubElement(
            root, "OverviewList", resampling=resampling.replace("_", "").upper()
        )
        overviews.text = " ".join(map(str, largest.file.overviews))


def _source(part: Placed, band: str, dtype: str) -> ElementTree.Element:
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


def as_text(root: ElementTree.Element) -> bytes:
    """Return the XML as it is written into a file."""
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8")
    return text + b"\n"


def folders_used(path: Path) -> set[str]:
    """Return the names of folders of parts of which a VRT, of whatever form, speaks."""
    try:
        text = path.read_bytes()
    except OSError:
        return set()
    return {name.decode("ascii") for name in re.findall(rb"\.parts/([0-9a-f]{10})/", text)}


def parts_of(path: str) -> list[Path]:
    """Return the files of a VRT's parts; of anything else, none."""
    if not path.lower().endswith(".vrt"):
        return []
    place = Path(os.path.realpath(path))
    try:
        names = {each.text for each in ElementTree.parse(place).iter("SourceFilename")}
    except (OSError, ValueError, ElementTree.ParseError):
        return []  # another raster, whose name ends like that
    return sorted(place.parent / name for name in names if name)
