"""Hand tasks out, some at once, and take their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

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


def in_order(
    executor: Executor,
    tasks: Iterator[Task[P]],
    in_flight: Callable[[], int],
    recover: Recover,
) -> Iterator[tuple[P, Any]]:
    """Yield what each task is about and its result, in the order of the tasks.

    Parameters
    ----------
    executor : Executor
    tasks : iterator of Task
        The next one is taken when there is room for it.
    in_flight : callable
        Returns how many are to be handed out at once, by now.
    recover : callable
        Gets the task whose worker was lost, how it was, and the futures of
        all others that are handed out.
    """
    waiting: deque[tuple[Task[P], Future[Any]]] = deque()
    while True:
        while len(waiting) < in_flight() and (task := next(tasks, None)) is not None:
            waiting.append((task, task.submit(executor)))
        if not waiting:
            return
        task, future = waiting.popleft()
        try:
            result = future.result()
        except BrokenExecutor as exc:
            result = recover(task, exc, [other for _, other in waiting])
        del future  # nothing keeps a result that has been written
        yield task.about, result
        del result
