"""End a worker process from within when a window takes too long: on a dask cluster.

    window begins ─▶ timer ─┬─▶ window is done: cancelled
                            └─▶ on_end(), log, exit

The main process cannot kill a worker on another machine. A thread cannot run
while native code holds Python's lock; faulthandler, which needs no lock, ends the
process then, a little later.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

log = logging.getLogger("distributed.worker.mucho")

# Seconds for the last messages of a worker to leave it.
_LEAVING = 0.5
# Seconds after which faulthandler steps in.
_GRACE = 2.0
_EXIT_STATUS = 1


class _LastResort:
    """faulthandler's one timer, for all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[int, float] = {}

    def set(self, deadline: float | None) -> None:
        """Set when this thread has to be done; None: it is."""
        with self._lock:
            self._deadlines.pop(threading.get_ident(), None)
            if deadline is not None:
                self._deadlines[threading.get_ident()] = deadline
            with suppress(Exception):  # stderr may be closed, or no file
                faulthandler.cancel_dump_traceback_later()
                if self._deadlines:
                    left = max(min(self._deadlines.values()) - time.monotonic(), 0.001)
                    file = sys.stderr if log.isEnabledFor(logging.WARNING) else _nowhere()
                    faulthandler.dump_traceback_later(left, exit=True, file=file)


_last_resort = _LastResort()


@cache
def _nowhere() -> Any:
    """Return a file that keeps nothing, open for good."""
    return Path(os.devnull).open("w", encoding="utf-8")


@contextmanager
def exit_after(seconds: float, on_end: Callable[[], Any] = bool) -> Iterator[None]:
    """End this process if the block takes longer.

    Parameters
    ----------
    seconds : float
    on_end : callable
        Function to call before.
    """
    timer = threading.Timer(seconds, _end, (threading.get_ident(), seconds, on_end))
    timer.daemon = True
    timer.start()
    _last_resort.set(time.monotonic() + seconds + _GRACE)
    try:
        yield
    finally:
        timer.cancel()
        _last_resort.set(None)


def _end(thread: int, seconds: float, on_end: Callable[[], Any]) -> NoReturn:
    """Say where a thread is, and end the process."""
    try:
        frame = sys._current_frames().get(thread)
        where = "".join(traceback.format_stack(frame)) if frame is not None else ""
        log.warning("a window took longer than %g s, so this worker ends. It was at:\n%s",
                    seconds, where)  # fmt: skip
        on_end()
        time.sleep(_LEAVING)
    finally:
        os._exit(_EXIT_STATUS)
