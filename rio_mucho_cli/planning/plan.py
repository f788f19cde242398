"""The plan of a job: windows, outputs, workers."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rio_mucho_cli.env import CACHE_BYTES
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.inputs.datasets import DatasetInfo, open_dataset
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.job import Job
from rio_mucho_cli.paths import is_in_memory, is_on_network, is_vector
from rio_mucho_cli.planning.declared import fill_job
from rio_mucho_cli.planning.fingerprint import asked_windows
from rio_mucho_cli.planning.formats import OutputOptions, choose_format, choose_part_format
from rio_mucho_cli.planning.memory import estimate, fit_jobs, largest, make_budget
from rio_mucho_cli.planning.mosaic import (
    MosaicPart,
    largest_part,
    plan_parts,
    size_of_parts,
    window_unit,
)
from rio_mucho_cli.planning.outputs import OutputPlan, plan_output, plan_whole, unread_mask
from rio_mucho_cli.planning.provenance import provenance_of
from rio_mucho_cli.planning.reading import given_nodata, make_reading
from rio_mucho_cli.planning.windows import Reason, plan_windows, say_why
from rio_mucho_cli.text import is_for_command_line, option
from rio_mucho_cli.windows import PlannedWindow, Size, WindowGrid
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.executor import ExecutorName, check_installed, has_own_processes
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.parameters import takes_info

if TYPE_CHECKING:
    from rio_mucho_cli.planning.values import ValuePlan
    from rio_mucho_cli.planning.vectors import VectorInput

log = logging.getLogger(__name__)

# Memory of this many blocks or windows is negligible.
_FEW = 50_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a run, made before the first window is read.

    Attributes
    ----------
    windows : sequence of PlannedWindow
    reading : ReadSpec
    outputs : sequence of OutputPlan
        Outputs that take pixels.
    size : Size
        Size of the raster that the windows divide.
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
    values : tuple of ValuePlan
        Outputs that take values.
    declared : tuple of str
        Options of the run that are those that the function declares.
    """

    windows: Sequence[PlannedWindow]
    reading: ReadSpec
    outputs: Sequence[OutputPlan]
    size: Size
    executor: ExecutorName | Executor
    jobs: int
    in_flight: int
    cache: int
    parts: Sequence[MosaicPart] = ()
    sources: Sequence[DatasetInfo] = ()
    reasons: tuple[Reason, ...] = ("given",)
    memory: int = 0
    limit: int = 0
    values: tuple[ValuePlan, ...] = ()
    declared: tuple[str, ...] = ()


