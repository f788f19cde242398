"""Main loop of a worker process, which ends with its parent."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NoReturn

from rio_mucho_cli.signals import exit_with_parent
from rio_mucho_cli.timing import count_whole_process
from rio_mucho_cli.workers import numbering
from rio_mucho_cli.workers.channel import (
    Channel,
    Message,
    pack_message,
    write_clock,
    write_progress,
)
from rio_mucho_cli.workers.control import limit_windows_with, note_progress_with
from rio_mucho_cli.workers.process import Program

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
# Terminal codes that move to the start of the line and clear it.
_CLEAR = "\r\033[K"


def run_worker(sock: socket.socket, progress: int, parent: int) -> NoReturn:
    """Serve calls until the main process ends the connection, then exit.

    Parameters
    ----------
    sock : socket
        This end of the channel.
    progress : int
        Descriptor of the progress file.
    parent : int
        Process id of the process that started this one.
    """
    _end_with_parent(parent)
    # Subprocesses of the function must not inherit the connection: the main process
    # would not see the end of this one.
    os.register_at_fork(after_in_child=sock.close)
    note_progress_with(partial(write_progress, progress))
    limit_windows_with(partial(_clocked, progress))
    count_whole_process()
    channel = Channel(sock)
    with suppress(EOFError, OSError):  # the main process has ended
        _become_like(channel.receive().load())
        _warn_above_progress()
        while (call := channel.receive()).data:
            write_progress(progress, 0)
            channel.send(_answer(call))
    # Skip interpreter shutdown: freeing all memory, or waiting for threads that the
    # function left running, would delay the main process.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(0)


def _become_like(program: Program) -> None:
    """Use the environment variables, the import path and the arguments of a program."""
    for name in [name for name in os.environ if name not in program.variables]:
        del os.environ[name]
    os.environ.update(program.variables)
    sys.path[:] = program.path
    sys.argv[:] = program.argv
    numbering.number_process(program.worker)


def _warn_above_progress() -> None:
    """Let warnings replace the progress line of the main process, which redraws it."""
    show = warnings.showwarning

    def show_alone(*args: Any, **kwargs: Any) -> None:
        with suppress(AttributeError, OSError, ValueError):
            if sys.stderr.isatty():
                sys.stderr.write(_CLEAR)
        show(*args, **kwargs)

    if os.environ.get("TERM") != "dumb":
        warnings.showwarning = show_alone


@contextmanager
def _clocked(progress: int, run_id: str, seconds: float) -> Iterator[None]:
    """Tell the main process, which ends this one after so many seconds, when a window begins."""
    write_clock(progress, time.monotonic())
    try:
        yield
    finally:
        write_clock(progress, 0)


def _answer(call: Message) -> Message:
    try:
        fn, args, kwargs = call.load()
        return pack_message((True, fn(*args, **kwargs)))
    except BaseException as exc:
        return pack_message((False, exc))


def _end_with_parent(parent: int) -> None:
    """End this process with its parent: on Linux at once, even in native code.

    Notes
    -----
    prctl(2): the parent is the thread that started this process.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None or prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)):
        exit_with_parent(parent)
    elif os.getppid() != parent:  # it ended before the call
        os._exit(1)
