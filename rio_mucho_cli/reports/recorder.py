"""Recorder of the events of a run, for its report, in bounded memory."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
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
from rio_mucho_cli.errors import one_line
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.reports.timeline import Cell, Cells, Interval, Timeline, Total
from rio_mucho_cli.system import worker_name
from rio_mucho_cli.timing import StageTimes, WindowTiming

log = logging.getLogger(__name__)

SLOWEST = 10
"""Number of slowest windows to keep."""


@dataclass(slots=True)
class WorkerTotal:
    """Totals of one worker.

    Attributes
    ----------
    started, ended : float
        Start of its first window and end of its last, in seconds since 1970.
    total : Total
    peak : int
        Peak memory of its process, in bytes; 0 if unknown.
    """

    started: float
    ended: float
    total: Total = field(default_factory=lambda: Total(0))
    peak: int = 0


@dataclass(frozen=True, slots=True)
class SlowWindow:
    """One of the slowest windows.

    Attributes
    ----------
    window : Window
    ij : object
    timing : WindowTiming
    """

    window: Any
    ij: Any
    timing: WindowTiming


class Recorder:
    """A listener that records data for the report of a run.

    Its own errors are logged as warnings and do not end the run.

    Parameters
    ----------
    listen : callable
        Another listener, which gets every event, too.

    Attributes
    ----------
    started : float
        Time of creation, in seconds since 1970; create it just before the run.
    last : float
        Time when the last window, or part of a mosaic, was written.
    plan : Plan or None
        None if the run ended before it had a plan.
    caller : str
        Name of the main process's thread, in the form of worker names.
    workers : dict of WorkerTotal
        Totals by worker name.
    timeline : Timeline
    cells : Cells
    overviews : int
        Number of overview parts written after the last window.
    """

    def __init__(self, listen: Listener = ignore) -> None:
        self._listen = listen
        self.started = time.time()
        self.last = 0.0
        self.plan: Plan | None = None
        self.caller = ""
        self.workers: dict[str, WorkerTotal] = {}
        self.timeline = Timeline()
        self.cells = Cells()
        self.overviews = 0
        self._so_far: Callable[[], Report] | None = None
        self._slowest: list[tuple[float, int, SlowWindow]] = []
        self._tie = count()

    def on_plan(self, plan: Plan, so_far: Callable[[], Report], /) -> None:
        """Record the plan, before the first event."""
        self.plan, self._so_far = plan, so_far

    def __call__(self, event: Event, /) -> None:
        """Record one event."""
        try:
            self._record(event)
        except Exception as exc:
            log.warning("the report is incomplete: %s", one_line(exc))
        self._listen(event)

    def _record(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.caller = worker_name()
            case WindowDone():
                self._add_window(event)
            case PartDone(ij=ij, timing=timing):
                self.last = time.time()
                self._add_work(timing, Total.of(timing.stages, windows=0), ij)
            case OverviewDone():
                self.overviews += 1

    @property
    def slowest(self) -> list[SlowWindow]:
        """Slowest windows, the slowest first."""
        return [slow for _, _, slow in sorted(self._slowest, reverse=True)]

    def report(self) -> Report | None:
        """Return a Report of the run so far; None if there is no plan."""
        return None if self._so_far is None else self._so_far()

    def _add_window(self, event: WindowDone) -> None:
        self.last = time.time()
        window, timing = event.window, event.timing
        total = Total(1, event.pixels)
        if timing is not None:
            total = Total.of(timing.stages, pixels=event.pixels)
            self._add_work(timing, total, event.ij)
            slow = SlowWindow(window, event.ij, timing)
            entry = (total.seconds, next(self._tie), slow)
            push = heapq.heappush if len(self._slowest) < SLOWEST else heapq.heappushpop
            push(self._slowest, entry)
        self.cells.add(Cell.of(window, event.ij, _copy(total), failed=timing is None))
        self._add_writing(event.arrival, event.ij)

    def _add_work(self, timing: WindowTiming, total: Total, ij: Any) -> None:
        """Add a window or a part to the totals and the timeline of its worker."""
        worker = self.workers.get(timing.worker)
        if worker is None:
            worker = self.workers[timing.worker] = WorkerTotal(timing.started, timing.ended)
        worker.ended = max(worker.ended, timing.ended)
        worker.started = min(worker.started, timing.started)
        worker.peak = max(worker.peak, timing.peak)
        worker.total.add(total)
        interval = Interval(timing.started, timing.ended, _copy(total), ij)
        self.timeline.add(timing.worker, interval)

    def _add_writing(self, arrival: StageTimes, ij: Any) -> None:
        """Add the writing of a window to the timeline of the main process."""
        writing = arrival.write.seconds
        if writing > 0:
            windows = int(self.caller not in self.workers)  # otherwise already counted
            total = Total.of(StageTimes(write=arrival.write), windows)
            self.timeline.add(self.caller, Interval(self.last - writing, self.last, total, ij))


def _copy(total: Total) -> Total:
    copied = Total(0)
    copied.add(total)
    return copied
