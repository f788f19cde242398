"""Write mosaics: each part is one task, which a worker computes, writes and publishes."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.engine.output_stream import OutputStream, open_streams, write_windows
from rio_mucho_cli.engine.overviews import make_remaining_overviews
from rio_mucho_cli.engine.report import Failure
from rio_mucho_cli.engine.scheduling import Task
from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import MuchoChildError, MuchoError, ResultError
from rio_mucho_cli.geotiff.block_table import is_whole
from rio_mucho_cli.outputs.files import flush_file, flush_folder, open_to_read, write_private
from rio_mucho_cli.outputs.mosaic import MosaicWriter
from rio_mucho_cli.outputs.mosaic_folder import RECORD, RunFolder, remove_any
from rio_mucho_cli.outputs.remote_target import RemoteFolder
from rio_mucho_cli.outputs.statistics import BandStatistics
from rio_mucho_cli.outputs.target import Target, publish
from rio_mucho_cli.outputs.value_text import Lines, from_journal, to_journal
from rio_mucho_cli.outputs.values import ValueNotSupportedError, plain_value
from rio_mucho_cli.outputs.vrt import PartFile
from rio_mucho_cli.outputs.writer import Writer, discarded_on_error, finish_all
from rio_mucho_cli.planning.mosaic import MosaicPart
from rio_mucho_cli.system import peak_memory, worker_name
from rio_mucho_cli.text import option
from rio_mucho_cli.timing import StageTime, StageTimes, Stopwatch, WindowTiming
from rio_mucho_cli.windows import PlannedWindow, Size
from rio_mucho_cli.workers.context import ResultType
from rio_mucho_cli.workers.control import is_stopped, note_progress, stop
from rio_mucho_cli.workers.local import SerialExecutor
from rio_mucho_cli.workers.merging import Merger, find_mergings, join_lines
from rio_mucho_cli.workers.window import (
    OutputResult,
    WindowResult,
    context_of,
    in_environment,
    run_window,
)

_MOST = 64 * 1024 * 1024
# Errors of missing files, and of JSON with unexpected content.
_NONSENSE = (
    OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, ArithmeticError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PartRecord:
    """Record of one file of a complete part, kept beside it.

    Attributes
    ----------
    result : OutputResult or None
        File of the part; None if no window of the part has a result.
    first : PlannedWindow or None
        First window with a result; it determined count and dtype.
    failed : sequence of Failure
        Windows of the part that failed.
    values : tuple
        The part's values; in the record of the first output only.
    """

    result: OutputResult | None
    first: PlannedWindow | None
    failed: Sequence[Failure] = ()
    values: tuple[Any, ...] = ()

    def write(self, path: Path) -> None:
        """Write the record as JSON to a temporary path."""
        failed = [failure.as_json() for failure in self.failed]
        entries: dict[str, Any] = {"result_type": None, "failed": failed}
        if self.result is not None and self.first is not None:
            file: Any = self.result.data
            first = self.first
            entries |= {
                "result_type": self.result.result_type,
                "statistics": [band.as_json() for band in self.result.statistics],
                "first": [[int(value) for value in first.window.flatten()], list(first.ij)],
                "block": file.block,
                "overviews": file.overviews,
                "bytes": file.nbytes,
                "values": [to_journal(value).decode("ascii") for value in self.values],
            }
        write_private(path, json.dumps(entries))

    @classmethod
    def read(cls, part: Path) -> PartRecord | None:
        """Return the record of a part's file, or None if the part is incomplete.

        Record and file are both checked, because a killed run may have left
        either of them damaged.
        """
        with suppress(*_NONSENSE):
            with open_to_read(part.with_name(part.name + RECORD)) as text:
                entries = json.loads(text.read(_MOST))
            failed = [Failure.from_json(value) for value in entries["failed"]]
            if entries["result_type"] is None:
                return cls(None, None, failed)
            (*ends,), (row, col) = entries["first"]
            window = Window(*map(int, ends))
            first = PlannedWindow(window, (int(row), int(col)), window)
            count, dtype, masked = entries["result_type"]
            result_type = ResultType(int(count), str(np.dtype(dtype).name), bool(masked))
            statistics = tuple(map(BandStatistics.from_json, entries["statistics"]))
            width, height = map(int, entries["block"])
            overviews = tuple(map(int, entries["overviews"]))
            file = PartFile(part.name, Size(width, height), overviews, int(entries["bytes"]))
            values = tuple(from_journal(value.encode()) for value in entries["values"])
            if _is_complete(part, file.nbytes):
                return cls(OutputResult(result_type, file, statistics), first, failed, values)
        return None


def _is_complete(path: Path, size: int) -> bool:
    """Return whether a file has this size and every block in its block tables."""
    with open_to_read(path) as file:
        if os.fstat(file.fileno()).st_size != size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return is_whole(data)


@dataclass
class PartResult:
    """Result of one part.

    Attributes
    ----------
    results : tuple of OutputResult
        File of each output; empty if no window has a result.
    first : PlannedWindow or None
        First window with a result; it determined count and dtype.
    failed : list of Failure
        Windows that are nodata because the function raised.
    traceback : str
        Traceback of the first failure.
    messages : tuple of str
        Messages captured from GDAL.
    timings : list of WindowTiming or None
        Times of each window; None where the function raised.
    ending : WindowTiming
        Time after the last window.
    values : tuple
        The part's value for each value output; empty if no window has one.
    """

    results: tuple[OutputResult, ...] = ()
    first: PlannedWindow | None = None
    failed: list[Failure] = field(default_factory=list)
    traceback: str = ""
    messages: tuple[str, ...] = ()
    timings: list[WindowTiming | None] = field(default_factory=list)
    ending: WindowTiming = WindowTiming()
    values: tuple[Any, ...] = ()

    @classmethod
    def of_records(cls, records: Sequence[PartRecord]) -> PartResult:
        """Return the result of a part that an earlier run completed."""
        results = tuple(record.result for record in records if record.result is not None)
        first = records[0]
        return cls(results, first.first, list(first.failed), values=first.values)

    def add(
        self, planned: PlannedWindow, outcome: WindowResult | MuchoChildError, write: StageTimes
    ) -> None:
        """Add the outcome of a window."""
        if isinstance(outcome, MuchoChildError):
            self.traceback = self.traceback or outcome.formatted
            self.failed.append(Failure(planned.window, planned.ij, str(outcome.args[0])))
            self.timings.append(None)
            return
        assert outcome.timing is not None
        self.timings.append(replace(outcome.timing, stages=outcome.timing.stages + write))
        if outcome.results and self.first is None:
            self.first = planned


@contextmanager
def stopped_on_error(run_id: str) -> Iterator[None]:
    """Stop threads of this process that work on parts, soon after an error."""
    try:
        yield
    except BaseException:
        stop(run_id)
        raise


def run_part(run_id: str, part: MosaicPart) -> PartResult | MuchoError:
    """Write and publish one part; return its result, or the error.

    Parameters
    ----------
    run_id : str
        Id of the run.
    part : MosaicPart
        Part with the paths of its files.
    """
    try:
        with in_environment(run_id), captured_messages() as messages:
            result = _write_part(run_id, part)
            result.messages = tuple(dict.fromkeys(messages))
            return result
    except MuchoError as exc:
        return exc


def _write_part(run_id: str, part: MosaicPart) -> PartResult:
    result = PartResult()
    values = _part_values(run_id)
    streams = open_streams(part.outputs, overwrite=True, leaves_out=part.leaves_out)
    writers = [stream.writer for stream in streams]
    with discarded_on_error(writers):
        write_windows(
            streams,
            _results(run_id, part),
            result.add,
            tolerant=part.tolerant,
            shifted=part.shifted,
            values=values,
        )
        if result.first:
            totals = (value.total for value in values)
            result.values = tuple(map(_to_record, totals) if part.records else totals)
        stopwatch = Stopwatch()
        if result.first is None:
            _discard_empty(part, writers, result.failed)
            stages = StageTimes(write=stopwatch.split())
        else:
            for stream in streams:
                for _ in make_remaining_overviews(SerialExecutor(), run_id, 1, stream):
                    pass
                stream.describe()
            stages = StageTimes(encode=stopwatch.split())
            finish_all(writers)
            result.results = tuple(map(_output_result, streams))
            _publish(run_id, part, [writer.target for writer in writers], result)
            stages += StageTimes(write=stopwatch.split())
    result.ending = WindowTiming(worker_name(), stopwatch.started, stages, peak_memory())
    return result


class _PartLines:
    """The lines of a part of an output that is written line by line."""

    def __init__(self) -> None:
        self.total = Lines(b"")

    def append(self, lines: Lines) -> None:
        """Append the lines of a window."""
        self.total = join_lines(self.total, lines)


def _to_record(total: Any) -> Any:
    """Return a part's value as its record gives it back."""
    if isinstance(total, Lines):
        return total
    try:
        return plain_value(total)
    except (ValueNotSupportedError, RecursionError) as exc:
        raise ResultError(
            f"merge returned {exc}: {option('resume')} keeps the values of parts as JSON"
        ) from None


