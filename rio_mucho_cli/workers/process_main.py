"""Main loop of a worker process, which ends with the main process."""

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

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def serve(sock: socket.socket, progress: int) -> None:
    """Serve calls until the main process sends an empty one."""
    note_progress_with(partial(note_progress, progress))
    count_whole_process()
    channel = Channel(sock)
    with suppress(EOFError, OSError):  # the main process has ended
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
    """Prepare a new worker process before its first window."""
    _be_killed_with_parent()
    exit_with_parent(parent)  # for systems without prctl, and parents that have already ended
    open_run(key, packed)


def _be_killed_with_parent() -> None:
    """Let Linux kill this process when its parent ends, even in native code.

    Notes
    -----
    prctl(2): the parent is the thread that started this process.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
