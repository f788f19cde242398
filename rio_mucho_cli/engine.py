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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import numpy as np
import rasterio
from rasterio.dtypes import check_dtype
from rasterio.env import env_ctx_if_needed

from rio_mucho_cli.errors import (
    MuchoChildError,
    MuchoError,
    NodataError,
    OutputError,
    ResultError,
    WorkerDiedError,
)
from rio_mucho_cli.executors import ExecutorName, open_executor
from rio_mucho_cli.inputs import windows as windowing
from rio_mucho_cli.inputs.grid import require_one_grid
from rio_mucho_cli.inputs.sources import Source
from rio_mucho_cli.inputs.windows import PlannedWindow, Size
from rio_mucho_cli.job import Job
from rio_mucho_cli.outputs import profile as profiles
from rio_mucho_cli.outputs.profile import Layout
from rio_mucho_cli.outputs.writers import Writer, open_writer
from rio_mucho_cli.progress import Listener, RunStarted, WindowDone, ignore
from rio_mucho_cli.report import Report
from rio_mucho_cli.work.environment import without_georeferencing_warnings
from rio_mucho_cli.work.worker import Order, Result, work

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
class _Plan:
    """What is known before the first window is read."""

    first: Source | None
    windows: Sequence[PlannedWindow]
    driver: str
    layout: Layout | None
    executor: ExecutorName
    jobs: int


@dataclass
class _Run:
    job: Job
    listen: Listener
    started: float = field(default_factory=time.perf_counter)
    done: int = 0
    read_seconds: float = 0.0
    call_seconds: float = 0.0
    write_seconds: float = 0.0
    # The (count, dtype) of the first result: all others must have them, too.
    form: tuple[int, np.dtype[Any]] | None = None

    def run(self) -> Report:
        job = self.job
        plan = _plan(job)
        log.info("%d windows, %d jobs (%s)", len(plan.windows), plan.jobs, plan.executor)
        key = uuid.uuid4().hex
        with (
            open_writer(
                job.output,
                overwrite=job.overwrite,
                inputs=job.inputs,
                options=job.creation_options,
            ) as writer,
            open_executor(plan.executor, plan.jobs, key, _order(job, plan)) as executor,
        ):
            self.listen(RunStarted(len(plan.windows)))
            for planned, outcome in _in_order(executor, key, plan):
                if isinstance(outcome, MuchoError):
                    if isinstance(outcome, MuchoChildError):
                        outcome.done = self.done
                    raise outcome
                self._append(writer, plan, planned, outcome)
            if self.form is None:
                writer.begin(profiles.with_defaults(job.profile or {}))
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
            write_seconds=self.write_seconds,
        )

    def _append(self, writer: Writer, plan: _Plan, planned: PlannedWindow, result: Result) -> None:
        """Write one result; the first one settles what the output is."""
        window, ij = planned
        array = result.array
        started = time.perf_counter()
        if self.form is None:
            self.form = array.shape[0], array.dtype
            writer.begin(_profile(self.job, plan, *self.form))
        elif self.job.profile is None and (array.shape[0], array.dtype) != self.form:
            raise ResultError(
                f"the function returned {array.shape[0]} bands of {array.dtype}, "
                f"for the first window {self.form[0]} of {self.form[1]}: "
                "it must return the same for every window, or --dtype settle the dtype"
            ).at(window, ij)
        writer.append(window, array)
        self.write_seconds += time.perf_counter() - started
        self.read_seconds += result.read_seconds
        self.call_seconds += result.call_seconds
        self.done += 1
        self.listen(WindowDone(window, ij, self.done))


def _plan(job: Job) -> _Plan:
    sources = [Source.of(path) for path in job.inputs]
    first = sources[0] if sources else None
    if job.strict and job.mode != "manual_read":
        require_one_grid(job.inputs, [source.grid for source in sources])
    driver = "GTiff"
    if job.profile is None and job.output_path is not None and first is not None:
        profiles.check_options(job.creation_options)
        driver = profiles.choose_driver(job.driver, job.output_path, first)
        _check_driver(driver)
    windows, layout = _plan_windows(job, first, driver)
    single = job.jobs == 1 or len(windows) <= 1
    executor: ExecutorName = "serial" if single else job.executor
    if executor == "processes" and any(path.startswith("/vsimem/") for path in job.inputs):
        log.info("threads instead of processes: inputs in this process's memory")
        executor = "threads"
    return _Plan(
        first=first,
        windows=windows,
        driver=driver,
        layout=layout,
        executor=executor,
        jobs=1 if single else min(job.jobs, len(windows)),
    )