def _part_values(run_id: str) -> list[Merger | _PartLines]:
    """Return what merges the values of a part, for each value output."""
    context = context_of(run_id)
    if not context.values:
        return []
    merges = tuple(spec.merge for spec in context.values)
    mergings = find_mergings(context.function, context.global_args, merges)
    return [
        _PartLines() if spec.is_streamed else Merger(merging.merge)
        for spec, merging in zip(context.values, mergings, strict=True)
    ]


def _results(
    run_id: str, part: MosaicPart
) -> Iterator[tuple[PlannedWindow, WindowResult | MuchoError, StageTime]]:
    """Compute windows one by one; yield each with its result and a transfer time of 0."""
    specs = [plan.spec for plan in part.outputs]
    for number, planned in enumerate(part.windows):
        _raise_if_stopped(run_id)
        note_progress(number)
        yield planned, run_window(run_id, planned, specs), StageTime()
    note_progress(len(part.windows))


def _raise_if_stopped(run_id: str) -> None:
    if is_stopped(run_id):
        raise MuchoError("the run has ended")


def _discard_empty(part: MosaicPart, writers: Sequence[Writer], failed: Sequence[Failure]) -> None:
    """Discard the files of an empty part; a VRT reads as nodata where a part is missing."""
    for writer in writers:
        writer.discard()
    if part.records:
        for plan in part.outputs:
            path = Path(plan.output.path)
            new = path.with_name(f".mucho-{path.name}{RECORD}")
            PartRecord(None, None, failed).write(new)
            new.replace(path.with_name(path.name + RECORD))


