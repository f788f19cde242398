"""One part of a mosaic from start to end, in a worker: its windows, its file, its place.

    work_part(key, part) ──▶ window 0 ─▶ window 1 ─▶ … ─▶ overviews, statistics ─▶ rename
                                                               PartResult, or the MuchoError

It is what the calling process does for an output that is one file, with one
window after the other. Only what is said of the part leaves the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rio_mucho_cli.delivery import Delivery
from rio_mucho_cli.errors import MuchoChildError, MuchoError, ResultError
from rio_mucho_cli.executors.serial import SerialExecutor
from rio_mucho_cli.finishing import make_rest
from rio_mucho_cli.inputs.windows import PlannedWindow
from rio_mucho_cli.ordered import Task
from rio_mucho_cli.outputs.durable import flush_file, flush_folder
from rio_mucho_cli.outputs.gdal import messages
from rio_mucho_cli.outputs.parts_folder import RECORD
from rio_mucho_cli.outputs.target import publish
from rio_mucho_cli.outputs.vrt import PartFile
from rio_mucho_cli.outputs.writers import Writer, discarded_on_error, finish_all
from rio_mucho_cli.part_records import Record
from rio_mucho_cli.parts import Part
from rio_mucho_cli.report import Failure
from rio_mucho_cli.stages import Stages, Stopwatch, Timing, peak_memory, worker_name
from rio_mucho_cli.work.worker import (
    Piece,
    in_environment,
    is_fatal,
    is_stopped,
    note_progress,
    stop,
    work,
)


@dataclass(frozen=True, slots=True)
class PartResult:
    """What came of one part.

    Attributes
    ----------
    pieces : tuple of Piece
        One for each output, with the file in which it lies; none if nothing
        came of any window.
    first : (window, ij), or None
        The window that settled the form of the pieces.
    failed : tuple of Failure
        Windows that are nodata because their function raised.
    traceback : str
        Of the first one of them.
    said : tuple of str
        What GDAL warned of.
    timings : tuple of Timing, or None
        Of its windows; None for those whose function raised.
    ending : Timing
        Of what followed after the last one.
    """

    pieces: tuple[Piece, ...]
    first: PlannedWindow | None = None
    failed: tuple[Failure, ...] = ()
    traceback: str = ""
    said: tuple[str, ...] = ()
    timings: tuple[Timing | None, ...] = ()
    ending: Timing = Timing()

    @classmethod
    def of_records(cls, records: Sequence[Record]) -> PartResult:
        """Take it from what an earlier run has left."""
        pieces = tuple(record.piece for record in records if record.piece is not None)
        return cls(pieces, records[0].first, tuple(records[0].failed))


@contextmanager
def stopped_on_error(key: str) -> Iterator[None]:
    """Have parts that are being worked on in threads of this process end soon after an error."""
    try:
        yield
    except BaseException:
        stop(key)
        raise


def work_part(key: str, part: Part) -> PartResult | MuchoError:
    """Work on one part, and put it into its place; return what came of it, or what went wrong.

    Parameters
    ----------
    key : str
        The name of the run.
    part : Part
        With the paths of its files.
    """
    try:
        with in_environment(key), messages() as said:
            return replace(_Work(key, part).run(), said=tuple(dict.fromkeys(said)))
    except MuchoError as exc:
        return exc


@dataclass
class _Work:
    """The work on one part, and what has come of it."""

    key: str
    part: Part
    pieces: tuple[Piece, ...] = ()
    first: PlannedWindow | None = None
    failed: list[Failure] = field(default_factory=list)
    traceback: str = ""
    timings: list[Timing | None] = field(default_factory=list)
    ending: Timing = Timing()

    def run(self) -> PartResult:
        deliveries: list[Delivery] = []
        writers: list[Writer] = []
        with discarded_on_error(writers):
            for plan in self.part.outputs:
                deliveries.append(
                    Delivery.to(plan, overwrite=True, leaves_out=self.part.leaves_out)
                )
                writers.append(deliveries[-1].writer)
            for number, planned in enumerate(self.part.windows):
                self._check()
                note_progress(number)
                self._take(deliveries, planned, number)
            note_progress(len(self.part.windows))
            if self.first is None:
                self._leave_out(deliveries)
            else:
                self._finish(deliveries)
        return PartResult(
            self.pieces,
            self.first,
            tuple(self.failed),
            self.traceback,
            timings=tuple(self.timings),
            ending=self.ending,
        )

    def _check(self) -> None:
        if is_stopped(self.key):
            raise MuchoError("the run has ended")

    def _take(self, deliveries: Sequence[Delivery], planned: PlannedWindow, done: int) -> None:
        """Work on one window, and append what came of it."""
        window, ij = planned
        outcome = work(self.key, planned, [plan.wanted for plan in self.part.outputs])
        if isinstance(outcome, MuchoError):
            if is_fatal(outcome, tolerant=self.part.tolerant):
                if isinstance(outcome, MuchoChildError):
                    outcome.done = done
                raise outcome
            assert isinstance(outcome, MuchoChildError)
            self.traceback = self.traceback or outcome.formatted
            self.failed.append(Failure(window, ij, str(outcome.args[0])))
            self.timings.append(None)
            return
        watch = Stopwatch()
        try:
            for delivery, piece in zip(deliveries, outcome.pieces, strict=False):
                delivery.append(self.part.shifted(window), ij, piece)
        except ResultError as exc:
            raise exc.at(window, ij) from None  # it knows the window of the part only
        assert outcome.timing is not None
        stages = outcome.timing.stages + Stages(write=watch.split())
        self.timings.append(replace(outcome.timing, stages=stages))
        if outcome.pieces and self.first is None:
            self.first = planned

    def _leave_out(self, deliveries: Sequence[Delivery]) -> None:
        """Make no file: where a VRT has no part, it has what a file without windows has."""
        watch = Stopwatch()
        for delivery, plan in zip(deliveries, self.part.outputs, strict=True):
            delivery.writer.discard()
            if self.part.records:
                path = Path(plan.output.path)
                new = path.with_name(f".mucho-{path.name}{RECORD}")
                Record(None, None, self.failed).write(new)
                new.replace(path.with_name(path.name + RECORD))
        stages = Stages(write=watch.split())
        self.ending = Timing(worker_name(), watch.started, stages, peak_memory())

    def _finish(self, deliveries: Sequence[Delivery]) -> None:
        """Complete the files, and put them into their places with their records."""
        watch = Stopwatch()
        for delivery in deliveries:
            for _ in make_rest(SerialExecutor(), self.key, 1, delivery, _nobody):
                pass
            delivery.describe()
        encode = watch.split()
        finish_all([delivery.writer for delivery in deliveries])
        self.pieces = tuple(map(_piece, deliveries))
        if self.part.records:
            for delivery, piece in zip(deliveries, self.pieces, strict=True):
                file = delivery.writer.target.temporary
                flush_file(file)
                Record(piece, self.first, self.failed).write(file.with_name(file.name + RECORD))
        self._check()
        publish([delivery.writer.target for delivery in deliveries])
        if self.part.records:
            for plan in self.part.outputs:
                flush_folder(Path(plan.output.path).parent)
        stages = Stages(encode=encode, write=watch.split())
        self.ending = Timing(worker_name(), watch.started, stages, peak_memory())


def _piece(delivery: Delivery) -> Piece:
    """Say what a file is that is complete, and not in its place yet."""
    assert delivery.form is not None
    return Piece(
        delivery.form,
        PartFile.of(delivery.writer.target.temporary),
        delivery.statistics,
        delivery.misfits,
    )


def _nobody(task: Task[Any], lost: BrokenExecutor, others: Sequence[Future[Any]], /) -> Any:
    """Do nothing about workers that die: there are none beside this one."""
    raise lost
