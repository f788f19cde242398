"""Submit tasks, a bounded number at once, and yield their results in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from rio_mucho_cli.planning.memory import BATCH_BYTES
from rio_mucho_cli.signals import check
from rio_mucho_cli.timing import StageTime, WindowTiming

_SECONDS = 0.1
_MOST = 256
# Weight of the newest window in the moving average.
_WEIGHT = 0.2


class BatchSizer:
    """Choose the size of each batch by the time and size of earlier windows.

    Parameters
    ----------
    windows : int
    in_flight : int
        Number of batches that are submitted at once.
    """

    def __init__(self, windows: int, in_flight: int) -> None:
        self._rest = windows
        self._in_flight = in_flight
        self._seconds: float | None = None
        self._bytes = 0.0

    def measure(self, seconds: float, size: int) -> None:
        """Record the seconds of a window and the bytes of its result."""
        if self._seconds is None:
            self._seconds, self._bytes = seconds, size
        self._seconds += _WEIGHT * (seconds - self._seconds)
        self._bytes += _WEIGHT * (size - self._bytes)

    def next_size(self) -> int:
        """Return the number of windows of the next batch.

        The last batches are small, so that all workers end at the same time.
        """
        size = 1
        if self._seconds is not None:
            by_time = _SECONDS / max(self._seconds, 1e-6)
            by_bytes = BATCH_BYTES / max(self._bytes, 1)
            by_rest = self._rest / (2 * self._in_flight)
            size = max(1, int(min(by_time, by_bytes, by_rest, _MOST)))
        self._rest -= size
        return size


P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Task(Generic[P]):
    """A function call for a worker.

    Attributes
    ----------
    about : object
        Subject of the call; it is returned with the result.
    function : callable
    arguments : tuple
    """

    about: P
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def submit(self, executor: Executor) -> Future[Any]:
        """Submit the call; with a broken executor, return a future with that exception."""
        try:
            return executor.submit(self.function, *self.arguments)
        except BrokenExecutor as exc:
            failed: Future[Any] = Future()
            failed.set_exception(exc)
            return failed


class Recover(Protocol):
    """A callable that retries a task whose worker died."""

    def __call__(
        self, task: Task[Any], lost: BrokenExecutor, others: Sequence[Future[Any]], /
    ) -> Any:
        """Return the task's result, or raise."""


@dataclass
class _Submitted(Generic[P]):
    """A submitted task; `arrived` is the time when its result was available."""

    task: Task[P]
    future: Future[Any]
    arrived: float = 0.0

    @classmethod
    def submit(cls, task: Task[P], executor: Executor) -> _Submitted[P]:
        submitted = cls(task, task.submit(executor))
        submitted.future.add_done_callback(submitted._stamp)
        return submitted

    def _stamp(self, future: Future[Any]) -> None:
        self.arrived = time.time()


@dataclass
class TaskClock:
    """Times of tasks, as the main process sees them.

    Attributes
    ----------
    waited : float
        Seconds spent waiting for results.
    arrived : float
        Arrival of the result that was taken last, in seconds since 1970.
    fetched : float
        Seconds from its arrival, or from the start of waiting if later, until
        it was returned.
    """

    waited: float = 0.0
    arrived: float = 0.0
    fetched: float = 0.0
    _submitted: deque[_Submitted[Any]] = field(default_factory=deque)

    def count_busy(self) -> int:
        """Return the number of submitted tasks without a result."""
        return sum(not task.future.done() for task in tuple(self._submitted))

    def transfer(self, timing: WindowTiming) -> StageTime:
        """Return the transfer time of the result that was taken last.

        Notes
        -----
        Between two machines, it is only as accurate as their clocks.
        """
        return StageTime(max(0.0, self.arrived - timing.ended) + self.fetched)

    def take(self, submitted: _Submitted[Any]) -> Any:
        """Wait for a task's result and return it."""
        asked = time.time()
        try:
            return submitted.future.result()
        finally:
            now = time.time()
            self.waited += now - asked
            self.arrived = min(submitted.arrived or now, now)
            self.fetched = max(0.0, now - max(asked, self.arrived))


def in_order(
    executor: Executor,
    tasks: Iterator[Task[P]],
    in_flight: Callable[[], int],
    recover: Recover | None = None,
    clock: TaskClock | None = None,
) -> Iterator[tuple[P, Any]]:
    """Yield the subject and result of each task, in the order of the tasks.

    Parameters
    ----------
    executor : Executor
    tasks : iterator of Task
        Tasks; the next one is taken only when it can be submitted.
    in_flight : callable
        Function that returns how many tasks may be submitted at once, now.
    recover : callable, optional
        Called with the task whose worker died, the exception, and the futures
        of all other submitted tasks. Returns the task's result.
    clock : TaskClock, optional
        Clock that records waiting and transfer times.
    """
    clock = TaskClock() if clock is None else clock
    waiting = clock._submitted = deque()
    while True:
        while len(waiting) < in_flight() and (task := next(tasks, None)) is not None:
            waiting.append(_Submitted.submit(task, executor))
        if not waiting:
            return
        submitted = waiting.popleft()
        task = submitted.task
        try:
            result = clock.take(submitted)
        except BrokenExecutor as exc:
            if recover is None:
                raise
            result = recover(task, exc, [other.future for other in waiting])
        del submitted  # free the result once it is written
        check()
        yield task.about, result
        del result
