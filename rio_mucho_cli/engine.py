"""Run a job: plan, hand windows out, write what comes back in order, commit.

    Job ─▶ plan ─▶ windows ─▶ batch ─▶ submit ─▶ ≤ 2 × jobs in flight ─▶ append ─▶ commit ─▶ Report
                                ▲                                          │
                                └─────────── one written, one more ◀───────┘

Results are taken in the order of the windows, and a batch of windows is handed
out only when an earlier one has been written. Bounded memory and the same
bytes for every number of jobs follow from that.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from rasterio.env import env_ctx_if_needed

from rio_mucho_cli import interrupts
from rio_mucho_cli.batches import Batches
from rio_mucho_cli.deaths import Retries
from rio_mucho_cli.delivery import Delivery, open_deliveries
from rio_mucho_cli.environment import (
    cache_held,
    patient_with_servers,
    without_georeferencing_warnings,
)
from rio_mucho_cli.errors import MuchoChildError, MuchoError, ResultError
from rio_mucho_cli.executors import LOCAL, name_of, open_executor, room_in, usable_cpus
from rio_mucho_cli.fingerprint import check_inputs, fingerprint
from rio_mucho_cli.finishing import count_windows, make_rest
from rio_mucho_cli.inputs.windows import PlannedWindow
from rio_mucho_cli.job import Job
from rio_mucho_cli.mosaics import folders_of, kept_parts, work_on_parts
from rio_mucho_cli.ordered import Recover, Task, in_order
from rio_mucho_cli.outputs.writers import commit_all, discarded_on_error
from rio_mucho_cli.part_work import PartResult, stopped_on_error
from rio_mucho_cli.parts import Part
from rio_mucho_cli.plan import Plan, make_plan, order_for
from rio_mucho_cli.progress import Listener, OverviewDone, RunStarted, WindowDone, ignore
from rio_mucho_cli.report import Failure, Report
from rio_mucho_cli.resuming import check_can_resume, done_outputs, is_done, with_earlier_windows
from rio_mucho_cli.work.worker import Piece, Result, is_fatal, work_all

log = logging.getLogger(__name__)


def run(job: Job, listen: Listener = ignore) -> Report:
    """Run a job.

    Parameters
    ----------
    job : Job
    listen : callable
        Gets a RunStarted, then a WindowDone for each window.

    Returns
    -------
    Report

    Raises
    ------
    MuchoError
        Of the class that fits the cause. There is no new output then, and an
        old one is as it was.
    """
    with (
        interrupts.once(),
        env_ctx_if_needed(),
        patient_with_servers(),
        without_georeferencing_warnings(),
    ):
        return _Run(job, listen).run()
    raise AssertionError("the process should have ended by a signal")


@dataclass
class _Run:
    job: Job
    listen: Listener
    started: float = field(default_factory=time.perf_counter)
    done: int = 0
    read_seconds: float = 0.0
    call_seconds: float = 0.0
    encode_seconds: float = 0.0
    write_seconds: float = 0.0
    committed: bool = False
    failed: list[Failure] = field(default_factory=list)
    retried: int = 0
    resumed: int = 0
    # Of a mosaic: what came of parts that an earlier run has completed, by their ij.
    kept: Mapping[tuple[int, int], PartResult] = field(default_factory=dict)
    # Windows that have failed and are in no journal yet.
    unnoted: list[Failure] = field(default_factory=list)

    def run(self) -> Report:
        if self.job.resume:
            check_can_resume(self.job)
        plan = make_plan(with_earlier_windows(self.job))
        log.info("%d windows, %d jobs (%s)", len(plan.windows), plan.jobs, name_of(plan.executor))
        run = fingerprint(self.job, plan.windows) if self.job.resume else None
        try:
            if run is None or not is_done(self.job, run):
                self._run(plan, run)
        except interrupts.INTERRUPTS:
            if not self.committed:
                raise  # else the output is there: it came too late
        return Report(
            windows=self.done,
            executor=name_of(plan.executor),
            jobs=plan.jobs,
            seconds=time.perf_counter() - self.started,
            read_seconds=self.read_seconds,
            call_seconds=self.call_seconds,
            encode_seconds=self.encode_seconds,
            write_seconds=self.write_seconds,
            failed=tuple(self.failed),
            retried=self.retried,
            resumed=self.resumed,
        )

    def _run(self, plan: Plan, run: Mapping[str, Any] | None) -> None:
        """Work on all windows that an earlier run has not done, and commit."""
        job = self.job
        key = uuid.uuid4().hex
        ours = [] if run is None else done_outputs(job, run)
        deliveries = open_deliveries(job, plan.outputs, replaceable=ours)
        writers = [delivery.writer for delivery in deliveries]
        with discarded_on_error(writers), cache_held(plan.cache), ExitStack() as stack:
            if run is not None:
                self._take_up(deliveries, run, plan)
            executor = stack.enter_context(
                open_executor(plan.executor, plan.jobs, key, order_for(job, plan), job.scheduler)
            )
            self.listen(RunStarted(len(plan.windows), count_windows(deliveries), self.done))
            recover = Retries(executor, job.retries, tolerant=job.on_error == "nodata")
            if plan.parts:
                with stopped_on_error(key):
                    self._work_on_parts(executor, key, plan, deliveries, recover)
            else:
                rest = plan.windows[self.done :]
                for planned, outcome in _work_on_windows(executor, key, plan, rest, recover):
                    self._append(deliveries, planned, self._accepted(outcome))
            bands = sum(len(each.indexes) for each in plan.reading.inputs[:1])
            for delivery in deliveries:
                delivery.begin_with_nothing(bands)
            self.retried = recover.count
            self._make_overviews(executor, key, plan, deliveries)
            for delivery in deliveries:
                delivery.describe()
            if run is not None:
                check_inputs(job, run)
            started = time.perf_counter()
            commit_all(writers)
            self.committed = True
            self.write_seconds += time.perf_counter() - started

    def _take_up(self, deliveries: Sequence[Delivery], run: Mapping[str, Any], plan: Plan) -> None:
        """Find out what an earlier run has done, and go on from there."""
        overwrite = self.job.overwrite
        done = min(
            delivery.open_log(run, plan.windows, overwrite=overwrite) for delivery in deliveries
        )
        if plan.parts:
            self.kept = kept_parts(plan.parts, folders_of(deliveries))
            done = sum(len(part.windows) for part in plan.parts if part.ij in self.kept)
            self.done = self.resumed = done
            log.info("%d of %d parts are done", len(self.kept), len(plan.parts))
        elif not done:
            # One of them has begun anew: so do the others.
            for delivery in deliveries:
                delivery.writer.restrict(0)
        else:
            for delivery in deliveries:
                self.failed = delivery.restore(done)
            self.done = self.resumed = done
            log.info("%d of %d windows are done", done, len(plan.windows))

    def _work_on_parts(
        self,
        executor: Executor,
        key: str,
        plan: Plan,
        deliveries: Sequence[Delivery],
        recover: Recover,
    ) -> None:
        """Work on all parts of a mosaic that no earlier run has completed."""
        folders, told = folders_of(deliveries), set[str]()
        for part, outcome in work_on_parts(
            executor, key, plan.parts, folders, self.kept, plan.in_flight, recover
        ):
            if isinstance(outcome, MuchoError):
                if isinstance(outcome, MuchoChildError):
                    outcome.done += self.done
                raise outcome
            for message in dict.fromkeys(outcome.said):
                if message not in told:
                    log.warning("%s", message)
                    told.add(message)
            if outcome.traceback and not self.failed:
                log.warning("%s", outcome.traceback.rstrip())
            self.failed += outcome.failed
            for delivery, piece in zip(deliveries, outcome.pieces, strict=False):
                self._append_part(delivery, part, piece, outcome.first)
            self.read_seconds += outcome.read_seconds
            self.call_seconds += outcome.call_seconds
            self.encode_seconds += outcome.encode_seconds
            self.write_seconds += outcome.write_seconds
            for window, ij in part.windows if part.ij not in self.kept else ():
                self.done += 1
                self.listen(WindowDone(window, ij, self.done))

    def _append_part(
        self, delivery: Delivery, part: Part, piece: Piece, first: PlannedWindow | None
    ) -> None:
        """Take note of a part; the window that gave it its form is named if that is another."""
        try:
            delivery.append(part.window, part.ij, piece)
        except ResultError as exc:
            raise exc.at(*(first or (part.window, part.ij))) from None

    def _accepted(self, outcome: Result | MuchoError) -> Result:
        """Return a result; of a window whose function raised, an empty one, if that is wanted."""
        if not isinstance(outcome, MuchoError):
            return outcome
        if is_fatal(outcome, tolerant=self.job.on_error == "nodata"):
            if isinstance(outcome, MuchoChildError):
                outcome.done = self.done
            raise outcome
        if not self.failed:
            log.warning("%s", cast("MuchoChildError", outcome).formatted.rstrip())
        self.failed.append(Failure(outcome.window, outcome.ij, str(outcome.args[0])))
        self.unnoted.append(self.failed[-1])
        return Result((), 0.0, 0.0, 0.0)

    def _append(
        self, deliveries: Sequence[Delivery], planned: PlannedWindow, result: Result
    ) -> None:
        """Write what came of a window; of one that was skipped, nothing did."""
        window, ij = planned
        started = time.perf_counter()
        for delivery, piece in zip(deliveries, result.pieces, strict=False):
            delivery.append(window, ij, piece)
        if self.job.resume:
            noted = [delivery.note(self.done, self.unnoted) for delivery in deliveries]
            self.unnoted = [] if all(noted) else self.unnoted
        self.write_seconds += time.perf_counter() - started
        self.read_seconds += result.read_seconds
        self.call_seconds += result.call_seconds
        self.encode_seconds += result.encode_seconds
        self.done += 1
        self.listen(WindowDone(window, ij, self.done))

    def _make_overviews(
        self, executor: Executor, key: str, plan: Plan, deliveries: Sequence[Delivery]
    ) -> None:
        """Make the overviews that windows did not have, where the files are: on this machine."""
        if not any(delivery.plan.pyramid for delivery in deliveries):
            return
        started = time.perf_counter()
        with ExitStack() as stack:
            if plan.executor not in LOCAL:
                key = uuid.uuid4().hex
                order = order_for(self.job, plan)
                near = open_executor("processes", usable_cpus(), key, order)
                executor = stack.enter_context(near)
            recover = Retries(executor, self.job.retries, tolerant=False)
            for delivery in deliveries:
                for level, window in make_rest(executor, key, plan.in_flight, delivery, recover):
                    self.listen(OverviewDone(level, window))
            self.retried += recover.count
        self.encode_seconds += time.perf_counter() - started


def _work_on_windows(
    executor: Executor,
    key: str,
    plan: Plan,
    windows: Sequence[PlannedWindow],
    recover: Recover,
) -> Iterator[tuple[PlannedWindow, Result | MuchoError]]:
    """Hand out windows, some at once, and yield what came of them in order."""
    room = room_in(executor, plan.in_flight)
    batches = Batches(len(windows), room())

    def tasks() -> Iterator[Task[list[PlannedWindow]]]:
        rest = iter(windows)
        while batch := list(islice(rest, batches.next_size())):
            yield Task(batch, work_all, (key, batch))

    for batch, outcomes in in_order(executor, tasks(), room, recover):
        for planned in batch[: len(outcomes)]:
            outcome = outcomes.pop(0)
            if isinstance(outcome, Result) and outcome.pieces:
                batches.measure(outcome.seconds, outcome.nbytes)
            yield planned, outcome
            del outcome
