"""A dask cluster on this machine, that ends with the process that has started it.

Scheduler and workers are processes of their own, none of which imports the
caller's ``__main__``. They watch the caller: whatever ends it, they end, and
remove the folder in which they keep what they have to.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from distributed import Nanny
from distributed.deploy.subprocess import SubprocessCluster

from rio_mucho_cli.executors.parent import end_with

# Seconds for workers to end.
_PATIENCE = 5

# What dask runs in the scheduler, at its start.
_PRELOAD = """
from rio_mucho_cli.executors.parent import end_with
end_with({parent}, {folder!r})
"""


class WatchingNanny(Nanny):  # type: ignore[misc]
    """What starts a worker, and another one when that has died; it ends with its parent.

    Parameters
    ----------
    parent : int
        Its process.
    folder : str
        Is removed then.
    env : dict
        Environment variables that the worker has from its start.
    **options
        dask's own.
    """

    def __init__(
        self, *args: Any, parent: int, folder: str, env: dict[str, str], **options: Any
    ) -> None:
        end_with(parent, folder)
        super().__init__(*args, **options)
        self.pre_spawn_env.update(env)


@contextmanager
def local_cluster(jobs: int, variables: Mapping[str, str]) -> Iterator[Any]:
    """Start a scheduler, and workers of one thread each.

    Parameters
    ----------
    jobs : int
    variables : Mapping
        Environment variables of the workers.
    """
    with tempfile.TemporaryDirectory(prefix="mucho-dask-", ignore_cleanup_errors=True) as folder:
        preload = Path(folder, "watch_parent.py")
        preload.write_text(_PRELOAD.format(parent=os.getpid(), folder=folder), "utf-8")
        # The scheduler takes no other word for where it keeps files, and how much it says.
        with _variables(DASK_TEMPORARY_DIRECTORY=folder, DASK_LOGGING__DISTRIBUTED="error"):
            cluster = SubprocessCluster(
                n_workers=jobs,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0" if find_spec("bokeh") else None,
                silence_logs=logging.ERROR,
                scheduler_kwargs={
                    "preload": [str(preload)],
                    "scheduler_file": str(Path(folder, "scheduler.json")),
                },
                worker_class=f"{__name__}.{WatchingNanny.__name__}",
                worker_kwargs={
                    "parent": os.getpid(),
                    "folder": folder,
                    "env": dict(variables),
                },
            )
        with cluster:
            try:
                yield cluster
            finally:
                _end_workers(cluster)


@contextmanager
def _variables(**given: str) -> Iterator[None]:
    """Set environment variables for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_workers(cluster: Any) -> None:
    """Have what looks after workers end by itself, and remove its semaphores from the system.

    Closing the cluster would kill it.
    """
    processes = [worker.process for worker in cluster.workers.values()]
    for process in processes:
        with suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and any(each.returncode is None for each in processes):
        time.sleep(0.05)
