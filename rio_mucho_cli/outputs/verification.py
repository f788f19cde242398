"""Whether data are what a journal says of them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO

from rio_mucho_cli.outputs.records import Record

_PIECE = 1024 * 1024


def verified(records: Sequence[Record], data_file: FileIO, *, begin: int, windows: int) -> int:
    """Return how many of the first records say what is in the data file.

    Parameters
    ----------
    records : sequence of Record
    data_file : file
        It is read in pieces, and left wherever that ends.
    begin : int
        Where the first window's bytes must be.
    windows : int
        How many the plan has.
    """
    size = os.fstat(data_file.fileno()).st_size
    buffer = memoryview(bytearray(_PIECE))
    last, place = -1, begin
    for number, record in enumerate(records):
        is_next = last < record.window < windows and record.begin == place
        if not is_next or not place <= record.end <= size:
            return number
        if _checksum(data_file, record, buffer) != record.checksum:
            return number
        last, place = record.window, record.end
    return len(records)


def _checksum(file: FileIO, record: Record, buffer: memoryview) -> int | None:
    """Return the checksum of a record's data; None if they cannot be read."""
    checksum, rest = 0, record.end - record.begin
    with suppress(OSError):
        file.seek(record.begin)
        while rest:
            count = file.readinto(buffer[:rest])
            if not count:
                return None
            checksum = zlib.crc32(buffer[:count], checksum)
            rest -= count
        return checksum
    return None
