"""A worker process as the main process sees it: called, waited for, closed.

    Launcher.start() ─▶ Process ─▶ .introduce() ─▶ .call(), .call(), ... ─▶ .close()

Close a process in the thread that started it: where a worker is killed with its
parent, the system takes that thread for the parent.
"""

from __future__ import annotations

import math
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from rio_mucho_cli.errors import WorkerStartError
from rio_mucho_cli.workers.channel import (
    Channel,
    Message,
    pack_message,
    read_clock,
    read_progress,
    write_clock,
    write_progress,
)

if TYPE_CHECKING:
    import subprocess

_BOOTSTRAP = str(Path(__file__).with_name("bootstrap.py"))

# Unit of ru_maxrss in bytes, see getrusage(2) on Linux and macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024

# Seconds by which a wait may be late; beyond, this program was stopped, and its workers too.
_LATE = 1.0

NOT_BEGUN = -1
"""Progress of a call that the process has not started."""


@dataclass(frozen=True)
class Program:
    """What worker processes have in common with the main process.

    Attributes
    ----------
    variables : dict
        All environment variables.
    path, argv : list of str
    worker : int
        Number of the worker among those of the run.
    """

    variables: dict[str, str]
    path: list[str] = field(default_factory=lambda: _import_path())
    argv: list[str] = field(default_factory=lambda: getattr(sys, "argv", [""]))
    worker: int = 0


class Child(Protocol):
    """A process that this one or the fork server has started.

    Attributes
    ----------
    exitcode : int or None
        Exit status, or minus the signal's number; None until it is waited for.
    peak : int or None
        Peak memory in bytes, if the process has ended and its peak is known.
    """

    @property
    def exitcode(self) -> int | None: ...  # noqa: D102

    @property
    def peak(self) -> int | None: ...  # noqa: D102

    def wait(self, seconds: float) -> bool:
        """Wait at most this many seconds for its end; return whether it has ended."""

    def kill(self) -> None:
        """Kill it, if it is running."""

    def close(self) -> None:
        """Release its resources after its end."""


