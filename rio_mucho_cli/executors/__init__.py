"""Where windows are worked on: each a `concurrent.futures.Executor`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

from rio_mucho_cli.work.worker import Order

ExecutorName: TypeAlias = Literal["processes", "threads", "serial"]
EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)


def usable_cpus() -> int:
    """Return how many CPUs this process may use.

    Affinity and a container's limit (cgroup quota) both count.
    """
    from loky import cpu_count

    # loky's own limit, for machines where its guess is wrong, counts as well.
    cpus: int = cpu_count()
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
