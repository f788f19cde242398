"""Resume an interrupted run: open, verify and extend the journal of an output."""

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

from rio_mucho_cli.errors import OutputError, UsageError, one_line
from rio_mucho_cli.outputs.files import open_locked, partial_folder
from rio_mucho_cli.outputs.journal import Journal, JournalError, JournalRecord
from rio_mucho_cli.outputs.run_diff import describe_changes, different_run_error
from rio_mucho_cli.outputs.target import Target

log = logging.getLogger(__name__)

_BUFFER = 1024 * 1024


def count_verified(
    records: Sequence[JournalRecord], data_file: FileIO, *, begin: int, windows: int
) -> int:
    """Return the number of leading records whose data match the data file.

    Parameters
    ----------
    records : sequence of JournalRecord
    data_file : file
        Open file. Its position afterwards is unspecified.
    begin : int
        Expected offset of the first window.
    windows : int
        Number of windows in the plan.
    """
    size = os.fstat(data_file.fileno()).st_size
    buffer = memoryview(bytearray(_BUFFER))
    last, offset = -1, begin
    for number, record in enumerate(records):
        is_next = last < record.window < windows and record.begin == offset
        if not is_next or not offset <= record.end <= size:
            return number
        if _checksum(data_file, record, buffer) != record.checksum:
            return number
        last, offset = record.window, record.end
    return len(records)


def _checksum(file: FileIO, record: JournalRecord, buffer: memoryview) -> int | None:
    """Return the checksum of a record's data, None if they cannot be read."""
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


def damaged_journal_error(path: Any, exc: Exception) -> OutputError:
    """Return the error for an output whose journal has unexpected content."""
    return OutputError(
        f"the journal of {path} is damaged ({one_line(exc)}): "
        f"remove {partial_folder(str(path))} to start over"
    )


def cannot_resume_error() -> UsageError:
    """Return the error for resuming an output that GDAL writes."""
    return UsageError(
        "only what workers encode can be resumed: a GeoTIFF, a COG or another file, in windows "
        "that are whole blocks of it"
    )


@dataclass
class ResumeLog:
    """The journal of one output, with its verified records.

    Attributes
    ----------
    journal : Journal
    records : list of JournalRecord
        Records of an earlier run whose checksums match.
    file : file or None
        Partial output of the earlier run.
    has_records : bool
        Whether the journal has records, so that a later run can resume.
    """

    journal: Journal
    records: list[JournalRecord] = field(default_factory=list)
    file: FileIO | None = None
    has_records: bool = False

    @classmethod
    def open(
        cls,
        target: Target,
        path: Path,
        fingerprint: Mapping[str, Any],
        windows: int,
        *,
        overwrite: bool,
    ) -> ResumeLog:
        """Open the journal of an output, or create one.

        Parameters
        ----------
        target : Target
        path : Path
            Path of the data file.
        fingerprint : Mapping
            Fingerprint of this run.
        windows : int
            Number of windows of this run.
        overwrite : bool
            Start over if the earlier run was a different one.

        Raises
        ------
        UsageError
            If the earlier run was a different one, without `overwrite`.
        JournalError
            If the journal cannot be used.
        """
        try:
            if os.path.lexists(target.journal) and os.path.lexists(path):
                earlier = cls._open_earlier(target, path, fingerprint, windows, overwrite)
                if earlier is not None:
                    target.remove_all_but(path)
                    return earlier
            target.remove_all()
            return cls(Journal.create(target.journal, fingerprint))
        except OutputError:
            raise
        except OSError as exc:
            raise JournalError(
                f"{target.journal.parent} cannot be used ({exc.strerror}): remove it to start over"
            ) from None

    @classmethod
    def _open_earlier(
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
                raise different_run_error(target.journal.parent, changes)
            log.warning("the run starts over: %s", changes)
            return None
        try:
            file = open_locked(path)
        except OSError as exc:
            journal.close()
            if isinstance(exc, BlockingIOError):
                raise
            # It is a link, folder or pipe, which no run has written.
            log.warning("the run starts over: %s (%s)", path, exc.strerror)
            return None
        begin = records[0].begin if records else 0
        good = records[: count_verified(records, file, begin=begin, windows=windows)]
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
        """Number of windows that need not be computed again."""
        return self.records[-1].window + 1 if self.records else 0

    def truncate(self, windows: int) -> None:
        """Drop the records after the first `windows` windows."""
        self.records = [record for record in self.records if record.window < windows]
        self.journal.truncate(self.records)

    def states(self) -> list[dict[str, Any]]:
        """Return the state stored with each record.

        Raises
        ------
        ValueError
            If a record has no valid state.
        """
        states = [_payload(record).get("state") for record in self.records]
        if not all(isinstance(state, dict) for state in states):
            raise ValueError("a record has no state")
        return [state for state in states if isinstance(state, dict)]

    def sizes(self, record: JournalRecord) -> list[list[Sequence[int]]]:
        """Return the block sizes of a record, for each level and its image and mask.

        Raises
        ------
        ValueError
            If they do not add up to the record's bytes.
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

    def record(
        self,
        number: int,
        begin: int,
        parts: Sequence[Any],
        sizes: Sequence[Sequence[Sequence[int]]],
        state: Mapping[str, Any],
        file: FileIO,
    ) -> None:
        """Record that a window has been appended."""
        payload = json.dumps({"sizes": sizes, "state": state}, separators=(",", ":"))
        self.journal.append(
            JournalRecord.of(number, begin, *parts, payload=payload.encode("ascii"))
        )
        self.journal.sync(file)
        self.has_records = True

    def keep(self, file: FileIO | None) -> None:
        """Close the journal for a later run, or remove it if it has no records."""
        # A failed flush must not hide why the run ends; a later run verifies the data.
        with suppress(OutputError):
            if self.has_records and file is not None and not file.closed:
                self.journal.sync(file, now=True)
        self.close()
        if not self.has_records:
            self.journal.remove()

    def close(self) -> None:
        """Close the journal and the data file."""
        self.journal.close()
        if self.file is not None:
            self.file.close()


def _payload(record: JournalRecord) -> dict[str, Any]:
    try:
        payload = json.loads(record.payload)
    except RecursionError:
        raise ValueError("a record is nested without end") from None
    if not isinstance(payload, dict):
        raise ValueError("a record is not an object")
    return payload