class Process:
    """A worker process, this end of its channel, and its progress file.

    One thread makes its calls and waits for its end. Any thread may kill it.
    """

    def __init__(self, child: Child, channel: Channel, progress: int, program: Program) -> None:
        self._child = child
        self._channel = channel
        self._progress = progress
        self._program = program

    @property
    def exitcode(self) -> int | None:
        """Exit status, or minus the signal's number; None until it is waited for."""
        return self._child.exitcode

    @property
    def peak(self) -> int | None:
        """Peak memory in bytes, if the process has ended and its peak is known."""
        return self._child.peak

    def introduce(self, setup: Message) -> None:
        """Run the set-up call, which precedes all others.

        Raises
        ------
        EOFError, OSError
            If the process ends before.
        WorkerStartError
            If the call fails.
        """
        self._channel.send(pack_message(self._program))
        succeeded, value = self.call(setup).load()
        if not succeeded:
            raise WorkerStartError(value)

    def call(self, message: Message, timeout: float | None = None) -> Message:
        """Send a call to the process and return its answer.

        Parameters
        ----------
        message : Message
        timeout : float or None
            Most seconds for one window of the call.

        Raises
        ------
        TimeoutError
            If a window takes longer. The process is killed.
        EOFError, OSError
            If the process ends before.
        MemoryError
            If there is not enough memory for the answer.
        """
        write_progress(self._progress, NOT_BEGUN)
        if timeout is not None:
            write_clock(self._progress, 0)
        self._channel.send(message)
        if timeout is not None:
            self._wait_for_answer(timeout)
        return self._channel.receive()

    def _wait_for_answer(self, timeout: float) -> None:
        """Wait until there is an answer; kill the process if a window takes too long.

        The thread wakes only when the window in progress would have to be done.
        """
        deadline = time.monotonic() + timeout
        while not self._channel.wait(deadline - time.monotonic()):
            now, started = time.monotonic(), read_clock(self._progress)
            # After Ctrl-Z and fg, the window gets all of its time again.
            is_late = now - deadline > _LATE
            deadline = (started if started and not is_late else now) + timeout
            if deadline <= now:
                self.kill()
                raise TimeoutError

    def dismiss(self) -> None:
        """Send the message that ends the worker.

        Raises
        ------
        OSError
            If the process has already ended.
        """
        self._channel.send(Message(b""))

    def progress(self) -> int:
        """Return the progress of its last call, or NOT_BEGUN."""
        return read_progress(self._progress)

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait at most this many seconds for its end; return whether it has ended."""
        return self._child.wait(seconds)

    def kill(self) -> None:
        """Kill it if it is running, and wake the thread that waits for its answer."""
        if self.exitcode is None:
            self._child.kill()
            self._channel.hang_up()

    def close(self) -> None:
        """Kill it if it is running, wait for its end, and release its resources."""
        self.kill()
        self.wait()
        self._child.close()
        self._channel.close()
        os.close(self._progress)


class SpawnedChild:
    """A worker that is a child of this process.

    Parameters
    ----------
    popen : Popen
        The process. `Popen` itself does not report peak memory.
    """

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.peak: int | None = None
        self._popen = popen
        # The pid of a process that was waited for may belong to another process.
        self._lock = threading.Lock()
        # On Linux ru_maxrss includes the process before exec, a copy of this one: a peak
        # at or below our own tells nothing.
        self._least_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @property
    def exitcode(self) -> int | None:
        """Exit status, or minus the signal's number; None until it is waited for."""
        return self._popen.returncode

    def wait(self, seconds: float) -> bool:
        """Wait at most this many seconds for its end; return whether it has ended."""
        deadline, pause = time.monotonic() + seconds, 0.0005
        while not self._has_ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, 0.05)
        return True

    def kill(self) -> None:
        """Kill it, if it is running."""
        with self._lock:
            if self.exitcode is None:
                with suppress(ProcessLookupError):  # other code has waited for it
                    os.kill(self._popen.pid, signal.SIGKILL)

    def close(self) -> None:
        """Do nothing: it has no other resources."""

    def _has_ended(self) -> bool:
        """Return whether it has ended; if so, record its status and peak memory."""
        with self._lock:
            if self.exitcode is None:
                try:
                    pid, status, usage = os.wait4(self._popen.pid, os.WNOHANG)
                except ChildProcessError:  # other code has waited for it
                    self._popen.returncode = 0
                else:
                    if pid:
                        self._popen.returncode = os.waitstatus_to_exitcode(status)
                        if usage.ru_maxrss > self._least_peak:
                            self.peak = usage.ru_maxrss * _MAXRSS_UNIT
            return self.exitcode is not None


def new_interpreter(
    role: Literal["worker", "fork-server"], files: Sequence[int], variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process that imports for itself.

    Parameters
    ----------
    role : str
    files : sequence of int
        Descriptors that it inherits. The first is of a socket that brings its import path.
    variables : Mapping
        All of its environment variables.

    Raises
    ------
    OSError
        If the system does not allow it.
    TypeError
        If there is no sys.executable.
    """
    import subprocess

    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = [sys.executable, *flags, "-P", _BOOTSTRAP, role, *map(str, (os.getpid(), *files))]
    with sigint_blocked():
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=files, env=variables)


def import_path() -> bytes:
    """Return what a new interpreter reads first: its import path, after the length."""
    path = pickle.dumps(_import_path())
    return len(path).to_bytes(8, "little") + path


def _import_path() -> list[str]:
    return [entry for entry in sys.path if isinstance(entry, str)]


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started in the block.

    The terminal sends SIGINT to all processes of a group. The new processes
    inherit the blocked signal for good; this thread gets it after the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
