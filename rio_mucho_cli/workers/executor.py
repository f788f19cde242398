"""Select and start the executor of a run: a `concurrent.futures.Executor`."""

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
"""Executors whose workers see this machine's files and end with the run."""


@contextmanager
def open_executor(
    chosen: ExecutorName | Executor,
    jobs: int,
    run_id: str,
    context: RunContext,
    scheduler: str | None = None,
) -> Iterator[Executor]:
    """Start the workers of a run, and end them in any case.

    Parameters
    ----------
    chosen : str or Executor
        Name of an executor, or an existing one, which is not shut down.
    jobs : int
        Maximum number of windows to process at once.
    run_id : str
        Run id.
    context : RunContext
    scheduler : str or None
        Address or file of a running dask scheduler.

    Yields
    ------
    Executor
        Its workers know the run context by the run id.

    Raises
    ------
    UsageError
        If dask is not installed.
    """
    if isinstance(chosen, Executor):
        from rio_mucho_cli.workers import any_executor

        with any_executor.context_workers(chosen, run_id, context) as executor:
            yield executor
        return
    if chosen == "dask":
        with _dask().dask_workers(jobs, run_id, context, scheduler) as executor:
            yield executor
        return
    with _local_workers(chosen)(jobs, run_id, context) as executor:
        yield executor


def fork_server_from_here(chosen: ExecutorName | Executor, jobs: int | None) -> None:
    """Fork the fork server from this process, if a run will need it and GDAL is not in use.

    Parameters
    ----------
    chosen : str or Executor
    jobs : int or None
        Maximum number of windows to process at once; None for all CPUs.
    """
    if chosen != "processes" or jobs == 1 or not has_own_processes():
        return
    from rio_mucho_cli.workers import fork_server

    fork_server.fork_server_from_here()


def _local_workers(
    chosen: ExecutorName,
) -> Callable[[int, str, RunContext], AbstractContextManager[Executor]]:
    if chosen == "serial":
        from rio_mucho_cli.workers.local import serial_workers

        return serial_workers
    if chosen == "threads":
        from rio_mucho_cli.workers.local import thread_workers

        return thread_workers
    if has_own_processes():
        from rio_mucho_cli.workers.process_pool import process_workers

        return process_workers
    from rio_mucho_cli.workers.any_executor import standard_pool

    return standard_pool  # Windows


def has_own_processes() -> bool:
    """Return whether worker processes are ours, and not the standard library's."""
    return hasattr(socket, "send_fds") and hasattr(os, "wait4")  # not on Windows


def check_executor(chosen: ExecutorName | Executor, context: RunContext) -> None:
    """Raise UsageError if workers could not be started; start none.

    Raises
    ------
    UsageError
        If dask is not installed, or the function or its global args cannot be
        pickled for other processes.
    """
    check_installed(chosen)
    if chosen in {"processes", "dask"}:
        context.to_bytes()


def check_installed(chosen: ExecutorName | Executor) -> None:
    """Raise UsageError if the package that an executor needs is not installed."""
    if chosen == "dask":
        _dask()


def _dask() -> ModuleType:
    """Return the module of the dask executor; raise UsageError without dask."""
    try:
        from rio_mucho_cli.workers import dask_executor
    except ImportError as exc:
        raise UsageError(
            f"the executor dask needs dask.distributed ({exc}): pip install 'rio-mucho-cli[dask]'"
        ) from None
    return dask_executor


def executor_name(chosen: ExecutorName | Executor) -> str:
    """Return the name of an executor in reports."""
    return type(chosen).__name__ if isinstance(chosen, Executor) else chosen


def max_in_flight(executor: Executor, in_flight: int) -> Callable[[], int]:
    """Return a function that returns how many tasks to keep submitted.

    Parameters
    ----------
    executor : Executor
        An executor whose workers come and go has its own limit.
    in_flight : int
        Limit for any other executor.
    """
    own: Callable[[], int] | None = getattr(executor, "in_flight", None)
    return (lambda: in_flight) if own is None else own