def make_plan(job: Job) -> Plan:
    """Return the plan of a job.

    A resumed job without windows gets those of its earlier run.

    Raises
    ------
    InputError
        If an input is missing or not a raster.
    NodataError
        If an input cannot hold the nodata that is given for it.
    GridError
        If inputs are on different grids and the job needs one grid.
    WindowsError
        If windows are invalid, overlap or leave the raster.
    OutputError
        If there is no such driver.
    """
    asked = asked_windows(job)
    is_asked = asked is not job.windows
    filled = fill_job(job)
    whole = filled.job
    area = None
    if whole.aoi is not None:
        from rio_mucho_cli.inputs.vectors import read_features

        area = read_features(whole.aoi, "the area of interest")
    vectors: Sequence[VectorInput] = ()
    if whole.is_series:
        from rio_mucho_cli.planning.series import read_series

        job, sources, reading = read_series(whole, area)
    else:
        job, vectors = _split_inputs(whole)
        nodata = given_nodata(job)
        sources = [
            DatasetInfo.of(path).with_nodata(given)
            for path, given in zip(job.inputs, nodata, strict=True)
        ]
        reading = make_reading(job, sources, nodata, area)
    if vectors or area is not None:
        grid = reading.grid or sources[0].grid
        from rio_mucho_cli.planning.vectors import add_vectors

        is_read = len(vectors) < len(whole.inputs)
        reading = add_vectors(
            reading, grid, vectors, area, reads_rasters=is_read, has_table=_takes_info(job)
        )
    first = _first_on_grid(reading, sources)
    part = largest_part(first, job.part_size) if job.is_mosaic and first is not None else None
    options = OutputOptions.of(job)
    formats = [
        choose_format(output, options, first, reading.grid)
        if part is None
        else choose_part_format(output, options, part)
        for output in job.rasters
    ]
    values: tuple[ValuePlan, ...] = ()
    if job.values:
        from rio_mucho_cli.planning.values import plan_values

        values = plan_values(job)
    executor = _choose_executor(job, [spec.path for spec in reading.files])
    budget = make_budget(
        reading, sources, job.rasters, executor, jobs=job.jobs, mem_limit=job.mem_limit
    )
    planned = plan_windows(
        asked,
        first,
        part,
        formats,
        budget.window_pixels(),
        on_network=any(map(is_on_network, job.inputs)),
        is_limited=job.mem_limit is not None,
        strict=job.strict,
        resumed=is_asked,
    )
    windows = planned.windows
    metadata = filled.metadata(_metadata(whole, reading, sources))
    parts: Sequence[MosaicPart] = ()
    if part is not None and first is not None:
        unit = window_unit(asked, first, windows)
        parts = plan_parts(
            job.rasters,
            options,
            first,
            windows,
            size_of_parts(first, job.part_size, unit),
            metadata,
            leaves_out=whole.leaves_out,
            tolerant=job.on_error == "nodata",
        )
        outputs = [
            plan_whole(output, chosen, options, first, of_output)
            for output, chosen, of_output in zip(job.rasters, formats, metadata, strict=True)
        ]
    else:
        outputs = [
            plan_output(output, chosen, options, first, windows, of_output)
            for output, chosen, of_output in zip(job.rasters, formats, metadata, strict=True)
        ]
    outputs = [
        replace(output, declared=names)
        for output, (names, _) in zip(outputs, filled.outputs, strict=True)
    ]
    if outputs:
        mask_of = unread_mask(job.rasters[0], first, reading, metadata[0], plain=job.plain)
        outputs[0] = replace(outputs[0], mask_of=mask_of)
    size = largest(windows)
    budget = budget.for_scenes(reading, windows)
    log.info("windows of %d x %d pixels: %s", *size, say_why(planned.reasons))
    jobs, in_flight = fit_jobs(budget, size, reading.overlap)
    tasks = len(parts or windows)
    if parts and tasks < min(jobs, len(windows)):
        log.warning(
            "only %d of %d jobs have work, because there are no more parts: "
            "a smaller %s gives more",
            *(tasks, jobs, option("part_size")),
        )
    can_be_here = not _is_elsewhere(job) and job.timeout is None
    if executor == "serial" or (min(jobs, tasks) <= 1 and can_be_here):
        executor, jobs, in_flight = "serial", 1, 1
    jobs = min(jobs, tasks)
    in_flight = min(in_flight, 2 * jobs)
    cache = CACHE_BYTES * (jobs if executor in {"serial", "threads"} else 1)
    if not parts and any(output.blocks is None for output in outputs):
        # Blocks that several windows write to must stay cached until they are full.
        cache = max(4 * CACHE_BYTES, 2 * budget.result_bytes * outputs[0].size.width * size.height)
    memory = estimate(budget, executor, size, reading.overlap, jobs, in_flight)
    return Plan(
        windows,
        reading,
        outputs,
        outputs[0].size if outputs else _size_of(first),
        executor,
        jobs,
        in_flight,
        cache,
        parts,
        sources=sources,
        reasons=planned.reasons,
        memory=memory + _tables(outputs, windows) + jobs * reading.burned_bytes,
        limit=budget.limit,
        values=values,
        declared=filled.declared,
    )


def _split_inputs(job: Job) -> tuple[Job, Sequence[VectorInput]]:
    """Return a job with its rasters alone, and its vector inputs."""
    if job.burn is None and not any(map(is_vector, job.inputs)):
        return job, ()
    from rio_mucho_cli.planning.vectors import split_inputs

    return split_inputs(job)


