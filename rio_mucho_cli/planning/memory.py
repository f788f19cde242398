"""Estimate the memory of a run, and limit windows and jobs to fit.

    base + jobs × (worker + cache + window × copies) + tasks in flight × result

is kept below a limit: first by smaller windows, then by fewer tasks in flight,
then, if the user set the limit, by fewer jobs. It is an estimate, because the
function's own memory is unknown.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rio_mucho_cli.dtypes import filled_dtype
from rio_mucho_cli.env import CACHE_BYTES
from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.job import Output
from rio_mucho_cli.system import usable_memory
from rio_mucho_cli.text import MB, format_count
from rio_mucho_cli.windows import PlannedWindow, Size, outline, window_grid
from rio_mucho_cli.workers.executor import ExecutorName

log = logging.getLogger(__name__)

BATCH_BYTES = 4 * 1024 * 1024
"""Most bytes for the results of a batch of several windows."""


# Bytes of the main process with numpy, rasterio and GDAL, and of each worker process.
_BASE = 100 * MB
_WORKER = 80 * MB
# Copies of a window in memory: array expressions make several, encoding makes
# two of the result.
_COPIES = 4
_SOME_WINDOW = Size(1024, 1024)
# Default limit: this for each job, at most half of the usable memory.
_DEFAULT_JOB = 256 * MB


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """Memory limit of a run, and what determines its use.

    Attributes
    ----------
    limit : int
        Limit in bytes.
    is_strict : bool
        Whether the user set the limit; otherwise jobs are not reduced.
    jobs : int
    in_processes : bool
        Whether each job has its own process.
    read_bytes, result_bytes : int
        Bytes per pixel of all inputs, and of all results; of a series, of as many
        scenes as a window has.
    usable : int
        Bytes of memory that this process may use.
    scene_bytes : int
        Bytes per pixel of one scene, if inputs are a series.
    """

    limit: int
    is_strict: bool
    jobs: int
    in_processes: bool
    read_bytes: int
    result_bytes: int
    usable: int
    scene_bytes: int = 0

    @classmethod
    def of(
        cls, mem_limit: int | None, jobs: int, *, in_processes: bool, read: int, result: int
    ) -> MemoryBudget:
        """Return the budget of a run; `mem_limit` is in MB (10^6 bytes), None for the default."""
        usable = usable_memory()
        limit = min(_BASE + jobs * _DEFAULT_JOB, usable // 2)
        if mem_limit is not None:
            limit = mem_limit * MB
        return cls(limit, mem_limit is not None, jobs, in_processes, read, result, usable)

    def window_pixels(self) -> int:
        """Return the most pixels that a window may have; it may be 0."""
        rest = self.limit - _BASE - self.jobs * self._fixed
        in_work = self.jobs * _COPIES * (self.read_bytes + self.result_bytes)
        pixels = rest // (in_work + self._most_in_flight * self.result_bytes)
        # Results of small windows are sent in batches, which are larger.
        return max(0, min(pixels, (rest - self.jobs * BATCH_BYTES) // in_work))

    def fit_jobs(self, pixels: int) -> tuple[int, int]:
        """Return jobs and tasks in flight for windows of this many pixels.

        Raises
        ------
        UsageError
            If one job alone exceeds a limit that the user set.
        """
        for jobs in range(self.jobs, 0, -1):
            fewer = replace(self, jobs=jobs)
            for in_flight in range(fewer._most_in_flight, jobs - 1, -1):
                if fewer.total(pixels, in_flight) <= self.limit:
                    return jobs, in_flight
            if not self.is_strict:
                return jobs, jobs
        alone = replace(self, jobs=1)
        least, bare = alone.total(pixels, 1), alone.total(0, 1)
        advice = "raise the limit"
        if bare <= self.limit:
            advice += ", or use smaller windows"
        raise UsageError(
            f"the memory limit is {self.limit // MB} MB, and one job needs about "
            f"{-(-least // MB)} MB, of which {-(-bare // MB)} MB are the program itself: {advice}"
        )

    def for_scenes(self, reading: ReadSpec, windows: Sequence[PlannedWindow]) -> MemoryBudget:
        """Return the budget for as many scenes of a series as a window has at most."""
        if reading.series is None:
            return self
        scenes = reading.series.footprints.most_over(windows, reading.overlap)
        return replace(self, read_bytes=max(1, scenes) * self.scene_bytes)

    @property
    def _fixed(self) -> int:
        return CACHE_BYTES + (_WORKER if self.in_processes else 0)

    @property
    def _most_in_flight(self) -> int:
        return 1 if self.jobs == 1 else 2 * self.jobs

    def total(self, pixels: int, in_flight: int) -> int:
        """Return the bytes that all jobs need for windows of this many pixels."""
        window = pixels * _COPIES * (self.read_bytes + self.result_bytes)
        waiting = in_flight * max(pixels * self.result_bytes, BATCH_BYTES)
        return _BASE + self.jobs * (self._fixed + window) + waiting


_IN_PROCESSES = ("processes", "dask")


def make_budget(
    reading: ReadSpec,
    sources: Sequence[DatasetInfo],
    outputs: Sequence[Output],
    executor: ExecutorName | Executor,
    *,
    jobs: int,
    mem_limit: int | None,
) -> MemoryBudget:
    """Return the memory budget of a run, from the bytes per pixel of inputs and results."""
    profiles = [
        source.with_bands(spec.indexes).profile
        for spec, source in zip(reading.inputs, sources, strict=True)
    ]
    read = sum(p["count"] * filled_dtype(p["dtype"], reading.fill).itemsize for p in profiles)
    read += sum(spec.shapes.values.itemsize for spec in reading.vectors)
    bands = profiles[0]["count"] if profiles else 1
    if reading.series is not None:
        bands = sum(reading.series.counts)
        read = sum(
            count * max(filled_dtype(dtype, reading.fill).itemsize for dtype in dtypes)
            for count, dtypes in zip(reading.series.counts, reading.series.dtypes, strict=True)
        )
    result = sum(_result_bytes(output, bands) for output in outputs)
    budget = MemoryBudget.of(
        mem_limit,
        jobs,
        in_processes=executor in _IN_PROCESSES,
        read=read,
        result=result,
    )
    for source in sources:
        _check_blocks(source, budget.usable)
    if reading.grid is None or reading.series is None:
        return budget
    # Windows are not chosen yet; smaller ones have no more scenes.
    windows = window_grid(reading.grid.width, reading.grid.height, _SOME_WINDOW)
    return replace(budget, scene_bytes=read).for_scenes(reading, windows)


def _check_blocks(source: DatasetInfo, usable: int) -> None:
    """Raise InputError if one block does not fit into memory; a file may claim any size."""
    pixels = source.block.width * source.block.height
    together = source.profile["count"] if source.profile.get("interleave") == "pixel" else 1
    size = pixels * int(together) * _itemsize(source.profile["dtype"])
    if size > usable:
        raise InputError(
            f"{source.path} has blocks of {size // MB} MB, more than the "
            f"{usable // MB} MB of memory: rewrite it with smaller blocks (rio convert)"
        )


def _result_bytes(output: Output, bands: int) -> int:
    """Estimate the bytes per pixel of an output; `bands` is its default count."""
    profile = output.profile or {}
    dtype = output.dtype or profile.get("dtype")
    count = int(output.count or profile.get("count") or bands)
    return count * (_itemsize(dtype) if dtype is not None else 4)


def _itemsize(dtype: Any) -> int:
    name = dtype_name(dtype)
    return 4 if name is None else np.dtype(name).itemsize


def fit_jobs(budget: MemoryBudget, size: Size, overlap: int) -> tuple[int, int]:
    """Return jobs and tasks in flight for windows of a size; log the effect of overlap."""
    padded = _padded(size, overlap)
    if overlap:
        log.info(
            "with windows of %d x %d and overlap %d, each pixel is read %.2f times",
            *(*size, overlap, padded / (size.width * size.height)),
        )
    least = padded * (budget.read_bytes + budget.result_bytes)
    if least > budget.usable:
        what = f"overlap {overlap} makes" if overlap else f"{size.width} x {size.height} are"
        raise UsageError(
            f"{what} windows of {least // MB} MB, and there are {budget.usable // MB} MB of "
            f"memory: give {'a smaller overlap' if overlap else 'smaller windows'}"
        )
    jobs, in_flight = budget.fit_jobs(padded)
    if jobs < budget.jobs:
        fewer = format_count(jobs, "job")
        log.warning("%s instead of %d, because of the memory limit", fewer, budget.jobs)
    return jobs, in_flight


def estimate(
    budget: MemoryBudget,
    executor: ExecutorName | Executor,
    size: Size,
    overlap: int,
    jobs: int,
    in_flight: int,
) -> int:
    """Estimate the memory of a run with windows of a size, in bytes."""
    budget = replace(budget, jobs=jobs, in_processes=executor in _IN_PROCESSES)
    return budget.total(_padded(size, overlap), in_flight)


def _padded(size: Size, overlap: int) -> int:
    """Return the number of pixels to read for a window, with overlap."""
    return (size.width + 2 * overlap) * (size.height + 2 * overlap)


def largest(windows: Sequence[PlannedWindow]) -> Size:
    """Return the size of the window with the most pixels."""
    largest = Size(1, 1)
    for window in outline(windows):
        if window.width * window.height > largest.width * largest.height:
            largest = Size(math.ceil(window.width), math.ceil(window.height))
    return largest


def dtype_name(dtype: Any) -> str | None:
    """Return numpy's name of a dtype, or None if numpy lacks it (complex_int16)."""
    try:
        return None if dtype is None else str(np.dtype(dtype).name)
    except TypeError:
        return None
