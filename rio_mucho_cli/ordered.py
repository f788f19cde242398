"""Hand tasks out, some at once, and take their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, TypeAlias, TypeVar

P = TypeVar("P")

Task: TypeAlias = "tuple[P, Callable[..., Any], tuple[Any, ...]]"
"""What the task is about, a function for a worker, and its arguments."""


class Lost(Exception):  # noqa: N818 (it is what happened, and not shown to anybody)
    """A worker was lost with its task.

    Attributes
    ----------
    payload : object
        What the task was about.
    cause : BrokenExecutor
    """

    def __init__(self, payload: Any, cause: BrokenExecutor) -> None:
        super().__init__(str(cause))
        self.payload = payload
        self.cause = cause


def in_order(
    executor: Executor, tasks: Iterator[Task[P]], in_flight: int
) -> Iterator[tuple[P, Any]]:
    """Yield what each task is about and its result, in the order of the tasks.

    Parameters
    ----------
    executor : Executor
    tasks : iterator of Task
        The next one is taken when there is room for it.
    in_flight : int
        How many are handed out at once.

    Raises
    ------
    Lost
        If a worker is.
    """
    waiting: deque[tuple[P, Future[Any]]] = deque()
    while True:
        while len(waiting) < in_flight and (task := next(tasks, None)) is not None:
            payload, function, arguments = task
            waiting.append((payload, executor.submit(function, *arguments)))
        if not waiting:
            return
        payload, future = waiting.popleft()
        try:
            result = future.result()
        except BrokenExecutor as exc:
            raise Lost(payload, exc) from None
        del future  # nothing keeps a result that has been written
        yield payload, result
        del result
