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


class NotReadyError(LostError):
    """A worker process lacks something that it needs before all calls."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(
            f"a worker process could not get ready ({type(cause).__name__}: {cause}): "
            "use fewer jobs, or the executor threads",
            started=False,
        )


class ProcessDiedError(LostError):
    """A worker process ended in the middle of a call, or before any.

    Attributes
    ----------
    exitcode : int
        Minus the number of the signal that killed it, or its exit status.
    started : bool
        Whether it was ready for calls. If so, another process takes its place,
        where that can be had, and the call may be submitted again.
    peak : int or None
        The most memory that the process held, in bytes, where that is known.
    """

    def __init__(
        self, exitcode: int, *, started: bool, progress: int = 0, peak: int | None = None
    ) -> None:
        super().__init__(
            f"a worker process ended with {exitcode}", started=started, progress=progress
        )
        self.exitcode = exitcode
        self.peak = peak
