"""Find and fill the block tables of a TIFF. Arithmetic on bytes only.

A TIFF keeps two numbers for each block (tile or strip): where its bytes are,
and how many. A block that is not there has 0 for both. Everything else of the
header is GDAL's affair.

Notes
-----
TIFF 6.0, sections 2, 3, 8 and 15; BigTIFF as libtiff writes it: 64-bit counts
and offsets, magic number 43.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import Size

Indexes: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

METADATA = 42112  # GDAL's tags, as XML
STRIP_TABLES = (273, 279)  # StripOffsets, StripByteCounts
TILE_TABLES = (324, 325)  # TileOffsets, TileByteCounts

# What a reader must know to decode a block. Where two files have the same,
# a block of the one is a block of the other.
_DECODING_TAGS = {
    258: "BitsPerSample",
    259: "Compression",
    262: "PhotometricInterpretation",
    266: "FillOrder",
    277: "SamplesPerPixel",
    284: "PlanarConfiguration",
    317: "Predictor",
    322: "TileWidth",
    323: "TileLength",
    338: "ExtraSamples",
    339: "SampleFormat",
    347: "JPEGTables",
    530: "YCbCrSubSampling",
    532: "ReferenceBlackWhite",
    50674: "LercParameters",
}

# JPEG (6 is the old one) and WebP, as values of Compression.
_COLOUR_CODECS = {6, 7, 50001}

# Sizes in bytes, by the number of the type.
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8,
               13: 4, 16: 8, 17: 8, 18: 8}  # fmt: skip
_MOST_DIRECTORIES = 64
# All that a classic TIFF can say; there are no more tags, either.
_MOST_ENTRIES = 65535
_UNSIGNED = {3: "u2", 4: "u4", 16: "u8"}


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of a directory: where its values are, and what they are.

    Attributes
    ----------
    type, count : int
    offset : int
        Of the values, in the file.
    at : int
        Of the entry itself.
    """

    type: int
    count: int
    offset: int
    at: int = 0

    @property
    def size(self) -> int:
        """Bytes that the values take."""
        return _TYPE_SIZES[self.type] * self.count


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a TIFF: the image's, or that of its mask.

    Attributes
    ----------
    order : {"<", ">"}
        Byte order, as struct and numpy write it.
    fields : Mapping of int to Field
        By the number of the tag.
    next_at : int
        Where in the file it is said where the next directory is.
    """

    order: str
    fields: Mapping[int, Field]
    next_at: int = 0

    @classmethod
    def read(cls, data: Any) -> Directory:
        """Read the first directory of a TIFF; see `read_all`."""
        return cls.read_all(data)[0]

    @classmethod
    def read_all(cls, data: Any) -> list[Directory]:
        """Read the directories of a TIFF.

        Parameters
        ----------
        data : bytes-like
            The whole file, or as much as holds the directories.

        Raises
        ------
        ValueError
            If it is no TIFF, or one that is cut off.
        """
        try:
            directories = cls._read_all(data)
        except struct.error:
            raise ValueError("no whole TIFF: it ends within a directory") from None
        if not directories:
            raise ValueError("no TIFF: it has no directory")
        return directories

    @classmethod
    def _read_all(cls, data: Any) -> list[Directory]:
        order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "")
        if not order:
            raise ValueError("no TIFF: it starts with neither II nor MM")
        (magic,) = struct.unpack(f"{order}H", data[2:4])
        if magic == 42:
            number, start, entries, value = "I", 4, "H", 8
        elif magic == 43:
            number, start, entries, value = "Q", 8, "Q", 12
        else:
            raise ValueError(f"no TIFF: its magic number is {magic}")
        width, step = struct.calcsize(number), struct.calcsize(entries)
        entry_size = value + width
        (place,) = struct.unpack(f"{order}{number}", data[start : start + width])
        directories: list[Directory] = []
        while place and len(directories) < _MOST_DIRECTORIES:
            (length,) = struct.unpack(f"{order}{entries}", data[place : place + step])
            if length > _MOST_ENTRIES:
                raise ValueError(f"no TIFF: a directory of {length} entries")
            fields = {}
            end = place + step + length * entry_size
            for at in range(place + step, end, entry_size):
                tag, kind = struct.unpack(f"{order}HH", data[at : at + 4])
                (count,) = struct.unpack(f"{order}{number}", data[at + 4 : at + 4 + width])
                offset = at + value
                if _TYPE_SIZES.get(kind, 1) * count > width:
                    (offset,) = struct.unpack(f"{order}{number}", data[offset : offset + width])
                fields[tag] = Field(kind, count, offset, at)
            directories.append(cls(order, fields, end))
            (place,) = struct.unpack(f"{order}{number}", data[end : end + width])
        return directories

    def bands_lie_together(self, data: Any) -> bool:
        """Whether the bands of a pixel are in one block (PlanarConfiguration)."""
        return 284 not in self.fields or int(self.values(data, self.fields[284])[0]) == 1

    def moved(self, field: Field, count: int, offset: int, *, big: bool) -> bytes:
        """Return the bytes of an entry whose values are elsewhere."""
        tag = next(tag for tag, each in self.fields.items() if each == field)
        number = "Q" if big else "I"
        return struct.pack(f"{self.order}HH{number}{number}", tag, field.type, count, offset)

    def pointer(self, offset: int, *, big: bool) -> bytes:
        """Return the bytes that say where the next directory is."""
        return struct.pack(f"{self.order}{'Q' if big else 'I'}", offset)

    @property
    def tables(self) -> tuple[Field, Field]:
        """The block tables: offsets, and numbers of bytes.

        Raises
        ------
        ValueError
            If there are none.
        """
        offsets, counts = TILE_TABLES if TILE_TABLES[0] in self.fields else STRIP_TABLES
        if offsets not in self.fields or counts not in self.fields:
            raise ValueError("no TIFF with an image: it has no block tables")
        return self.fields[offsets], self.fields[counts]

    def values(self, data: Any, field: Field) -> np.ndarray[Any, Any]:
        """Return the values of a field of unsigned integers.

        Raises
        ------
        ValueError
            If they are something else, or not all in the data.
        """
        if field.type not in _UNSIGNED or field.offset + field.size > len(data):
            raise ValueError("a field of a TIFF has no whole numbers, or lies beyond its end")
        kind = f"{self.order}{_UNSIGNED[field.type]}"
        return np.frombuffer(data, kind, field.count, field.offset)

    def decoding(self, data: Any) -> dict[str, bytes]:
        """Return, by name, the values that a reader needs to decode blocks."""
        found = {}
        for tag, name in _DECODING_TAGS.items():
            if tag in self.fields:
                field = self.fields[tag]
                found[name] = bytes(data[field.offset : field.offset + field.size])
        if 277 not in self.fields or int(self.values(data, self.fields[277])[0]) == 1:
            # A single band lies together and apart.
            found.pop("PlanarConfiguration", None)
        codec = int(self.values(data, self.fields[259])[0]) if 259 in self.fields else 1
        if codec not in _COLOUR_CODECS:
            # What bands mean makes no difference to their bytes.
            for name in ("PhotometricInterpretation", "ExtraSamples"):
                found.pop(name, None)
        return found

    def packed(self, field: Field, values: np.ndarray[Any, Any]) -> bytes:
        """Return the bytes of a block table, in the type that the header has for it.

        Raises
        ------
        OutputError
            If a value is too large for that type.
        """
        kind = np.dtype(f"{self.order}{_UNSIGNED[field.type]}")
        if len(values) and int(values.max()) > np.iinfo(kind).max:
            raise OutputError(
                f"the file is larger than {np.iinfo(kind).max} bytes, which is all that its "
                f"header can address: pass {option('creation_options', ('BIGTIFF', 'YES'))}"
            )
        return values.astype(kind).tobytes()


def split(data: Any, directory: Directory) -> tuple[np.ndarray[Any, Any], Indexes]:
    """Return the encoded blocks that a directory speaks of, in the order of its tables.

    Returns
    -------
    content : ndarray of uint8
        One block after the other.
    sizes : ndarray of int64
        Their numbers of bytes; 0 for a block that is not there.

    Raises
    ------
    ValueError
        If they are not in the data.
    """
    tables = _tables_within(data, directory)
    # Blocks that share bytes could come to any length.
    if tables is None or sum(tables[1].tolist()) > len(data):
        raise ValueError("blocks of a TIFF lie beyond its end, or over each other")
    offsets, sizes = (table.astype(np.int64) for table in tables)
    there = np.flatnonzero(sizes)
    starts, ends = offsets[there], offsets[there] + sizes[there]
    # Blocks that follow each other in the file are taken in one piece.
    breaks = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    content = np.frombuffer(data, np.uint8)
    pieces = [
        content[run_starts[0] : run_ends[-1]]
        for run_starts, run_ends in zip(
            np.split(starts, breaks), np.split(ends, breaks), strict=True
        )
        if len(run_starts)
    ]
    return np.concatenate([*pieces, content[:0]]), sizes


def is_whole(data: Any) -> bool:
    """Whether the directory of a TIFF, and all blocks that it speaks of, are in the file."""
    try:
        return _tables_within(data, Directory.read(data)) is not None
    except ValueError:
        return False


def _tables_within(
    data: Any, directory: Directory
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Return the block tables, or None if a block is not in the data.

    Raises
    ------
    ValueError
        If there are no tables, or they are not.
    """
    offsets, counts = (
        directory.values(data, field).astype(np.uint64) for field in directory.tables
    )
    if len(offsets) != len(counts):
        raise ValueError("the block tables of a TIFF differ in length")
    length = np.uint64(len(data))
    within = (offsets <= length) & (counts <= length - np.minimum(offsets, length))
    return (offsets, counts) if within.all() else None


def block_indexes(window: Window, block: Size, width: int, height: int, planes: int) -> Indexes:
    """Return the places of a window's blocks in the whole raster's tables.

    Parameters
    ----------
    window : Window
        A whole number of blocks.
    block : Size
    width, height : int
        Of the raster.
    planes : int
        1 if the bands of a pixel lie together, else the number of bands.

    Returns
    -------
    ndarray
        In the order in which a file of the window alone has its blocks: band
        by band, row by row.
    """
    across, down = math.ceil(width / block.width), math.ceil(height / block.height)
    left, top = window.col_off // block.width, window.row_off // block.height
    right = math.ceil((window.col_off + window.width) / block.width)
    bottom = math.ceil((window.row_off + window.height) / block.height)
    plane, row, col = np.ogrid[0:planes, top:bottom, left:right]
    indexes: Indexes = ((plane * down + row) * across + col).ravel()
    return indexes
