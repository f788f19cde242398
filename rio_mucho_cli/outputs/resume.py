"""Whether data are what a journal says of them."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from rio_mucho_cli.errors import OutputError, UsageError
from rio_mucho_cli.outputs.files import open_locked
from rio_mucho_cli.outputs.journal import Journal, JournalError, JournalRecord
from rio_mucho_cli.outputs.run_diff import describe_changes, different_run
from rio_mucho_cli.outputs.target import Target

_PIECE = 1024 * 1024


def verified(
    records: Sequence[JournalRecord], data_file: FileIO, *, begin: int, windows: int
) -> int:
    """Return how many of the first records say what is in the data file.

    Parameters
    ----------
    records : sequence of JournalRecord
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


def _checksum(file: FileIO, record: JournalRecord, buffer: memoryview) -> int | None:
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


def cannot_resume() -> UsageError:
    """Say that what GDAL writes cannot be resumed."""
    return UsageError(
        "only what workers encode can be resumed: a GeoTIFF, a COG or another file, in windows "
        "that are whole blocks of it"
    )


log = logging.getLogger(__name__)


@dataclass
class ResumeLog:
    """The journal of one output, and what stands in it.

    Attributes
    ----------
    journal : Journal
    records : list of JournalRecord
        Of an earlier run: their data have been compared with their checksums.
    file : file or None
        The earlier run's output, as far as it had come.
    noted : bool
        Whether there is anything that a later run can go on with.
    """

    journal: Journal
    records: list[JournalRecord] = field(default_factory=list)
    file: FileIO | None = None
    noted: bool = False

    @classmethod
    def take_up(
        cls,
        target: Target,
        path: Path,
        fingerprint: Mapping[str, Any],
        windows: int,
        *,
        overwrite: bool,
    ) -> ResumeLog:
        """Open the journal of an output, or begin one.

        Parameters
        ----------
        target : Target
        path : Path
            Path of the file whose blocks it lists.
        fingerprint : Mapping
            Which run it is.
        windows : int
            How many it has.
        overwrite : bool
            Begin anew if the earlier run was another one.

        Raises
        ------
        UsageError
            If it was.
        JournalError
            If the journal cannot be used.
        """
        try:
            if os.path.lexists(target.journal) and os.path.lexists(path):
                found = cls._opened(target, path, fingerprint, windows, overwrite)
                if found is not None:
                    target.remove_all_but(path)
                    return found
            target.remove_all()
            return cls(Journal.create(target.journal, fingerprint))
        except OutputError:
            raise
        except OSError as exc:
            raise JournalError(
                f"{target.journal.parent} cannot be used ({exc.strerror}): remove it to begin anew"
            ) from None

    @classmethod
    def _opened(
        cls,
        target: Target,
        path: Path,
        fingerprint: Mapping[str, Any],
        windows: int,
        overwrite: bool,
    ) -> ResumeLog | None:
        try:
            journal, old, records = Journal.open(target.journal)
        except JournalError as exc:
            if not overwrite:
                raise
            log.warning("the run starts over: %s", exc)
            return None
        changes = describe_changes(old, fingerprint)
        if changes:
            journal.close()
            if not overwrite:
                raise different_run(target.journal.parent, changes)
            log.warning("the run starts over: %s", changes)
            return None
        try:
            file = open_locked(path)
        except OSError as exc:
            journal.close()
            if isinstance(exc, BlockingIOError):
                raise
            # A link, a folder or a pipe: nothing that a run has left.
            log.warning("the run starts over: %s (%s)", path, exc.strerror)
            return None
        begin = records[0].begin if records else 0
        good = records[: verified(records, file, begin=begin, windows=windows)]
        if len(good) < len(records):
            log.warning(
                "%d of %d windows in %s are damaged: they are computed again",
                len(records) - len(good),
                len(records),
                target.journal.parent,
            )
        return cls(journal, good, file, bool(good))

    @property
    def done(self) -> int:
        """How many windows need not be computed."""
        return self.records[-1].window + 1 if self.records else 0

    def restrict(self, windows: int) -> None:
        """Forget what comes after so many windows."""
        self.records = [record for record in self.records if record.window < windows]
        self.journal.keep(self.records)

    def states(self) -> list[dict[str, Any]]:
        """Return what was said with each record.

        Raises
        ------
        ValueError
            If it makes no sense.
        """
        states = [_payload(record).get("state") for record in self.records]
        if not all(isinstance(state, dict) for state in states):
            raise ValueError("a record has no state")
        return [state for state in states if isinstance(state, dict)]

    def sizes(self, record: JournalRecord) -> list[list[Sequence[int]]]:
        """Return the sizes of a record's blocks: for each level, for the image and its mask.

        Raises
        ------
        ValueError
            If they are not those of its data.
        """
        sizes = _payload(record).get("sizes")
        flat: list[Any] = []
        if isinstance(sizes, list) and all(isinstance(level, list) for level in sizes):
            for level in sizes:
                for part in level:
                    flat += part if isinstance(part, list) else [None]
        are_whole = all(type(size) is int and size >= 0 for size in flat)
        if not isinstance(sizes, list) or not are_whole or sum(flat) != record.end - record.begin:
            raise ValueError("the sizes of a record's blocks are not those of its data")
        return sizes

    def note(
        self,
        number: int,
        begin: int,
        parts: Sequence[Any],
        sizes: Sequence[Sequence[Sequence[int]]],
        state: Mapping[str, Any],
        file: FileIO,
    ) -> None:
        """Write down that a window has been appended."""
        payload = json.dumps({"sizes": sizes, "state": state}, separators=(",", ":"))
        self.journal.append(
            JournalRecord.of(number, begin, *parts, payload=payload.encode("ascii"))
        )
        self.journal.sync(file)
        self.noted = True

    def leave(self, file: FileIO | None) -> None:
        """Close it for a later run, or remove it if there is nothing to go on with."""
        # What cannot be flushed is verified, and no reason not to tell why the run ends.
        with suppress(OutputError):
            if self.noted and file is not None and not file.closed:
                self.journal.sync(file, now=True)
        self.close()
        if not self.noted:
            self.journal.remove()

    def close(self) -> None:
        """Close its files."""
        self.journal.close()
        if self.file is not None:
            self.file.close()


def _payload(record: JournalRecord) -> dict[str, Any]:
    try:
        found = json.loads(record.payload)
    except RecursionError:
        raise ValueError("a record is nested without end") from None
    if not isinstance(found, dict):
        raise ValueError("a record is no object")
    return found
