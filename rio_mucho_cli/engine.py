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
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from itertools import islice

from rasterio.env import env_ctx_if_needed

from rio_mucho_cli import interrupts
from rio_mucho_cli.batches import Batches
from rio_mucho_cli.environment import cache_held, without_georeferencing_warnings
from rio_mucho_cli.errors import MuchoChildError, MuchoError, ResultError, WorkerDiedError
from rio_mucho_cli.executors import open_executor
from rio_mucho_cli.executors.processes import ProcessDiedError
from rio_mucho_cli.inputs.windows import PlannedWindow, describe
from rio_mucho_cli.job import Job
from rio_mucho_cli.outputs.writers import Writer, open_writer
from rio_mucho_cli.plan import Plan, form_of_nothing, make_plan, order_for
from rio_mucho_cli.progress import Listener, RunStarted, WindowDone, ignore
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
    # The form of the first result: all others must have it, too.
    form: tuple[int, str, bool] | None = None
    has_mask: bool = False

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
        with (
            cache_held(plan.cache),
            open_writer(
                job.output,
                overwrite=job.overwrite,
                inputs=job.inputs,
                options=job.creation_options,
                blocks=plan.blocks,
                conversion=plan.conversion,
            ) as writer,
            open_executor(plan.executor, plan.jobs, key, order_for(job, plan)) as executor,
        ):
            self.listen(RunStarted(len(plan.windows)))
            for planned, outcome in _in_order(executor, key, plan):
                if isinstance(outcome, MuchoError):
                    if isinstance(outcome, MuchoChildError):
                        outcome.done = self.done
                    raise outcome
                self._append(writer, plan, planned, outcome)
            if self.form is None:
                self._begin(writer, plan, *form_of_nothing(job, plan))
            started = time.perf_counter()
            writer.commit()
            self.committed = True
            self.write_seconds += time.perf_counter() - started

    def _append(self, writer: Writer, plan: Plan, planned: PlannedWindow, result: Result) -> None:
        """Write one result; the first one settles what the output is."""
        window, ij = planned
        started = time.perf_counter()
        if result.form is None:
            pass  # it was skipped, and what nobody writes is nodata
        elif self.form is None:
            self.form = result.form
            self._begin(writer, plan, *result.form)
        elif self.job.profile is None and result.form[:2] != self.form[:2]:
            raise ResultError(
                f"the function returned {result.form[0]} bands of {result.form[1]}, "
                f"for the first window {self.form[0]} of {self.form[1]}: "
                "it must return the same for every window, or --dtype settle the dtype"
            ).at(window, ij)
        elif result.form[2] and not self.has_mask:
            raise ResultError(
                "the function returned a masked array, for the first window a plain one: "
                "it must mask from the first window on, or --nodata give the output a nodata value"
            ).at(window, ij)
        if result.data is not None:
            writer.append(window, result.data)
        self.write_seconds += time.perf_counter() - started
        self.read_seconds += result.read_seconds
        self.call_seconds += result.call_seconds
        self.encode_seconds += result.encode_seconds
        self.done += 1
        self.listen(WindowDone(window, ij, self.done))

    def _begin(self, writer: Writer, plan: Plan, count: int, dtype: str, masked: bool) -> None:
        """Make the output, and say what a user might not expect of it."""
        lossy = plan.recipe.inherits_loss(count, dtype)
        if lossy:
            log.warning(
                "the output is compressed like the first input, with %s, which changes values: "
                "pass --co compress=deflate to keep them",
                lossy,
            )
        dropped = plan.recipe.drops_nodata(dtype)
        if dropped is not None:
            log.warning(
                "nodata %g of the first input does not fit %s: the output has none, unless "
                "--nodata says otherwise",
                dropped,
                dtype,
            )
        profile = plan.recipe.profile(count, dtype)
        # What is skipped must not look like pixels.
        self.has_mask = masked or (self.job.skip_masked and profile.get("nodata") is None)
        writer.begin(profile, masked=self.has_mask, metadata=plan.metadata)


def _in_order(
    executor: Executor, key: str, plan: Plan
) -> Iterator[tuple[PlannedWindow, Result | MuchoError]]:
    """Hand out windows, some at once, and yield what came of them in order."""
    rest = iter(plan.windows)
    batches = Batches(len(plan.windows), plan.in_flight)
    waiting: deque[tuple[list[PlannedWindow], Future[list[Result | MuchoError]]]] = deque()
    while True:
        while len(waiting) < plan.in_flight and (batch := list(islice(rest, batches.next_size()))):
            waiting.append((batch, executor.submit(work_all, key, batch)))
        if not waiting:
            return
        batch, future = waiting.popleft()
        try:
            outcomes = deque(future.result())
        except BrokenExecutor as exc:
            raise _worker_died(exc, batch) from None
        del future  # nothing keeps a result that has been written
        for planned in batch[: len(outcomes)]:
            outcome = outcomes.popleft()
            if isinstance(outcome, Result) and outcome.data is not None:
                batches.measure(outcome.seconds, outcome.data.nbytes)
            yield planned, outcome
            del outcome


def _worker_died(exc: BrokenExecutor, batch: Sequence[PlannedWindow]) -> WorkerDiedError:
    """Name the window that was being worked on, and what the signal means."""
    window, ij = batch[min(getattr(exc, "progress", 0), len(batch) - 1)]
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
    error = WorkerDiedError(
        f"a worker process {how} while it worked on {describe(window)} (ij {ij}): {why}"
    )
    error.at(window, ij)
    return error
