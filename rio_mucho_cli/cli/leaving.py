"""Exit after Ctrl-C or another signal that ends a run."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NoReturn

import click

from rio_mucho_cli import signals

# Added to the signal number for the exit status, as shells do.
_BY_SIGNAL = 128
# Seconds until a signal is sent to the main thread again, and in which Python code notices it.
_RESEND_AFTER, _NOTICED_WITHIN = 1.0, 1.5
# Number of times the exception of a signal may be raised without effect.
_MOST_RAISED = 5
# Seconds for another thread than the main one to remove unfinished outputs.
_CLEAN_UP_SECONDS = 5.0
# Terminal codes that move to the start of the line and clear it.
_CLEAR = "\r\033[K"

_leaving = threading.Lock()


def exit_after_signal(exc: BaseException, output: str, resume: bool) -> NoReturn:
    """Print the signal that ended the run and what is kept, and exit."""
    signum = exc.signum if isinstance(exc, signals.Terminated) else signal.SIGINT
    with _leaving:  # never acquired if the other thread is already ending the process
        _print_end(signum, output, resume)
        if any(thread.name.startswith("mucho") for thread in threading.enumerate()):
            # Do not wait for threads that are busy with a window.
            _end(signum)
    sys.exit(_BY_SIGNAL + signum)


def _print_end(signum: int, output: str, resume: bool) -> None:
    from rio_mucho_cli.cli.run import partial_results

    name = signal.Signals(signum).name
    cause = "Interrupted" if signum == signal.SIGINT else f"Ended by {name}"
    with suppress(OSError, ValueError):
        click.echo(f"{cause}: {output} was not written.{partial_results(output, resume)}", err=True)


def _end(signum: int) -> NoReturn:
    """End the process at once."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(_BY_SIGNAL + signum)


@contextmanager
def end_on_ignored_signals(output: str, resume: bool) -> Iterator[None]:
    """End the process after a signal that the main thread does not act on.

    Python runs its handlers only once native code has returned, and a read
    from a pipe or an unresponsive server may never return. A function may
    also catch the exception again and again. The C-level handler therefore
    writes the number of each signal to a socket, and a thread reads it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with ExitStack() as stack:
        # If there are too few descriptors or threads, the run itself will fail and report it.
        with suppress(OSError, RuntimeError):
            reader, writer = map(stack.enter_context, socket.socketpair())
            writer.setblocking(False)
            thread = threading.Thread(
                target=_watch_signals, args=(reader, output, resume), daemon=True
            )
            thread.start()
            stack.callback(thread.join)
            stack.callback(writer.shutdown, socket.SHUT_RDWR)
            previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            stack.callback(signal.set_wakeup_fd, previous)
        yield


def _watch_signals(sock: socket.socket, output: str, resume: bool) -> None:
    """Wait for signals, and end the process if the main thread does not."""
    while numbers := sock.recv(64):
        signum = next((n for n in numbers if n in signals.signals.handled), None)
        if signum is not None and not _is_acted_on(sock, signum):
            _leave_at_once(signals.signals.signum or signum, output, resume)


def _is_acted_on(sock: socket.socket, signum: int) -> bool:
    """Resend a signal until the run has ended; return False if that has no effect."""
    state = signals.signals
    while _is_running(sock, _RESEND_AFTER) and not state.is_over:
        runs = state.handler_runs
        _send(signum)
        deadline = time.monotonic() + _NOTICED_WITHIN
        while state.handler_runs == runs and time.monotonic() < deadline:
            if not _is_running(sock, 0.02):
                return True
        is_busy = state.is_over or state.is_ending or state.deferred
        if not is_busy and (state.handler_runs == runs or state.times_raised >= _MOST_RAISED):
            return False
    return True


def _send(signum: int) -> None:
    """Send a signal to the main thread, to interrupt its native code if possible."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signum)
    else:  # Windows
        signal.raise_signal(signum)


def _is_running(sock: socket.socket, seconds: float) -> bool:
    """Wait some seconds, and return whether the main thread is still running."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if not sock.recv(64):
                return False
        except TimeoutError:
            break
    sock.settimeout(None)
    return True


def _leave_at_once(signum: int, output: str, resume: bool) -> None:
    """Remove unfinished outputs, and end the process without the main thread."""
    with _leaving:
        thread = threading.Thread(target=_discard_all, daemon=True)
        thread.start()
        thread.join(_CLEAN_UP_SECONDS)
        if sys.stderr is not None and sys.stderr.isatty():
            with suppress(OSError, ValueError):
                sys.stderr.write(_CLEAR)
        _print_end(signum, output, resume)
        _end(signum)


def _discard_all() -> None:
    from rio_mucho_cli.outputs.target import unfinished_targets

    for target in tuple(unfinished_targets):
        with suppress(Exception):
            target.discard()
