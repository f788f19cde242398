"""What there is to know of a worker that was lost."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor


class LostError(BrokenExecutor):
    """A worker was lost, with the call that it was making, or before any.

    Attributes
    ----------
    started : bool
        Whether it was ready for calls. If so, the call may be submitted again.
    progress : int or None
        How far the call had come, as the worker noted itself, where it does.
    times : int
        How many workers were lost with the call: some executors make a call
        again by themselves.
    """

    def __init__(
        self, message: str, *, started: bool, progress: int | None = None, times: int = 1
    ) -> None:
        super().__init__(message)
        self.started = started
        self.progress = progress
        self.times = times

    @classmethod
    def of(cls, lost: BrokenExecutor) -> LostError:
        """Return what is known; of any other executor, that it takes no more calls."""
        return lost if isinstance(lost, LostError) else cls(str(lost), started=False)
