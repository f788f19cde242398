"""A worker process as the main process sees it: started, called, closed.

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
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rio_mucho_cli.errors import WorkerStartError
from rio_mucho_cli.workers.channel import Channel, Message, unnamed_file

_BOOTSTRAP = str(Path(__file__).with_name("bootstrap.py"))

# Unit of ru_maxrss in bytes, see getrusage(2) on Linux and macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024

NOT_BEGUN = -1
"""Progress of a call that the process has not started."""


def note_progress(file: int, progress: int) -> None:
    """Write the progress of a call to a file.

    The main process does so before the call, the worker during the call.
    """
    os.pwrite(file, progress.to_bytes(8, "little", signed=True), 0)


class Process:
    """A process, this end of its channel, and its progress file.

    One thread makes its calls and waits for its end. Any thread may kill it.

    Attributes
    ----------
    peak : int or None
        Peak memory in bytes, if the process has ended and its peak is known.
    """

    def __init__(
        self, popen: subprocess.Popen[bytes], channel: Channel, progress: int, caller: bytes
    ) -> None:
        self.peak: int | None = None
        self._popen = popen
        self._channel = channel
        self._progress = progress
        self._caller = caller
        # The pid of a process that was waited for may belong to another process.
        self._lock = threading.Lock()
        # On Linux ru_maxrss includes the process before exec, a copy of this one: a peak
        # at or below our own tells nothing.
        self._least_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @property
    def exitcode(self) -> int | None:
        """Exit status, or minus the signal's number; None until it is waited for."""
        return self._popen.returncode

    def introduce(self, setup: Message) -> None:
        """Run the set-up call, which precedes all others.

        Raises
        ------
        EOFError, OSError
            If the process ends before.
        WorkerStartError
            If the call fails.
        """
        self._channel.send_bytes(self._caller)
        succeeded, value = self.call(setup).load()
        if not succeeded:
            raise WorkerStartError(value)

    def call(self, packed: Message) -> Message:
        """Send a call to the process and return its answer.

        Raises
        ------
        EOFError, OSError
            If the process ends before.
        MemoryError
            If there is not enough memory for the answer.
        """
        note_progress(self._progress, NOT_BEGUN)
        self._channel.send(packed)
        return self._channel.receive()

    def dismiss(self) -> None:
        """Send the message that ends the worker.

        Raises
        ------
        OSError
            If the process has already ended.
        """
        self._channel.send(Message(b""))

    def noted(self) -> int:
        """Return the progress of its last call, or NOT_BEGUN."""
        return int.from_bytes(os.pread(self._progress, 8, 0), "little", signed=True)

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait at most this many seconds for its end; return whether it has ended."""
        deadline, pause = time.monotonic() + seconds, 0.0005
        while not self._ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, 0.05)
        return True

    def kill(self) -> None:
        """Kill it if it is running, and wake the thread that waits for its answer."""
        with self._lock:
            if self.exitcode is None:
                with suppress(ProcessLookupError):  # other code has waited for it
                    os.kill(self._popen.pid, signal.SIGKILL)
                self._channel.hang_up()

    def close(self) -> None:
        """Kill it if it is running, wait for its end, and release its resources."""
        self.kill()
        self.wait()
        self._channel.close()
        os.close(self._progress)

    def _ended(self) -> bool:
        """Return whether it has ended; if so, record its status and peak memory."""
        with self._lock:
            if self.exitcode is None:
                try:
                    # Popen does not report its peak memory.
                    pid, status, usage = os.wait4(self._popen.pid, os.WNOHANG)
                except ChildProcessError:  # other code has waited for it
                    self._popen.returncode = 0
                else:
                    if pid:
                        self._popen.returncode = os.waitstatus_to_exitcode(status)
                        if usage.ru_maxrss > self._least_peak:
                            self.peak = usage.ru_maxrss * _MAXRSS_UNIT
            return self.exitcode is not None


@dataclass(frozen=True, slots=True)
class Launcher:
    """Command and environment of the worker processes of a run.

    Attributes
    ----------
    command : list
        The interpreter and its options.
    variables : Mapping
        All environment variables.
    caller : bytes
        The import path and ``sys.argv`` of the main process, pickled.
    """

    command: list[str]
    variables: Mapping[str, str]
    caller: bytes

    @classmethod
    def prepare(cls, variables: Mapping[str, str]) -> Launcher:
        """Return a launcher for the current state and more environment variables."""
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        argv = getattr(sys, "argv", [""])
        caller = pickle.dumps(([entry for entry in sys.path if isinstance(entry, str)], argv))
        command = [sys.executable, *flags, "-P", _BOOTSTRAP]
        return cls(command, {**os.environ, **variables}, caller)

    def start(self) -> Process:
        """Start a process.

        Raises
        ------
        OSError
            If the system does not allow it.
        TypeError
            If there is no sys.executable.
        """
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(ours.close)
            progress = unnamed_file(8)
            undo.callback(os.close, progress)
            files = theirs.fileno(), progress
            with _sigint_held():
                popen = subprocess.Popen(
                    [*self.command, *map(str, files)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=files,
                    env=self.variables,
                )
            undo.pop_all()
        return Process(popen, Channel(ours), progress, self.caller)


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started in the block.

    The terminal sends SIGINT to all processes of a group. The new processes
    inherit the blocked signal for good; this thread gets it after the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
