"""Worker processes where the system cannot have our own: those of the standard library.

On Windows no file can be handed to another process through a socket, as
`processes` does. A worker that is killed there ends the run.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType

from rio_mucho_cli.executors import carrying
from rio_mucho_cli.work.order import Order

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
def workers(jobs: int, key: str, order: Order) -> Iterator[Executor]:
    """Start processes as they are needed; after an error, kill them.

    Raises
    ------
    UsageError
        If the function or its global args cannot be sent to them.
    """
    context = _Context()
    pool = ProcessPoolExecutor(min(jobs, _MOST), context, initializer=_ignore_interrupts)
    try:
        with carrying.workers(pool, key, order) as executor:
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
