"""What a worker process tells of its work, and what limits or stops it.

The main process of a run is no worker process: there, progress goes nowhere, and
a timeout limits nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, TypeAlias

Limit: TypeAlias = Callable[[str, float], AbstractContextManager[None]]
"""Function of a run id and a timeout that returns the context of a window."""

_note_progress: Callable[[int], Any] = bool  # does nothing
_limit: Limit | None = None


def note_progress(done: int) -> None:
    """Report how many windows of a task are done, in case the worker dies."""
    _note_progress(done)


def note_progress_with(note: Callable[[int], Any]) -> None:
    """Set the function that reports how many windows of a batch are done."""
    global _note_progress
    _note_progress = note


def limited(run_id: str, timeout: float | None) -> AbstractContextManager[None]:
    """Return the context of a window, in which this process is ended after the timeout.

    Loading the function and opening the inputs, before the first window, do not
    count.
    """
    return nullcontext() if timeout is None or _limit is None else _limit(run_id, timeout)


def limit_windows_with(limit: Limit) -> None:
    """Set how windows of this process are limited."""
    global _limit
    _limit = limit


# Runs that ended early. Long-lived processes see many, and cannot know when the last
# call of a run is over, so only the latest are kept.
_stopped: deque[str] = deque(maxlen=64)


def stop(run_id: str) -> None:
    """Ask long-running work of a run in this process to stop soon."""
    _stopped.append(run_id)


def is_stopped(run_id: str) -> bool:
    """Return whether a run was stopped."""
    return run_id in _stopped


def forget(run_id: str) -> None:
    """Forget that a run was stopped."""
    with suppress(ValueError):
        _stopped.remove(run_id)
