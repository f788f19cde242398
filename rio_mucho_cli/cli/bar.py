"""What is shown on stderr while a run goes on: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from rio_mucho_cli.progress import Event, Listener, RunStarted, ignore
from rio_mucho_cli.telling.pace import Lines, Pace

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

# Seconds between two drawings of the bar.
_INTERVAL = 0.1


@contextmanager
def shown(quiet: bool) -> Iterator[Listener]:
    """Show how far the run has come, on stderr; a terminal that has gone does not end it."""
    if quiet or sys.stderr is None:
        yield ignore
    elif sys.stderr.isatty():
        with _bar() as listen:
            yield _undisturbed(listen)
    else:
        yield _undisturbed(Lines(lambda line: click.echo(line, err=True)))


@contextmanager
def _bar() -> Iterator[Listener]:
    pace, drawn = Pace(), 0.0
    bar: ProgressBar[None]
    with (
        suppress(BrokenPipeError),
        click.progressbar(
            length=0,
            label="windows",
            show_pos=True,
            show_percent=False,
            show_eta=False,  # it has no idea of an earlier run's windows
            width=24,
            item_show_func=lambda _: pace.describe(),
            file=sys.stderr,
        ) as bar,
    ):

        def listen(event: Event) -> None:
            nonlocal drawn
            pace.take(event)
            bar.length = pace.windows + pace.overviews
            done = pace.done + pace.overviews_done
            now = time.monotonic()
            if isinstance(event, RunStarted) or done == bar.length or now - drawn > _INTERVAL:
                drawn = now
                bar.update(done - bar.pos)
                bar.render_progress()

        yield listen


def _undisturbed(listen: Listener) -> Listener:
    def tell(event: Event) -> None:
        with suppress(OSError):
            listen(event)

    return tell
