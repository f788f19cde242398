"""Write down what has been appended to a file, to go on after any interruption.

A record is written as soon as its data have been: if only the process ends,
however it ends, nothing is lost. Both are flushed to the disk now and then. If
the power fails, the disk may have one without the other, so data are compared
with their checksums before they are trusted: flushing limits what is lost, and
nothing that is right depends on it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.durable import flush, flush_folder, open_locked
from rio_mucho_cli.outputs.records import MAGIC, Mark, Record, read
from rio_mucho_cli.system import write_at

SYNC_SECONDS = 10.0
SYNC_BYTES = 512 * 1024 * 1024
"""What is appended at most before it is flushed, however little time has passed."""


class JournalError(OutputError):
    """A journal cannot be read or written, or another run has it."""


class Journal:
    """A journal that is open for appending, in this process only.

    `create` and `open` make it. It is locked, and the lock goes with the
    process, however that ends.
    """

    def __init__(self, path: Path, file: FileIO, clock: Callable[[], float]) -> None:
        self._path = path
        self._file = file
        self._clock = clock
        self._flushed = clock()
        self._waiting = 0
        self._begin = self._end = Mark()

    @classmethod
    def create(
        cls,
        path: Path,
        header: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> Journal:
        """Begin a journal: it is there with its whole header, or not at all.

        Parameters
        ----------
        path : Path
        header : Mapping
            Which run it is; anything that JSON can say.
        clock : callable
            Seconds, by a clock that nobody sets.

        Raises
        ------
        JournalError
            If there is one, or it cannot be written.
        """
        new = path.with_name(f"{path.name}.new")
        part, begin = Mark().part(json.dumps(header).encode("ascii"))
        with _told(new), open_locked(new, os.O_CREAT) as file:
            if os.path.lexists(path):
                raise JournalError(f"{path} exists: resume that run, or remove it to begin anew")
            file.truncate(0)
            write_at(file, MAGIC + part, 0)
            flush(file.fileno())
        with _told(path):
            new.rename(path)  # closed, for Windows
            flush_folder(path.parent)
            journal = cls(path, open_locked(path), clock)
        journal._begin = journal._end = begin
        return journal

    @classmethod
    def open(
        cls, path: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> tuple[Journal, dict[str, Any], list[Record]]:
        """Open a journal, and cut off what is damaged or half written.

        Returns
        -------
        journal : Journal
        header : dict
        records : list of Record
            Their data are still to be verified.

        Raises
        ------
        JournalError
            If there is none, its header cannot be read, or another run has
            it.
        """
        with _told(path):
            journal = cls(path, open_locked(path), clock)
        with _told(path, journal._file):
            try:
                header, records, journal._begin, journal._end = read(journal._file)
            except ValueError as exc:
                raise JournalError(
                    f"{path} is damaged or no journal ({exc}): remove it to begin anew"
                ) from None
            journal._file.truncate(journal._end.place)
        return journal, header, records

    def append(self, record: Record) -> None:
        """Write a record, when the data that it speaks of have been written.

        Raises
        ------
        JournalError
            If it cannot be written.
        """
        part, end = self._end.part(record.packed())
        with _told(self._path):
            write_at(self._file, part, self._end.place)
        self._end = end
        self._waiting += record.end - record.begin

    def sync(self, data_file: FileIO, *, now: bool = False) -> None:
        """Flush the data, then the journal, if it is time to or they are many.

        Raises
        ------
        JournalError
            If the disk does not take them.
        """
        # A clock that went back does not say how long it has been.
        is_early = 0 <= self._clock() - self._flushed < SYNC_SECONDS
        if is_early and self._waiting < SYNC_BYTES and not now:
            return
        with _told(self._path):
            flush(data_file.fileno())
            flush(self._file.fileno())
        # Counted from the end, or a slow disk would do nothing but flush.
        self._waiting, self._flushed = 0, self._clock()

    def keep(self, records: Sequence[Record]) -> None:
        """Cut off all but the first records, which these are."""
        self._end = self._begin
        for record in records:
            _, self._end = self._end.part(record.packed())
        with _told(self._path):
            self._file.truncate(self._end.place)

    def close(self) -> None:
        """Leave it for another run to go on with."""
        self._file.close()

    def remove(self) -> None:
        """Delete it: there is nothing to go on with."""
        self.close()
        with _told(self._path):
            self._path.unlink(missing_ok=True)


@contextmanager
def _told(path: Path, file: FileIO | None = None) -> Iterator[None]:
    """Make an OSError one of ours; close a file on any failure."""
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
