"""Signals that end a run: the first one is acted on, later ones do no harm."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """SIGTERM or SIGHUP came. Like KeyboardInterrupt, it is no Exception."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


INTERRUPTS = (KeyboardInterrupt, Terminated)
"""What must not be taken for an exception of the user's function."""

_DEFAULTS: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


@contextmanager
def once() -> Iterator[None]:
    """Turn the first signal into an exception, and ignore what follows it.

    Cleaning up takes a moment; a second Ctrl-C must not leave it half done.
    After SIGTERM or SIGHUP, the process ends by that signal, as it would have
    without cleaning up. Handlers that the program has set are left alone, and
    so is everything in other threads than the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number, default in _DEFAULTS.items() if signal.getsignal(number) == default]

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for number in ours:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt if signum == signal.SIGINT else Terminated(signum)

    for number in ours:
        signal.signal(number, interrupt)
    came = None
    try:
        yield
    except Terminated as exc:
        came = exc.signum
    finally:
        for number in ours:
            signal.signal(number, _DEFAULTS[number])
    if came is not None:
        os.kill(os.getpid(), came)


@contextmanager
def held() -> Iterator[None]:
    """Finish what is nearly done, without being interrupted in the middle of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _DEFAULTS}
    ours = [number for number, handler in before.items() if handler is not None]  # None: C's
    for number in ours:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
