"""Take directories of a TIFF apart, and lay them out anew. Arithmetic on bytes only.

Each directory is followed by those of its values that do not fit into it:

    ┌───────────┬──────────┬───────────┬──────────┬───┐
    │ directory │ values   │ directory │ values   │ … │
    └─────┬─────┴──────────┴───▲───────┴──────────┴───┘
          └── the next one ────┘

Notes
-----
TIFF 6.0, section 2: entries in ascending order of their tags, values and
directories at even offsets; BigTIFF as libtiff writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.tiff import STRIP_TABLES, TILE_TABLES, Directory
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import Size

LONG, LONG8 = 4, 16
_WIDTH, _LENGTH = 256, 257
_CLASSIC_LIMIT = 2**32


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory, with its values.

    Attributes
    ----------
    tag, type, count : int
        As the file has them.
    data : bytes
        The values, in the file's byte order.
    """

    tag: int
    type: int
    count: int
    data: bytes


def entries_of(data: Any, directory: Directory) -> list[Entry]:
    """Return all entries of a directory, given the file that it is in."""
    return [
        Entry(tag, field.type, field.count, bytes(data[field.offset : field.offset + field.size]))
        for tag, field in directory.fields.items()
    ]


def resized(
    entries: Iterable[Entry],
    order: str,
    size: Size,
    offsets: np.ndarray[Any, Any],
    counts: np.ndarray[Any, Any],
    *,
    big: bool,
) -> list[Entry]:
    """Return the entries of an image of another size, with its block tables.

    Parameters
    ----------
    entries : iterable of Entry
    order : {"<", ">"}
    size : Size
        In pixels.
    offsets, counts : ndarray of int64
        Where its blocks are, and how many bytes each has.
    big : bool
        For a BigTIFF.
    """

    def longs(tag: int, values: Any, wide: bool) -> Entry:
        kind = np.dtype(f"{order}u{8 if wide else 4}")
        array = np.atleast_1d(np.asarray(values))
        return Entry(tag, LONG8 if wide else LONG, len(array), array.astype(kind).tobytes())

    found = {entry.tag: entry for entry in entries}
    offset_tag, count_tag = TILE_TABLES if TILE_TABLES[0] in found else STRIP_TABLES
    found[_WIDTH] = longs(_WIDTH, size.width, False)
    found[_LENGTH] = longs(_LENGTH, size.height, False)
    found[offset_tag] = longs(offset_tag, offsets, big)
    found[count_tag] = longs(count_tag, counts, False)
    return list(found.values())


def lay_out(directories: Sequence[Sequence[Entry]], start: int, order: str, *, big: bool) -> bytes:
    """Return the bytes of a chain of directories that begins at an offset.

    Parameters
    ----------
    directories : sequence of sequence of Entry
    start : int
        Where in the file the first one is to be; an even number.
    order : {"<", ">"}
    big : bool
        For a BigTIFF.

    Raises
    ------
    OutputError
        If they end beyond what the header of a classic TIFF can address.
    """
    number, value = ("Q", 8) if big else ("I", 4)
    head = struct.Struct(f"{order}{'Q' if big else 'H'}")
    entry_head = struct.Struct(f"{order}HH{number}")
    pointer = struct.Struct(f"{order}{number}")
    content = bytearray()
    for place, entries in enumerate(directories):
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
                table += _packed(pointer, values_at + len(values))
                values += entry.data + bytes(len(entry.data) % 2)
        is_last = place == len(directories) - 1
        table += _packed(pointer, 0 if is_last else values_at + len(values))
        content += table + values
    if not big and start + len(content) > _CLASSIC_LIMIT:
        raise _too_large()
    return bytes(content)


def fits_classic(end: int) -> bool:
    """Whether a file of so many bytes can be a classic TIFF."""
    return end < _CLASSIC_LIMIT


def _packed(pointer: struct.Struct, offset: int) -> bytes:
    try:
        return pointer.pack(offset)
    except struct.error:
        raise _too_large() from None


def _too_large() -> OutputError:
    return OutputError(
        f"the file is larger than {_CLASSIC_LIMIT - 1} bytes, which is all that its header can "
        f"address: pass {option('creation_options', ('BIGTIFF', 'YES'))}"
    )
