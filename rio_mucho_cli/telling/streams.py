"""Where a report goes that is no regular file: standard output, a pipe, a device."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from typing import TextIO

# Seconds for somebody to open a pipe.
_PATIENCE = 5.0

# Where the report goes if standard output leads to stderr meanwhile.
_stdout: TextIO | None = None


def is_stdout(path: str) -> bool:
    """Whether a report goes to standard output."""
    return path in {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


def is_stream(path: str) -> bool:
    """Whether a path is that of a pipe or a device, which is written to and not replaced."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (a link to what has no name is followed)
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_stream(path: str, text: str) -> None:
    """Write to a pipe or a device; a pipe that is not read is not waited for."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | getattr(os, "O_NOCTTY", 0))
            break
        except OSError as exc:
            if exc.errno != errno.ENXIO or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Keep standard output for the report: what anything else prints goes to stderr.

    Worker processes and native code print to descriptors, which are exchanged
    where there are any.
    """
    global _stdout
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    with ExitStack() as stack:
        _stdout = sys.stdout
        stack.callback(_forget_stdout)
        with suppress(OSError, ValueError):
            out, err = sys.stdout.fileno(), sys.stderr.fileno()
            sys.stdout.flush()
            kept = os.dup(out)
            _stdout = stack.enter_context(
                os.fdopen(kept, "w", encoding="utf-8", errors="replace", closefd=True)
            )
            os.dup2(err, out)
            stack.callback(_restore, kept, out)
        stack.enter_context(redirect_stdout(sys.stderr))
        yield


def _restore(kept: int, out: int) -> None:
    """Have a descriptor lead where it led, when C has written what it has kept back."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)
    os.dup2(kept, out)


def _forget_stdout() -> None:
    global _stdout
    _stdout = None


def print_text(text: str) -> None:
    """Write to standard output; what nobody reads must not be written again at the exit."""
    stdout = _stdout or sys.stdout
    try:
        stdout.write(text)
        stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stdout.fileno())
        os.close(nowhere)
        raise
