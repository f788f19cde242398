"""Progress of a run on stderr: windows done, speed and time left."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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

# Seconds for which the pace is measured before it tells the time left.
_SOON = 0.5
# Characters in a long, a short and the shortest bar.
_LONG, _SHORT, _SHORTEST = 24, 10, 5


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
    # Windows written by this run, and the seconds and pixels of those whose time is known.
    _ours: int = 0
    _timed: tuple[float, int] = (0.0, 0)
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
                took = event.timing.stages.seconds if event.timing else 0.0
                if took:
                    self._timed = self._timed[0] + took, self._timed[1] + event.pixels
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
        is measured since each worker finished one window. Until each has
        finished two, all workers are taken to need as long as the windows
        that are done.
        """
        pixels_left, done = self._pixels - self._pixels_done, self._pixels_done
        since, before = self._settled
        seconds = self.clock() - since
        if self._ours >= 2 * self._jobs and seconds >= _SOON and done > before:
            return pixels_left * seconds / (done - before)
        took, pixels = self._timed
        return pixels_left * took / pixels / self._jobs if pixels else None

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
            line(_SHORTEST, left),
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

    def clear(self) -> None:
        """Remove the line, so that a message can take its place; the next event redraws it."""
        if self._shown:
            self._write(f"\r{' ' * len(self._shown)}\r")
        self._shown, self._drawn = "", float("-inf")

    def close(self) -> None:
        """End the line, so that later text starts below it."""
        if self._shown:
            self._write("\n")


@contextmanager
def on_stderr() -> Iterator[Listener]:
    """Yield a listener that shows progress on stderr, and ignores a closed stderr.

    It is a `ProgressLine` for terminals, and for notebooks, as an output of the cell;
    a `ProgressLog` for logs and for terminals that cannot redraw a line
    (``TERM=dumb``).
    """
    if sys.stderr is None:
        yield ignore
        return
    if type(sys.stderr).__module__.startswith("ipykernel"):
        yield ProgressLine(_show_in_notebook())
        return
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield ProgressLog(lambda text: _write(f"{text}\n"))
        return
    line = ProgressLine(_write, width=lambda: width_of(sys.stderr))
    with _messages_above(line):
        try:
            yield line
        finally:
            line.close()


def _show_in_notebook() -> Callable[[str], None]:
    """Return a function that shows a line as one output of a cell, and then replaces it.

    Unlike stderr, that is not marked as an error, and tools that execute notebooks
    keep only the last line.
    """
    from IPython import display as ipython

    show_first: Any = ipython.display  # without annotations
    handle: Any = None

    def show(text: str) -> None:
        nonlocal handle
        data = {"text/plain": text.strip()}
        if handle is None:
            handle = show_first(data, raw=True, display_id=True)
        elif data["text/plain"]:
            handle.update(data, raw=True)

    return show


def _write(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


@contextmanager
def _messages_above(line: ProgressLine) -> Iterator[None]:
    """Clear the progress line before each log message and each Python warning."""

    def clear(record: logging.LogRecord) -> bool:
        line.clear()
        return True

    def show_above(*args: Any, **kwargs: Any) -> None:
        line.clear()
        show(*args, **kwargs)

    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if type(handler) is logging.StreamHandler
    ]
    for handler in handlers:
        handler.addFilter(clear)
    show, warnings.showwarning = warnings.showwarning, show_above
    try:
        yield
    finally:
        if warnings.showwarning is show_above:
            warnings.showwarning = show
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
