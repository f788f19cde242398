"""What a run cost."""

from __future__ import annotations

from dataclasses import dataclass


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
        Writing, in the parent; with encoding where workers do not do that.
    """

    windows: int
    executor: str
    jobs: int
    seconds: float
    read_seconds: float
    call_seconds: float
    encode_seconds: float
    write_seconds: float
