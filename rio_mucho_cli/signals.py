"""Signals that end a run: each request is remembered until it is fulfilled.

    signal ─▶ handler ─▶ raised in the main thread ─▶ first_signal_raises() ─▶ run ended
                │                     │
                └─ remembered         └─ lost in a callback, a destructor, an `except`:
                                         raised again by check() and by the next signal

A handler's exception appears wherever Python happens to be. GDAL's log callback in
rasterio and destructors drop it, and the function may catch it. While it is being
handled, code is cleaning up and is not interrupted again.
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
    """SIGTERM or SIGHUP was received.

    Like KeyboardInterrupt, it is not an Exception.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signal.Signals(signum)


INTERRUPTS = (KeyboardInterrupt, Terminated)
"""Exceptions that must not be treated as errors of the user's function."""

_DEFAULTS: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
if hasattr(signal, "SIGHUP"):  # not on Windows
    _DEFAULTS[signal.SIGHUP] = signal.SIG_DFL


@dataclass
class Signals:
    """Signals received within `first_signal_raises`, and their state.

    Attributes
    ----------
    handled : tuple of Signals
        Signals with a handler of this module.
    exception : KeyboardInterrupt, Terminated or None
        Exception for the first signal.
    signum : int
        Number of the first signal.
    times_raised : int
        How often the exception was raised.
    handler_runs : int
        How often the handler ran; it does not run while the main thread is in
        native code.
    is_ending : bool
        Whether the exception was being handled when the last signal came.
    is_over : bool
        Whether the run has ended, so that signals have no effect.
    deferred : int
        Depth of nested blocks that must not be interrupted.
    runs : int
        Depth of nested runs, started by functions.
    """

    handled: tuple[signal.Signals, ...] = ()
    exception: BaseException | None = None
    signum: int = 0
    times_raised: int = 0
    handler_runs: int = 0
    is_ending: bool = False
    is_over: bool = False
    deferred: int = 0
    runs: int = 0

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        """Remember a signal, and raise its exception unless it is being handled."""
        self.handler_runs += 1
        if self.exception is None:
            self.signum = signum
            self.exception = KeyboardInterrupt() if signum == signal.SIGINT else Terminated(signum)
        self.is_ending = _is_handled(self.exception)
        self.check()

    def check(self, *, instead: bool = False) -> None:
        """Raise the pending exception, unless that is deferred or too late; see `check`."""
        if self.exception is None or self.is_over or self.deferred:
            return
        if instead or not _is_handled(self.exception):
            self.times_raised += 1
            raise self.exception.with_traceback(None)


signals = Signals()
"""State of the outermost `first_signal_raises`.

The main thread gets all signals.
"""


def check(*, instead: bool = False) -> None:
    """Raise KeyboardInterrupt or Terminated if a signal's exception was lost.

    Call it where a run can be ended: between windows, after opening files,
    before putting anything in place.

    Parameters
    ----------
    instead : bool
        An exception is being handled that may result from the lost one.
    """
    if signals.exception is not None and _is_main_thread():
        signals.check(instead=instead)


def finish() -> None:
    """Ignore further signals: the output is in place, or the run has failed.

    In a run started by a function, signals still concern the outer run.
    """
    if signals.runs <= 1 and _is_main_thread():
        signals.is_over = True


@contextmanager
def first_signal_raises(*, for_good: bool = False) -> Iterator[None]:
    """Turn signals into an exception that always leaves this block.

    Handlers set by the program, and threads other than the main thread, are
    unaffected.

    Parameters
    ----------
    for_good : bool
        After a signal, ignore further ones until the process ends, which should
        follow at once. Otherwise a signal that came too late is raised again at
        the end.

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
    # Cython reports dropped exceptions to both.
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
        exception, was_over, new.is_over = new.exception, new.is_over, True
        sys.excepthook, sys.unraisablehook = hooks
        for number in ours:
            ignored = for_good and new.exception is not None
            signal.signal(number, signal.SIG_IGN if ignored else _DEFAULTS[number])
        is_late = new.exception is not None and (was_over or exception is None)
        new.handled, new.exception = (), None
        if is_late and not for_good:
            signal.raise_signal(new.signum)


@contextmanager
def reraised_to_default() -> Iterator[None]:
    """Clean up after SIGTERM or SIGHUP, then end the process by that signal.

    If the program handles SIGTERM itself, the exception is left to it.
    """
    is_default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    try:
        with first_signal_raises(), _count_run():
            yield
    except Terminated as exc:
        if not is_default:
            raise
        os.kill(os.getpid(), exc.signum)


@contextmanager
def _count_run() -> Iterator[None]:
    """Count a run; if the outermost run fails by itself, ignore later signals."""
    if not _is_main_thread():
        yield
        return
    state = signals
    state.runs += 1
    try:
        yield
    except INTERRUPTS:
        raise
    except BaseException:
        check(instead=True)
        finish()
        raise
    finally:
        state.runs -= 1


@contextmanager
def deferred() -> Iterator[None]:
    """Postpone signals until the end of a block that must not be interrupted."""
    if not _is_main_thread():
        yield
        return
    received: list[int] = []
    others = {n: signal.getsignal(n) for n in _DEFAULTS if n not in signals.handled}
    # None is a handler that was not set by Python.
    theirs = {n: old for n, old in others.items() if old not in (None, signal.SIG_IGN)}
    state = signals
    state.deferred += 1
    try:
        for number in theirs:
            signal.signal(number, lambda signum, frame: received.append(signum))
        yield
    finally:
        for number, old in theirs.items():
            signal.signal(number, old)
        state.deferred -= 1
        if received:
            signal.raise_signal(received[0])
        state.check()


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_handled(exception: BaseException) -> bool:
    """Return whether an exception is being handled on the current stack."""
    handled = sys.exception()
    for _ in range(1000):  # the chain may be circular
        if handled is None or handled is exception:
            break
        handled = handled.__context__
    return handled is exception


def _without_interrupts(state: Signals, hook: Callable[..., Any]) -> Callable[..., Any]:
    """Return a hook that ignores the exception a signal asked for."""

    def report(*args: Any) -> None:
        value = args[1] if len(args) > 1 else args[0].exc_value
        if value is None or value is not state.exception:
            hook(*args)

    return report


def _forget_in_child() -> None:
    """Restore default signal handling in a process that the function forks."""
    for number in signals.handled:
        signal.signal(number, _DEFAULTS[number])
    if signals.handled:
        signal.set_wakeup_fd(-1)
    signals.handled = ()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_in_child)


def exit_with_parent(parent: int, folder: str | None = None) -> None:
    """End this process when its parent ends, for whatever reason.

    Parameters
    ----------
    parent : int
        Process id of the parent. If it has already ended, exit at once.
    folder : str or None
        Folder to remove on exit.
    """
    threading.Thread(target=_exit_with, args=(parent, folder), daemon=True).start()


def _exit_with(parent: int, folder: str | None) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
