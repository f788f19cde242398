"""How far a run has come, how fast it is, and when it may end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rio_mucho_cli.progress import Event, OverviewDone, PartDone, RunStarted, WindowDone
from rio_mucho_cli.quantities import format_bytes, format_count, format_rate, format_seconds
from rio_mucho_cli.report import Report


@dataclass
class Pace:
    """Counts what events tell.

    Attributes
    ----------
    clock : callable
        Returns seconds.
    windows, done : int
        All of them, and those that are written.
    overviews, overviews_done : int
        Parts of overviews, which follow after the last window.
    """

    clock: Callable[[], float] = time.monotonic
    windows: int = 0
    done: int = 0
    overviews: int = 0
    overviews_done: int = 0
    _pixels: int = 0
    _pixels_done: int = 0
    _jobs: int = 1
    _busy: Callable[[], int] | None = None
    _started: float = 0.0

    def take(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case RunStarted():
                self.windows, self.done, self.overviews = event.windows, event.done, event.overviews
                self._pixels, self._jobs, self._busy = event.pixels, event.jobs, event.busy
                self._started = self.clock()
            case WindowDone():
                self.done = event.done
                self._pixels_done += event.pixels
            case OverviewDone():
                self.overviews_done += 1

    def describe(self) -> str:
        """Say how fast it is, how long it will take, and how many workers are busy."""
        if self.overviews_done:
            return "overviews"
        words = []
        seconds = self.clock() - self._started
        if self._pixels_done and seconds > 0:
            rate = self._pixels_done / seconds
            words = [format_rate(rate)]
            if self.done >= self.windows:
                return words[0]
            left = (self._pixels - self._pixels_done) / rate
            words.append(f"{format_seconds(left)} left")
        if self._busy is not None and self._jobs > 1:
            words.append(f"{min(self._busy(), self._jobs)}/{self._jobs} busy")
        return ", ".join(words)


class Lines:
    """Says now and then, on a line, how far a run has come: for logs.

    Parameters
    ----------
    say : callable
        Gets each line.
    clock : callable
        Returns seconds.
    """

    FIRST, MOST = 15.0, 300.0
    """Seconds until the first line, and between two lines at most: each takes twice as long."""

    def __init__(
        self, say: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._clock = say, clock
        self._pace = Pace(clock)
        self._interval = self.FIRST
        self._next = clock() + self.FIRST

    def __call__(self, event: Event) -> None:
        """Take an event, and say a line if it is time."""
        pace = self._pace
        pace.take(event)
        now = self._clock()
        if now < self._next or isinstance(event, RunStarted):
            return
        self._interval = min(2 * self._interval, self.MOST)
        self._next = now + self._interval
        if pace.overviews_done:
            self._say(f"{pace.overviews_done} of {pace.overviews} parts of overviews")
        else:
            self._say(f"{pace.done} of {pace.windows} windows, {pace.describe()}")


class Line:
    """Says it on one line, which is drawn anew: for terminals and notebooks.

    Parameters
    ----------
    write : callable
        Gets text, with what moves to the start of the line.
    clock : callable
        Returns seconds.
    """

    INTERVAL = 0.1
    """Seconds between two drawings."""

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._pace = Pace(clock)
        self._drawn = float("-inf")
        self._width = 0

    def __call__(self, event: Event) -> None:
        """Take an event, and draw the line if it is time."""
        pace = self._pace
        pace.take(event)
        if isinstance(event, PartDone):
            return
        is_last = (pace.done, pace.overviews_done) == (pace.windows, pace.overviews)
        now = self._clock()
        if not is_last and now - self._drawn < self.INTERVAL:
            return
        self._drawn = now
        text = ", ".join(filter(None, [f"{pace.done} of {pace.windows} windows", pace.describe()]))
        self._write(f"\r{text:{self._width}}" + ("\n" if is_last else ""))
        self._width = len(text)


def summary(report: Report, outputs: Sequence[str]) -> str:
    """Say in a line what a run did."""
    output = ", ".join(outputs)
    windows = format_count(report.windows, "window")
    if report.resumed == report.windows:
        return f"{output}: nothing is left to do, an earlier run has done all of it ({windows})"
    if report.resumed:
        windows += f" ({report.resumed} of them by an earlier run)"
    words = [f"{windows} in {format_seconds(report.seconds)}"]
    if report.pixels:
        words.append(format_rate(report.pixels / report.seconds))
    if report.nbytes:
        words.append(format_bytes(report.nbytes))
    return f"{output}: {', '.join(words)}"
