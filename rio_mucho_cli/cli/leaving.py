"""What happens after Ctrl-C, or another signal that ends a run."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn

import click

from rio_mucho_cli.cli.messages import what_is_kept
from rio_mucho_cli.interrupts import Terminated

# What shells add to a signal's number.
_BY_SIGNAL = 128


def leave(exc: BaseException, output: str, resume: bool) -> NoReturn:
    """Say by which signal the run ended and what is kept of it, and exit."""
    signum = exc.signum if isinstance(exc, Terminated) else signal.SIGINT
    how = "Interrupted" if signum == signal.SIGINT else f"Ended by {signum.name}"
    with suppress(OSError):
        click.echo(f"{how}: {output} was not written.{what_is_kept(output, resume)}", err=True)
    _exit(_BY_SIGNAL + signum)


def _exit(status: int) -> NoReturn:
    """Exit, without waiting for threads that are busy with a window."""
    if any(thread.name.startswith("mucho") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
