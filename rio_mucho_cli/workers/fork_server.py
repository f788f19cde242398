"""The fork server as the main process sees it: started, asked for workers, closed.

The command line forks it from itself before GDAL is used. In Python it is a new
interpreter, which stays for later runs and ends with the program.
"""

from __future__ import annotations

import atexit
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rio_mucho_cli.env import LAYOUT, driver_count, interpreter_variables
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.workers.fork_server_main import (
    ENDED,
    FORK,
    READY,
    RETIRE,
    STARTED,
    serve_forks_in_fork,
)
from rio_mucho_cli.workers.process import import_path, new_interpreter, sigint_blocked

log = logging.getLogger(__name__)

VARIABLE = "MUCHO_START_METHOD"
"""Environment variable with the start method of workers: forkserver or spawn."""

_WITHOUT = "workers start without a fork server: %s"

# Seconds that the server may take to report the end of a worker.
_PATIENCE = 10


class ForkServerError(Exception):
    """The fork server has ended or cannot start; the message says why."""


class ForkedChild:
    """A worker that the fork server has started; a `Child`."""

    def __init__(self, status: socket.socket, pidfd: int) -> None:
        self.exitcode: int | None = None
        self.peak: int | None = None
        self._status = status
        self._pidfd = pidfd
        # The number of a closed pidfd may belong to another file.
        self._lock = threading.Lock()

    def wait(self, seconds: float) -> bool:
        """Wait at most this many seconds for its end; return whether it has ended."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if self.exitcode is None and poll.poll(min(1000 * seconds, 2**31 - 1)):
            with self._lock:
                if self.exitcode is None:
                    self._read_status()
        return self.exitcode is not None

    def kill(self) -> None:
        """Kill it, if it is running."""
        with self._lock:
            if self.exitcode is None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Release its descriptors."""
        self._status.close()
        os.close(self._pidfd)

    def _read_status(self) -> None:
        self._status.settimeout(_PATIENCE)
        try:
            data = self._status.recv(ENDED.size)
        except OSError:
            data = b""
        if len(data) < ENDED.size:  # it was killed with the server
            self.exitcode = -signal.SIGKILL
        else:
            self.exitcode, peak = ENDED.unpack(data)
            self.peak = 1024 * peak


class ForkServer:
    """The process that forks workers, and its control socket.

    Parameters
    ----------
    control : socket
    pid : int
        Its process id; it is a child of this process.

    Attributes
    ----------
    state : object
        What its workers inherit; see `inherited_state`.
    """

    def __init__(self, control: socket.socket, pid: int) -> None:
        self.state = inherited_state()
        self.control = control
        self.pid = pid
        self._lock = threading.Lock()
        self.has_been_ready = False

    def fork(self, channel: int, progress: int) -> ForkedChild:
        """Start a worker.

        Parameters
        ----------
        channel, progress : int
            Descriptors of the worker's end of the channel and of its progress file.

        Raises
        ------
        ForkServerError
            If the server has ended.
        OSError
            If the system does not allow another process.
        """
        self._wait_until_ready()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ExitStack() as undo:
            undo.callback(ours.close)
            with theirs, _shared_files() as files:
                try:
                    request = [channel, progress, theirs.fileno(), *files]
                    socket.send_fds(self.control, [FORK], request)
                except OSError as exc:
                    raise ForkServerError(str(exc)) from None
            data, pidfds, _, _ = socket.recv_fds(ours, STARTED.size, 1)
            if not data:
                raise ForkServerError("it has ended")
            (pid,) = STARTED.unpack(data)
            if pid < 0:
                raise OSError(-pid, os.strerror(-pid))
            os.set_inheritable(pidfds[0], False)
            undo.pop_all()
        return ForkedChild(ours, pidfds[0])

    def retire(self) -> None:
        """Let it end with the last of its workers."""
        with suppress(OSError):  # it has ended
            self.control.send(RETIRE)

    def has_ended(self) -> bool:
        """Return whether it has ended, and release its resources if so."""
        try:
            pid, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # other code has waited for it
            pid = self.pid
        if pid:
            self.control.close()
        return bool(pid)

    def close(self) -> None:
        """End it and its workers."""
        if self.has_ended():
            return
        self.control.close()
        if not self.has_been_ready:  # it is importing, and has no workers
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):  # other code has waited for it
            os.waitpid(self.pid, 0)

    def leave(self) -> None:
        """Close the connection in a process that is not the main process."""
        self.control.close()

    def _wait_until_ready(self) -> None:
        with self._lock:
            if self.has_been_ready:
                return
            try:
                answer = self.control.recv(1024)
            except OSError as exc:
                answer = str(exc).encode()
            if answer != READY:
                raise ForkServerError(answer.decode() or "it has ended")
            self.has_been_ready = True


