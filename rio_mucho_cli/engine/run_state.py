"""What a run has come to so far; whoever listens is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rio_mucho_cli.engine.events import Listener, PartDone, RunStarted, WindowDone
from rio_mucho_cli.engine.report import Failure, Report
from rio_mucho_cli.engine.retries import Retries
from rio_mucho_cli.engine.scheduling import TaskClock
from rio_mucho_cli.outputs.value_loss import ValueLoss
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.timing import StageTimes, WindowTiming
from rio_mucho_cli.windows import PlannedWindow, Size, count_pixels, format_window
from rio_mucho_cli.workers.executor import executor_name

log = logging.getLogger(__name__)


@dataclass
class RunState:
    """Counts windows, pixels and seconds of one run.

    Attributes
    ----------
    plan : Plan
    listen : Listener
    watch : TaskClock
        Of the tasks that are handed out.
    started : float
        When the run began, by `time.perf_counter`.
    done, resumed : int
        Windows that are written, and those of them that an earlier run has done.
    pixels : int
        Of what this run has written.
    stages : StageTimes
    idle_seconds : float
        How long workers had nothing to do, together.
    failed : list of Failure
        Windows whose function raised.
    nbytes : int
        Of all outputs.
    misfits : tuple of ValueLoss
        Of each output.
    recovers : list of Retries
        They count how often something was done again because a worker process died.
    """

    plan: Plan
    listen: Listener
    started: float
    watch: TaskClock = field(default_factory=TaskClock)
    done: int = 0
    resumed: int = 0
    pixels: int = 0
    stages: StageTimes = StageTimes()
    idle_seconds: float = 0.0
    failed: list[Failure] = field(default_factory=list)
    nbytes: int = 0
    misfits: tuple[ValueLoss, ...] = ()
    recovers: list[Retries] = field(default_factory=list)
    _working: float = 0.0
    _ended: float | None = None

    def resume(self, done: int) -> None:
        """Count windows that an earlier run has done."""
        self.done = self.resumed = done

    def start(self, rest: Iterable[Sequence[PlannedWindow]], overviews: int) -> None:
        """Say that the first one of the windows that are left is about to be worked on."""
        started = RunStarted(
            len(self.plan.windows),
            overviews,
            self.done,
            pixels=sum(count_pixels(windows, self._raster) for windows in rest),
            jobs=self.plan.jobs,
            busy=self.watch.count_busy,
            seconds=time.perf_counter() - self.started,
        )
        self.listen(started)
        self._working = time.perf_counter()

    def note(
        self,
        planned: PlannedWindow,
        timing: WindowTiming | None,
        arrival: StageTimes = StageTimes(),
    ) -> None:
        """Count a window that is written.

        Parameters
        ----------
        planned : (window, ij)
        timing : WindowTiming or None
            Of the worker; None if the function raised.
        arrival : StageTimes
            What it took the calling process.
        """
        window, ij = planned
        pixels = count_pixels([planned], self._raster)
        self.done += 1
        self.pixels += pixels
        if timing is not None:
            self.stages += timing.stages
        self.stages += arrival
        self.listen(WindowDone(window, ij, self.done, pixels, timing, arrival))

        if log.isEnabledFor(logging.DEBUG):
            stages = (timing.stages if timing else StageTimes()) + arrival
            spent = ", ".join(
                f"{name} {1000 * each.seconds:.1f} ms" for name, each in stages.by_name().items()
            )
            where = f", by {timing.worker}" if timing else ", failed"
            log.debug("%s (ij %s): %s%s", format_window(window), ij, spent, where)

    def note_part(
        self,
        ij: tuple[int, int],
        windows: Sequence[PlannedWindow],
        timings: Sequence[WindowTiming | None],
        ending: WindowTiming,
    ) -> None:
        """Count a part of a mosaic, with its windows."""
        for planned, timing in zip(windows, timings, strict=True):
            self.note(planned, timing)
        self.stages += ending.stages
        self.listen(PartDone(ij, ending))

    def end_of_windows(self) -> None:
        """Find out how long workers had nothing to do."""
        stages = self.stages
        busy = [stages.read, stages.function, stages.encode]
        if self.plan.parts or self.plan.executor == "serial":
            busy.append(stages.write)
        there = self.plan.jobs * (time.perf_counter() - self._working)
        self.idle_seconds = max(0.0, there - sum(each.seconds for each in busy))

    def end(self) -> Report:
        """Say what the run did; from now on no time passes for it."""
        self._ended = time.perf_counter()
        return self.report()

    def report(self) -> Report:
        """Say what the run has done by now."""
        return Report(
            windows=self.done,
            executor=executor_name(self.plan.executor),
            jobs=self.plan.jobs,
            seconds=(self._ended or time.perf_counter()) - self.started,
            stages=self.stages,
            idle_seconds=self.idle_seconds,
            waited_seconds=self.watch.waited,
            pixels=self.pixels,
            nbytes=self.nbytes,
            misfits=self.misfits,
            failed=tuple(self.failed),
            retried=sum(each.count for each in self.recovers),
            resumed=self.resumed,
        )

    @property
    def _raster(self) -> Size:
        return self.plan.outputs[0].size
