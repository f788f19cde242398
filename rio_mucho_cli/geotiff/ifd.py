"""Read and write image file directories (IFDs) of a TIFF, as bytes.

Block tables hold the offset and byte count of each block (tile or strip); both
are 0 for a missing block. GDAL writes the rest of the header.

Notes
-----
TIFF 6.0, sections 2, 3, 8 and 15; BigTIFF as libtiff writes it: 64-bit counts
and offsets, magic number 43.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import Size

METADATA = 42112  # GDAL's tags, as XML
NODATA = 42113  # GDAL's nodata, as text
STRIP_TABLES = (273, 279)  # StripOffsets, StripByteCounts
TILE_TABLES = (324, 325)  # TileOffsets, TileByteCounts

# Tags needed to decode a block. If two files agree on them, a block can be
# copied from one to the other.
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

# Values of Compression for JPEG (6 is the old one) and WebP.
_COLOUR_CODECS = {6, 7, 50001}

# Size in bytes of each TIFF type.
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8,
               13: 4, 16: 8, 17: 8, 18: 8}  # fmt: skip
_MOST_IFDS = 64
# The limit of a classic TIFF, and the number of possible tags.
_MOST_ENTRIES = 65535
_UNSIGNED = {3: "u2", 4: "u4", 16: "u8"}


@dataclass(frozen=True, slots=True)
class Tag:
    """Type, count and location of one tag's values.

    Attributes
    ----------
    type, count : int
    offset : int
        Offset of the values in the file.
    entry_offset : int
        Offset of the entry itself.
    """

    type: int
    count: int
    offset: int
    entry_offset: int = 0

    @property
    def size(self) -> int:
        """Total bytes of the values."""
        return _TYPE_SIZES[self.type] * self.count


@dataclass(frozen=True, slots=True)
class IFD:
    """An image file directory: of an image, or of its mask.

    Attributes
    ----------
    byte_order : {"<", ">"}
        As in struct and numpy.
    tags : Mapping of int to Tag
        Tags by number.
    pointer_offset : int
        Offset of the pointer to the next IFD.
    """

    byte_order: str
    tags: Mapping[int, Tag]
    pointer_offset: int = 0

    @classmethod
    def read(cls, data: Any) -> IFD:
        """Return the first IFD of a TIFF; see `read_all`."""
        return cls.read_all(data)[0]

    @classmethod
    def read_all(cls, data: Any) -> list[IFD]:
        """Return the IFDs of a TIFF.

        Parameters
        ----------
        data : bytes-like
            The whole file, or the part that holds the IFDs.

        Raises
        ------
        ValueError
            If it is not a TIFF, or is truncated.
        """
        try:
            ifds = cls._read_all(data)
        except struct.error:
            raise ValueError("no whole TIFF: it ends within a directory") from None
        if not ifds:
            raise ValueError("no TIFF: it has no directory")
        return ifds

    @classmethod
    def _read_all(cls, data: Any) -> list[IFD]:
        byte_order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "")
        if not byte_order:
            raise ValueError("no TIFF: it starts with neither II nor MM")
        (magic,) = struct.unpack(f"{byte_order}H", data[2:4])
        if magic == 42:
            pointer, first_pointer, length, value = "I", 4, "H", 8
        elif magic == 43:
            pointer, first_pointer, length, value = "Q", 8, "Q", 12
        else:
            raise ValueError(f"no TIFF: its magic number is {magic}")
        width, length_size = struct.calcsize(pointer), struct.calcsize(length)
        entry_size = value + width
        pointer, length = f"{byte_order}{pointer}", f"{byte_order}{length}"
        (start,) = struct.unpack(pointer, data[first_pointer : first_pointer + width])
        ifds: list[IFD] = []
        while start and len(ifds) < _MOST_IFDS:
            (entries,) = struct.unpack(length, data[start : start + length_size])
            if entries > _MOST_ENTRIES:
                raise ValueError(f"no TIFF: a directory of {entries} entries")
            tags = {}
            first = start + length_size
            end = first + entries * entry_size
            for entry in range(first, end, entry_size):
                number, kind = struct.unpack(f"{byte_order}HH", data[entry : entry + 4])
                (count,) = struct.unpack(pointer, data[entry + 4 : entry + 4 + width])
                offset = entry + value
                if _TYPE_SIZES.get(kind, 1) * count > width:
                    (offset,) = struct.unpack(pointer, data[offset : offset + width])
                tags[number] = Tag(kind, count, offset, entry)
            ifds.append(cls(byte_order, tags, end))
            (start,) = struct.unpack(pointer, data[end : end + width])
        return ifds

    def is_pixel_interleaved(self, data: Any) -> bool:
        """Return whether the file is pixel-interleaved (PlanarConfiguration)."""
        return 284 not in self.tags or int(self.values(data, self.tags[284])[0]) == 1

    def entry_bytes(self, tag: Tag, count: int, offset: int, *, big: bool) -> bytes:
        """Return the bytes of a tag's entry, for values at another offset."""
        number = next(number for number, other in self.tags.items() if other == tag)
        kind = "Q" if big else "I"
        return struct.pack(f"{self.byte_order}HH{kind}{kind}", number, tag.type, count, offset)

    def pointer_bytes(self, offset: int, *, big: bool) -> bytes:
        """Return the bytes of a pointer to the next IFD."""
        return struct.pack(f"{self.byte_order}{'Q' if big else 'I'}", offset)

    @property
    def table_tags(self) -> tuple[Tag, Tag]:
        """The tags of the block tables: offsets and byte counts.

        Raises
        ------
        ValueError
            If there are no block tables.
        """
        offsets, counts = TILE_TABLES if TILE_TABLES[0] in self.tags else STRIP_TABLES
        if offsets not in self.tags or counts not in self.tags:
            raise ValueError("no TIFF with an image: it has no block tables")
        return self.tags[offsets], self.tags[counts]

    def values(self, data: Any, tag: Tag) -> np.ndarray[Any, Any]:
        """Return the values of a tag of unsigned integers.

        Raises
        ------
        ValueError
            If the tag has another type, or values are not within the data.
        """
        if tag.type not in _UNSIGNED or tag.offset + tag.size > len(data):
            raise ValueError("a field of a TIFF has no whole numbers, or lies beyond its end")
        dtype = f"{self.byte_order}{_UNSIGNED[tag.type]}"
        return np.frombuffer(data, dtype, tag.count, tag.offset)

    def decoding(self, data: Any) -> dict[str, bytes]:
        """Return the values of the tags needed to decode blocks, by name."""
        values = {}
        for number, name in _DECODING_TAGS.items():
            if number in self.tags:
                tag = self.tags[number]
                values[name] = bytes(data[tag.offset : tag.offset + tag.size])
        if 277 not in self.tags or int(self.values(data, self.tags[277])[0]) == 1:
            # Interleaving makes no difference to a single band.
            values.pop("PlanarConfiguration", None)
        codec = int(self.values(data, self.tags[259])[0]) if 259 in self.tags else 1
        if codec not in _COLOUR_CODECS:
            # Colour interpretation makes no difference to the bytes.
            for name in ("PhotometricInterpretation", "ExtraSamples"):
                values.pop(name, None)
        return values

    def table_bytes(self, tag: Tag, values: np.ndarray[Any, Any]) -> bytes:
        """Return the bytes of a block table, in the type given in the header.

        Raises
        ------
        OutputError
            If a value is too large for that type.
        """
        dtype = np.dtype(f"{self.byte_order}{_UNSIGNED[tag.type]}")
        if len(values) and int(values.max()) > np.iinfo(dtype).max:
            raise OutputError(
                f"the file is larger than {np.iinfo(dtype).max} bytes, which is all that its "
                f"header can address: pass {option('creation_options', ('BIGTIFF', 'YES'))}"
            )
        return values.astype(dtype).tobytes()


