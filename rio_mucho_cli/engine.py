"""Run a job: plan, hand windows out, write what comes back in order, commit.

    Job ─▶ plan ─▶ windows ─▶ submit ─▶ ≤ 2 × jobs in flight ─▶ append ─▶ commit ─▶ Report
                      ▲                                           │
                      └─────────── one written, one more ◀────────┘

Results are taken in the order of the windows, and a window is handed out only
when an earlier one has been written. Bounded memory and the same bytes for
every number of jobs follow from that.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from rasterio.env import env_ctx_if_needed

from rio_mucho_cli.errors import MuchoChildError, MuchoError, ResultError, WorkerDiedError
from rio_mucho_cli.executors import open_executor
from rio_mucho_cli.inputs.windows import PlannedWindow, describe
from rio_mucho_cli.job import Job
from rio_mucho_cli.outputs.profile import with_threads
from rio_mucho_cli.outputs.writers import Writer, open_writer
from rio_mucho_cli.plan import Plan, make_plan, order_for
from rio_mucho_cli.progress import Listener, RunStarted, WindowDone, ignore
from rio_mucho_cli.report import Report
from rio_mucho_cli.work.environment import without_georeferencing_warnings
from rio_mucho_cli.work.worker import Result, work

log = logging.getLogger(__name__)

_DEATHS = {
    "SIGKILL": "the system usually does that when memory runs out: "
    "fewer jobs or smaller windows need less",
    "SIGSEGV": "that is usually native code, in a library that the function calls",
    "SIGABRT": "that is usually native code, in a library that the function calls",
    "SIGBUS": "that is usually an input that shrank, or a full disk behind a memory map",
    "EXIT": "the function, or a library that it calls, ended the process",
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
    with env_ctx_if_needed(), without_georeferencing_warnings():
        return _Run(job, listen).run()


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
    # The (count, dtype) of the first result: all others must have them, too.
    form: tuple[int, str] | None = None

    def run(self) -> Report:
        job = self.job
        plan = make_plan(job)
        log.info("%d windows, %d jobs (%s)", len(plan.windows), plan.jobs, plan.executor)
        key = uuid.uuid4().hex
        with (
            open_writer(
                job.output,
                overwrite=job.overwrite,
                inputs=job.inputs,
                options=job.creation_options,
                blocks=plan.blocks,
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
                writer.begin(plan.recipe.given or {})
            started = time.perf_counter()
            writer.commit()
            self.write_seconds += time.perf_counter() - started
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

    def _append(self, writer: Writer, plan: Plan, planned: PlannedWindow, result: Result) -> None:
        """Write one result; the first one settles what the output is."""
        window, ij = planned
        started = time.perf_counter()
        if self.form is None:
            self.form = result.form
            self._begin(writer, plan, *result.form)
        elif self.job.profile is None and result.form != self.form:
            raise ResultError(
                f"the function returned {result.form[0]} bands of {result.form[1]}, "
                f"for the first window {self.form[0]} of {self.form[1]}: "
                "it must return the same for every window, or --dtype settle the dtype"
            ).at(window, ij)
        writer.append(window, result.data)
        self.write_seconds += time.perf_counter() - started
        self.read_seconds += result.read_seconds
        self.call_seconds += result.call_seconds
        self.encode_seconds += result.encode_seconds
        self.done += 1
        self.listen(WindowDone(window, ij, self.done))

    def _begin(self, writer: Writer, plan: Plan, count: int, dtype: str) -> None:
        dropped = plan.recipe.drops_nodata(dtype)
        if dropped is not None:
            log.warning(
                "nodata %g of the first input does not fit %s: the output has none, unless "
                "--nodata says otherwise",
                dropped,
                dtype,
            )
        profile = plan.recipe.profile(count, dtype)
        if plan.blocks is None and self.job.profile is None:
            # Not for RioMucho: GDAL's threads do not survive a fork of its caller.
            profile = with_threads(profile, plan.jobs)
        writer.begin(profile)


def _in_order(
    executor: Executor, key: str, plan: Plan
) -> Iterator[tuple[PlannedWindow, Result | MuchoError]]:
    """Hand out windows, some at once, and yield what came of them in order."""

    def hand_out(windows: Iterable[PlannedWindow]) -> None:
        waiting.extend((planned, executor.submit(work, key, planned)) for planned in windows)

    rest = iter(plan.windows)
    waiting: deque[tuple[PlannedWindow, Future[Result | MuchoError]]] = deque()
    in_flight = 1 if plan.jobs == 1 else 2 * plan.jobs
    try:
        hand_out(islice(rest, in_flight))
        while waiting:
            outcome = waiting[0][1].result()
            planned, _ = waiting.popleft()
            yield planned, outcome
            hand_out(islice(rest, 1))
    except BrokenExecutor as exc:
        raise _worker_died(exc, waiting) from None


def _worker_died(
    exc: BrokenExecutor, waiting: Iterable[tuple[PlannedWindow, Future[Any]]]
) -> WorkerDiedError:
    """Name the windows that were in flight, and what the signal means.

    Which of them was being worked on is not known here: a worker may have
    finished one whose result it could not deliver any more.
    """
    in_flight = [
        planned
        for planned, future in waiting
        if not future.done() or future.cancelled() or future.exception() is not None
    ]
    found = re.search(r"\b(SIG[A-Z0-9]+|EXIT)\((-?\d+)\)", str(exc))
    name = found[1] if found else ""
    how = {"": "died", "EXIT": f"ended with exit status {found[2] if found else ''}"}.get(
        name, f"was killed by {name}"
    )
    places = "; ".join(f"{describe(window)} (ij {ij})" for window, ij in in_flight)
    error = WorkerDiedError(
        f"a worker process {how} ({_DEATHS.get(name, 'its own messages, above, may say why')}); "
        f"in flight: {places}"
    )
    if len(in_flight) == 1:
        error.at(*in_flight[0])
    return error
