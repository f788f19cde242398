"""Where windows are worked on: each a `concurrent.futures.Executor`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from types import ModuleType
from typing import Literal, TypeAlias, get_args

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.work.order import Order

ExecutorName: TypeAlias = Literal["processes", "threads", "serial", "dask"]
EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)
LOCAL = ("processes", "threads", "serial")
"""Those whose workers see this machine's files, and end with the run."""


@contextmanager
def open_executor(
    chosen: ExecutorName | Executor,
    jobs: int,
    key: str,
    order: Order,
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
    order : Order
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
        from rio_mucho_cli.executors import carrying

        with carrying.workers(chosen, key, order) as executor:
            yield executor
        return
    if chosen == "dask":
        with _dask().workers(jobs, key, order, scheduler) as executor:
            yield executor
        return
    if chosen == "serial":
        from rio_mucho_cli.executors import serial as module
    elif chosen == "threads":
        from rio_mucho_cli.executors import threads as module  # type: ignore[no-redef]
    elif hasattr(socket, "send_fds") and hasattr(os, "wait4"):
        from rio_mucho_cli.executors import processes as module  # type: ignore[no-redef]
    else:  # Windows
        from rio_mucho_cli.executors import spawned as module  # type: ignore[no-redef]
    with module.workers(jobs, key, order) as executor:
        yield executor


def check_executor(chosen: ExecutorName | Executor, order: Order) -> None:
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
        from rio_mucho_cli.executors import dask
    except ImportError as exc:
        raise UsageError(
            f"the executor dask needs dask.distributed ({exc}): pip install 'rio-mucho-cli[dask]'"
        ) from None
    return dask


def name_of(chosen: ExecutorName | Executor) -> str:
    """Return what a report calls an executor."""
    return type(chosen).__name__ if isinstance(chosen, Executor) else chosen


def room_in(executor: Executor, in_flight: int) -> Callable[[], int]:
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
