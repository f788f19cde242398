"""Cost of a dask cluster to the main process, and how far one scales.

Workers sleep instead of computing, and return pixels that do not compress. Many
run in one process, so there can be more of them than CPUs. The limit of a run is
the main process, the scheduler, or the sleep.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from rio_mucho_cli import Job, run
from rio_mucho_cli.engine.events import Event, RunStarted, WindowDone
from rio_mucho_cli.windows import Size

MB = 1e6
# Processes that the workers' threads are spread over.
_PROCESSES = 2


@dataclass(frozen=True)
class Load:
    """A simulated run: side and number of windows, seconds of sleep, workers.

    `part` is the side of a mosaic's parts, in windows; 0 for one output.
    """

    side: int
    windows: int
    seconds: float
    workers: int
    part: int = 0


@dataclass(frozen=True)
class Cost:
    """Cost of one run between its start and its last window.

    Wall time, CPU time of the main process and of the scheduler, in seconds, and
    samples of the main process's memory in MB.
    """

    load: Load
    windows: int
    parts: int
    seconds: float
    client: float
    scheduler: float
    memory: list[float]


class Sleeper:
    """A function that sleeps, and returns the same pixels for every window."""

    def __init__(self, side: int, seconds: float) -> None:
        self._pixels = np.random.default_rng(0).integers(0, 255, (1, side, side), "uint8")
        self._seconds = seconds

    def __call__(self, data: object, window: object, ij: object, args: object) -> np.ndarray:
        """Sleep."""
        time.sleep(self._seconds)
        return self._pixels


@contextmanager
def cluster(workers: int, folder: Path) -> Iterator[tuple[str, int]]:
    """Start a scheduler and workers; yield the scheduler's address and process."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    processes = []

    def start(*options: str) -> int:
        command = [sys.executable, "-m", "dask", *options, "--no-dashboard"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(subprocess.Popen(command, cwd=folder, **silent))
        return processes[-1].pid

    try:
        options = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
        pid = start("scheduler", *options)
        while not file.exists() or not file.stat().st_size:
            time.sleep(0.1)
        threads = max(1, workers // _PROCESSES)
        for _ in range(min(workers, _PROCESSES)):
            start("worker", "--scheduler-file", str(file), "--nthreads", str(threads),
                  "--no-nanny", "--memory-limit", "0",
                  "--local-directory", str(folder))  # fmt: skip
        address = json.loads(file.read_text())["address"]
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(min(workers, _PROCESSES))
        yield address, pid
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(load: Load) -> Cost:
    """Run a load in a new process, and return its cost."""
    with tempfile.TemporaryDirectory() as name, cluster(load.workers, Path(name)) as (address, pid):
        arguments = [json.dumps(asdict(load)), address, str(pid), name]
        completed = subprocess.run(
            [sys.executable, "-m", __name__, *arguments],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return Cost(load, **json.loads(completed.stdout))


def _simulate(load: Load, address: str, scheduler: int, folder: str) -> dict[str, Any]:
    """Run a load in this process, and return its cost."""
    side, columns = load.side, int(load.windows**0.5)
    rows = load.windows // columns
    source = str(Path(folder, "in.tif"))
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "sparse_ok": True, "tiled": True}
    profile |= {"width": columns * side, "height": rows * side}
    with rasterio.open(source, "w", bigtiff="YES", **profile):
        pass
    block = str(min(side, 512))
    meters = [time.perf_counter, _own_cpu_seconds, lambda: _cpu_seconds(scheduler)]
    memory: list[float] = []
    marks: list[list[float]] = []

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            marks.append([meter() for meter in meters])
        if isinstance(event, WindowDone):
            if event.done % max(1, columns * rows // 10) == 0:
                memory.append(_resident())
            if event.done == columns * rows:
                marks.append([meter() for meter in meters])

    run(
        Job(
            inputs=[source],
            output=str(Path(folder, "out.vrt" if load.part else "out.tif")),
            function=Sleeper,
            global_args={"side": side, "seconds": load.seconds},
            mode="manual_read",
            windows=Size(side, side),
            creation_options={"blockxsize": block, "blockysize": block, "bigtiff": "YES"},
            part_size=side * load.part if load.part else None,
            executor="dask",
            scheduler=address,
        ),
        listen,
    )
    seconds, client, by_scheduler = (after - before for before, after in zip(*marks, strict=True))
    parts = len(list(Path(folder, "out.vrt.parts").rglob("*.tif"))) if load.part else 0
    return {
        "windows": columns * rows,
        "parts": parts,
        "seconds": seconds,
        "client": client,
        "scheduler": by_scheduler,
        "memory": memory,
    }


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MB


LOADS = [
    # One window in each task, because each takes long.
    Load(64, 1600, 0.1, 40),
    Load(1024, 900, 0.1, 40),
    Load(2048, 400, 0.1, 40),
    # Many windows in each task.
    Load(64, 100_000, 0.0, 2),
    # A part in each task.
    Load(64, 6400, 0.1, 40, part=2),
    Load(64, 25_600, 0.1, 40, part=8),
    # More and more workers; each returns one window per second.
    Load(1024, 100, 1.0, 10),
    Load(1024, 900, 1.0, 100),
    Load(1024, 2500, 1.0, 400),
    Load(64, 10_000, 1.0, 1000),
    Load(64, 40_000, 1.0, 1000, part=4),
]


def table() -> str:
    """Measure all loads, and return a table of markdown."""
    lines = [
        "| window | windows in a part | sleep, s | workers | windows/s | MB/s "
        "| client, ms per window | scheduler, ms per window "
        "| memory of the client after each tenth, MB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for load in LOADS:
        cost = measure(load)
        rate, per_window = cost.windows / cost.seconds, 1000 / cost.windows
        lines.append(
            f"| {load.side} | {load.part**2 or ''} | {load.seconds} | {load.workers} | {rate:.0f} "
            f"| {rate * load.side**2 / MB:.0f} | {per_window * cost.client:.2f} "
            f"| {per_window * cost.scheduler:.2f} | {', '.join(f'{m:.0f}' for m in cost.memory)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    load, address, scheduler, folder = sys.argv[1:]
    print(json.dumps(_simulate(Load(**json.loads(load)), address, int(scheduler), folder)))
