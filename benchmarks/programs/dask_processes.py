"""A program that uses rioxarray, with dask.distributed's processes."""

from __future__ import annotations

from dask.distributed import Client, LocalCluster, Lock

from benchmarks.programs.dask_graph import write
from benchmarks.task import Task


def main() -> None:
    """Compute in as many processes as there are jobs; one at a time writes."""
    task = Task.of_arguments()
    with (
        LocalCluster(n_workers=task.jobs, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        write(task, Lock("write"))


if __name__ == "__main__":
    main()
