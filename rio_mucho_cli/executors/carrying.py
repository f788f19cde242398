"""Executors of the user's own: each call takes along what its worker has to know.

    CarryingExecutor.submit(fn, ...) ─▶ executor.submit(carried, key, order, fn, ...)

Nobody can tell such workers beforehand what a run is about, nor afterwards
that it is over. A worker unpacks an order when it first meets it, and forgets
it when it has met others since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from rio_mucho_cli.env import (
    CACHE_BYTES,
    env_options,
    limited_block_cache,
    single_threaded_libraries,
    without_georeferencing_warnings,
    without_layout_options,
)
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.work.order import Order
from rio_mucho_cli.work.worker import begin, dismiss

# GDAL's block cache in a worker process, whose threads nobody knows the number of.
_CACHE = 4 * CACHE_BYTES
# Runs whose datasets stay open although nothing is done for them.
_IDLE = 2


class CarryingExecutor(Executor):
    """An executor for a run, within one that knows nothing of it.

    Parameters
    ----------
    executor : Executor
        Stays open.
    key : str
        The name of the run.
    order : Order or bytes
        Packed, if its workers are other processes.
    """

    def __init__(self, executor: Executor, key: str, order: Order | bytes) -> None:
        self._executor = executor
        self._key = key
        self._order = order
        self._futures: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call, with the order."""
        future = self._executor.submit(carried, self._key, self._order, fn, *args, **kwargs)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what has not begun."""
        for future in list(self._futures):
            future.cancel()


def carried(
    key: str, order: Order | bytes, fn: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    """Make a call in a worker that may never have heard of its run."""
    with _taken_up(key, order):
        return fn(*args, **kwargs)


@dataclass
class _Known:
    """A run that this process has met."""

    calls: int = 0
    stack: ExitStack = field(default_factory=ExitStack)


_runs: dict[str, _Known] = {}
_lock = threading.Lock()


@contextmanager
def _taken_up(key: str, order: Order | bytes) -> Iterator[None]:
    with _lock:
        known = _runs.get(key)
        if known is None:
            known = _runs[key] = _Known()
            known.stack.callback(dismiss, key)
            known.stack.enter_context(single_threaded_libraries())
            known.stack.enter_context(limited_block_cache(_CACHE))
            known.stack.enter_context(without_georeferencing_warnings())
            known.stack.enter_context(without_layout_options())
            begin(key, order)
        known.calls += 1
    try:
        yield
    finally:
        with _lock:
            known.calls -= 1
            idle = [name for name, each in _runs.items() if not each.calls]
            for name in idle[:-_IDLE]:
                _runs.pop(name).stack.close()


def forget(key: str) -> None:
    """Close what workers of a run have open in this process, unless they are busy."""
    with _lock:
        known = _runs.get(key)
        if known is not None and not known.calls:
            _runs.pop(key).stack.close()


@contextmanager
def workers(executor: Executor, key: str, order: Order) -> Iterator[Executor]:
    """Use an executor for a run; afterwards, cancel what it has not begun.

    Raises
    ------
    UsageError
        If the function or its global args cannot be sent, or workers would be
        forked.
    """
    if _would_fork(executor):
        raise UsageError(
            "the workers of this ProcessPoolExecutor would be forked from a process that has used "
            "GDAL, whose locks and caches do not survive that: give it "
            'mp_context=multiprocessing.get_context("spawn"), or use executor="processes"'
        )
    order = replace(order, env=env_options())
    is_here = type(executor) is ThreadPoolExecutor
    carrying = CarryingExecutor(executor, key, order if is_here else order.packed())
    try:
        yield carrying
    finally:
        carrying.shutdown()
        forget(key)  # the workers may be threads of this process


def _would_fork(executor: Executor) -> bool:
    """Whether a pool of the standard library's is to fork its workers, and has not done so.

    It forks all of them when it is given its first call.
    """
    if not isinstance(executor, ProcessPoolExecutor):
        return False
    context = getattr(executor, "_mp_context", None)
    forks = context is not None and context.get_start_method() == "fork"
    return forks and not getattr(executor, "_processes", None)
