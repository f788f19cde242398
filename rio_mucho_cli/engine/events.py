"""Events of a run. Listeners that make a progress bar of them are in ``telling/pace.py``."""

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
    """Windows are planned, and the first one is about to be computed.

    Attributes
    ----------
    windows : int
        Number of windows, with those of an earlier run.
    overviews : int
        Parts of overviews that are made after the last window.
    done : int
        Windows that an earlier run has done.
    pixels : int
        Pixels of the windows that are left.
    jobs : int
        Number of workers, as far as that is known.
    busy : callable
        Returns the number of workers that are busy at this moment.
    seconds : float
        Time since the run began.
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
    """A window is written. They come in the order of the windows.

    Attributes
    ----------
    window, ij : object
        As the function got them.
    done : int
        How many windows are done by now.
    pixels : int
        Of this one.
    timing : WindowTiming or None
        Of the worker; None if the function raised.
    arrival : StageTimes
        What it took the calling process to receive and write it.
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
        Of what followed after its last window.
    """

    ij: tuple[int, int]
    timing: WindowTiming


@dataclass(frozen=True, slots=True)
class OverviewDone:
    """A part of an overview is written, after the last window.

    Attributes
    ----------
    level : int
        From 1, the largest one.
    window : Window
    """

    level: int
    window: Any


Event: TypeAlias = RunStarted | WindowDone | PartDone | OverviewDone


class Listener(Protocol):
    """Anything that takes events."""

    def __call__(self, event: Event, /) -> None:
        """Take one event; called in the thread of `engine.run`."""


@runtime_checkable
class PlanListener(Listener, Protocol):
    """A listener that gets the plan, too, before the first event."""

    def on_plan(self, plan: Plan, so_far: Callable[[], Report], /) -> None:
        """Take the plan, and a function that returns a Report of what is done by then."""


def ignore(event: Event, /) -> None:
    """Do nothing with an event."""
