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
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field
from itertools import islice

from rasterio.env import env_ctx_if_needed

from rio_mucho_cli import interrupts
from rio_mucho_cli.batches import Batches
from rio_mucho_cli.delivery import Delivery, open_deliveries
from rio_mucho_cli.environment import cache_held, without_georeferencing_warnings
from rio_mucho_cli.errors import MuchoChildError, MuchoError, WorkerDiedError
from rio_mucho_cli.executors import open_executor
from rio_mucho_cli.executors.processes import ProcessDiedError
from rio_mucho_cli.finishing import count_windows, make_rest
from rio_mucho_cli.inputs.windows import PlannedWindow, describe
from rio_mucho_cli.job import Job
from rio_mucho_cli.ordered import Lost, Task, in_order
from rio_mucho_cli.outputs.writers import commit_all, discarded_on_error
from rio_mucho_cli.plan import Plan, make_plan, order_for
from rio_mucho_cli.progress import Listener, OverviewDone, RunStarted, WindowDone, ignore
from rio_mucho_cli.report import Report
from rio_mucho_cli.work.worker import Result, work_all

log = logging.getLogger(__name__)

_DEATHS = {
    "SIGKILL": "the system usually does that when memory runs out: "
    "fewer jobs or smaller windows need less",
    "SIGSEGV": "that is usually native code, in a library that the function calls",
    "SIGABRT": "that is usually native code, in a library that the function calls",
    "SIGBUS": "that is usually an input that shrank, or a full disk behind a memory map",
}


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
    with interrupts.once(), env_ctx_if_needed(), without_georeferencing_warnings():
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

    def run(self) -> Report:
        job = self.job
        plan = make_plan(job)
        log.info("%d windows, %d jobs (%s)", len(plan.windows), plan.jobs, plan.executor)
        try:
            self._run(plan)
        except KeyboardInterrupt:
            if not self.committed:
                raise  # else the output is there: it came too late
        return Report(
            windows=self.done,
            executor=plan.executor,
            jobs=plan.jobs,
            seconds=time.perf_counter() - self.started,
            read_seconds=self.read_seconds,
            call_seconds=self.call_seconds,
            encode_seconds=self.encode_seconds,
            write_seconds=self.write_seconds,
        )

    def _run(self, plan: Plan) -> None:
        """Work on all windows, and commit."""
        job = self.job
        key = uuid.uuid4().hex
        deliveries = open_deliveries(job, plan.outputs)
        writers = [delivery.writer for delivery in deliveries]
        with (
            discarded_on_error(writers),
            cache_held(plan.cache),
            open_executor(plan.executor, plan.jobs, key, order_for(job, plan)) as executor,
        ):
            self.listen(RunStarted(len(plan.windows), count_windows(deliveries)))
            for planned, outcome in _work_on_windows(executor, key, plan):
                if isinstance(outcome, MuchoError):
                    if isinstance(outcome, MuchoChildError):
                        outcome.done = self.done
                    raise outcome
                self._append(deliveries, planned, outcome)
            bands = sum(len(each.indexes) for each in plan.reading.inputs[:1])
            for delivery in deliveries:
                delivery.begin_with_nothing(bands)
                self._make_overviews(executor, key, plan, delivery)
                delivery.describe()
            started = time.perf_counter()
            commit_all(writers)
            self.committed = True
            self.write_seconds += time.perf_counter() - started

    def _append(
        self, deliveries: Sequence[Delivery], planned: PlannedWindow, result: Result
    ) -> None:
        """Write what came of a window; of one that was skipped, nothing did."""
        window, ij = planned
        started = time.perf_counter()
        for delivery, piece in zip(deliveries, result.pieces, strict=False):
            delivery.append(window, ij, piece)
        self.write_seconds += time.perf_counter() - started
        self.read_seconds += result.read_seconds
        self.call_seconds += result.call_seconds
        self.encode_seconds += result.encode_seconds
        self.done += 1
        self.listen(WindowDone(window, ij, self.done))

    def _make_overviews(self, executor: Executor, key: str, plan: Plan, delivery: Delivery) -> None:
        """Make the overviews that windows did not have."""
        started = time.perf_counter()
        try:
            for level, window in make_rest(executor, key, plan, delivery):
                self.listen(OverviewDone(level, window))
        except Lost as exc:
            raise _worker_died(exc.cause, []) from None
        self.encode_seconds += time.perf_counter() - started


def _work_on_windows(
    executor: Executor, key: str, plan: Plan
) -> Iterator[tuple[PlannedWindow, Result | MuchoError]]:
    """Hand out windows, some at once, and yield what came of them in order."""
    batches = Batches(len(plan.windows), plan.in_flight)

    def tasks() -> Iterator[Task[list[PlannedWindow]]]:
        rest = iter(plan.windows)
        while batch := list(islice(rest, batches.next_size())):
            yield batch, work_all, (key, batch)

    try:
        for batch, outcomes in in_order(executor, tasks(), plan.in_flight):
            for planned in batch[: len(outcomes)]:
                outcome = outcomes.pop(0)
                if isinstance(outcome, Result) and outcome.pieces:
                    batches.measure(outcome.seconds, outcome.nbytes)
                yield planned, outcome
                del outcome
    except Lost as exc:
        raise _worker_died(exc.cause, exc.payload) from None


def _worker_died(exc: BrokenExecutor, batch: Sequence[PlannedWindow]) -> WorkerDiedError:
    """Name the window that was being worked on, and what the signal means."""
    signals = {int(number): number.name for number in signal.Signals}
    how, why = "was lost", str(exc)
    if isinstance(exc, ProcessDiedError):
        how = f"ended with exit status {exc.exitcode}"
        why = "the function, or a library that it calls, ended the process"
        if exc.exitcode < 0:
            name = signals.get(-exc.exitcode, f"signal {-exc.exitcode}")
            how, why = f"was killed by {name}", _DEATHS.get(name, "nobody here knows by whom")
        if not exc.started:
            return WorkerDiedError(
                f"a worker process {how} before it was ready: its own messages, above, may say why"
            )
    if not batch:
        return WorkerDiedError(f"a worker process {how} while it made overviews: {why}")
    window, ij = batch[min(getattr(exc, "progress", 0), len(batch) - 1)]
    error = WorkerDiedError(
        f"a worker process {how} while it worked on {describe(window)} (ij {ij}): {why}"
    )
    error.at(window, ij)
    return error
