"""The fork server: a process without GDAL drivers that forks workers on request.

    main process ── control ──▶ fork server ── fork ──▶ worker
       ╰─ status ◀───────────────────╯                    │
       ╰─ channel ◀───────────────────────────────────────╯

It has imported what workers need and opened nothing, so that a fork takes
milliseconds and shares the memory of all imports. It has one thread, and ends
with the main process, or when it has been idle for minutes. Its workers end with
it.

The main process is not the parent of these workers. Therefore the fork server
sends it, on a socket for each worker, first the process id with a pidfd, then the
exit status and the peak memory.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import logging
import os
import select
import signal
import socket
import stat
import struct
import sys
import traceback
import weakref
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn

from rio_mucho_cli.env import driver_count, keep_freed_memory, limit_threads
from rio_mucho_cli.workers.process_main import run_worker

READY = b"ready"
"""First message of the server; any other says why there is none."""

FORK, RETIRE = b"f", b"r"
"""Requests: for a worker, with FILES descriptors; to end with the last of the workers."""

STARTED = struct.Struct("<q")
"""Process id of a new worker, or minus the error number."""

ENDED = struct.Struct("<qq")
"""Exit status, or minus the signal's number; peak memory in KiB."""

FILES = 6
"""Descriptors of a request for a worker: channel, progress file, status, stdout, stderr, folder."""

# Milliseconds without a worker after which the server ends.
_IDLE = 5 * 60 * 1000

# Modules that rasterio or this package imports at the first window only.
_PRELOADED = ("numpy.ma", "rasterio.vrt", "rasterio.warp")


def serve_forks(control: socket.socket, parent: int) -> None:
    """Fork workers until the main process ends, or for idle minutes.

    Parameters
    ----------
    control : socket
        Brings the requests, one in each message.
    parent : int
        Process id of the main process.
    """
    # The number of a standard stream that the main process has closed may be used again.
    with control as original:
        control = socket.socket(fileno=fcntl.fcntl(original, fcntl.F_DUPFD_CLOEXEC, 3))
    for name in _PRELOADED:
        importlib.import_module(name)
    keep_freed_memory()
    limit_threads()
    if driver_count():
        control.send(b"GDAL drivers are registered by imports")
        return
    # Hold neither the folder nor the output of the main process.
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.close(nothing)
    try:
        main_process = os.pidfd_open(parent)
    except OSError as exc:
        control.send(f"no pidfd: {exc}".encode())
        return
    if os.getppid() != parent:
        return
    gc.freeze()  # collections in workers need not touch, and so copy, what is shared
    control.send(READY)
    _EventLoop(control, main_process).run()


def serve_forks_in_fork(control: socket.socket, parent: int) -> NoReturn:
    """Make a fork of a program like a new interpreter, and serve; never return."""
    try:
        _reset_exit_handlers()
        sys.modules["__main__"] = ModuleType("__main__")
        _close_inherited(control.fileno())
        _reset_logging()
        serve_forks(control, parent)
    finally:
        os._exit(0)


def _reset_exit_handlers() -> None:
    """Remove what the program has left to do at its end; keep what the standard library does.

    Modules of the standard library register their handlers once, at their import or
    first use, and count on them from then on.
    """
    atexit._clear()
    # The program's own finalizers would remove, in each worker, what belongs to the program.
    finalizers: Any = weakref.finalize
    finalizers._registry.clear()
    finalizers._registered_with_atexit = False
    atexit.register(logging.shutdown)
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util._finalizer_registry.clear()
        sys.modules["multiprocessing.process"]._children.clear()
        atexit.register(util._exit_function)


def _close_inherited(control: int) -> None:
    """Close the descriptors that this process got from the one that started it.

    Those that are not inheritable were opened by imports, which may use them again:
    files, such as PROJ's database, stay. Connections do not, but their numbers must
    not be given to others.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if file > 2 and file not in {control, nothing}:
            with suppress(OSError):  # the one that listed them
                if os.get_inheritable(file):
                    os.close(file)
                elif not stat.S_ISREG(os.fstat(file).st_mode):
                    os.dup2(nothing, file, inheritable=False)
    os.close(nothing)


def _reset_logging() -> None:
    """Remove the handlers and levels that the program has set."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.setLevel(logging.WARNING if logger is logging.root else logging.NOTSET)
    at_exit: Any = logging
    at_exit._handlerList.clear()


class _EventLoop:
    """Answers requests, reports ends of workers, and ends with the main process.

    Parameters
    ----------
    control : socket
    main_process : int
        A pidfd.
    """

    def __init__(self, control: socket.socket, main_process: int) -> None:
        self._control = control
        self._main_process = main_process
        self._is_retired = False
        self._statuses: dict[int, socket.socket] = {}  # by process id of the worker
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)

    def run(self) -> None:
        """Serve until the main process ends, or for idle minutes; then end the workers."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})  # the program may block it
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        poll = select.poll()
        for file in (self._control.fileno(), self._woken.fileno(), self._main_process):
            poll.register(file, select.POLLIN)
        while events := poll.poll(self._timeout()):
            ready = {file for file, _ in events}
            if self._main_process in ready:
                break
            if self._woken.fileno() in ready:
                self._reap()
            if self._control.fileno() in ready and not self._accept():
                break
        for pid in self._statuses:
            os.kill(pid, signal.SIGKILL)
        for pid in self._statuses:
            os.waitpid(pid, 0)

    def _timeout(self) -> int | None:
        """Return how many milliseconds to wait for something to do."""
        return None if self._statuses else 0 if self._is_retired else _IDLE

    def _accept(self) -> bool:
        """Act on a request; return False at the end of the connection."""
        data, files, _, _ = socket.recv_fds(self._control, 1, FILES)
        if data != FORK:
            self._is_retired = True
            return data == RETIRE
        for file in files:
            os.set_inheritable(file, False)
        status = socket.socket(fileno=files[2])
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as exc:
            with suppress(OSError), status:
                status.send(STARTED.pack(-(exc.errno or 1)))
        else:
            if not pid:
                self._become_worker(files, status, server)
            self._statuses[pid] = status
            pidfd = os.pidfd_open(pid)
            with suppress(OSError):
                socket.send_fds(status, [STARTED.pack(pid)], [pidfd])
            os.close(pidfd)
        for index in (0, 1, 3, 4, 5):
            os.close(files[index])
        return True

    def _reap(self) -> None:
        """Report the workers that have ended."""
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        while self._statuses:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            with suppress(OSError), self._statuses.pop(pid) as sock:
                sock.send(ENDED.pack(os.waitstatus_to_exitcode(status), usage.ru_maxrss))

    def _become_worker(self, files: list[int], status: socket.socket, server: int) -> NoReturn:
        """Run a worker in the forked process; never return."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for sock in (*self._statuses.values(), status, self._control, self._woken, self._waker):
                sock.close()
            os.close(self._main_process)
            channel, progress, _, out, err, folder = files
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.fchdir(folder)
            for file in (out, err, folder):
                os.close(file)
            if "numpy.random" in sys.modules:  # `random` does so for itself
                sys.modules["numpy.random"].seed()
            importlib.invalidate_caches()
            run_worker(socket.socket(fileno=channel), progress, server)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
