"""Write values to a file, with a journal to resume it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.resume import ResumeLog
from rio_mucho_cli.outputs.target import Target
from rio_mucho_cli.system import write_at


class ValueWriter:
    """A file of lines that grows with the windows, and an output that is made from it.

    An output that is written line by line is that file itself. Merged values have it
    only if the run can be resumed: its lines are then the values of the windows.

    Parameters
    ----------
    target : Target or None
        Target of the output; None for a value that is not written to a file.
    is_streamed : bool
        Whether the lines are the output.
    """

    def __init__(self, target: Target | None, *, is_streamed: bool) -> None:
        self.target = target
        self._is_streamed = is_streamed
        self._log: ResumeLog | None = None
        self._file: FileIO | None = None
        self._end = 0
        self._unrecorded: list[bytes] = []

    @property
    def keeps_lines(self) -> bool:
        """Whether lines are to be appended."""
        return self._is_streamed or self._log is not None

    @property
    def is_empty(self) -> bool:
        """Whether no line has been appended."""
        return not self._end

    @property
    def _lines_path(self) -> Path:
        assert self.target is not None
        if self._is_streamed:
            return self.target.temporary
        return self.target.intermediate.with_suffix(".ndjson")

    def open_log(self, fingerprint: Mapping[str, Any], windows: int, *, overwrite: bool) -> int:
        """Open the journal, and return the number of windows an earlier run finished."""
        assert self.target is not None
        self._log = ResumeLog.open(
            self.target, self._lines_path, fingerprint, windows, overwrite=overwrite
        )
        return self._log.done

    def truncate(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Keep only the first windows of the earlier run; return their states."""
        assert self._log is not None
        self._log.truncate(windows)
        self._file = self._log.file
        self._end = self._log.records[-1].end if self._log.records else 0
        if self._file is not None:
            self._file.truncate(self._end)
        return self._log.states()

    def read_lines(self) -> Iterator[bytes]:
        """Yield the lines of the earlier run."""
        if self._file is not None:
            with self._lines_path.open("rb") as file:
                yield from file

    def append(self, content: bytes) -> None:
        """Append lines."""
        if not content:
            return
        try:
            if self._file is None:
                self._file = self._lines_path.open("w+b", buffering=0)
            write_at(self._file, content, self._end)
        except OSError as exc:
            raise self._cannot_be_written(exc) from None
        self._end += len(content)
        if self._log is not None:
            self._unrecorded.append(content)

    def record(self, number: int, state: Mapping[str, Any]) -> None:
        """Record that all windows up to a number have been appended."""
        if self._log is None:
            return
        if self._file is None:
            self._file = self._lines_path.open("w+b", buffering=0)
        begin = self._end - sum(map(len, self._unrecorded))
        self._log.record(number, begin, self._unrecorded, [], state, self._file)
        self._unrecorded = []

    def make_output(self, content: bytes) -> None:
        """Write the output that the lines are not."""
        if self.target is None:
            return
        try:
            self.target.temporary.write_bytes(content)
        except OSError as exc:
            raise self._cannot_be_written(exc) from None

    def finish(self) -> None:
        """Complete the output under its temporary name."""
        if self.target is None:
            return
        if self._is_streamed and self._file is None:
            self.target.temporary.touch()
        self._close()
        self.target.remove_all_but(self.target.temporary)

    def discard(self) -> None:
        """Remove the partial output, unless a later run can resume it."""
        if self.target is None:
            return
        if self._log is not None:
            self._log.keep(self._file)
            if not self._log.has_records:
                self.target.remove_all_but()
        self._close()
        self.target.discard()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._log is not None:
            self._log.close()

    def _cannot_be_written(self, exc: OSError) -> OutputError:
        assert self.target is not None
        return OutputError(f"{self.target.path} cannot be written: {exc.strerror}")
