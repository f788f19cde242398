"""What the engine tells while it runs. It knows no progress bar: listeners do.

The command line's bar is in ``cli/bar.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from rio_mucho_cli.stages import Stages, Timing

if TYPE_CHECKING:
    from rio_mucho_cli.plan import Plan
    from rio_mucho_cli.report import Report


def _nobody() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Windows are planned; the first one is about to be worked on.

    Attributes
    ----------
    windows : int
    overviews : int
        Parts of overviews that are made after the last window.
    done : int
        Windows that an earlier run has done.
    pixels : int
        Of those windows that are left.
    jobs : int
        How many workers there are, as far as that is known.
    busy : callable
        Returns how many of them work at this moment.
    plan : Plan or None
        What the job comes to.
    so_far : callable or None
        Returns a Report of what has been done by then.
    """

    windows: int
    overviews: int = 0
    done: int = 0
    pixels: int = 0
    jobs: int = 1
    busy: Callable[[], int] = field(default=_nobody, compare=False)
    plan: Plan | None = field(default=None, compare=False, repr=False)
    so_far: Callable[[], Report] | None = field(default=None, compare=False, repr=False)


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
    timing : Timing or None
        Of the worker; None if the function raised.
    arrival : Stages
        What it took the calling process to receive and write it.
    """

    window: Any
    ij: Any
    done: int
    pixels: int = 0
    timing: Timing | None = None
    arrival: Stages = Stages()


@dataclass(frozen=True, slots=True)
class PartDone:
    """A part of a mosaic is complete, after its last window.

    Attributes
    ----------
    ij : tuple of int
        Row and column of the part.
    timing : Timing
        Of what followed after its last window.
    """

    ij: tuple[int, int]
    timing: Timing


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


def ignore(event: Event, /) -> None:
    """Do nothing with an event."""
