"""Signals that end a run: what was asked for is remembered until it has been done.

    signal ─▶ handler ─▶ raised where the main thread is ─▶ caught() ─▶ the run has ended
                │                     │
                └─ remembered         └─ lost in a callback, a destructor, an `except`:
                                         raised again by check() and by the next signal

An exception that a handler raises comes out wherever Python happens to be:
GDAL's log callback in rasterio and destructors drop it, and the function may
catch it. While it is being handled, code is cleaning up, and is left alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass
class Signals:
    """The signals that came while `caught` was there, and what became of them.

    Attributes
    ----------
    handled : tuple of Signals
        Those whose handler is ours.
    asked : KeyboardInterrupt, Terminated or None
        What the first one asked for.
    signum : int
        The number of the first one.
    raised : int
        How often that has been raised by the handler.
    beats : int
        How often the handler has run: the main thread is not in native code.
    is_ending : bool
        What was raised was being handled when the last signal came.
    is_over : bool
        The run has come to its end: signals come too late.
    deferred : int
        How many blocks there are that must not be interrupted, one in the other.
    runs : int
        How many runs there are, one in the function of the other.
    """

    handled: tuple[signal.Signals, ...] = ()
    asked: BaseException | None = None
    signum: int = 0
    raised: int = 0
    beats: int = 0
    is_ending: bool = False
    is_over: bool = False
    deferred: int = 0
    runs: int = 0

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        """Remember a signal, and raise what it asks for unless that is being done."""
        self.beats += 1
        if self.asked is None:
            self.signum = signum
            self.asked = KeyboardInterrupt() if signum == signal.SIGINT else Terminated(signum)
        self.is_ending = _is_handled(self.asked)
        self.check()

    def check(self, *, instead: bool = False) -> None:
        """Raise what was asked for, if that is to be done here; see `check`."""
        if self.asked is None or self.is_over or self.deferred:
            return
        if instead or not _is_handled(self.asked):
            self.raised += 1
            raise self.asked.with_traceback(None)


signals = Signals()
"""Of the outermost `caught`; there is one main thread, which gets them all."""


def check(*, instead: bool = False) -> None:
    """Raise KeyboardInterrupt or Terminated if a signal asked for it and that was lost.

    To be called where a run can be ended: between windows, after files were
    opened, before anything is put into place.

    Parameters
    ----------
    instead : bool
        An exception is being handled that may have come of the lost one.
    """
    if signals.asked is not None and _is_main_thread():
        signals.check(instead=instead)


def finish() -> None:
    """Have signals do no more: the output is in its place, or the run has failed.

    In a run that a function has started, they are still about the outer one.
    """
    if signals.runs <= 1 and _is_main_thread():
        signals.is_over = True


@contextmanager
def first_signal_raises(*, for_good: bool = False) -> Iterator[None]:
    """Turn signals into an exception, which leaves this block whatever becomes of it inside.

    Handlers that the program has set are left alone, and so is everything in
    other threads than the main one.

    Parameters
    ----------
    for_good : bool
        After a signal, ignore others until the process ends, which it is
        about to do. Else one that came too late is raised again at the end.

    Raises
    ------
    KeyboardInterrupt, Terminated
        After SIGINT; after SIGTERM or SIGHUP.
    """
    global signals
    ours = tuple(n for n, default in _DEFAULTS.items() if signal.getsignal(n) == default)
    if not _is_main_thread() or not ours:
        yield
        return
    signals = new = Signals(ours)
    hooks = sys.excepthook, sys.unraisablehook
    # Cython tells both of what it drops.
    sys.excepthook, sys.unraisablehook = (_without_interrupts(new, hook) for hook in hooks)
    try:
        for number in ours:
            signal.signal(number, new.interrupt)
        yield
        new.check()
    except INTERRUPTS:
        raise
    except BaseException:
        new.check(instead=True)
        raise
    finally:
        asked, was_over, new.is_over = new.asked, new.is_over, True
        sys.excepthook, sys.unraisablehook = hooks
        for number in ours:
            ignored = for_good and new.asked is not None
            signal.signal(number, signal.SIG_IGN if ignored else _DEFAULTS[number])
        is_late = new.asked is not None and (was_over or asked is None)
        new.handled, new.asked = (), None
        if is_late and not for_good:
            signal.raise_signal(new.signum)


@contextmanager
def reraised_to_default() -> Iterator[None]:
    """End the process by SIGTERM or SIGHUP as it would have ended, but after cleaning up.

    Where the program catches these signals itself, they are left to it.
    """
    is_default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    try:
        with first_signal_raises(), _counted():
            yield
    except Terminated as exc:
        if not is_default:
            raise
        os.kill(os.getpid(), exc.signum)


@contextmanager
def _counted() -> Iterator[None]:
    """Count a run; when the outermost one has failed by itself, signals come too late."""
    if not _is_main_thread():
        yield
        return
    of = signals
    of.runs += 1
    try:
        yield
    except INTERRUPTS:
        raise
    except BaseException:
        check(instead=True)
        finish()
        raise
    finally:
        of.runs -= 1


@contextmanager
def deferred() -> Iterator[None]:
    """Finish what must not be left half done, and act on a signal that came afterwards."""
    if not _is_main_thread():
        yield
        return
    came: list[int] = []
    others = {n: signal.getsignal(n) for n in _DEFAULTS if n not in signals.handled}
    # None: a handler that was not set by Python.
    theirs = {n: old for n, old in others.items() if old not in (None, signal.SIG_IGN)}
    of = signals
    of.deferred += 1
    try:
        for number in theirs:
            signal.signal(number, lambda signum, frame: came.append(signum))
        yield
    finally:
        for number, old in theirs.items():
            signal.signal(number, old)
        of.deferred -= 1
        if came:
            signal.raise_signal(came[0])
        of.check()


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_handled(asked: BaseException) -> bool:
    """Whether an exception is being handled by one of the functions that are running."""
    found = sys.exception()
    for _ in range(1000):  # a chain may have been made a ring
        if found is None or found is asked:
            break
        found = found.__context__
    return found is asked


def _without_interrupts(of: Signals, hook: Callable[..., Any]) -> Callable[..., Any]:
    """Return what tells a hook of exceptions that are lost, except of those asked for."""

    def tell(*args: Any) -> None:
        value = args[1] if len(args) > 1 else args[0].exc_value
        if value is None or value is not of.asked:
            hook(*args)

    return tell


def _forget_in_child() -> None:
    """Have a process that the function forks off heed signals as any other does."""
    for number in signals.handled:
        signal.signal(number, _DEFAULTS[number])
    if signals.handled:
        signal.set_wakeup_fd(-1)
    signals.handled = ()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_in_child)


def exit_with_parent(parent: int, folder: str | None = None) -> None:
    """End this process when its parent has ended, in whatever way.

    Parameters
    ----------
    parent : int
        The parent's process. If it has ended already, this one ends at once.
    folder : str or None
        Is removed then.
    """
    threading.Thread(target=_watch, args=(parent, folder), daemon=True).start()


def _watch(parent: int, folder: str | None) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
