"""What a worker process does: it makes the calls that its parent sends, and ends with it."""

from __future__ import annotations

import ctypes
import signal
import socket
from contextlib import suppress
from functools import partial

from rio_mucho_cli.executors.channel import Channel, Packed, pack
from rio_mucho_cli.executors.parent import end_with
from rio_mucho_cli.executors.process import note
from rio_mucho_cli.timing import count_whole_process
from rio_mucho_cli.work.worker import begin, note_progress_with

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def serve(sock: socket.socket, progress: int) -> None:
    """Make calls, one after the other, until the parent sends none."""
    note_progress_with(partial(note, progress))
    count_whole_process()
    channel = Channel(sock)
    with suppress(EOFError, OSError):  # the parent is gone
        while (call := channel.receive()).data:
            note(progress, 0)
            channel.send(_answer(call))


def _answer(call: Packed) -> Packed:
    try:
        fn, args, kwargs = call.load()
        return pack((True, fn(*args, **kwargs)))
    except BaseException as exc:
        return pack((False, exc))


def start_worker(key: str, packed: bytes, parent: int) -> None:
    """Prepare a new worker process: it runs before any window."""
    _be_killed_with_parent()
    end_with(parent)  # elsewhere than on Linux, or if it has ended already, nothing else does
    begin(key, packed)


def _be_killed_with_parent() -> None:
    """Have Linux kill this process, in native code too, when its parent has ended.

    Notes
    -----
    prctl(2): the parent is the thread that has started this process.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
