"""The plan of a job: windows, outputs, workers."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from rio_mucho_cli.env import CACHE_BYTES
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.inputs.datasets import DatasetInfo, open_dataset
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.job import Job
from rio_mucho_cli.planning.fingerprint import with_earlier_windows
from rio_mucho_cli.planning.formats import OutputFormat, choose_format, choose_part_format
from rio_mucho_cli.planning.memory import estimate, fit_jobs, largest, make_budget
from rio_mucho_cli.planning.mosaic import (
    MosaicPart,
    largest_part,
    plan_parts,
    size_of_parts,
    window_unit,
)
from rio_mucho_cli.planning.outputs import OutputPlan, plan_output, plan_whole
from rio_mucho_cli.planning.reading import make_reading
from rio_mucho_cli.planning.windows import Reason, plan_windows, say_why
from rio_mucho_cli.text import is_for_command_line, option
from rio_mucho_cli.windows import PlannedWindow, WindowGrid
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.executor import ExecutorName, check_installed

log = logging.getLogger(__name__)

# Memory of this many blocks or windows is negligible.
_FEW = 50_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a run, made before the first window is read.

    Attributes
    ----------
    windows : sequence of (window, ij)
    reading : ReadSpec
    outputs : sequence of OutputPlan
    executor : str or Executor
    jobs : int
        Tasks to run at once; 1 if there is only one window.
    in_flight : int
        Tasks that are submitted at once.
    cache : int
        Bytes of GDAL's block cache in the main process.
    parts : sequence of MosaicPart
        Parts of mosaics. A task is then one part instead of a batch of
        windows.
    sources : sequence of DatasetInfo
        Inputs on their own grids.
    reasons : tuple of str
        Reasons for the choice of windows: keys of `planning.windows.REASONS`.
    memory, limit : int
        Estimated memory of all processes together, and its limit, in bytes.
    """

    windows: Sequence[PlannedWindow]
    reading: ReadSpec
    outputs: Sequence[OutputPlan]
    executor: ExecutorName | Executor
    jobs: int
    in_flight: int
    cache: int
    parts: Sequence[MosaicPart] = ()
    sources: Sequence[DatasetInfo] = ()
    reasons: tuple[Reason, ...] = ("given",)
    memory: int = 0
    limit: int = 0


def make_plan(job: Job) -> Plan:
    """Return the plan of a job.

    A resumed job without windows gets those of its earlier run.

    Raises
    ------
    InputError
        If an input is missing or not a raster.
    GridError
        If inputs are on different grids and the job needs one grid.
    WindowsError
        If windows are invalid, overlap or leave the raster.
    OutputError
        If there is no such driver.
    """
    as_given, job = job, with_earlier_windows(job)
    sources = [DatasetInfo.of(path) for path in job.inputs]
    first = sources[0] if sources else None
    reading = make_reading(job, sources)
    if first is not None:
        first = first.with_bands(reading.inputs[0].indexes)
        first = first if reading.grid is None else replace(first, grid=reading.grid)
    formats = _choose_formats(job, first, reading.grid)
    executor = _choose_executor(job)
    budget = make_budget(job, reading, sources, executor)
    planned = plan_windows(job, first, formats, budget.window_pixels(), resumed=job is not as_given)
    windows = planned.windows
    metadata = _metadata(job, reading, sources)
    parts: Sequence[MosaicPart] = ()
    if job.is_mosaic and first is not None:
        unit = window_unit(job, first, windows)
        parts = plan_parts(job, first, windows, size_of_parts(job, first, unit), metadata)
        outputs = [
            plan_whole(output, each, job, first, metadata)
            for output, each in zip(job.outputs, formats, strict=True)
        ]
    else:
        outputs = [
            plan_output(output, each, job, first, windows, metadata)
            for output, each in zip(job.outputs, formats, strict=True)
        ]
    size = largest(windows, *outputs[0].size)
    log.info("windows of %d x %d pixels: %s", *size, say_why(planned.reasons))
    jobs, in_flight = fit_jobs(job, budget, size)
    tasks = len(parts or windows)
    if parts and tasks < min(jobs, len(windows)):
        log.warning(
            "only %d of %d jobs have work, because there are no more parts: a smaller %s makes "
            "more of them",
            *(tasks, jobs, option("part_size")),
        )
    if executor == "serial" or (min(jobs, tasks) <= 1 and not _is_elsewhere(job)):
        executor, jobs, in_flight = "serial", 1, 1
    jobs = min(jobs, tasks)
    cache = CACHE_BYTES * (jobs if executor in {"serial", "threads"} else 1)
    if not parts and any(output.blocks is None for output in outputs):
        # Blocks that several windows write to must stay cached until they are full.
        cache = max(4 * CACHE_BYTES, 2 * budget.result_bytes * outputs[0].size.width * size.height)
    in_flight = min(in_flight, 2 * jobs)
    return Plan(
        windows,
        reading,
        outputs,
        executor,
        jobs,
        in_flight,
        cache,
        parts,
        sources=sources,
        reasons=planned.reasons,
        memory=estimate(job, budget, executor, size, jobs, in_flight) + _tables(outputs, windows),
        limit=budget.limit,
    )


