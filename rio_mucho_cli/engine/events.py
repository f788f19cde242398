"""Events of a run; ``reports/progress.py`` has the listeners that show progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from rio_mucho_cli.timing import StageTimes, WindowTiming

if TYPE_CHECKING:
    from rio_mucho_cli.engine.report import Report
    from rio_mucho_cli.planning.plan import Plan


def _none_busy() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run is planned, and the first window is about to be computed.

    Attributes
    ----------
    windows : int
        Number of windows, including those of an earlier run.
    overviews : int
        Number of overview parts to make after the last window.
    done : int
        Number of windows that an earlier run finished.
    pixels : int
        Pixels of the remaining windows.
    jobs : int
        Number of workers, as far as it is known.
    busy : callable
        Function that returns the number of tasks in progress.
    seconds : float
        Seconds since the run began.
    """

    windows: int
    overviews: int = 0
    done: int = 0
    pixels: int = 0
    jobs: int = 1
    busy: Callable[[], int] = field(default=_none_busy, compare=False)
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class WindowDone:
    """A window is written. Events have the order of the windows.

    Attributes
    ----------
    window : Window
    ij : object
        Row and column in the grid of windows.
    done : int
        Number of windows done so far.
    pixels : int
        Pixels of this window.
    timing : WindowTiming or None
        Times in the worker; None if the function raised.
    arrival : StageTimes
        Time that the main process took to receive and write the result.
    """

    window: Any
    ij: Any
    done: int
    pixels: int = 0
    timing: WindowTiming | None = None
    arrival: StageTimes = StageTimes()


@dataclass(frozen=True, slots=True)
class PartDone:
    """A part of a mosaic is complete, after its last window.

    Attributes
    ----------
    ij : tuple of int
        Row and column of the part.
    timing : WindowTiming
        Time after its last window.
    """

    ij: tuple[int, int]
    timing: WindowTiming


@dataclass(frozen=True, slots=True)
class OverviewDone:
    """A part of an overview is written, after the last window.

    Attributes
    ----------
    level : int
        Level of the overview; 1 is the largest.
    window : Window
        Window of the level.
    """

    level: int
    window: Any


Event: TypeAlias = RunStarted | WindowDone | PartDone | OverviewDone


class Listener(Protocol):
    """A callable that takes events."""

    def __call__(self, event: Event, /) -> None:
        """Take one event, in the thread that called `run_job`."""


@runtime_checkable
class PlanListener(Listener, Protocol):
    """A listener that also gets the plan, before the first event."""

    def on_plan(self, plan: Plan, so_far: Callable[[], Report], /) -> None:
        """Take the plan, and a function that returns a Report of the run so far."""


def ignore(event: Event, /) -> None:
    """Ignore an event."""
