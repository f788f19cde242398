"""The progress bar: a listener that draws."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from rio_mucho_cli.progress import Event, Listener, OverviewDone, RunStarted, WindowDone, ignore


@contextmanager
def bar(quiet: bool) -> Iterator[Listener]:
    """Show a progress bar on stderr, if that is a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield ignore
        return
    with (
        suppress(BrokenPipeError),
        click.progressbar(length=0, label="windows", show_pos=True, file=sys.stderr) as shown,
    ):

        def show(event: Event) -> None:
            match event:
                case RunStarted(windows=windows, overviews=overviews, done=done):
                    shown.length = windows + overviews
                    shown.update(done)
                    shown.render_progress()
                case WindowDone() | OverviewDone():
                    shown.update(1)

        def listen(event: Event) -> None:
            # A terminal that has gone is no reason to end the run.
            with suppress(OSError):
                show(event)

        yield listen
