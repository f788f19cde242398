"""Run windows in the main process: one after another, or in threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rio_mucho_cli.env import env_options, single_threaded_libraries
from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.signals import INTERRUPTS
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.window import close_run, open_run


class SerialExecutor(Executor):
    """Executor that runs each call within `submit`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function and return a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:
            future.set_exception(exc)
        return future


@contextmanager
def serial_workers(jobs: int, run_id: str, context: RunContext) -> Iterator[Executor]:
    """Process windows in the calling thread; `jobs` is ignored."""
    open_run(run_id, context)
    try:
        with single_threaded_libraries():
            yield SerialExecutor()
    finally:
        close_run(run_id)


@contextmanager
def thread_workers(jobs: int, run_id: str, context: RunContext) -> Iterator[Executor]:
    """Start threads with their own datasets and the current GDAL options.

    Threads cannot be killed. After an error, windows in progress are completed.
    After Ctrl-C they are not waited for, and their datasets stay open until the
    process ends.

    Raises
    ------
    MuchoError
        If the system does not allow this many threads.
    """
    open_run(run_id, replace(context, env=env_options()))
    executor = ThreadPoolExecutor(jobs, thread_name_prefix="mucho")
    try:
        _start(executor, jobs)
        with single_threaded_libraries():
            yield executor
    except INTERRUPTS:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        executor.shutdown(cancel_futures=True)
        close_run(run_id)
        raise
    executor.shutdown()
    close_run(run_id)


def _start(executor: ThreadPoolExecutor, jobs: int) -> None:
    """Start all threads now: the system might refuse them later."""
    go_on, started = threading.Event(), 0
    try:
        while started < jobs:
            # Blocks the thread: the pool reuses idle threads instead of starting new ones.
            executor.submit(go_on.wait)
            started += 1
    except RuntimeError as exc:
        raise MuchoError(
            f"only {started} of {jobs} threads could be started ({exc}): "
            f"use {'fewer jobs' if started else 'the executor serial'}"
        ) from None
    finally:
        go_on.set()
