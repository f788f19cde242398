"""What a journal is made of, byte by byte.

    ┌───────┬─────────────┬────────────────────┬────────────────────┬───┐
    │ magic │ header:     │ window 0: where,   │ window 3: where,   │ … │
    │       │ which run   │ checksum, payload  │ checksum, payload  │   │
    └───────┴─────────────┴────────────────────┴────────────────────┴───┘

Each part has its length and a checksum, which is chained to the part before:
what is torn, damaged, or left over from something else ends what is believed.
A journal may come from anywhere. Nothing in it is run, it names no file, and
no length in it is believed before there are as many bytes.

Notes
-----
CRC-32 takes about as long as writing the same bytes (4 MB: 1.1 ms, and 1 ms),
a 64-bit BLAKE2b five times that. It has to find accidents: against somebody
who makes up a journal, no checksum that is in the journal helps.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass
from io import FileIO
from typing import Any, NamedTuple

from rio_mucho_cli.errors import OutputError

MAGIC = b"mucho\0\1\n"  # the 1 is the version of all that follows

_PART = struct.Struct("<II")  # length and checksum of what follows
_PLACE = struct.Struct("<QQQI")
_MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One window that has been appended.

    Attributes
    ----------
    window : int
        Its number in the plan. A window that left nothing needs no record:
        results come in order, so all before this one are done.
    begin, end : int
        Where its bytes are in the data file.
    checksum : int
        CRC-32 of them.
    payload : bytes
        What the writer has to know again, the sizes of blocks for instance.
        No pickle: it may come from anywhere.
    """

    window: int
    begin: int
    end: int
    checksum: int
    payload: bytes = b""

    @classmethod
    def of(cls, window: int, begin: int, *parts: Any, payload: bytes = b"") -> Record:
        """Describe bytes-like parts that lie in the file one after the other."""
        end, checksum = begin, 0
        for part in parts:
            end += memoryview(part).nbytes
            checksum = zlib.crc32(part, checksum)
        return cls(window, begin, end, checksum, payload)

    def packed(self) -> bytes:
        """Return it as bytes."""
        return _PLACE.pack(self.window, self.begin, self.end, self.checksum) + self.payload

    @classmethod
    def unpacked(cls, body: bytes) -> Record:
        """Read it again; struct.error if there are too few bytes."""
        window, begin, end, checksum = _PLACE.unpack_from(body)
        return cls(window, begin, end, checksum, body[_PLACE.size :])


class Mark(NamedTuple):
    """A place between two parts, and the checksum of the part before."""

    place: int = len(MAGIC)
    checksum: int = zlib.crc32(MAGIC)

    def part(self, body: bytes) -> tuple[bytes, Mark]:
        """Make a part that comes here; return it, and the mark behind it.

        Raises
        ------
        OutputError
            If it is larger than anybody would read.
        """
        if len(body) > _MOST:
            raise OutputError(
                f"a journal cannot take {len(body)} bytes at once, {_MOST} at most: "
                "give smaller windows"
            )
        checksum = self._chained(body)
        end = self.place + _PART.size + len(body)
        return _PART.pack(len(body), checksum) + body, Mark(end, checksum)

    def read(self, file: FileIO, size: int) -> tuple[bytes, Mark] | None:
        """Read the part that is here, as `part` makes it; None if it is not whole."""
        head = file.read(_PART.size)
        end = self.place + _PART.size
        if len(head) < _PART.size:
            return None
        length, checksum = _PART.unpack(head)
        if length > min(_MOST, size - end):
            return None
        body = file.read(length)
        if len(body) < length or checksum != self._chained(body):
            return None
        return body, Mark(end + length, checksum)

    def _chained(self, body: bytes) -> int:
        # With the length, or zeros behind a part could be part of it.
        return zlib.crc32(body, zlib.crc32(struct.pack("<I", len(body)), self.checksum))


class Contents(NamedTuple):
    """What can be believed of a journal.

    Attributes
    ----------
    header : dict
    records : list of Record
    begin, end : Mark
        Of the records. What comes after the end is to be cut off.
    """

    header: dict[str, Any]
    records: list[Record]
    begin: Mark
    end: Mark


def read_header(file: FileIO) -> tuple[dict[str, Any], Mark]:
    """Read the header of a journal, and no more.

    Raises
    ------
    ValueError
        If there is none: it is damaged, or no journal.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    found = Mark().read(file, size) if file.read(len(MAGIC)) == MAGIC else None
    if found is None:
        raise ValueError("it has no header")
    body, begin = found
    try:
        header = json.loads(body)
    except RecursionError:
        raise ValueError("its header is nested without end") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return header, begin


def read(file: FileIO) -> Contents:
    """Read a journal up to the first record that is not whole.

    Raises
    ------
    ValueError
        If there is no header: it is damaged, or no journal.
    """
    size = os.fstat(file.fileno()).st_size
    header, begin = read_header(file)
    records, end = [], begin
    while found := end.read(file, size):
        body, behind = found
        try:
            records.append(Record.unpacked(body))
        except struct.error:
            break
        end = behind
    return Contents(header, records, begin, end)
