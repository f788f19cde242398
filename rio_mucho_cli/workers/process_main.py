"""What a worker process does: it makes the calls that its parent sends, and ends with it."""

from __future__ import annotations

import ctypes
import signal
import socket
from contextlib import suppress
from functools import partial

from rio_mucho_cli.signals import exit_with_parent
from rio_mucho_cli.timing import count_whole_process
from rio_mucho_cli.workers.channel import Channel, Message, pack_message
from rio_mucho_cli.workers.process import note_progress
from rio_mucho_cli.workers.window import note_progress_with, open_run

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def serve(sock: socket.socket, progress: int) -> None:
    """Make calls, one after the other, until the parent sends none."""
    note_progress_with(partial(note_progress, progress))
    count_whole_process()
    channel = Channel(sock)
    with suppress(EOFError, OSError):  # the parent is gone
        while (call := channel.receive()).data:
            note_progress(progress, 0)
            channel.send(_answer(call))


def _answer(call: Message) -> Message:
    try:
        fn, args, kwargs = call.load()
        return pack_message((True, fn(*args, **kwargs)))
    except BaseException as exc:
        return pack_message((False, exc))


def start_worker(key: str, packed: bytes, parent: int) -> None:
    """Prepare a new worker process: it runs before any window."""
    _be_killed_with_parent()
    exit_with_parent(
        parent
    )  # elsewhere than on Linux, or if it has ended already, nothing else does
    open_run(key, packed)


def _be_killed_with_parent() -> None:
    """Have Linux kill this process, in native code too, when its parent has ended.

    Notes
    -----
    prctl(2): the parent is the thread that has started this process.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
