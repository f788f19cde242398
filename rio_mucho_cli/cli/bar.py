"""What is shown on stderr while a run goes on: a bar on a terminal, lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import click

from rio_mucho_cli.progress import Event, Listener, RunStarted, ignore
from rio_mucho_cli.telling.pace import Lines, Pace

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

# Seconds between two drawings of the bar.
_INTERVAL = 0.1
# Of a terminal: go to the start of the line, and remove what is on it.
_CLEAR = "\r\033[K"


@contextmanager
def shown(quiet: bool) -> Iterator[Listener]:
    """Show how far the run has come, on stderr; a terminal that has gone does not end it."""
    if quiet or sys.stderr is None:
        yield ignore
    elif sys.stderr.isatty():
        bar = _Bar()
        try:
            yield _undisturbed(bar)
        finally:
            with suppress(OSError, ValueError):
                bar.close()
    else:
        yield _undisturbed(Lines(lambda line: click.echo(line, err=True)))


class _Bar:
    """A bar, from the start of the first window on; what is logged stands above it."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._drawn = 0.0
        self._bar: ProgressBar[None] | None = None
        self._stack = ExitStack()

    def __call__(self, event: Event, /) -> None:
        """Take an event, and draw the bar if it is time."""
        pace = self._pace
        pace.take(event)
        if isinstance(event, RunStarted):
            self._bar = self._begin(pace.windows + pace.overviews)
        if self._bar is None:
            return
        done = pace.done + pace.overviews_done
        now = time.monotonic()
        if done == self._bar.length or now - self._drawn > _INTERVAL:
            self._drawn = now
            self._bar.update(done - self._bar.pos)
            self._bar.render_progress()

    def _begin(self, length: int) -> ProgressBar[None]:
        bar: ProgressBar[None] = click.progressbar(
            length=length,
            label="windows",
            show_pos=True,
            show_percent=False,
            show_eta=False,  # it has no idea of an earlier run's windows
            width=24,
            item_show_func=lambda _: self._pace.describe(),
            file=sys.stderr,
        )
        self._stack.enter_context(bar)
        self._stack.enter_context(_logged_above())
        return bar

    def close(self) -> None:
        """Leave the bar as it is."""
        self._stack.close()


@contextmanager
def _logged_above() -> Iterator[None]:
    """Remove the bar from its line before something is logged: it is drawn again below that."""

    def clear(record: logging.LogRecord) -> bool:
        with suppress(OSError, ValueError):
            sys.stderr.write(_CLEAR)
        return True

    handlers = [
        each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler
    ]
    for handler in handlers:
        handler.addFilter(clear)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(clear)


def _undisturbed(listen: Listener) -> Listener:
    def tell(event: Event) -> None:
        with suppress(OSError, ValueError):
            listen(event)

    return tell
