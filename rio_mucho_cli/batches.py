"""How many windows travel together in one task. Arithmetic only.

Handing out a task and taking its results costs about a millisecond, in which
a small window can be read, computed and encoded. So small windows go together,
as many as are worked on in a tenth of a second.
"""

from __future__ import annotations

from rio_mucho_cli.planning.memory import BATCH_BYTES

_SECONDS = 0.1
_MOST = 256
# How much of the average the newest window makes up.
_WEIGHT = 0.2


class Batches:
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
