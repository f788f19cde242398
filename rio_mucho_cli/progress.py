"""What the engine tells while it runs. It knows no progress bar: listeners do.

The command line's bar is in ``cli.py``, because it is click's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Windows are planned; the first one is about to be worked on."""

    windows: int


@dataclass(frozen=True, slots=True)
class WindowDone:
    """A window is written. They come in the order of the windows."""

    window: Any
    ij: Any
    done: int


Event: TypeAlias = RunStarted | WindowDone


class Listener(Protocol):
    """Anything that takes events."""

    def __call__(self, event: Event, /) -> None:
        """Take one event; called in the thread of `engine.run`."""


def ignore(event: Event, /) -> None:
    """Do nothing with an event."""
