"""Threads of the calling process: for functions that let go of the GIL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from rio_mucho_cli import environment
from rio_mucho_cli.interrupts import INTERRUPTS
from rio_mucho_cli.work.order import Order
from rio_mucho_cli.work.worker import begin, dismiss


@contextmanager
def workers(jobs: int, key: str, order: Order) -> Iterator[Executor]:
    """Start threads; each opens its own datasets, in the caller's GDAL environment.

    A thread cannot be killed. On an error the windows that are being worked
    on are waited for; on Ctrl-C they are not, and their datasets stay open
    until the process ends.
    """
    begin(key, replace(order, env=environment.capture()))
    executor = ThreadPoolExecutor(jobs, thread_name_prefix="mucho")
    try:
        with environment.one_thread_each():
            yield executor
    except INTERRUPTS:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        executor.shutdown(cancel_futures=True)
        dismiss(key)
        raise
    executor.shutdown()
    dismiss(key)
