"""Where windows are worked on: each a `concurrent.futures.Executor`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Literal, TypeAlias, get_args

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.workers.context import RunContext

ExecutorName: TypeAlias = Literal["processes", "threads", "serial", "dask"]
EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)
LOCAL = ("processes", "threads", "serial")
"""Those whose workers see this machine's files, and end with the run."""


@contextmanager
def open_executor(
    chosen: ExecutorName | Executor,
    jobs: int,
    key: str,
    order: RunContext,
    scheduler: str | None = None,
) -> Iterator[Executor]:
    """Start workers for a run, and end them, whatever happens.

    Parameters
    ----------
    chosen : str or Executor
        An executor that is there already stays open.
    jobs : int
        How many windows are worked on at once, at most.
    key : str
        The name of the run.
    order : RunContext
    scheduler : str or None
        dask's, if that is running.

    Yields
    ------
    Executor
        Its workers know the order by its key.

    Raises
    ------
    UsageError
        If dask is not installed.
    """
    if isinstance(chosen, Executor):
        from rio_mucho_cli.workers import any_executor

        with any_executor.context_workers(chosen, key, order) as executor:
            yield executor
        return
    if chosen == "dask":
        with _dask().dask_workers(jobs, key, order, scheduler) as executor:
            yield executor
        return
    with _local_workers(chosen)(jobs, key, order) as executor:
        yield executor


def _local_workers(
    chosen: ExecutorName,
) -> Callable[[int, str, RunContext], AbstractContextManager[Executor]]:
    if chosen == "serial":
        from rio_mucho_cli.workers.local import serial_workers

        return serial_workers
    if chosen == "threads":
        from rio_mucho_cli.workers.local import thread_workers

        return thread_workers
    if hasattr(socket, "send_fds") and hasattr(os, "wait4"):
        from rio_mucho_cli.workers.process_pool import process_workers

        return process_workers
    from rio_mucho_cli.workers.any_executor import standard_pool

    return standard_pool  # Windows


def check_executor(chosen: ExecutorName | Executor, order: RunContext) -> None:
    """Raise UsageError if workers could not be started for a run; none is.

    Raises
    ------
    UsageError
        If dask is not installed, or the function or its global args cannot be
        sent to other processes.
    """
    check_installed(chosen)
    if chosen in {"processes", "dask"}:
        order.packed()


def check_installed(chosen: ExecutorName | Executor) -> None:
    """Raise UsageError if an executor needs a package that is not there."""
    if chosen == "dask":
        _dask()


def _dask() -> ModuleType:
    """Import what works with dask, or say what it needs."""
    try:
        from rio_mucho_cli.workers import dask_executor
    except ImportError as exc:
        raise UsageError(
            f"the executor dask needs dask.distributed ({exc}): pip install 'rio-mucho-cli[dask]'"
        ) from None
    return dask_executor


def executor_name(chosen: ExecutorName | Executor) -> str:
    """Return what a report calls an executor."""
    return type(chosen).__name__ if isinstance(chosen, Executor) else chosen


def max_in_flight(executor: Executor, in_flight: int) -> Callable[[], int]:
    """Return what says how many tasks are to be handed out at once.

    Parameters
    ----------
    executor : Executor
        Of one whose workers come and go, it is what it says itself.
    in_flight : int
        Of any other.
    """
    own: Callable[[], int] | None = getattr(executor, "in_flight", None)
    return (lambda: in_flight) if own is None else own
