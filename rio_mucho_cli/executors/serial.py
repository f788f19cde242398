"""One window after the other, in the calling thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from rio_mucho_cli.env import single_threaded_libraries
from rio_mucho_cli.work.order import Order
from rio_mucho_cli.work.worker import begin, dismiss


class SerialExecutor(Executor):
    """An executor that does the work within `submit`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function, and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:
            future.set_exception(exc)
        return future


@contextmanager
def workers(jobs: int, key: str, order: Order) -> Iterator[Executor]:
    """Work in the calling thread; `jobs` makes no difference."""
    begin(key, order)
    try:
        with single_threaded_libraries():
            yield SerialExecutor()
    finally:
        dismiss(key)