LONG, LONG8 = 4, 16
_WIDTH, _LENGTH = 256, 257
_CLASSIC_LIMIT = 2**32


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an IFD, with its values.

    Attributes
    ----------
    tag, type, count : int
        Numbers as in the file.
    data : bytes
        Values in the byte order of the file.
    """

    tag: int
    type: int
    count: int
    data: bytes


def entries_of(data: Any, ifd: IFD) -> list[Entry]:
    """Return all entries of an IFD, given the data of its file."""
    return [
        Entry(number, tag.type, tag.count, bytes(data[tag.offset : tag.offset + tag.size]))
        for number, tag in ifd.tags.items()
    ]


def with_block_table(
    entries: Iterable[Entry],
    byte_order: str,
    size: Size,
    offsets: np.ndarray[Any, Any],
    counts: np.ndarray[Any, Any],
    *,
    big: bool,
) -> list[Entry]:
    """Return the entries with another image size and its block tables.

    Parameters
    ----------
    entries : iterable of Entry
    byte_order : {"<", ">"}
    size : Size
        Size of the image, in pixels.
    offsets, counts : ndarray of int64
        Offset and byte count of each block.
    big : bool
        Whether the file is a BigTIFF.
    """

    def longs(tag: int, values: Any, wide: bool) -> Entry:
        dtype = np.dtype(f"{byte_order}u{8 if wide else 4}")
        array = np.atleast_1d(np.asarray(values))
        return Entry(tag, LONG8 if wide else LONG, len(array), array.astype(dtype).tobytes())

    by_tag = {entry.tag: entry for entry in entries}
    offset_tag, count_tag = TILE_TABLES if TILE_TABLES[0] in by_tag else STRIP_TABLES
    by_tag[_WIDTH] = longs(_WIDTH, size.width, False)
    by_tag[_LENGTH] = longs(_LENGTH, size.height, False)
    by_tag[offset_tag] = longs(offset_tag, offsets, big)
    by_tag[count_tag] = longs(count_tag, counts, False)
    return list(by_tag.values())


def serialize(ifds: Sequence[Sequence[Entry]], start: int, byte_order: str, *, big: bool) -> bytes:
    """Return the bytes of a chain of IFDs that begins at an offset.

    Parameters
    ----------
    ifds : sequence of sequence of Entry
    start : int
        Offset of the first IFD, an even number.
    byte_order : {"<", ">"}
    big : bool
        Whether the file is a BigTIFF.

    Raises
    ------
    OutputError
        If they end beyond the largest offset of a classic TIFF.
    """
    number, value = ("Q", 8) if big else ("I", 4)
    head = struct.Struct(f"{byte_order}{'Q' if big else 'H'}")
    entry_head = struct.Struct(f"{byte_order}HH{number}")
    pointer = struct.Struct(f"{byte_order}{number}")
    content = bytearray()
    for index, entries in enumerate(ifds):
        ordered = sorted(entries, key=lambda entry: entry.tag)
        table = bytearray(head.pack(len(ordered)))
        values_at = start + len(content) + head.size + pointer.size
        values_at += len(ordered) * (entry_head.size + value)
        values = bytearray()
        for entry in ordered:
            table += entry_head.pack(entry.tag, entry.type, entry.count)
            if len(entry.data) <= value:
                table += entry.data.ljust(value, b"\0")
            else:
                table += _pack_offset(pointer, values_at + len(values))
                values += entry.data + bytes(len(entry.data) % 2)
        is_last = index == len(ifds) - 1
        table += _pack_offset(pointer, 0 if is_last else values_at + len(values))
        content += table + values
    if not big and start + len(content) > _CLASSIC_LIMIT:
        raise _too_large()
    return bytes(content)


def fits_classic(end: int) -> bool:
    """Return whether a file of this many bytes can be a classic TIFF."""
    return end < _CLASSIC_LIMIT


def _pack_offset(pointer: struct.Struct, offset: int) -> bytes:
    try:
        return pointer.pack(offset)
    except struct.error:
        raise _too_large() from None


def _too_large() -> OutputError:
    return OutputError(
        f"the file is larger than {_CLASSIC_LIMIT - 1} bytes, which is all that its header can "
        f"address: pass {option('creation_options', ('BIGTIFF', 'YES'))}"
    )
