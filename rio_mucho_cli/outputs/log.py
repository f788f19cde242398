"""What a writer has appended, in its journal, and taken up again from there."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from rio_mucho_cli.differences import describe_changes, different_run
from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.durable import open_locked
from rio_mucho_cli.outputs.journal import Journal, JournalError
from rio_mucho_cli.outputs.records import Record
from rio_mucho_cli.outputs.target import Target
from rio_mucho_cli.outputs.verification import verified

log = logging.getLogger(__name__)


@dataclass
class Log:
    """The journal of one output, and what stands in it.

    Attributes
    ----------
    journal : Journal
    records : list of Record
        Of an earlier run: their data have been compared with their checksums.
    file : file or None
        The earlier run's output, as far as it had come.
    noted : bool
        Whether there is anything that a later run can go on with.
    """

    journal: Journal
    records: list[Record] = field(default_factory=list)
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
    ) -> Log:
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
    ) -> Log | None:
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

    def sizes(self, record: Record) -> list[list[Sequence[int]]]:
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
        self.journal.append(Record.of(number, begin, *parts, payload=payload.encode("ascii")))
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


def _payload(record: Record) -> dict[str, Any]:
    try:
        found = json.loads(record.payload)
    except RecursionError:
        raise ValueError("a record is nested without end") from None
    if not isinstance(found, dict):
        raise ValueError("a record is no object")
    return found
