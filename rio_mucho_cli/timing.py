"""What the stages of a window take, and where it was worked on.

    read ─▶ function ─▶ encode ─▶ transfer ─▶ write
    └──── a worker's clocks ────┘ └ the caller's ┘

Wall time tells where a run waits, CPU time what it works on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields

# In a process that does nothing else, the threads of the function's own count, too.
_cpu_clock: Callable[[], float] = time.thread_time


def count_whole_process() -> None:
    """Count the CPU time of all threads: nobody else works in this process."""
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
    """What each stage took, of one window or of many.

    Attributes
    ----------
    read : StageTime
        Inputs were read, warped and masked.
    function : StageTime
        The function ran, and what it returned was checked.
    encode : StageTime
        Blocks were compressed, overviews of them made, statistics taken.
    transfer : StageTime
        The result was on its way to the calling process. CPU time is not known.
    write : StageTime
        Blocks were put into the file; with encoding, where workers do not do
        that.
    """

    read: StageTime = StageTime()
    function: StageTime = StageTime()
    encode: StageTime = StageTime()
    transfer: StageTime = StageTime()
    write: StageTime = StageTime()

    def __add__(self, other: StageTimes) -> StageTimes:
        """Add stage by stage."""
        others = other.by_name()
        return StageTimes(**{name: spent + others[name] for name, spent in self.by_name().items()})

    @property
    def seconds(self) -> float:
        """Wall time of all stages together."""
        return sum((each.seconds for each in self.by_name().values()), 0.0)

    def by_name(self) -> dict[str, StageTime]:
        """Return them by their names, in their order."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class WindowTiming:
    """When and where something was worked on, and how long each stage took.

    Attributes
    ----------
    worker : str
        Host, process and thread, divided by colons.
    started : float
        Seconds since 1970, by the worker's clock.
    stages : StageTimes
        Those that the worker has gone through, one after the other.
    peak : int
        The most memory that the worker's process has held, in bytes; 0 where
        nobody has looked.
    """

    worker: str = ""
    started: float = 0.0
    stages: StageTimes = StageTimes()
    peak: int = 0

    @property
    def ended(self) -> float:
        """When it was done, by the worker's clock."""
        return self.started + self.stages.seconds


@dataclass
class Stopwatch:
    """Measures one stage after the other."""

    started: float = field(default_factory=time.time)
    _wall: float = field(default_factory=time.perf_counter)
    _cpu: float = field(default_factory=lambda: _cpu_clock())

    def split(self) -> StageTime:
        """Return what has been spent since the last time, or the start."""
        wall, cpu = time.perf_counter(), _cpu_clock()
        spent = StageTime(wall - self._wall, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu
        return spent
