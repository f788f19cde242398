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
        self.signum = signal.Signals(signum)


INTERRUPTS = (KeyboardInterrupt, Terminated)
"""What must not be taken for an exception of the user's function."""

_DEFAULTS: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
if hasattr(signal, "SIGHUP"):  # not on Windows
    _DEFAULTS[signal.SIGHUP] = signal.SIG_DFL


@contextmanager
def caught(*, for_good: bool = False) -> Iterator[None]:
    """Turn the first signal into an exception, and ignore what follows it.

    Cleaning up takes a moment; a second Ctrl-C must not leave it half done.
    Handlers that the program has set are left alone, and so is everything in
    other threads than the main one.

    Parameters
    ----------
    for_good : bool
        After a signal, ignore others until the process ends, which it is
        about to do.

    Raises
    ------
    KeyboardInterrupt, Terminated
        After SIGINT; after SIGTERM or SIGHUP.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number, default in _DEFAULTS.items() if signal.getsignal(number) == default]

    came = False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        for number in ours:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt if signum == signal.SIGINT else Terminated(signum)

    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours if not (came and for_good) else ():
            signal.signal(number, _DEFAULTS[number])


@contextmanager
def once() -> Iterator[None]:
    """End the process by SIGTERM or SIGHUP as it would have ended, but after cleaning up.

    Where somebody else catches these signals, they are left to him.
    """
    is_default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    try:
        with caught():
            yield
    except Terminated as exc:
        if not is_default:
            raise
        os.kill(os.getpid(), exc.signum)


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


@contextmanager
def deferred() -> Iterator[None]:
    """Finish what is nearly done, and act on a signal that came afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _DEFAULTS}
    ours = [number for number, handler in before.items() if handler is not None]  # None: C's
    came: list[int] = []
    for number in ours:
        signal.signal(number, lambda signum, frame: came.append(signum))
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
        if came:
            signal.raise_signal(came[0])