def _takes_info(job: Job) -> bool:
    """Return whether the function is told where its window lies."""
    function: Any = job.function
    function = function.load() if isinstance(function, FunctionRef) else function
    return takes_info(function.__call__ if isinstance(function, type) else function)


def _first_on_grid(reading: ReadSpec, sources: Sequence[DatasetInfo]) -> DatasetInfo | None:
    """Return the first input with the bands that are read, on the output's grid."""
    if not sources:
        return None
    first = sources[0].with_bands(reading.inputs[0].indexes)
    return first if reading.grid is None else replace(first, grid=reading.grid)


def _size_of(first: DatasetInfo | None) -> Size:
    """Return the size of the raster that windows divide, if there is no raster output."""
    assert first is not None  # outputs of values need an input
    return Size(first.grid.width, first.grid.height)


def _tables(outputs: Sequence[OutputPlan], windows: Sequence[PlannedWindow]) -> int:
    """Estimate the bytes of block tables and listed windows in the main process.

    Notes
    -----
    Measured: 70 bytes for each block of a GeoTIFF, most of it in GDAL, and 300
    for a window with its ij in a list. The estimate for the program itself
    covers the first 50,000.
    """
    blocks = sum(
        math.prod(-(-length // side) for length, side in zip(output.size, block, strict=True))
        for output in outputs
        if output.blocks is not None
        for block in [output.blocks.block]
    )
    listed = 0 if isinstance(windows, WindowGrid) else len(windows)
    return 70 * max(0, blocks - _FEW) + 300 * max(0, listed - _FEW)


def _choose_executor(job: Job, paths: Sequence[str]) -> ExecutorName | Executor:
    check_installed(job.executor)
    in_memory = any(map(is_in_memory, paths))
    if job.executor == "dask" and in_memory:
        raise UsageError(
            "an input is in this process's memory, where dask's workers cannot read it: use the "
            "executor threads, or a file"
        )
    if _is_elsewhere(job):
        return job.executor
    if job.timeout is not None:
        if job.executor == "processes" and (in_memory or not has_own_processes()):
            raise UsageError(
                "an input is in this process's memory, where no other process can read it: use a "
                f"file, or leave out {option('timeout')}"
                if in_memory
                else f"worker processes on this system know no {option('timeout')}: leave it out"
            )
        return job.executor
    if job.executor == "processes" and job.jobs > 1 and in_memory:
        log.info("threads instead of processes: inputs in this process's memory")
        return "threads"
    return job.executor if job.jobs > 1 else "serial"


def _is_elsewhere(job: Job) -> bool:
    """Return whether the job brings its own workers: an Executor or a scheduler."""
    return isinstance(job.executor, Executor) or job.scheduler is not None


def _metadata(job: Job, reading: ReadSpec, sources: Sequence[DatasetInfo]) -> Metadata | None:
    """Return the metadata of the first input for outputs on their grid, and their provenance."""
    if not job.metadata or not job.rasters:
        return None
    metadata = _metadata_of_first(reading, sources)
    return metadata if job.drop_in else (metadata or Metadata()).with_provenance(provenance_of(job))


def _metadata_of_first(reading: ReadSpec, sources: Sequence[DatasetInfo]) -> Metadata | None:
    # A composite of many scenes is none of them.
    if not reading.inputs or not reading.reads_rasters or reading.series is not None:
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
        specs=tuple(output.spec for output in plan.outputs),
        plain=job.plain,
        tolerant=job.on_error == "nodata",
        for_command_line=is_for_command_line(),
        values=tuple(plan.spec for plan in plan.values),
        total=len(plan.windows),
        grid=_grid_of_dataset(job),
        timeout=job.timeout,
    )


def _grid_of_dataset(job: Job) -> Grid | None:
    """Return the grid of the first raster output, if it is an open dataset."""
    opened = [output.path for output in job.rasters[:1] if output.local_path is None]
    return Grid.of(opened[0]) if opened else None
