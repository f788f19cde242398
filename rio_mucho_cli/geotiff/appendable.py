"""Append encoded blocks to a GeoTIFF whose header GDAL wrote.

IFDs of overviews and the text of tags come from small files that GDAL writes
in memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from typing import Any, cast

import numpy as np
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.geotiff import gdal_io
from rio_mucho_cli.geotiff.block_table import BlockTable, EncodedBlocks
from rio_mucho_cli.geotiff.encode import encode
from rio_mucho_cli.geotiff.ifd import IFD, METADATA, Entry, entries_of, serialize, with_block_table
from rio_mucho_cli.geotiff.metadata import Metadata, write_band_tags
from rio_mucho_cli.geotiff.options import is_yes
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan
from rio_mucho_cli.geotiff.overviews import build, overview_profile
from rio_mucho_cli.system import start_writeback, write_at
from rio_mucho_cli.windows import Size

# Side of a small file, in pixels.
_SMALL = 64


def overview_template(
    profile: Mapping[str, Any], metadata: Metadata | None, block: int, *, masked: bool
) -> tuple[bytes, Size]:
    """Return a small GeoTIFF with one overview.

    Returns
    -------
    bytes
        The file.
    Size
        Size of its overview, in pixels.
    """
    with small_file(profile, metadata) as (memory, dst):
        if masked:
            with gdal_io.internal_masks(True):
                dst.write_mask(np.ones((1, 1), bool), window=Window(0, 0, 1, 1))
        dst.close()
        build(memory.name, [2], "nearest", block=block)
        return bytes(memory.getbuffer()), Size(_SMALL // 2, _SMALL // 2)


def metadata_text(
    profile: Mapping[str, Any], metadata: Metadata | None, tags: Sequence[Mapping[str, str]]
) -> bytes:
    """Return the text of GDAL's metadata tag, with the given tags of bands added."""
    with small_file(profile, metadata) as (memory, dst):
        write_band_tags(dst, tags)
        dst.close()
        data = memory.getbuffer()
        tag = IFD.read(data).tags[METADATA]
        return bytes(data[tag.offset : tag.offset + tag.size])


@contextmanager
def small_file(
    profile: Mapping[str, Any], metadata: Metadata | None, name: str = ""
) -> Iterator[tuple[MemoryFile, Any]]:
    """Yield a small in-memory file with a profile, and its open dataset."""
    small = {**profile, "width": _SMALL, "height": _SMALL, "sparse_ok": "YES"}
    with MemoryFile(ext=".tif") as memory:
        with captured_messages():
            dst = gdal_io.create(memory.name, name or memory.name, small, {}, metadata)
        yield memory, dst


def is_sparse(profile: Mapping[str, Any]) -> bool:
    """Return whether empty blocks are left out of the file (SPARSE_OK)."""
    return is_yes(profile.get("sparse_ok"))


# Appended bytes after which they go to the disk, while workers compute.
_WRITEBACK_BYTES = 8 * 1024 * 1024


