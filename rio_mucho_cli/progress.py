"""What the engine tells while it runs. It knows no progress bar: listeners do.

The command line's bar is in ``cli.py``, because it is click's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias


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
    """

    windows: int
    overviews: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class WindowDone:
    """A window is written. They come in the order of the windows."""

    window: Any
    ij: Any
    done: int


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


Event: TypeAlias = RunStarted | WindowDone | OverviewDone


class Listener(Protocol):
    """Anything that takes events."""

    def __call__(self, event: Event, /) -> None:
        """Take one event; called in the thread of `engine.run`."""


def ignore(event: Event, /) -> None:
    """Do nothing with an event."""
