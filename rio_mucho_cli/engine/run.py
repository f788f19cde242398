"""Run a job: plan, submit windows, append results in order, publish outputs.

    Job ─▶ plan ─▶ windows ─▶ batch ─▶ submit ─▶ ≤ 2 × jobs in flight ─▶ append ─▶ commit ─▶ Report
                                ▲                                          │
                                └─────────── one written, one more ◀───────┘

Results are written in the order of the windows, and a batch is submitted only
once an earlier one is written. This bounds memory, and makes outputs identical
for any number of jobs.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from rasterio.env import env_ctx_if_needed

from rio_mucho_cli import signals
from rio_mucho_cli.engine.events import Listener, OverviewDone, PlanListener, ignore
from rio_mucho_cli.engine.output_stream import OutputStream, open_streams, write_windows
from rio_mucho_cli.engine.overviews import count_windows, make_remaining_overviews
from rio_mucho_cli.engine.report import Failure, Report
from rio_mucho_cli.engine.retries import Retries
from rio_mucho_cli.engine.run_state import RunState
from rio_mucho_cli.engine.scheduling import BatchSizer, Recover, Task, TaskClock, in_order
from rio_mucho_cli.env import (
    http_retries,
    layout_options,
    limited_block_cache,
    without_georeferencing_warnings,
    without_layout_options,
)
from rio_mucho_cli.errors import MuchoChildError, MuchoError, ResultError, one_line
from rio_mucho_cli.job import Job
from rio_mucho_cli.outputs.writer import discarded_on_error, finish_all, publish_all
from rio_mucho_cli.planning.fingerprint import (
    check_can_resume,
    check_inputs,
    done_outputs,
    fingerprint,
    is_done,
    warn_of_leftovers,
)
from rio_mucho_cli.planning.plan import Plan, make_plan, run_context
from rio_mucho_cli.system import allow_open_files, open_file_errors_explained, usable_cpus
from rio_mucho_cli.text import format_count
from rio_mucho_cli.timing import StageTime, StageTimes, Stopwatch
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers.executor import (
    LOCAL,
    executor_name,
    max_in_flight,
    open_executor,
)
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.window import WindowResult, run_windows

if TYPE_CHECKING:
    from rio_mucho_cli.engine.mosaics import PartResult
    from rio_mucho_cli.engine.values import ValueStream

log = logging.getLogger(__name__)

AnyStream: TypeAlias = "OutputStream | ValueStream"

# Most files that an output or a worker has open in the main process.
_FILES_OF_EACH = 8


def run_job(job: Job, listen: Listener = ignore) -> Report:
    """Run a job and return its Report.

    Parameters
    ----------
    job : Job
    listen : callable
        Listener that gets a RunStarted, then a WindowDone for each window.

    Raises
    ------
    MuchoError
        If the run fails; subclasses tell why. There is no new output, and an
        existing file is untouched.
    """
    with (
        signals.reraised_to_default(),
        open_file_errors_explained(),
        env_ctx_if_needed(),
        http_retries(),
        without_georeferencing_warnings(),
    ):
        ignored = layout_options()
        with without_layout_options():
            return _Run(job, listen, ignored).run()
    raise AssertionError("the process should have ended by a signal")


class _Run:
    def __init__(self, job: Job, listen: Listener, ignored: Sequence[str] = ()) -> None:
        started = time.perf_counter()
        if job.resume:
            check_can_resume(job)
        if isinstance(job.function, FunctionRef):
            job = replace(job, function=job.function.pinned())
        self.job = job
        self.plan = make_plan(job)
        if ignored and any(output.overviews is not None for output in self.plan.outputs):
            log.warning(
                "overviews are stored in the file and compressed like the raster: %s ignored",
                " and ".join(ignored) + (" are" if len(ignored) > 1 else " is"),
            )
        self.state = RunState(self.plan, listen, started)
        if isinstance(listen, PlanListener):
            listen.on_plan(self.plan, self.state.report)
        self.committed = False
        # Results of a mosaic's parts that an earlier run completed, by ij.
        self.finished: Mapping[tuple[int, int], PartResult] = {}
        # Failures that are not in the journal yet.
        self.unrecorded: list[Failure] = []

    def run(self) -> Report:
        plan = self.plan
        windows = format_count(len(plan.windows), "window")
        log.info(
            "%s, %s (%s)", windows, format_count(plan.jobs, "job"), executor_name(plan.executor)
        )
        run = fingerprint(self.job, plan.windows) if self.job.resume else None
        try:
            if run is not None and is_done(self.job, run):
                self.state.resume(len(plan.windows))
                self._commit()
            else:
                self._run(plan, run)
        except Exception as exc:
            if not self.committed:
                raise
            log.warning("the output is complete, but then: %s", one_line(exc))
        return self.state.end()

    def _run(self, plan: Plan, run: Mapping[str, Any] | None) -> None:
        """Compute the windows that an earlier run did not finish, and publish."""
        job = self.job
        run_id = uuid.uuid4().hex
        ours = [] if run is None else done_outputs(job, run)
        inputs = job.input_paths
        allow_open_files(_FILES_OF_EACH * (len(job.outputs) + plan.jobs))
        streams = open_streams(
            plan.outputs,
            overwrite=job.overwrite,
            replaceable=ours,
            inputs=inputs,
            resume=job.resume,
            leaves_out=job.leaves_out,
        )
        writers: list[Any] = [stream.writer for stream in streams]
        with discarded_on_error(writers), limited_block_cache(plan.cache), ExitStack() as stack:
            values: list[ValueStream] = []
            if plan.values:
                from rio_mucho_cli.engine.values import open_value_streams

                values = open_value_streams(
                    plan.values,
                    overwrite=job.overwrite,
                    replaceable=ours,
                    inputs=inputs,
                    resume=job.resume and not plan.parts,  # a part keeps its values itself
                )
            writers += [stream.writer for stream in values]
            if run is not None:
                self._resume(streams, values, run, plan)
            executor = stack.enter_context(
                open_executor(
                    plan.executor, plan.jobs, run_id, run_context(job, plan), job.scheduler
                )
            )
            rest = self._rest(plan)
            self.state.start(rest, count_windows(streams))
            tolerant = job.on_error == "nodata"
            recover = Retries(executor, job.retries, tolerant=tolerant)
            self.state.retries.append(recover)
            if plan.parts:
                self._write_parts(executor, run_id, plan, streams, values, recover)
            else:
                outcomes = _run_windows(executor, run_id, plan, rest[0], recover, self.state.clock)
                write_windows(
                    streams,
                    outcomes,
                    partial(self._record, streams, values),
                    tolerant=tolerant,
                    done=self.state.done,
                    values=values,
                )
            self.state.measure_idle_time()
            bands = plan.reading.first_bands
            for stream in streams:
                stream.begin_with_nothing(bands)
            self._make_overviews(executor, run_id, plan, streams)
            for stream in streams:
                stream.describe()
            if run is not None:
                check_inputs(job, run)
            for value_stream in values:
                value_stream.complete(self.state.done)
            stopwatch = Stopwatch()
            stack.close()  # Windows cannot replace a file that a worker has open
            finish_all(writers)
            all_streams: list[AnyStream] = [*streams, *values]
            self.state.nbytes = sum(stream.count_bytes() for stream in all_streams)
            self.state.values = {stream.key: stream.value for stream in values if stream.is_kept}
            self.state.value_loss = tuple(stream.value_loss for stream in streams)
            publish_all(writers, self._commit)
            self.state.stages += StageTimes(write=stopwatch.split())
        for stream in streams:
            stream.warn(some=self.state.resumed > 0)
        self.state.warn_of_read_nodata()
        if run is None:
            warn_of_leftovers(job)

    def _commit(self) -> None:
        """Record that the outputs are published: from here on, the run cannot fail."""
        self.committed = True
        signals.finish()

    def _rest(self, plan: Plan) -> list[Sequence[PlannedWindow]]:
        """Return the remaining windows in one sequence, or one per part of a mosaic."""
        if not plan.parts:
            return [plan.windows[self.state.done :]]
        return [part.windows for part in plan.parts if part.ij not in self.finished]

    def _resume(
        self,
        streams: Sequence[OutputStream],
        values: Sequence[ValueStream],
        run: Mapping[str, Any],
        plan: Plan,
    ) -> None:
        """Resume an earlier run: restore its journal or its finished parts."""
        logged: list[AnyStream] = [*streams] if plan.parts else [*values, *streams]
        done = min(
            stream.open_log(run, plan.windows, overwrite=self.job.overwrite) for stream in logged
        )
        if plan.parts:
            from rio_mucho_cli.engine import mosaics

            self.finished = mosaics.finished_parts(plan.parts, mosaics.folders_of(streams))
            done = sum(len(part.windows) for part in plan.parts if part.ij in self.finished)
            self.state.resume(done)
            log.info("%d of %d parts are done", len(self.finished), len(plan.parts))
        elif not done:
            # One output starts over, so all of them do.
            for stream in logged:
                stream.writer.truncate(0)
        else:
            for stream in logged:
                self.state.failed = stream.restore(done)
            self.state.resume(done)
            log.info("%d of %d windows are done", done, len(plan.windows))

    def _write_parts(
        self,
        executor: Executor,
        run_id: str,
        plan: Plan,
        streams: Sequence[OutputStream],
        values: Sequence[ValueStream],
        recover: Recover,
    ) -> None:
        """Write the remaining parts of a mosaic, and append all parts to the outputs."""
        from rio_mucho_cli.engine import mosaics

        rest = [part for part in plan.parts if part.ij not in self.finished]
        tasks = mosaics.tasks_of(run_id, rest, mosaics.folders_of(streams))
        room = max_in_flight(executor, plan.in_flight)
        with mosaics.stopped_on_error(run_id):
            outcomes = in_order(executor, tasks, room, recover, self.state.clock)
            self._append_parts(plan, streams, values, outcomes)

    def _append_parts(
        self,
        plan: Plan,
        streams: Sequence[OutputStream],
        values: Sequence[ValueStream],
        outcomes: Iterator[Any],
    ) -> None:
        """Append all parts to the outputs, as they are finished."""
        logged = set[str]()
        for part in plan.parts:
            outcome = self.finished[part.ij] if part.ij in self.finished else next(outcomes)[1]
            if isinstance(outcome, MuchoError):
                if isinstance(outcome, MuchoChildError):
                    outcome.done += self.state.done
                raise outcome
            for message in dict.fromkeys(outcome.messages):
                if message not in logged:
                    log.warning("%s", message)
                    logged.add(message)
            if outcome.traceback and not self.state.failed:
                log.warning("%s", outcome.traceback.rstrip())
            self.state.failed += outcome.failed
            try:
                for stream, result in zip(streams, outcome.results, strict=False):
                    stream.append(part.window, result)
                for value_stream, value in zip(values, outcome.values, strict=False):
                    value_stream.append(value)
            except (ResultError, MuchoChildError) as exc:
                where = outcome.first or part
                raise exc.at(where.window, where.ij) from None
            if part.ij not in self.finished:
                self.state.record_part(part.ij, part.windows, outcome.timings, outcome.ending)

    def _record(
        self,
        streams: Sequence[OutputStream],
        values: Sequence[ValueStream],
        planned: PlannedWindow,
        outcome: WindowResult | MuchoChildError,
        arrival: StageTimes,
    ) -> None:
        """Record a window that is written or failed."""
        if isinstance(outcome, MuchoChildError):
            if not self.state.failed:
                log.warning("%s", outcome.formatted.rstrip())
            self.unrecorded.append(Failure(planned.window, planned.ij, str(outcome.args[0])))
            self.state.failed.append(self.unrecorded[-1])
        if self.job.resume:
            stopwatch = Stopwatch()
            logged: list[AnyStream] = [*values, *streams]
            recorded = [stream.record(self.state.done, self.unrecorded) for stream in logged]
            self.unrecorded = [] if all(recorded) else self.unrecorded
            arrival += StageTimes(write=stopwatch.split())
        timing = outcome.timing if isinstance(outcome, WindowResult) else None
        self.state.read_nodata += isinstance(outcome, WindowResult) and outcome.read_nodata
        self.state.record(planned, timing, arrival)

    def _make_overviews(
        self, executor: Executor, run_id: str, plan: Plan, streams: Sequence[OutputStream]
    ) -> None:
        """Make the remaining overviews on this machine, where the files are."""
        if not any(stream.plan.overviews for stream in streams):
            return
        stopwatch = Stopwatch()
        with ExitStack() as stack:
            if plan.executor not in LOCAL:
                run_id = uuid.uuid4().hex
                context = run_context(self.job, plan)
                near = open_executor("processes", usable_cpus(), run_id, context)
                executor = stack.enter_context(near)
            recover = Retries(executor, self.job.retries, tolerant=False)
            self.state.retries.append(recover)
            for stream in streams:
                for level, window in make_remaining_overviews(
                    executor, run_id, plan.in_flight, stream, recover
                ):
                    self.state.listen(OverviewDone(level, window))
        self.state.stages += StageTimes(encode=stopwatch.split())


def _run_windows(
    executor: Executor,
    run_id: str,
    plan: Plan,
    windows: Sequence[PlannedWindow],
    recover: Recover,
    clock: TaskClock,
) -> Iterator[tuple[PlannedWindow, WindowResult | MuchoError, StageTime]]:
    """Submit windows in batches; yield each window, its outcome and its transfer time.

    A batch arrives as one result, so its last window has all the transfer
    time.
    """
    room = max_in_flight(executor, plan.in_flight)
    batches = BatchSizer(len(windows), room())

    def tasks() -> Iterator[Task[Sequence[PlannedWindow]]]:
        begin = 0
        while batch := windows[begin : begin + batches.next_size()]:
            begin += len(batch)
            yield Task(batch, run_windows, (run_id, batch))

    for batch, outcomes in in_order(executor, tasks(), room, recover, clock):
        for planned in batch[: len(outcomes)]:
            outcome, transfer = outcomes.pop(0), StageTime()
            if isinstance(outcome, WindowResult) and outcome.timing is not None:
                if not outcome.is_skipped:
                    batches.measure(outcome.timing.stages.seconds, outcome.nbytes)
                if not outcomes:
                    transfer = clock.transfer(outcome.timing)
            yield planned, outcome, transfer
            del outcome
