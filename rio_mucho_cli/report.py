"""What a run cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rasterio.windows import Window


@dataclass(frozen=True, slots=True)
class Failure:
    """A window that is nodata because its function raised.

    Attributes
    ----------
    window : rasterio.windows.Window, or the caller's own window
    ij : tuple of int
    message : str
        What was raised, on one line.
    """

    window: Any
    ij: Any
    message: str

    def as_json(self) -> list[Any]:
        """Return it as what JSON can say."""
        return [[int(value) for value in self.window.flatten()], list(self.ij), self.message]

    @classmethod
    def from_json(cls, value: Any) -> Failure:
        """Undo `as_json`; raise ValueError or TypeError if it is something else."""
        (*ends,), (row, col), message = value
        return cls(Window(*map(int, ends)), (int(row), int(col)), str(message))


@dataclass(frozen=True, slots=True)
class Report:
    """What a finished run did, and where its time went.

    Attributes
    ----------
    windows : int
        How many were written.
    executor : str
        The one that was used: with one job or one window it is "serial".
    jobs : int
        How many windows were worked on at once, at most.
    seconds : float
        From start to end.
    read_seconds, call_seconds, encode_seconds : float
        Reading, in the function, and encoding: each the sum over all workers.
    write_seconds : float
        Writing, in the parent; with encoding where workers do not do that. Of a
        mosaic, the sum over all workers.
    failed : tuple of Failure
        Windows that are nodata because their function raised.
    retried : int
        How often something was done again because a worker process died.
    resumed : int
        How many windows an earlier run had done.
    """

    windows: int
    executor: str
    jobs: int
    seconds: float
    read_seconds: float
    call_seconds: float
    encode_seconds: float
    write_seconds: float
    failed: tuple[Failure, ...] = ()
    retried: int = 0
    resumed: int = 0
