"""Executors of the user's own, and the standard library's pool where there are no others."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
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
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.window import close_run, open_run

# GDAL's block cache in a worker process, whose threads nobody knows the number of.
_CACHE = 4 * CACHE_BYTES
# Runs whose datasets stay open although nothing is done for them.
_IDLE = 2


class ContextExecutor(Executor):
    """An executor for a run, within one that knows nothing of it.

    Parameters
    ----------
    executor : Executor
        Stays open.
    key : str
        The name of the run.
    order : RunContext or bytes
        Packed, if its workers are other processes.
    """

    def __init__(self, executor: Executor, key: str, order: RunContext | bytes) -> None:
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
    key: str, order: RunContext | bytes, fn: Callable[..., Any], *args: Any, **kwargs: Any
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
def _taken_up(key: str, order: RunContext | bytes) -> Iterator[None]:
    with _lock:
        known = _runs.get(key)
        if known is None:
            known = _runs[key] = _Known()
            known.stack.callback(close_run, key)
            known.stack.enter_context(single_threaded_libraries())
            known.stack.enter_context(limited_block_cache(_CACHE))
            known.stack.enter_context(without_georeferencing_warnings())
            known.stack.enter_context(without_layout_options())
            open_run(key, order)
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
def context_workers(executor: Executor, key: str, order: RunContext) -> Iterator[Executor]:
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
    carrying = ContextExecutor(executor, key, order if is_here else order.packed())
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


# What Windows waits for at once (concurrent.futures says so, too).
_MOST = 61

_hiding = threading.Lock()


class _Process(SpawnProcess):
    """A process that does not import the caller's ``__main__``.

    It would run a script that has no guard, which would start processes, too.
    Functions in such a script travel by value.
    """

    def start(self) -> None:
        with _hiding:
            own = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = own


class _Context(SpawnContext):
    """How such processes are made, and those that it has made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[_Process] = []

    def Process(self, *args: object, **kwargs: object) -> _Process:  # type: ignore[override]  # noqa: N802
        """Make a process."""
        self.made.append(_Process(*args, **kwargs))  # type: ignore[arg-type]
        return self.made[-1]


@contextmanager
def standard_pool(jobs: int, key: str, order: RunContext) -> Iterator[Executor]:
    """Start processes as they are needed; after an error, kill them.

    Raises
    ------
    UsageError
        If the function or its global args cannot be sent to them.
    """
    context = _Context()
    pool = ProcessPoolExecutor(min(jobs, _MOST), context, initializer=_ignore_interrupts)
    try:
        with context_workers(pool, key, order) as executor:
            yield executor
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in context.made:
            if process.pid is not None:
                process.kill()
        raise


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which the terminal sends to all processes, to the one that has started them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