def _plan_windows(
    job: Job, first: Source | None, driver: str
) -> tuple[Sequence[PlannedWindow], Layout | None]:
    """Plan windows and the output's blocks: each is made to suit the other."""
    if first is None:
        return cast("Sequence[PlannedWindow]", job.windows), None
    width, height = first.grid.width, first.grid.height
    is_gtiff = driver.upper() == "GTIFF"
    given: Sequence[PlannedWindow] | None
    match job.windows:
        case None:
            given = None
        case "blocks":
            given = windowing.cover(width, height, first.block)
        case Size():
            given = windowing.cover(width, height, job.windows)
        case _:
            given = job.windows
    if given is not None and job.strict:
        windowing.check(given, width, height)
    if given is not None and (not job.strict or not is_gtiff):
        return given, None
    layout = profiles.choose_layout(first, job.creation_options, given)
    if given is None:
        whole_rows = first.is_striped or not layout.tiled
        size = windowing.default_size(width, height, layout.block, whole_rows=whole_rows)
        given = windowing.cover(width, height, size)
    return given, layout if is_gtiff else None


def _order(job: Job, plan: _Plan) -> Order:
    """Say what workers have to know; of the output, as much as is known by now."""
    count, dtype = job.count, job.dtype
    width = height = 0
    if plan.first is not None:
        width, height = plan.first.grid.width, plan.first.grid.height
    if job.profile is not None:
        count, dtype = job.profile.get("count"), job.profile.get("dtype")
        width, height = job.profile.get("width", width), job.profile.get("height", height)
    elif job.output_path is None:
        count, dtype = job.output.count, job.output.dtypes[0]
        width, height = job.output.width, job.output.height
    return Order(
        inputs=tuple(job.inputs),
        mode=job.mode,
        function=job.function,
        global_args=job.global_args,
        width=int(width),
        height=int(height),
        count=None if count is None else int(count),
        dtype=_dtype_name(dtype),
    )


def _dtype_name(dtype: Any) -> str | None:
    """Return numpy's name of a dtype, or None if numpy has none (complex_int16)."""
    try:
        return None if dtype is None else str(np.dtype(dtype).name)
    except TypeError:
        return None


def _profile(job: Job, plan: _Plan, count: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return the output's profile, now that a first result is there."""
    if job.profile is not None:
        # GDAL's threads would not survive a fork of the calling program.
        return profiles.with_defaults(job.profile)
    if not check_dtype(dtype.name):
        raise OutputError(
            f"the function returned {dtype}, which GDAL {rasterio.__gdal_version__} cannot "
            "write: choose another dtype with --dtype"
        )
    first = cast("Source", plan.first)
    nodata = first.profile["nodata"] if job.keep_nodata else job.nodata
    if nodata is not None and not profiles.nodata_fits(nodata, dtype.name):
        if not job.keep_nodata:
            raise NodataError.of(nodata, dtype.name)
        log.warning(
            "nodata %g of the first input does not fit %s: the output has none, unless --nodata "
            "says otherwise",
            nodata,
            dtype.name,
        )
        nodata = None
    profile = profiles.make_profile(
        first,
        driver=plan.driver,
        layout=plan.layout,
        dtype=dtype.name,
        count=count,
        nodata=nodata,
        options=job.creation_options,
    )
    return profiles.with_defaults(profile, plan.jobs)


def _check_driver(driver: str) -> None:
    with rasterio.Env() as env:
        known = env.drivers()
    if driver.upper() not in {name.upper() for name in known}:
        raise OutputError(
            f"there is no driver {driver!r} in this GDAL: gdalinfo --formats lists what there is"
        )


def _in_order(
    executor: Executor, key: str, plan: _Plan
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
        raise _worker_died(exc, waiting, plan.jobs) from None


def _worker_died(
    exc: BrokenExecutor, waiting: Iterable[tuple[PlannedWindow, Future[Any]]], jobs: int
) -> WorkerDiedError:
    """Name the windows that were being worked on, and what the signal means.

    Windows are taken from the queue in order, so those in work are the first
    ones without a result.
    """
    unfinished = [
        planned
        for planned, future in waiting
        if not future.done() or future.cancelled() or future.exception() is not None
    ][:jobs]
    found = re.search(r"\b(SIG[A-Z0-9]+|EXIT)\((-?\d+)\)", str(exc))
    name = found[1] if found else ""
    how = {"": "died", "EXIT": f"ended with exit status {found[2] if found else ''}"}.get(
        name, f"was killed by {name}"
    )
    places = "; ".join(f"{windowing.describe(window)} (ij {ij})" for window, ij in unfinished)
    error = WorkerDiedError(
        f"a worker process {how} while {places} "
        f"{'was' if len(unfinished) == 1 else 'were'} in work: "
        f"{_DEATHS.get(name, 'its own messages, above, may say why')}"
    )
    if unfinished:
        error.at(*unfinished[0])
    return error
