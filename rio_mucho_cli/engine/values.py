"""Merge the values of windows in their order, and write them to value outputs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from rio_mucho_cli.engine.report import Failure
from rio_mucho_cli.errors import MuchoChildError, ResultError
from rio_mucho_cli.outputs.resume import damaged_journal_error
from rio_mucho_cli.outputs.value_text import (
    Lines,
    from_journal,
    header_line,
    make_lines,
    pretty_json,
    read_columns,
    to_journal,
)
from rio_mucho_cli.outputs.value_writer import ValueWriter
from rio_mucho_cli.outputs.values import STDOUT, ValueNotSupportedError, plain_value
from rio_mucho_cli.outputs.writer import discarded_on_error, open_target
from rio_mucho_cli.planning.values import ValuePlan
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers.merging import Merger, call_user, check_same_columns

log = logging.getLogger(__name__)


class ValueStream:
    """A value output of a run while it is made.

    Parameters
    ----------
    plan : ValuePlan
    writer : ValueWriter

    Attributes
    ----------
    value : object
        Merged value, when it is complete.
    """

    def __init__(self, plan: ValuePlan, writer: ValueWriter) -> None:
        self.output = plan.output
        self.writer = writer
        self.value: Any = None
        self._spec = plan.spec
        self._finish = plan.merging.finish
        self._merger = Merger(plan.merging.merge)
        self._columns: tuple[str, ...] = ()
        self._not_finite = 0

    @property
    def key(self) -> str:
        """Key of the value in `Report.values`: its name, or the path of the first output."""
        return self.output.name or self.output.shown_path

    @property
    def _shown(self) -> str:
        """The output as messages name it."""
        return "standard output" if self.output.path == STDOUT else self.output.shown_path

    @property
    def is_kept(self) -> bool:
        """Whether the value is in memory, and not only in the lines of the output."""
        return not self._spec.is_streamed

    def open_log(
        self, run: Mapping[str, Any], windows: Sequence[PlannedWindow], *, overwrite: bool
    ) -> int:
        """Open the journal; return how many windows an earlier run finished."""
        return self.writer.open_log(run, len(windows), overwrite=overwrite)

    def restore(self, windows: int) -> list[Failure]:
        """Resume after this many windows of an earlier run; return their failures.

        Raises
        ------
        OutputError
            If the journal is damaged.
        """
        try:
            states = self.writer.truncate(windows)
            lines = self.writer.read_lines()
            if not self._spec.is_streamed:
                for line in lines:
                    self._merger.append(from_journal(line))
            elif self._spec.format == "csv":
                self._columns = read_columns(lines)
            return [Failure.from_json(value) for state in states for value in state["failed"]]
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise damaged_journal_error(self.output.path, exc) from None

    def append(self, value: Any) -> None:
        """Add the value of the next window.

        Raises
        ------
        MuchoChildError
            If the merge raises.
        ResultError
            If the rows of a table have other columns than the first row.
        """
        if isinstance(value, Lines):
            self._append_lines(value)
            return
        if self.writer.keeps_lines:
            try:
                line = to_journal(value)
            except RecursionError:
                text = "the function returned a value that is nested too deeply"
                raise ResultError(text) from None
            self.writer.append(line)
        self._merger.append(value)

    def _append_lines(self, lines: Lines) -> None:
        self._not_finite += lines.not_finite
        check_same_columns(self._columns, lines.columns)
        if lines.columns and not self._columns:
            self._columns = lines.columns
            self.writer.append(header_line(lines.columns))
        self.writer.append(lines.content)

    def record(self, number: int, failed: Sequence[Failure]) -> bool:
        """Record in the journal how many windows of the plan are done; return True."""
        self.writer.record(number, {"failed": [failure.as_json() for failure in failed]})
        return True

    def complete(self, windows: int) -> None:
        """Make the output from the merged value of this many windows.

        Raises
        ------
        MuchoChildError
            If the function's `finish` raises.
        ResultError
            If the value cannot be written.
        """
        if not self._spec.is_streamed:
            self.value = self._merger.total
            if self._finish is not None:
                try:
                    self.value = call_user(self._finish, "finish", self.value)
                except MuchoChildError as exc:
                    exc.done = windows
                    raise
            if self.output.path is not None:
                self._write(self.value)
        if self._not_finite:
            log.warning(
                "%s: NaN and infinite numbers are null in JSON: %d",
                *(self._shown, self._not_finite),
            )

    def _write(self, value: Any) -> None:
        try:
            plain = plain_value(value)
            if self._spec.format == "json":
                text, self._not_finite = pretty_json(plain)
                content = f"{text}\n".encode()
            else:
                lines = make_lines(plain, self._spec.format)
                self._not_finite = lines.not_finite
                content = header_line(lines.columns) if lines.columns else b""
                content += lines.content
        except (ValueNotSupportedError, RecursionError) as exc:
            raise ResultError(
                f"the merged value cannot be written to {self._shown}: it has {exc}"
            ) from None
        self.writer.make_output(content)

    def count_bytes(self) -> int:
        """Return the size of the finished, unpublished output in bytes; 0 without a file."""
        target = self.writer.target
        return 0 if target is None else int(target.temporary.stat().st_size)


def open_value_streams(
    plans: Sequence[ValuePlan],
    *,
    overwrite: bool,
    replaceable: Sequence[str],
    inputs: Sequence[str],
    resume: bool,
) -> list[ValueStream]:
    """Open all value outputs, or none.

    Raises
    ------
    OutputError
        If an output exists and may not be replaced, or cannot be created.
    """
    streams: list[ValueStream] = []
    writers: list[ValueWriter] = []
    with discarded_on_error(writers):
        for plan in plans:
            path, target = plan.output.local_path, None
            if path is not None:
                target = open_target(
                    path,
                    overwrite=overwrite or path in replaceable,
                    inputs=inputs,
                    resume=resume,
                )
            writer = ValueWriter(target, is_streamed=plan.spec.is_streamed)
            writers.append(writer)
            streams.append(ValueStream(plan, writer))
    return streams
