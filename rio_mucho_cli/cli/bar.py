"""What is shown on stderr while a run goes on: a bar on a terminal, lines in a log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from rio_mucho_cli.progress import Event, Listener, ignore
from rio_mucho_cli.telling.pace import Line, Lines, width_of

# Of a terminal: go to the start of the line, and remove what is on it.
_CLEAR = "\r\033[K"


@contextmanager
def shown(quiet: bool) -> Iterator[Listener]:
    """Show how far the run has come, on stderr; a terminal that has gone does not end it."""
    if quiet or sys.stderr is None:
        yield ignore
    elif sys.stderr.isatty():
        bar = Line(_write, width=lambda: width_of(sys.stderr))
        with _logged_above():
            try:
                yield _undisturbed(bar)
            finally:
                with suppress(OSError, ValueError):
                    bar.close()
    else:
        yield _undisturbed(Lines(lambda line: click.echo(line, err=True)))


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


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _undisturbed(listen: Listener) -> Listener:
    def tell(event: Event) -> None:
        with suppress(OSError, ValueError):
            listen(event)

    return tell
