"""Hand tasks out, a bounded number at once, and take their results in order."""

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
# How much of the average the newest window makes up.
_WEIGHT = 0.2


class BatchSizer:
    """Chooses the size of each batch by what windows before it took.

    Parameters
    ----------
    windows : int
        How many there are.
    in_flight : int
        How many batches are handed out at once.
    """

    def __init__(self, windows: int, in_flight: int) -> None:
        self._rest = windows
        self._in_flight = in_flight
        self._seconds: float | None = None
        self._bytes = 0.0

    def measure(self, seconds: float, size: int) -> None:
        """Take note of what a window took, and of the bytes of its result."""
        if self._seconds is None:
            self._seconds, self._bytes = seconds, size
        self._seconds += _WEIGHT * (seconds - self._seconds)
        self._bytes += _WEIGHT * (size - self._bytes)

    def next_size(self) -> int:
        """Return how many windows the next batch has.

        The last batches are small: all workers should end at the same time.
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
    """A call that a worker makes.

    Attributes
    ----------
    about : object
        What it is about, for whoever takes its result.
    function : callable
    arguments : tuple
    """

    about: P
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def submit(self, executor: Executor) -> Future[Any]:
        """Hand it out; if there is nobody left to take it, its future says so."""
        try:
            return executor.submit(self.function, *self.arguments)
        except BrokenExecutor as exc:
            failed: Future[Any] = Future()
            failed.set_exception(exc)
            return failed


class Recover(Protocol):
    """What is done when a worker was lost with a task."""

    def __call__(
        self, task: Task[Any], lost: BrokenExecutor, others: Sequence[Future[Any]], /
    ) -> Any:
        """Return the task's result after all, or raise."""


@dataclass
class _Submitted(Generic[P]):
    """A task that has been handed out; `arrived` is when its result was there."""

    task: Task[P]
    future: Future[Any]
    arrived: float = 0.0

    @classmethod
    def out(cls, task: Task[P], executor: Executor) -> _Submitted[P]:
        handed = cls(task, task.submit(executor))
        handed.future.add_done_callback(handed._stamp)
        return handed

    def _stamp(self, future: Future[Any]) -> None:
        self.arrived = time.time()


@dataclass
class TaskClock:
    """What can be seen from where tasks are handed out.

    Attributes
    ----------
    waited : float
        For so many seconds there was nothing to do but to wait for a result.
    arrived : float
        When the result that was taken last had arrived, in seconds since 1970.
    fetched : float
        How many seconds it took from then on, while somebody waited for it.
    """

    waited: float = 0.0
    arrived: float = 0.0
    fetched: float = 0.0
    _handed: deque[_Submitted[Any]] = field(default_factory=deque)

    def count_busy(self) -> int:
        """Return how many tasks are handed out whose results are not there."""
        return sum(not each.future.done() for each in tuple(self._handed))

    def transfer(self, timing: WindowTiming) -> StageTime:
        """Return how long the result of what was timed was on its way.

        Notes
        -----
        Between two machines it is no better than their clocks.
        """
        return StageTime(max(0.0, self.arrived - timing.ended) + self.fetched)

    def take(self, handed: _Submitted[Any]) -> Any:
        """Wait for a task's result."""
        asked = time.time()
        try:
            return handed.future.result()
        finally:
            now = time.time()
            self.waited += now - asked
            self.arrived = min(handed.arrived or now, now)
            self.fetched = max(0.0, now - max(asked, self.arrived))


def in_order(
    executor: Executor,
    tasks: Iterator[Task[P]],
    in_flight: Callable[[], int],
    recover: Recover | None = None,
    watch: TaskClock | None = None,
) -> Iterator[tuple[P, Any]]:
    """Yield what each task is about and its result, in the order of the tasks.

    Parameters
    ----------
    executor : Executor
    tasks : iterator of Task
        The next one is taken when there is room for it.
    in_flight : callable
        Returns how many are to be handed out at once, by now.
    recover : callable, optional
        Gets the task whose worker was lost, how it was, and the futures of
        all others that are handed out.
    watch : TaskClock, optional
        Sees it.
    """
    watch = TaskClock() if watch is None else watch
    waiting = watch._handed = deque()
    while True:
        while len(waiting) < in_flight() and (task := next(tasks, None)) is not None:
            waiting.append(_Submitted.out(task, executor))
        if not waiting:
            return
        handed = waiting.popleft()
        task = handed.task
        try:
            result = watch.take(handed)
        except BrokenExecutor as exc:
            if recover is None:
                raise
            result = recover(task, exc, [other.future for other in waiting])
        del handed  # nothing keeps a result that has been written
        check()
        yield task.about, result
        del result
