"""A program that uses rioxarray, with dask's threads."""

from __future__ import annotations

import threading

import dask

from benchmarks.programs.dask_graph import write
from benchmarks.task import Task


def main() -> None:
    """Compute in as many threads as there are jobs; one at a time writes."""
    task = Task.of_arguments()
    with dask.config.set(scheduler="threads", num_workers=task.jobs):
        write(task, threading.Lock())


if __name__ == "__main__":
    main()
