"""Running totals of a run, and the events that follow from them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rio_mucho_cli.engine.events import Listener, PartDone, RunStarted, WindowDone
from rio_mucho_cli.engine.report import Failure, Report
from rio_mucho_cli.engine.retries import Retries
from rio_mucho_cli.engine.scheduling import TaskClock
from rio_mucho_cli.outputs.value_loss import ValueLoss
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.timing import StageTimes, WindowTiming
from rio_mucho_cli.windows import PlannedWindow, count_pixels, format_window, pixels_in
from rio_mucho_cli.workers.executor import executor_name

log = logging.getLogger(__name__)


@dataclass
class RunState:
    """Windows, pixels and times of a run so far.

    Attributes
    ----------
    plan : Plan
    listen : Listener
    started : float
        Start of the run, by `time.perf_counter`.
    clock : TaskClock
        Times of the submitted tasks.
    done, resumed : int
        Number of windows written, and how many of them by an earlier run.
    pixels : int
        Pixels that this run wrote.
    stages : StageTimes
        Times of all stages, summed over windows.
    idle_seconds : float
        Seconds that workers had nothing to do, summed over workers.
    failed : list of Failure
        Windows whose function raised.
    nbytes : int
        Bytes of all outputs.
    value_loss : tuple of ValueLoss
        Value loss of each output.
    retries : list of Retries
        Retries after worker processes died; each object has its count.
    values : Mapping
        Merged values by name.
    """

    plan: Plan
    listen: Listener
    started: float
    clock: TaskClock = field(default_factory=TaskClock)
    done: int = 0
    resumed: int = 0
    pixels: int = 0
    stages: StageTimes = StageTimes()
    idle_seconds: float = 0.0
    failed: list[Failure] = field(default_factory=list)
    nbytes: int = 0
    read_nodata: int = 0
    value_loss: tuple[ValueLoss, ...] = ()
    retries: list[Retries] = field(default_factory=list)
    values: Mapping[str, Any] = field(default_factory=dict)
    _working: float = 0.0
    _ended: float | None = None

    def resume(self, done: int) -> None:
        """Count windows that an earlier run finished."""
        self.done = self.resumed = done

    def start(self, rest: Iterable[Sequence[PlannedWindow]], overviews: int) -> None:
        """Send RunStarted, just before the first of the remaining windows is computed."""
        started = RunStarted(
            len(self.plan.windows),
            overviews,
            self.done,
            pixels=sum(count_pixels(windows) for windows in rest),
            jobs=self.plan.jobs,
            busy=self.clock.count_busy,
            seconds=time.perf_counter() - self.started,
        )
        self.listen(started)
        self._working = time.perf_counter()

    def warn_of_read_nodata(self) -> None:
        """Log a warning if the function got nodata as numbers, and all it returns are values."""
        loss = ValueLoss(read_windows=self.read_nodata)
        for message in loss.messages("", None, some=self.resumed > 0):
            log.warning("%s", message)

    def record(
        self,
        planned: PlannedWindow,
        timing: WindowTiming | None,
        arrival: StageTimes = StageTimes(),
    ) -> None:
        """Count a window that is written, and send WindowDone.

        Parameters
        ----------
        planned : PlannedWindow
        timing : WindowTiming or None
            Times in the worker; None if the function raised.
        arrival : StageTimes
            Times of transfer and writing in the main process.
        """
        window, ij = planned.window, planned.ij
        pixels = pixels_in(window)
        self.done += 1
        self.pixels += pixels
        if timing is not None:
            self.stages += timing.stages
        self.stages += arrival
        self.listen(WindowDone(window, ij, self.done, pixels, timing, arrival))

        if log.isEnabledFor(logging.DEBUG):
            stages = (timing.stages if timing else StageTimes()) + arrival
            times = ", ".join(
                f"{name} {1000 * stage.seconds:.1f} ms" for name, stage in stages.by_name().items()
            )
            where = f", by {timing.worker}" if timing else ", failed"
            log.debug("%s (ij %s): %s%s", format_window(window), ij, times, where)

    def record_part(
        self,
        ij: tuple[int, int],
        windows: Sequence[PlannedWindow],
        timings: Sequence[WindowTiming | None],
        ending: WindowTiming,
    ) -> None:
        """Count a part of a mosaic and its windows, and send PartDone."""
        for planned, timing in zip(windows, timings, strict=True):
            self.record(planned, timing)
        self.stages += ending.stages
        self.listen(PartDone(ij, ending))

    def measure_idle_time(self) -> None:
        """Calculate how long workers were idle."""
        stages = self.stages
        busy = [stages.read, stages.function, stages.encode]
        if self.plan.parts or self.plan.executor == "serial":
            busy.append(stages.write)
        available = self.plan.jobs * (time.perf_counter() - self._working)
        self.idle_seconds = max(0.0, available - sum(stage.seconds for stage in busy))

    def end(self) -> Report:
        """Stop the clock, and return the final Report."""
        self._ended = time.perf_counter()
        return self.report()

    def report(self) -> Report:
        """Return a Report of the run so far."""
        return Report(
            windows=self.done,
            executor=executor_name(self.plan.executor),
            jobs=self.plan.jobs,
            seconds=(self._ended or time.perf_counter()) - self.started,
            stages=self.stages,
            idle_seconds=self.idle_seconds,
            waited_seconds=self.clock.waited,
            pixels=self.pixels,
            nbytes=self.nbytes,
            value_loss=self.value_loss,
            failed=tuple(self.failed),
            retried=sum(retries.count for retries in self.retries),
            resumed=self.resumed,
            values=self.values,
        )
