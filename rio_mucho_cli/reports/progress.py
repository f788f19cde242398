"""Progress of a run on stderr: windows done, speed and time left."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from rio_mucho_cli.engine.events import (
    Event,
    Listener,
    OverviewDone,
    PartDone,
    RunStarted,
    WindowDone,
    ignore,
)
from rio_mucho_cli.engine.report import Report
from rio_mucho_cli.text import format_bytes, format_count, format_rate, format_seconds

# Seconds before the time left is shown.
_SOON = 0.5
# Terminal codes that move to the start of the line and clear it.
_CLEAR = "\r\033[K"
# Characters in a long and a short bar.
_LONG, _SHORT = 24, 10


@dataclass
class Pace:
    """Counters and speed of a run, updated by its events.

    Attributes
    ----------
    clock : callable
        Returns seconds.
    windows, done : int
        Number of windows, and of those written.
    overviews, overviews_done : int
        Number of overview parts, which follow the last window, and of those
        written.
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
    # Windows written by this run, the time of the first one, and its duration.
    _ours: int = 0
    _first: float = 0.0
    _first_took: float = 0.0
    # Time when each worker had finished about one window, and the pixels written by then.
    _settled: tuple[float, int] = (math.inf, 0)

    def update(self, event: Event) -> None:
        """Update the counters with an event."""
        match event:
            case RunStarted():
                self.windows, self.done, self.overviews = event.windows, event.done, event.overviews
                self._pixels, self._jobs, self._busy = event.pixels, event.jobs, event.busy
                self._started = self.clock() - event.seconds
            case WindowDone():
                self.done = event.done
                self._pixels_done += event.pixels
                self._ours += 1
                if self._ours == 1:
                    self._first = self.clock()
                    self._first_took = event.timing.stages.seconds if event.timing else 0.0
                if self._ours == self._jobs:
                    self._settled = self.clock(), self._pixels_done
            case OverviewDone():
                self.overviews_done += 1

    @property
    def rate(self) -> float:
        """Pixels per second since the start of the run, as in a Report."""
        seconds = self.clock() - self._started
        return self._pixels_done / seconds if seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the last window; None until there is an estimate.

        Start-up, and the extra time of first windows, must not count. The pace
        is measured since each worker finished one window or, until each has
        finished two, since the first window was started.
        """
        now, pixels_left = self.clock(), self._pixels - self._pixels_done
        since, before = self._settled
        if self._ours < 2 * self._jobs or now - since < _SOON:
            since, before = self._first - self._first_took, 0
        seconds, pixels = now - since, self._pixels_done - before
        return pixels_left * seconds / pixels if pixels and seconds >= _SOON else None

    def words(self) -> list[str]:
        """Return the speed, the time left and the number of busy workers, as texts."""
        if self.overviews_done:
            return ["overviews"]
        words = []
        rate = self.rate
        if self._pixels_done and rate > 0:
            words = [format_rate(rate)]
            if self.done >= self.windows:
                return words
            left = self.left
            if left is not None:
                words.append(f"{format_seconds(left)} left")
        if self._busy is not None and self._jobs > 1:
            words.append(f"{min(self._busy(), self._jobs)}/{self._jobs} busy")
        return words

    def describe(self) -> str:
        """Return `words` as one text."""
        return ", ".join(self.words())

    def lines(self) -> list[str]:
        """Return the progress as one line with a bar, in versions from long to short."""
        done, length = self.done + self.overviews_done, self.windows + self.overviews
        position = f"{done}/{length}"

        def line(width: int, words: Sequence[str], label: str = "") -> str:
            filled = width * done // length if length else width
            bar = f"[{'#' * filled}{'-' * (width - filled)}]" if width else ""
            parts = (label, bar, f"{position:>{2 * len(str(length)) + 1}}", ", ".join(words))
            return "  ".join(filter(None, parts))

        words = self.words()
        shorter = [word for word in words if not word.endswith(" busy")]
        left = [word for word in shorter if word.endswith(" left")]
        return [
            line(_LONG, words, "windows"),
            line(_LONG, shorter, "windows"),
            line(_SHORT, shorter),
            line(_SHORT, left),
            line(0, left),
            line(_SHORT, []),
            line(0, []).strip(),
            f"{100 * done // max(1, length)} %",
        ]


class LineChooser:
    """Chooses the longest line that fits; to avoid flicker, lines do not grow again."""

    def __init__(self) -> None:
        self._width, self._index = 0, 0

    def choose(self, lines: Sequence[str], width: int) -> str:
        """Return the first line that fits into a terminal of some width.

        The last column stays free: many terminals wrap the line there.
        """
        if width != self._width:
            self._width, self._index = width, 0
        while self._index < len(lines) - 1 and len(lines[self._index]) >= width:
            self._index += 1
        return lines[self._index][: max(0, width - 1)]


def width_of(stream: Any) -> int:
    """Return the number of columns of a stream's terminal; 80 if unknown."""
    columns = 0
    with suppress(AttributeError, OSError, ValueError):
        columns = os.get_terminal_size(stream.fileno()).columns
    return columns or shutil.get_terminal_size().columns


