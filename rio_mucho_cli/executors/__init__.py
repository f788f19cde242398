"""Where windows are worked on: each a `concurrent.futures.Executor`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from rio_mucho_cli.work.order import Order

ExecutorName: TypeAlias = Literal["processes", "threads", "serial"]
EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many CPUs this process may use.

    Affinity and a container's limit both count.

    Notes
    -----
    A limit is so much CPU time in each period: in ``cpu.max`` of cgroups v2
    (``max 100000`` where there is none), in two files of v1.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        with suppress(OSError, ValueError):
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
            if int(quota) > 0:
                cpus = min(cpus, math.ceil(int(quota) / int(period)))
    return max(1, cpus)


@contextmanager
def open_executor(name: ExecutorName, jobs: int, key: str, order: Order) -> Iterator[Executor]:
    """Start workers for a run, and end them, whatever happens.

    Parameters
    ----------
    name : str
    jobs : int
        How many windows are worked on at once, at most.
    key : str
        The name of the run.
    order : Order

    Yields
    ------
    Executor
        Its workers know the order by its key.
    """
    if name == "serial":
        from rio_mucho_cli.executors import serial as chosen
    elif name == "threads":
        from rio_mucho_cli.executors import threads as chosen  # type: ignore[no-redef]
    else:
        from rio_mucho_cli.executors import processes as chosen  # type: ignore[no-redef]
    with chosen.workers(jobs, key, order) as executor:
        yield executor
