"""The journal of appended windows, which makes a run resumable."""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.files import flush, flush_folder, open_locked
from rio_mucho_cli.system import write_at

MAGIC = b"mucho\0\1\n"  # the 1 is the format version

_PART = struct.Struct("<II")  # length and checksum of the body
_RECORD = struct.Struct("<QQQI")
_MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """A window that has been appended.

    Attributes
    ----------
    window : int
        Index of the window in the plan. Results come in order, so all windows
        before it are finished; an empty window needs no record.
    begin, end : int
        Byte range of the window in the data file.
    checksum : int
        CRC-32 of these bytes.
    payload : bytes
        State that the writer restores, such as block sizes. It is not a
        pickle, because a journal is untrusted.
    """

    window: int
    begin: int
    end: int
    checksum: int
    payload: bytes = b""

    @classmethod
    def of(cls, window: int, begin: int, *parts: Any, payload: bytes = b"") -> JournalRecord:
        """Return the record of bytes-like parts that are consecutive in the file."""
        end, checksum = begin, 0
        for part in parts:
            end += memoryview(part).nbytes
            checksum = zlib.crc32(part, checksum)
        return cls(window, begin, end, checksum, payload)

    def to_bytes(self) -> bytes:
        """Return the record as bytes."""
        return _RECORD.pack(self.window, self.begin, self.end, self.checksum) + self.payload

    @classmethod
    def from_bytes(cls, body: bytes) -> JournalRecord:
        """Return the record in `body`; raise struct.error if it is too short."""
        window, begin, end, checksum = _RECORD.unpack_from(body)
        return cls(window, begin, end, checksum, body[_RECORD.size :])


class Position(NamedTuple):
    """An offset between parts of a journal, with the previous checksum."""

    offset: int = len(MAGIC)
    checksum: int = zlib.crc32(MAGIC)

    def make_part(self, body: bytes) -> tuple[bytes, Position]:
        """Return the part to write at this position, and the position after it.

        Raises
        ------
        OutputError
            If it exceeds the size limit of `read_part`.
        """
        if len(body) > _MOST:
            raise OutputError(
                f"a journal cannot take {len(body)} bytes at once, {_MOST} at most: "
                "give smaller windows"
            )
        checksum = self._next_checksum(body)
        end = self.offset + _PART.size + len(body)
        return _PART.pack(len(body), checksum) + body, Position(end, checksum)

    def read_part(self, file: FileIO, size: int) -> tuple[bytes, Position] | None:
        """Return the part here and the position after it, None if incomplete."""
        head = file.read(_PART.size)
        end = self.offset + _PART.size
        if len(head) < _PART.size:
            return None
        length, checksum = _PART.unpack(head)
        if length > min(_MOST, size - end):
            return None
        body = file.read(length)
        if len(body) < length or checksum != self._next_checksum(body):
            return None
        return body, Position(end + length, checksum)

    def _next_checksum(self, body: bytes) -> int:
        # The checksum covers the length, or zeros after a part could pass as part of it.
        return zlib.crc32(body, zlib.crc32(struct.pack("<I", len(body)), self.checksum))


class Contents(NamedTuple):
    """The valid contents of a journal.

    Attributes
    ----------
    header : dict
    records : list of JournalRecord
    begin, end : Position
        Positions of the first record and after the last one. Bytes after the
        end are to be truncated.
    """

    header: dict[str, Any]
    records: list[JournalRecord]
    begin: Position
    end: Position