def _publish(run_id: str, part: MosaicPart, targets: Sequence[Target], result: PartResult) -> None:
    """Publish finished files together with their records."""
    if part.records:
        values = result.values
        for target, output_result in zip(targets, result.results, strict=True):
            file = target.temporary
            flush_file(file)
            PartRecord(output_result, result.first, result.failed, values).write(
                file.with_name(file.name + RECORD)
            )
            values = ()
    _raise_if_stopped(run_id)
    publish(targets)
    if part.records:
        for plan in part.outputs:
            flush_folder(Path(plan.output.path).parent)


def _output_result(stream: OutputStream) -> OutputResult:
    """Return the result of an output that is finished but not yet published."""
    assert stream.result_type is not None
    file = PartFile.of(stream.writer.target.temporary)
    return OutputResult(stream.result_type, file, stream.statistics, stream.value_loss)


Folder: TypeAlias = RunFolder | RemoteFolder


def folders_of(streams: Sequence[OutputStream]) -> list[Folder]:
    """Return the folder of this run's parts for each output."""
    return [cast("MosaicWriter", stream.writer).folder for stream in streams]


def finished_parts(
    parts: Sequence[MosaicPart], folders: Sequence[Folder]
) -> dict[tuple[int, int], PartResult]:
    """Return results of parts that an earlier run completed, by ij.

    Files of incomplete parts are removed, because writing would follow a
    link left in their place.
    """
    finished = {}
    for part in parts:
        paths = [Path(folder.part_path(part.name)) for folder in folders]
        records = [PartRecord.read(path) for path in paths]
        known = [record for record in records if record is not None]
        if len(known) == len(folders) and len({record.first for record in known}) == 1:
            finished[part.ij] = PartResult.of_records(known)
        else:
            for path in paths:
                remove_any(path)
                remove_any(path.with_name(path.name + RECORD))
    return finished


def tasks_of(
    run_id: str, parts: Sequence[MosaicPart], folders: Sequence[Folder]
) -> Iterator[Task[MosaicPart]]:
    """Yield a task for each part.

    Parameters
    ----------
    run_id : str
        Id of the run.
    parts : sequence of MosaicPart
    folders : sequence of Folder
        Folder of the parts for each output.
    """
    for part in parts:
        yield Task(
            part,
            run_part,
            (run_id, part.with_paths([folder.part_path(part.name) for folder in folders])),
        )
