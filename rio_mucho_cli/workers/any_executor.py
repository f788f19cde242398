"""Run windows on a user's executor or on the standard process pool."""

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
from rio_mucho_cli.workers.numbering import number_by, place_in_pool
from rio_mucho_cli.workers.window import close_run, open_run

# GDAL's block cache in a worker process with an unknown number of threads.
_CACHE = 4 * CACHE_BYTES
# Idle runs whose datasets stay open.
_IDLE = 2


class ContextExecutor(Executor):
    """Executor for one run that submits to a general-purpose executor.

    Parameters
    ----------
    executor : Executor
        The executor that does the work. It is not shut down.
    run_id : str
        Run id.
    context : RunContext or bytes
        Context of the run, pickled if the workers are other processes.
    """

    def __init__(self, executor: Executor, run_id: str, context: RunContext | bytes) -> None:
        self._executor = executor
        self._run_id = run_id
        self._context = context
        self._futures: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call together with the run context."""
        future = self._executor.submit(
            call_in_run, self._run_id, self._context, fn, *args, **kwargs
        )
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel calls that have not started."""
        for future in list(self._futures):
            future.cancel()


def call_in_run(
    run_id: str, context: RunContext | bytes, fn: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    """Call a function in a worker that may not know its run yet."""
    if isinstance(context, bytes):
        number_by(run_id, place_in_pool)
    with _in_open_run(run_id, context):
        return fn(*args, **kwargs)


@dataclass
class _OpenRun:
    """State of a run in this process."""

    calls: int = 0
    stack: ExitStack = field(default_factory=ExitStack)


_runs: dict[str, _OpenRun] = {}
_lock = threading.Lock()


@contextmanager
def _in_open_run(run_id: str, context: RunContext | bytes) -> Iterator[None]:
    with _lock:
        state = _runs.get(run_id)
        if state is None:
            state = _runs[run_id] = _OpenRun()
            state.stack.callback(close_run, run_id)
            state.stack.enter_context(single_threaded_libraries())
            state.stack.enter_context(limited_block_cache(_CACHE))
            state.stack.enter_context(without_georeferencing_warnings())
            state.stack.enter_context(without_layout_options())
            open_run(run_id, context)
        state.calls += 1
    try:
        yield
    finally:
        with _lock:
            state.calls -= 1
            idle = [name for name, run in _runs.items() if not run.calls]
            for name in idle[:-_IDLE]:
                _runs.pop(name).stack.close()


def close_if_idle(run_id: str) -> None:
    """Close the datasets of a run in this process, unless they are in use."""
    with _lock:
        state = _runs.get(run_id)
        if state is not None and not state.calls:
            _runs.pop(run_id).stack.close()


@contextmanager
def context_workers(executor: Executor, run_id: str, context: RunContext) -> Iterator[Executor]:
    """Use an executor for a run, and cancel its pending calls afterwards.

    Raises
    ------
    UsageError
        If the function or its global args cannot be pickled, or if the workers
        would be forked.
    """
    if _would_fork(executor):
        raise UsageError(
            "the workers of this ProcessPoolExecutor would be forked from a process that has used "
            "GDAL, whose locks and caches do not survive that: give it "
            'mp_context=multiprocessing.get_context("spawn"), or use executor="processes"'
        )
    workers = getattr(executor, "_max_workers", None) or 0
    context = replace(context, env=env_options(), workers=workers)
    is_here = type(executor) is ThreadPoolExecutor
    own = ContextExecutor(executor, run_id, context if is_here else context.to_bytes())
    try:
        yield own
    finally:
        own.shutdown()
        close_if_idle(run_id)  # the workers may be threads of this process


def _would_fork(executor: Executor) -> bool:
    """Return whether a standard process pool will fork its workers.

    Such a pool forks all of them at its first call. Workers that are already
    running do not count.
    """
    if not isinstance(executor, ProcessPoolExecutor):
        return False
    context = getattr(executor, "_mp_context", None)
    forks = context is not None and context.get_start_method() == "fork"
    return forks and not getattr(executor, "_processes", None)


# Limit of WaitForMultipleObjects on Windows, which concurrent.futures documents too.
_MOST = 61

_hiding = threading.Lock()


class _Process(SpawnProcess):
    """Process that does not import the ``__main__`` of the main process.

    Importing a script without a guard would start processes again. Functions
    defined in such a script are pickled by value.
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
    """Multiprocessing context that creates `_Process` objects and lists them."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[_Process] = []

    def Process(self, *args: object, **kwargs: object) -> _Process:  # type: ignore[override]  # noqa: N802
        """Create a process."""
        self.processes.append(_Process(*args, **kwargs))  # type: ignore[arg-type]
        return self.processes[-1]


@contextmanager
def standard_pool(jobs: int, run_id: str, context: RunContext) -> Iterator[Executor]:
    """Start processes on demand, and kill them after an error.

    Raises
    ------
    UsageError
        If the function or its global args cannot be pickled.
    """
    spawn = _Context()
    pool = ProcessPoolExecutor(min(jobs, _MOST), spawn, initializer=_ignore_interrupts)
    try:
        with context_workers(pool, run_id, context) as executor:
            yield executor
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in spawn.processes:
            if process.pid is not None:
                process.kill()
        raise


def _ignore_interrupts() -> None:
    """Ignore SIGINT, so that only the main process handles Ctrl-C.

    The terminal sends it to all processes of the group.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