def _tables(outputs: Sequence[OutputPlan], windows: Sequence[PlannedWindow]) -> int:
    """Estimate the bytes of block tables and listed windows in the main process.

    Notes
    -----
    Measured: 70 bytes for each block of a GeoTIFF, most of it in GDAL, and 300
    for a window with its ij in a list. The estimate for the program itself
    covers the first 50,000.
    """
    blocks = sum(
        math.prod(-(-length // side) for length, side in zip(each.size, block, strict=True))
        for each in outputs
        if each.blocks is not None
        for block in [each.blocks.block]
    )
    listed = 0 if isinstance(windows, WindowGrid) else len(windows)
    return 70 * max(0, blocks - _FEW) + 300 * max(0, listed - _FEW)


def _choose_formats(job: Job, first: DatasetInfo | None, grid: Grid | None) -> list[OutputFormat]:
    if job.is_mosaic and first is not None:
        part = largest_part(job, first)
        return [choose_part_format(job, output, part) for output in job.outputs]
    return [choose_format(job, output, first, grid) for output in job.outputs]


def _choose_executor(job: Job) -> ExecutorName | Executor:
    check_installed(job.executor)
    in_memory = any(path.startswith("/vsimem/") for path in job.inputs)
    if job.executor == "dask" and in_memory:
        raise UsageError(
            "an input is in this process's memory, where dask's workers cannot read it: use the "
            "executor threads, or a file"
        )
    if _is_elsewhere(job):
        return job.executor
    if job.executor == "processes" and job.jobs > 1 and in_memory:
        log.info("threads instead of processes: inputs in this process's memory")
        return "threads"
    return job.executor if job.jobs > 1 else "serial"


def _is_elsewhere(job: Job) -> bool:
    """Return whether the job brings its own workers: an Executor or a scheduler."""
    return isinstance(job.executor, Executor) or job.scheduler is not None


def _metadata(job: Job, reading: ReadSpec, sources: Sequence[DatasetInfo]) -> Metadata | None:
    if not job.metadata or not reading.inputs:
        return None
    first, own = reading.inputs[0], sources[0]
    same_grid = reading.grid is None or (
        not own.has_gcps_or_rpcs and own.grid.difference(reading.grid) is None
    )
    with open_dataset(first.path) as src:
        return Metadata.of(src, first.indexes or src.indexes, same_grid=same_grid)


def run_context(job: Job, plan: Plan) -> RunContext:
    """Return what workers need to know about the run."""
    return RunContext(
        reading=plan.reading,
        function=job.function,
        global_args=job.global_args,
        width=plan.outputs[0].size.width,
        height=plan.outputs[0].size.height,
        wanted=tuple(output.wanted for output in plan.outputs),
        plain=job.plain,
        tolerant=job.on_error == "nodata",
        for_command_line=is_for_command_line(),
    )
