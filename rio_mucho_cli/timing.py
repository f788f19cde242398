"""Wall and CPU time of the stages of a window, and the worker that ran them.

    read ─▶ function ─▶ encode ─▶ transfer ─▶ write
    └────── in a worker ─────┘    └ main process ─┘

Wall time shows where a run waits, CPU time where it computes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields

# Replaced in worker processes, where the function's own threads count too.
_cpu_clock: Callable[[], float] = time.thread_time


def count_whole_process() -> None:
    """Count the CPU time of all threads of this process.

    For worker processes, which do nothing else.
    """
    global _cpu_clock
    _cpu_clock = time.process_time


@dataclass(frozen=True, slots=True)
class StageTime:
    """Wall time and CPU time, in seconds."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: StageTime) -> StageTime:
        return StageTime(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Time of each stage, for one window or many.

    Attributes
    ----------
    read : StageTime
        Reading, warping and masking inputs.
    function : StageTime
        Running the function and checking its results.
    encode : StageTime
        Compressing blocks, and computing their overviews and statistics.
    transfer : StageTime
        Sending the result to the main process. Its CPU time is not known.
    write : StageTime
        Writing blocks to the file; includes encoding where workers do not encode.
    """

    read: StageTime = StageTime()
    function: StageTime = StageTime()
    encode: StageTime = StageTime()
    transfer: StageTime = StageTime()
    write: StageTime = StageTime()

    def __add__(self, other: StageTimes) -> StageTimes:
        """Add stage by stage."""
        others = other.by_name()
        return StageTimes(**{name: stage + others[name] for name, stage in self.by_name().items()})

    @property
    def seconds(self) -> float:
        """Total wall time of all stages."""
        return sum((stage.seconds for stage in self.by_name().values()), 0.0)

    def by_name(self) -> dict[str, StageTime]:
        """Return the times by stage name, in order."""
        return {stage.name: getattr(self, stage.name) for stage in fields(self)}


@dataclass(frozen=True, slots=True)
class WindowTiming:
    """Worker, start and stages of a task.

    Attributes
    ----------
    worker : str
        Host, process and thread, separated by colons.
    started : float
        Seconds since 1970, by the worker's clock.
    stages : StageTimes
        Stages that the worker ran, one after another.
    peak : int
        Peak memory of the worker's process in bytes; 0 if not measured.
    """

    worker: str = ""
    started: float = 0.0
    stages: StageTimes = StageTimes()
    peak: int = 0

    @property
    def ended(self) -> float:
        """End of the task in seconds since 1970, by the worker's clock."""
        return self.started + self.stages.seconds


@dataclass
class Stopwatch:
    """Measures one stage after another."""

    started: float = field(default_factory=time.time)
    _wall: float = field(default_factory=time.perf_counter)
    _cpu: float = field(default_factory=lambda: _cpu_clock())

    def split(self) -> StageTime:
        """Return the time since the last call, or since the start."""
        wall, cpu = time.perf_counter(), _cpu_clock()
        elapsed = StageTime(wall - self._wall, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu
        return elapsed
