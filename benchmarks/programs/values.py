"""Print what a value costs the calling process, or take the extremes in one plain loop."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import rasterio

from benchmarks.workloads import WORKLOADS


def extremes(path: str) -> None:
    """Print minimum and maximum of a raster, read in windows of the usual size."""
    values = []
    with rasterio.open(path) as src:
        for window in WORKLOADS["index"].windows(src.width, src.height):
            data = src.read(window=window)
            values.append((data.min(), data.max()))
    print(json.dumps([int(min(low for low, _ in values)), int(max(high for _, high in values))]))


def row(data: Any, window: Any, ij: Any, global_args: Any) -> dict[str, Any]:
    """Return a small value."""
    return {"row": ij[0], "col": ij[1], "mean": data[0].mean()}


def lines(path: str, output: str, side: str, jobs: str) -> None:
    """Write a line for each window; print windows, seconds of CPU time and peak memory."""
    from rio_mucho_cli import Job, RunStarted, Size, run

    started = 0.0

    def listen(event: Any) -> None:
        nonlocal started
        if isinstance(event, RunStarted):
            started = time.process_time()

    job = Job(
        inputs=[path],
        output=output,
        function=row,
        windows=Size(int(side), int(side)),
        jobs=int(jobs),
    )
    report = run(job, listen)
    own = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"windows": report.windows, "own": own, "peak": peak}))


if __name__ == "__main__":
    {"extremes": extremes, "lines": lines}[sys.argv[1]](*sys.argv[2:])
