"""How much is worked on at once: what a job's windows take, and what there is room for."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from rasterio.errors import WindowError

from rio_mucho_cli import windows as windowing
from rio_mucho_cli.dtypes import filled_dtype
from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.memory import Budget
from rio_mucho_cli.system import usable_memory
from rio_mucho_cli.text import MB, format_count
from rio_mucho_cli.windows import PlannedWindow, Size
from rio_mucho_cli.workers.executor import ExecutorName

log = logging.getLogger(__name__)

_IN_PROCESSES = ("processes", "dask")


def make_budget(
    job: Job, reading: ReadSpec, sources: Sequence[DatasetInfo], executor: ExecutorName | Executor
) -> Budget:
    """Estimate what a pixel takes, and say what there is room for."""
    profiles_ = [
        source.of_bands(each.indexes).profile
        for each, source in zip(reading.inputs, sources, strict=True)
    ]
    read = sum(p["count"] * filled_dtype(p["dtype"], job.fill).itemsize for p in profiles_)
    for source in sources:
        _check_blocks(source)
    bands = profiles_[0]["count"] if profiles_ else 1
    result = sum(_result_bytes(output, bands) for output in job.outputs)
    return Budget.of(
        job.mem_limit,
        job.jobs,
        in_processes=executor in _IN_PROCESSES,
        read=read,
        result=result,
    )


def _check_blocks(source: DatasetInfo) -> None:
    """Raise InputError if one block does not fit into memory: a file may claim any size."""
    pixels = source.block.width * source.block.height
    together = source.profile["count"] if source.profile.get("interleave") == "pixel" else 1
    size = pixels * int(together) * _itemsize(source.profile["dtype"])
    if size > usable_memory():
        raise InputError(
            f"{source.path} has blocks of {size // MB} MB, and there are "
            f"{usable_memory() // MB} MB of memory: rio convert can give it smaller ones"
        )


def _result_bytes(output: Output, bands: int) -> int:
    """Estimate what a pixel of an output takes; it has so many bands if nobody says otherwise."""
    profile = output.profile or {}
    dtype = output.dtype or profile.get("dtype")
    count = int(output.count or profile.get("count") or bands)
    return count * (_itemsize(dtype) if dtype is not None else 4)


def _itemsize(dtype: Any) -> int:
    name = dtype_name(dtype)
    return 4 if name is None else np.dtype(name).itemsize


def fitted(job: Job, budget: Budget, size: Size) -> tuple[int, int]:
    """Return jobs and tasks in flight for windows of a size, and say what it costs."""
    padded = _padded(job, size)
    if job.overlap:
        log.info(
            "with windows of %d x %d and overlap %d, each pixel is read %.2f times",
            *(*size, job.overlap, padded / (size.width * size.height)),
        )
    least = padded * (budget.read_bytes + budget.result_bytes)
    if least > usable_memory():
        what = (
            f"overlap {job.overlap} makes" if job.overlap else f"{size.width} x {size.height} are"
        )
        raise UsageError(
            f"{what} windows of {least // MB} MB, and there are {usable_memory() // MB} MB of "
            f"memory: give {'a smaller overlap' if job.overlap else 'smaller windows'}"
        )
    jobs, in_flight = budget.fitted(padded)
    if jobs < job.jobs:
        fewer = format_count(jobs, "job")
        log.warning("%s instead of %d, because of the memory limit", fewer, job.jobs)
    return jobs, in_flight


def estimate(
    job: Job,
    budget: Budget,
    executor: ExecutorName | Executor,
    size: Size,
    jobs: int,
    in_flight: int,
) -> int:
    """Return what a run takes of the memory with windows of a size, in bytes, by estimate."""
    budget = replace(budget, jobs=jobs, in_processes=executor in _IN_PROCESSES)
    return budget.total(_padded(job, size), in_flight)


def _padded(job: Job, size: Size) -> int:
    """Return how many pixels are read for a window."""
    return (size.width + 2 * job.overlap) * (size.height + 2 * job.overlap)


def largest(windows: Sequence[PlannedWindow], width: int, height: int) -> Size:
    """Return the size of the window that has most pixels."""
    largest = Size(1, 1)
    for window, _ in windowing.outline(windows):
        with suppress(WindowError, TypeError, ValueError):  # reading it will say what is wrong
            whole = windowing.normalize(window, width, height)
            if whole.width * whole.height > largest.width * largest.height:
                largest = Size(math.ceil(whole.width), math.ceil(whole.height))
    return largest


def dtype_name(dtype: Any) -> str | None:
    """Return numpy's name of a dtype, or None if numpy has none (complex_int16)."""
    try:
        return None if dtype is None else str(np.dtype(dtype).name)
    except TypeError:
        return None