@contextmanager
def _shared_files() -> Iterator[list[int]]:
    """Yield descriptors of standard output, standard error and the current folder."""
    with ExitStack() as stack:
        files = []
        for stream in (1, 2):
            try:
                is_open = os.get_inheritable(stream)  # otherwise it is another file by now
            except OSError:
                is_open = False
            if not is_open:
                stream = os.open(os.devnull, os.O_WRONLY)
                stack.callback(os.close, stream)
            files.append(stream)
        files.append(os.open(".", os.O_PATH))
        stack.callback(os.close, files[-1])
        yield files


def inherited_state() -> Hashable:
    """Return what new processes inherit from this one and a program may change.

    The current folder and the standard streams go with each request. GDAL's layout
    options are unset in a run.
    """
    limits = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
    umask: list[str] = []
    with suppress(OSError):
        status = Path("/proc/self/status").read_text("utf-8")
        umask = [line for line in status.splitlines() if line.startswith("Umask")]
    return (
        sys.executable,
        frozenset(item for item in os.environ.items() if item[0] not in LAYOUT),
        tuple(map(resource.getrlimit, limits)),
        tuple(umask),
        (os.getresuid(), os.getresgid(), tuple(os.getgroups())),
        os.getpriority(os.PRIO_PROCESS, 0),
        frozenset(os.sched_getaffinity(0)),
    )


class _Current:
    """The fork server of this process, and older ones that have workers yet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.server: ForkServer | None = None
        self.retired: list[ForkServer] = []
        self.failed: Hashable = None  # state of this process in which there cannot be one

    def replace(self, server: ForkServer | None) -> None:
        """Use another server; the runs of the old one may still be going on."""
        if self.server is not None:
            self.server.retire()
            self.retired.append(self.server)
        self.retired = [old for old in self.retired if not old.has_ended()]
        self.server = server

    def give_up(self, server: ForkServer, reason: object) -> None:
        log.info(_WITHOUT, reason)
        self.failed = server.state
        self.replace(None)

    def close(self) -> None:
        servers, self.server, self.retired = self.all(), None, []
        for server in servers:
            server.close()

    def all(self) -> list[ForkServer]:
        """Return all servers that may still run."""
        return [*self.retired, *filter(None, [self.server])]


_current = _Current()


def _is_chosen() -> bool:
    """Return whether workers are to be forked."""
    return _method() == "forkserver" and hasattr(os, "pidfd_open")


def _method() -> str:
    return os.environ.get(VARIABLE, "forkserver")


def get_fork_server() -> ForkServer | None:
    """Return the fork server of this process, and start it if necessary.

    It may not be ready yet. Return None if there cannot be one, or if the user
    has chosen otherwise.

    Raises
    ------
    UsageError
        If the environment variable has an unknown value.
    """
    if _method() not in {"forkserver", "spawn"}:
        raise UsageError(f"{VARIABLE} is {_method()!r}: set it to forkserver or spawn")
    if not _is_chosen():
        return None
    with _current.lock:
        state = inherited_state()
        if state == _current.failed:
            return None
        if _current.server is None or _current.server.state != state:
            try:
                _current.replace(_start_interpreter())
            except (OSError, TypeError) as exc:  # no sys.executable
                log.info(_WITHOUT, exc)
                _current.replace(None)
        return _current.server


def fork_worker(channel: int, progress: int) -> ForkedChild | None:
    """Fork a worker; return None if there is no fork server.

    Raises
    ------
    OSError
        If the system does not allow another process.
    """
    for _ in range(2):
        server = get_fork_server()
        if server is None:
            break
        try:
            return server.fork(channel, progress)
        except ForkServerError as exc:
            with _current.lock:
                if _current.server is server:
                    if server.has_been_ready:  # it was killed, or has been idle
                        _current.replace(None)
                    else:
                        _current.give_up(server, exc)
    return None


def _start_interpreter() -> ForkServer:
    """Start the server as a new interpreter, for which no import has been made."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lead, follow = socket.socketpair()
    with theirs, lead, follow, ExitStack() as undo:
        undo.callback(ours.close)
        files = follow.fileno(), theirs.fileno()
        popen = new_interpreter("fork-server", files, {**os.environ, **interpreter_variables()})
        lead.sendall(import_path())
        undo.pop_all()
    server = ForkServer(ours, popen.pid)
    popen.returncode = 0  # the server is waited for by its process id
    return server


def fork_server_from_here() -> None:
    """Fork the server from this process, if it can be had.

    For a program that has used no GDAL, has one thread, and is about to run a job:
    the command line, before anything else. Otherwise leave the server to
    `get_fork_server`.
    """
    if not _is_chosen() or driver_count() or threading.active_count() > 1:
        return
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    parent = os.getpid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with warnings.catch_warnings(), sigint_blocked(), theirs:
        # The threads of numeric libraries end before a fork; others are looked for after it.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            return
        if not pid:
            ours.close()
            serve_forks_in_fork(theirs, parent)
    server = ForkServer(ours, pid)
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208
        server.close()
    else:
        _current.server = server


def _forget_in_child() -> None:
    """Leave the server to the process that has forked this one."""
    global _current
    servers, _current = _current.all(), _Current()
    for server in servers:
        server.leave()


os.register_at_fork(after_in_child=_forget_in_child)
atexit.register(lambda: _current.close())
