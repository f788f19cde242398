"""The plain loop in one process whose CPU time, divided by the jobs, is the limit."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack

import rasterio

from benchmarks.task import Task

# Numbers from glibc's malloc.h. With these, memory that is freed is kept.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 1024**2  # a larger one is refused


def _keep_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_TRIM_THRESHOLD, 1024**3)


def main() -> None:
    """Read, compute and write every window."""
    _keep_memory()
    task = Task.of_arguments()
    profile = task.profile()
    windows = task.workload.windows(profile["width"], profile["height"])
    with ExitStack() as stack:
        sources = [stack.enter_context(rasterio.open(path)) for path in task.inputs]
        output = stack.enter_context(rasterio.open(task.output, "w", **profile))
        for window in windows:
            data = [source.read(window=window) for source in sources]
            output.write(task.workload.function(data, window, None, {}), window=window)


if __name__ == "__main__":
    main()
