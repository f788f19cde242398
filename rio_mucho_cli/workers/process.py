"""A worker process, as its parent sees it: it is started, it makes calls, it ends.

    Launch.start() ─▶ Process ─▶ .introduce() ─▶ .call(), .call(), ... ─▶ .close()

The thread that starts a process must close it, too: where a worker is killed
with its parent, the system takes the thread for the parent.
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

# Of ru_maxrss, in bytes: getrusage(2) of either system.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024

NOT_BEGUN = -1
"""The progress of a call that the process has not taken up."""


def note_progress(file: int, progress: int) -> None:
    """Write down how far a call has come: the parent before it, the worker from then on."""
    os.pwrite(file, progress.to_bytes(8, "little", signed=True), 0)


class Process:
    """A process, this end of its channel, and the file in which it notes its progress.

    One thread has it make calls and waits for its end. Any thread may kill it.

    Attributes
    ----------
    peak : int or None
        The most memory that it held, in bytes, if it has ended and that is known.
    """

    def __init__(
        self, popen: subprocess.Popen[bytes], channel: Channel, progress: int, caller: bytes
    ) -> None:
        self.peak: int | None = None
        self._popen = popen
        self._channel = channel
        self._progress = progress
        self._caller = caller
        # A pid that has been waited for may be somebody else's.
        self._lock = threading.Lock()
        # Linux counts to a new program what the process held before it, which
        # was a copy of this one: a peak no higher than this one's says nothing.
        self._least_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @property
    def exitcode(self) -> int | None:
        """Minus a signal's number, or the exit status; None until its end is waited for."""
        return self._popen.returncode

    def introduce(self, setup: Message) -> None:
        """Tell it what it has to know before all calls, and wait until it does.

        Raises
        ------
        EOFError, OSError
            If it ends before.
        NotReadyError
            If that fails.
        """
        self._channel.send_bytes(self._caller)
        succeeded, value = self.call(setup).load()
        if not succeeded:
            raise WorkerStartError(value)

    def call(self, packed: Message) -> Message:
        """Have it make a call, and wait for what comes of it.

        Raises
        ------
        EOFError, OSError
            If it ends before.
        MemoryError
            If there is no room for what comes of it.
        """
        note_progress(self._progress, NOT_BEGUN)
        self._channel.send(packed)
        return self._channel.receive()

    def dismiss(self) -> None:
        """Tell it that there are no more calls.

        Raises
        ------
        OSError
            If it has ended before.
        """
        self._channel.send(Message(b""))

    def noted(self) -> int:
        """Return how far it came with its last call, which may be NOT_BEGUN."""
        return int.from_bytes(os.pread(self._progress, 8, 0), "little", signed=True)

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait for its end, so long at most, and return whether it has ended."""
        deadline, pause = time.monotonic() + seconds, 0.0005
        while not self._ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, 0.05)
        return True

    def kill(self) -> None:
        """Kill it, if it runs, and wake the thread that waits for its answer."""
        with self._lock:
            if self.exitcode is None:
                with suppress(ProcessLookupError):  # somebody else has waited for it
                    os.kill(self._popen.pid, signal.SIGKILL)
                self._channel.hang_up()

    def close(self) -> None:
        """Kill it, if it runs, wait for its end, and close what belongs to it."""
        self.kill()
        self.wait()
        self._channel.close()
        os.close(self._progress)

    def _ended(self) -> bool:
        """Whether it has ended; if so, take note of how."""
        with self._lock:
            if self.exitcode is None:
                try:
                    # Popen would not say how much memory it held.
                    pid, status, usage = os.wait4(self._popen.pid, os.WNOHANG)
                except ChildProcessError:  # somebody else has waited for it
                    self._popen.returncode = 0
                else:
                    if pid:
                        self._popen.returncode = os.waitstatus_to_exitcode(status)
                        if usage.ru_maxrss > self._least_peak:
                            self.peak = usage.ru_maxrss * _MAXRSS_UNIT
            return self.exitcode is not None


@dataclass(frozen=True, slots=True)
class Launcher:
    """How the processes of a run are started, all alike, whenever that is.

    Attributes
    ----------
    command : list
        The interpreter, and its options.
    variables : Mapping
        All environment variables.
    caller : bytes
        The import path and the arguments of this process, pickled.
    """

    command: list[str]
    variables: Mapping[str, str]
    caller: bytes

    @classmethod
    def prepare(cls, variables: Mapping[str, str]) -> Launcher:
        """Take what this process has now, and some more environment variables."""
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
    """Keep Ctrl-C from processes that are started meanwhile.

    The terminal sends it to all processes of a group. They inherit that it is
    blocked, for good; this thread gets it at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
