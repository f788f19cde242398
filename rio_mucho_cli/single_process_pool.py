"""The pool of one process that programs written for rio-mucho import."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class MockTub:
    """Looks like `multiprocessing.Pool`, and works in the calling process.

    Parameters
    ----------
    main_worker : callable
        Called at once, as a pool's workers call their initializer.
    args : sequence
        Its arguments.
    """

    def __init__(self, main_worker: Callable[..., Any], args: Iterable[Any]) -> None:
        main_worker(*args)

    def imap_unordered(self, func: Callable[[Any], Any], iterable: Iterable[Any]) -> Iterator[Any]:
        """Apply a function to each item, when its result is asked for."""
        return map(func, iterable)

    def close(self) -> None:
        """Do nothing: there is no worker to tell."""

    def join(self) -> None:
        """Do nothing: there is no worker to wait for."""