def read_header(file: FileIO) -> tuple[dict[str, Any], Position]:
    """Return the header of a journal and the position after it.

    Raises
    ------
    ValueError
        If there is none: the file is damaged or is not a journal.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    header_part = Position().read_part(file, size) if file.read(len(MAGIC)) == MAGIC else None
    if header_part is None:
        raise ValueError("it has no header")
    body, begin = header_part
    try:
        header = json.loads(body)
    except RecursionError:
        raise ValueError("its header is nested without end") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    return header, begin


def read_records(file: FileIO) -> Contents:
    """Return the contents of a journal up to the first incomplete record.

    Raises
    ------
    ValueError
        If there is no header: the file is damaged or is not a journal.
    """
    size = os.fstat(file.fileno()).st_size
    header, begin = read_header(file)
    records, end = [], begin
    while part := end.read_part(file, size):
        body, next_position = part
        try:
            records.append(JournalRecord.from_bytes(body))
        except struct.error:
            break
        end = next_position
    return Contents(header, records, begin, end)


SYNC_SECONDS = 10.0
SYNC_BYTES = 512 * 1024 * 1024
"""Bytes appended before a flush, however little time has passed."""


class JournalError(OutputError):
    """A journal cannot be read or written, or is in use by another run."""


class Journal:
    """A journal that is open for appending, in one process only.

    Use `create` or `open` to get one. The file is locked until it is closed or
    the process ends.
    """

    def __init__(self, path: Path, file: FileIO, clock: Callable[[], float]) -> None:
        self._path = path
        self._file = file
        self._clock = clock
        self._flushed = clock()
        self._waiting = 0
        self._begin = self._end = Position()

    @classmethod
    def create(
        cls,
        path: Path,
        header: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> Journal:
        """Create a journal atomically, with its complete header.

        Parameters
        ----------
        path : Path
        header : Mapping
            Fingerprint of the run, as JSON.
        clock : callable
            Function that returns seconds on a monotonic clock.

        Raises
        ------
        JournalError
            If the journal exists already or cannot be written.
        """
        new = path.with_name(f"{path.name}.new")
        part, begin = Position().make_part(json.dumps(header).encode("ascii"))
        with _errors_explained(new), open_locked(new, os.O_CREAT) as file:
            if os.path.lexists(path):
                raise JournalError(f"{path} exists: resume that run, or remove it to start over")
            file.truncate(0)
            write_at(file, MAGIC + part, 0)
            flush(file.fileno())
        with _errors_explained(path):
            new.rename(path)  # closed, for Windows
            flush_folder(path.parent)
            journal = cls(path, open_locked(path), clock)
        journal._begin = journal._end = begin
        return journal

    @classmethod
    def open(
        cls, path: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> tuple[Journal, dict[str, Any], list[JournalRecord]]:
        """Open a journal, and truncate damaged or incomplete records.

        Returns
        -------
        journal : Journal
        header : dict
        records : list of JournalRecord
            Records whose data are not yet verified.

        Raises
        ------
        JournalError
            If the journal does not exist, its header cannot be read, or
            another run has locked it.
        """
        with _errors_explained(path):
            journal = cls(path, open_locked(path), clock)
        with _errors_explained(path, journal._file):
            try:
                header, records, journal._begin, journal._end = read_records(journal._file)
            except ValueError as exc:
                raise JournalError(
                    f"{path} is damaged or not a journal ({exc}): remove it to start over"
                ) from None
            journal._file.truncate(journal._end.offset)
        return journal, header, records

    def append(self, record: JournalRecord) -> None:
        """Write a record, after its data have been written.

        Raises
        ------
        JournalError
            If it cannot be written.
        """
        part, end = self._end.make_part(record.to_bytes())
        with _errors_explained(self._path):
            write_at(self._file, part, self._end.offset)
        self._end = end
        self._waiting += record.end - record.begin

    def sync(self, data_file: FileIO, *, now: bool = False) -> None:
        """Flush the data, then the journal, if enough time or bytes have passed.

        Raises
        ------
        JournalError
            If they cannot be flushed.
        """
        # If the clock went back, the elapsed time is unknown.
        is_early = 0 <= self._clock() - self._flushed < SYNC_SECONDS
        if is_early and self._waiting < SYNC_BYTES and not now:
            return
        with _errors_explained(self._path):
            flush(data_file.fileno())
            flush(self._file.fileno())
        # Measured from the end of the flush, or a slow disk would do nothing else.
        self._waiting, self._flushed = 0, self._clock()

    def truncate(self, records: Sequence[JournalRecord]) -> None:
        """Truncate the journal after these records, which are its first ones."""
        self._end = self._begin
        for record in records:
            _, self._end = self._end.make_part(record.to_bytes())
        with _errors_explained(self._path):
            self._file.truncate(self._end.offset)

    def close(self) -> None:
        """Close the journal and keep it for a later run."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete the journal."""
        self.close()
        with _errors_explained(self._path):
            self._path.unlink(missing_ok=True)


@contextmanager
def _errors_explained(path: Path, file: FileIO | None = None) -> Iterator[None]:
    """Turn an OSError into a JournalError; close a file on any failure."""
    try:
        yield
    except BaseException as exc:
        if file is not None:
            file.close()
        if isinstance(exc, BlockingIOError):
            raise JournalError(f"{path} is in use: another run writes the same output") from None
        if isinstance(exc, OSError) and not isinstance(exc, OutputError):
            raise JournalError(f"{path} cannot be used: {exc.strerror}") from None
        raise