class ProgressLog:
    """Progress for logs: a line from time to time.

    Parameters
    ----------
    write : callable
        Called with each line.
    clock : callable
        Returns seconds.
    """

    FIRST, MOST = 15.0, 300.0
    """Seconds until the first line, and at most between lines; each interval doubles."""

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._pace = Pace(clock)
        self._interval = self.FIRST
        self._next = clock() + self.FIRST

    def __call__(self, event: Event) -> None:
        """Process an event, and write a line if it is time."""
        pace = self._pace
        pace.update(event)
        now = self._clock()
        if now < self._next or isinstance(event, RunStarted):
            return
        self._interval = min(2 * self._interval, self.MOST)
        self._next = now + self._interval
        if pace.overviews_done:
            self._write(f"{pace.overviews_done} of {pace.overviews} overview parts")
        else:
            self._write(f"{pace.done} of {pace.windows} windows, {pace.describe()}")


class ProgressLine:
    """Progress for terminals and notebooks: one line that is redrawn.

    Parameters
    ----------
    write : callable
        Called with text that starts with a carriage return.
    clock : callable
        Returns seconds.
    width : callable
        Returns the current number of columns.
    """

    INTERVAL = 0.1
    """Least seconds between two redraws."""

    def __init__(
        self,
        write: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
        width: Callable[[], int] = lambda: 80,
    ) -> None:
        self._write, self._clock, self._width = write, clock, width
        self._pace, self._fit = Pace(clock), LineChooser()
        self._drawn = float("-inf")
        self._shown = ""

    def __call__(self, event: Event) -> None:
        """Process an event, and redraw the line if it is time."""
        pace = self._pace
        pace.update(event)
        if isinstance(event, PartDone):
            return
        is_last = (pace.done, pace.overviews_done) == (pace.windows, pace.overviews)
        now = self._clock()
        if not is_last and now - self._drawn < self.INTERVAL:
            return
        self._drawn = now
        width = self._width()
        text = self._fit.choose(pace.lines(), width)
        # Overwrite the rest of a longer line.
        blank = min(len(self._shown), width - 1)
        self._write(f"\r{text:{blank}}" + ("\n" if is_last else ""))
        self._shown = "" if is_last else text

    def close(self) -> None:
        """End the line, so that later text starts below it."""
        if self._shown:
            self._write("\n")


@contextmanager
def on_stderr() -> Iterator[Listener]:
    """Yield a listener that shows progress on stderr, and ignores a closed stderr.

    It is a `ProgressLine` for terminals and notebooks, a `ProgressLog` for logs.
    """
    if sys.stderr is None:
        yield ignore
        return
    is_terminal = sys.stderr.isatty()
    if not is_terminal and not type(sys.stderr).__module__.startswith("ipykernel"):
        yield ProgressLog(lambda text: _write(f"{text}\n"))
        return
    line = ProgressLine(_write, width=lambda: width_of(sys.stderr))
    with _messages_above() if is_terminal else nullcontext():
        try:
            yield line
        finally:
            line.close()


def _write(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


@contextmanager
def _messages_above() -> Iterator[None]:
    """Clear the progress line before each log message."""

    def clear(record: logging.LogRecord) -> bool:
        _write(_CLEAR)
        return True

    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if type(handler) is logging.StreamHandler
    ]
    for handler in handlers:
        handler.addFilter(clear)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(clear)


def summary(report: Report, outputs: Sequence[str]) -> str:
    """Return a one-line summary of a run."""
    output = ", ".join(outputs)
    windows = format_count(report.windows, "window")
    if report.resumed == report.windows:
        return f"{output}: nothing to do, the output comes from an earlier run ({windows})"
    if report.resumed:
        windows += f" ({report.resumed} of them from an earlier run)"
    words = [f"{windows} in {format_seconds(report.seconds)}"]
    if report.pixels:
        words.append(format_rate(report.pixels_per_second))
    if report.nbytes:
        words.append(format_bytes(report.nbytes))
    return f"{output}: {', '.join(words)}"