class AppendableGeoTiff:
    """A GeoTIFF with a complete header, to which blocks are appended.

    Parameters
    ----------
    file : FileIO
        File, open for reading and writing.
    name : str
        Name of the file in messages.
    profile : Mapping
        Profile of the raster.
    block : Size
        Block size of the raster, in pixels.
    nodata : float or None
    metadata : Metadata or None
        Metadata to copy.

    Attributes
    ----------
    file : FileIO
    size : Size
        Size of the raster, in pixels.
    is_pixel_interleaved : bool
        Whether a block holds all bands.
    end : int
        Offset of the next block.
    levels : list of list of BlockTable
        Block tables of the raster and of each overview: one for the image,
        and one for its internal mask if there is one.
    """

    def __init__(
        self,
        file: FileIO,
        name: str,
        profile: Mapping[str, Any],
        block: Size,
        nodata: float | None,
        metadata: Metadata | None,
    ) -> None:
        self.file = file
        self.name = name
        self._metadata = metadata
        self._nodata = nodata
        self._sparse_ok = is_sparse(profile)
        # The profile for encoding each level.
        self._profiles: list[Mapping[str, Any]] = [profile]
        # The entries of an overview's IFDs: of its image, and of its mask.
        self._overview_entries: list[list[Entry]] = []
        self.size = Size(int(profile["width"]), int(profile["height"]))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as header:
            self._is_big = header[2] == 43 or header[3] == 43
            self._ifds = IFD.read_all(header)
            self.is_pixel_interleaved = self._ifds[0].is_pixel_interleaved(header)
            self.levels = [
                [BlockTable.of(ifd, header, self.size, block, name) for ifd in self._ifds]
            ]
        self.end = self._in_writeback = file.seek(0, 2)

    def add_overviews(self, plan: OverviewPlan) -> None:
        """Add block tables for overviews, with IFDs like those that GDAL writes."""
        block, masked = Size(plan.block, plan.block), len(self._ifds) > 1
        profile = self._profiles[0]
        data, template_size = overview_template(profile, self._metadata, plan.block, masked=masked)
        ifds = IFD.read_all(data)[len(self._ifds) :]
        self._overview_entries = [entries_of(data, ifd) for ifd in ifds]
        for level in range(1, len(plan.factors) + 1):
            size = plan.size(level, *self.size)
            self.levels.append(
                [BlockTable.of(ifd, data, size, block, self.name, template_size) for ifd in ifds]
            )
            self._profiles.append(overview_profile(profile, plan.block))

    def append(self, level: int, window: Window, data: EncodedBlocks) -> list[EncodedBlocks]:
        """Append the blocks of one window; return them, and those of its mask."""
        parts = [data]
        tables = self.levels[level]
        if len(tables) > 1:
            parts.append(data.mask if data.mask is not None else self._valid_mask(level, window))
        for table, part in zip(tables, parts, strict=True):
            end = table.place(window, part, self.end)
            self._write(part.content, self.end)
            self.end = end
        if self.end - self._in_writeback >= _WRITEBACK_BYTES:
            start_writeback(self.file, self._in_writeback, self.end)
            self._in_writeback = self.end
        return parts

    def fill_in_tables(self) -> None:
        """Write the raster's block tables into the header."""
        for ifd, table in zip(self._ifds, self.levels[0], strict=True):
            for tag, values in zip(ifd.table_tags, (table.offsets, table.counts), strict=True):
                self._write(ifd.table_bytes(tag, values), tag.offset)

    def write_overviews(self) -> None:
        """Write the IFDs of overviews, and link them to the last IFD of the header."""
        last = self._ifds[-1]
        start = self.end + self.end % 2
        chain = [
            with_block_table(
                entries, last.byte_order, table.size, table.offsets, table.counts, big=self._is_big
            )
            for tables in self.levels[1:]
            for entries, table in zip(self._overview_entries, tables, strict=True)
        ]
        if chain:
            ifds = serialize(chain, start, last.byte_order, big=self._is_big)
            self._write(ifds, start)
            self._write(last.pointer_bytes(start, big=self._is_big), last.pointer_offset)
            self.end = start + len(ifds)

    def write_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Append GDAL's metadata tag with statistics, and point the header to it.

        Raises
        ------
        OutputError
            If a classic TIFF has no room for it.
        """
        text = metadata_text(self._profiles[0], self._metadata, tags)
        start = self.end + self.end % 2
        self._write(text, start)
        self.end = start + len(text)
        first = self._ifds[0]
        tag = first.tags[METADATA]
        self._write(first.entry_bytes(tag, len(text), start, big=self._is_big), tag.entry_offset)

    def fill_missing(self, level: int) -> None:
        """Write blocks of nodata where there was no window, as GDAL does."""
        if self._sparse_ok:
            return
        for number, table in enumerate(self.levels[level]):
            missing = table.missing()
            if not missing:
                continue
            rows = table.size.height % table.block.height
            empty = self._empty_blocks(level, table.block.height)[number]
            short = self._empty_blocks(level, rows)[number] if rows else empty
            for index in missing:
                part = short if table.is_short(index) else empty
                end = table.place_at(np.array([index]), part, self.end)
                self._write(part.content, self.end)
                self.end = end

    def _empty_blocks(self, level: int, rows: int) -> list[EncodedBlocks]:
        """Return one encoded block of nodata, and one of the mask."""
        profile, tables = self._profiles[level], self.levels[level]
        columns = min(tables[0].block.width, tables[0].size.width)
        shape = (int(profile["count"]), rows, columns)
        array = np.full(shape, 0 if self._nodata is None else self._nodata, profile["dtype"])
        masked = len(tables) > 1
        encoded = encode(np.ma.array(array, mask=masked), profile, masked=masked)
        parts = [encoded] if encoded.mask is None else [encoded, encoded.mask]
        return [
            replace(part, content=part.content[: part.sizes[0]], sizes=part.sizes[:1])
            for part in parts
        ]

    def _valid_mask(self, level: int, window: Window) -> EncodedBlocks:
        """Return the encoded mask of a window with every pixel valid."""
        profile = self._profiles[level]
        shape = (int(profile["count"]), int(window.height), int(window.width))
        array = np.ma.zeros(shape, profile["dtype"])
        return cast("EncodedBlocks", encode(array, profile, masked=True).mask)

    def _write(self, data: Any, offset: int) -> None:
        """Write all data at an offset, or raise OutputError."""
        try:
            write_at(self.file, data, offset)
        except OSError as exc:
            raise OutputError(f"{self.name} cannot be written: {exc.strerror}") from None
