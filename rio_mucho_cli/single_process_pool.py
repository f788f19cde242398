"""The single-process pool of rio-mucho, for programs that import it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class MockTub:
    """Like `multiprocessing.Pool`, but works in the calling process.

    Parameters
    ----------
    main_worker : callable
        Initializer, called at once.
    args : sequence
        Arguments of the initializer.
    """

    def __init__(self, main_worker: Callable[..., Any], args: Iterable[Any]) -> None:
        main_worker(*args)

    def imap_unordered(self, func: Callable[[Any], Any], iterable: Iterable[Any]) -> Iterator[Any]:
        """Apply a function to each item when its result is requested."""
        return map(func, iterable)

    def close(self) -> None:
        """Do nothing: there are no workers."""

    def join(self) -> None:
        """Do nothing: there are no workers."""
