"""Worker processes: each a new interpreter, at the other end of a channel of its own.

    submit ─▶ queue ─▶ thread 1 ◀── channel ──▶ process 1
                   └─▶ thread 2 ◀── channel ──▶ process 2

A thread takes a call from the queue, sends it to its process, and waits for
what comes of it. A worker is not forked from this process, whose GDAL has
locks and caches that do not survive a fork, and it does not import the
caller's ``__main__``: scripts without a guard do not start themselves again.

Pools that share one pipe, and a lock for it, among all workers (the standard
library's, loky's) hang for ever when a worker is killed while it sends a
result. With a channel each, the worker's end is closed by the system, and the
window that it was working on is known: workers note in a small file, which
the parent reads after a death, how far they have come with a call.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from rasterio.errors import NotGeoreferencedWarning

from rio_mucho_cli import environment
from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.executors.channel import Channel, Packed, pack, unnamed_file
from rio_mucho_cli.work.order import Order
from rio_mucho_cli.work.worker import begin, note_progress_with

_BOOTSTRAP = str(Path(__file__).with_name("bootstrap.py"))

# Seconds for a worker to end by itself, after its last call: what is registered
# with atexit runs then, and may take for ever.
_PATIENCE = 5

_Call: TypeAlias = "tuple[Future[Any], Packed]"


class ProcessDiedError(BrokenExecutor):
    """A worker process ended in the middle of a call, or before any.

    Attributes
    ----------
    exitcode : int
        Minus the number of the signal that killed it, or its exit status.
    started : bool
        Whether it was ready for calls.
    progress : int
        How far the call had come, as it noted itself.
    """

    def __init__(self, exitcode: int, *, started: bool, progress: int = 0) -> None:
        super().__init__(f"a worker process ended with {exitcode}")
        self.exitcode = exitcode
        self.started = started
        self.progress = progress


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process, this end of its channel, and the file in which it notes its progress."""

    process: subprocess.Popen[bytes]
    channel: Channel
    progress: int

    def noted(self) -> int:
        return int.from_bytes(os.pread(self.progress, 8, 0), "little")

    def close(self) -> None:
        """Kill the process if it runs, and close what belongs to it."""
        self.process.kill()
        self.process.wait()
        self.channel.close()
        os.close(self.progress)


class ProcessExecutor(Executor):
    """An executor of new interpreters.

    Parameters
    ----------
    jobs : int
        How many.
    setup : Packed
        A call that each makes before anything else.
    variables : dict
        Environment variables that they have, besides this process's.

    Raises
    ------
    MuchoError
        If the system does not allow so many.
    """

    def __init__(self, jobs: int, setup: Packed, variables: dict[str, str]) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._died: BrokenExecutor | None = None
        self._workers: list[_Worker] = []
        try:
            for _ in range(jobs):
                self._workers.append(_start(variables))
        except (OSError, TypeError) as exc:  # there may be no sys.executable
            for worker in self._workers:
                worker.close()
            raise MuchoError(
                f"only {len(self._workers)} of {jobs} worker processes could be started ({exc}): "
                f"use {'fewer jobs' if self._workers else 'the executor threads'}"
            ) from None
        argv = getattr(sys, "argv", [""])
        caller = pickle.dumps(([entry for entry in sys.path if isinstance(entry, str)], argv))
        self._threads = [
            threading.Thread(target=self._drive, args=(worker, caller, setup), daemon=True)
            for worker in self._workers
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call. Its future ends with ProcessDiedError if a worker has died."""
        future: Future[Any] = Future()
        self._calls.put((future, pack((fn, args, kwargs))))
        if self._died is not None:
            self._fail_queued()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: when the queue is empty, or, to cancel, at once."""
        if cancel_futures:
            for worker in self._workers:
                worker.process.kill()
                worker.channel.hang_up()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _drive(self, worker: _Worker, caller: bytes, setup: Packed) -> None:
        """Feed one process, in a thread of its own."""
        future: Future[Any] | None = None
        started = False
        try:
            worker.channel.send_bytes(caller)
            worker.channel.send(setup)
            worker.channel.receive()
            started = True
            while (call := self._calls.get()) is not None:
                future, packed = call
                del call
                if future.set_running_or_notify_cancel():
                    worker.channel.send(packed)
                    _settle(future, worker.channel.receive())
                future = None  # nothing of a result may stay here until the next one
            worker.channel.send(_ENOUGH)
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(_PATIENCE)
        except (EOFError, OSError):
            exitcode, progress = worker.process.wait(), worker.noted()
            self._fail(ProcessDiedError(exitcode, started=started, progress=progress), future)
        except BaseException as exc:  # whatever it is, nobody must wait for ever
            self._fail(BrokenExecutor(f"{type(exc).__name__}: {exc}"), future)
        finally:
            worker.close()

    def _fail(self, error: BrokenExecutor, future: Future[Any] | None) -> None:
        """End the call that a worker was making, and all that may have none left."""
        self._died = error
        if future is not None and not future.done():
            future.set_exception(error)
        self._fail_queued()

    def _fail_queued(self) -> None:
        """End the futures that no worker may be left for."""
        with suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is None:
                    self._calls.put(None)
                    return
                if call[0].set_running_or_notify_cancel():
                    call[0].set_exception(self._died)


def _settle(future: Future[Any], answer: Packed) -> None:
    try:
        succeeded, value = answer.load()
    except Exception as exc:
        succeeded, value = False, exc
    if succeeded:
        future.set_result(value)
    else:
        future.set_exception(value)


def _start(variables: dict[str, str]) -> _Worker:
    ours, theirs = socket.socketpair()
    progress = unnamed_file(8)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    files = theirs.fileno(), progress
    try:
        with theirs, _sigint_held():
            process = subprocess.Popen(
                [sys.executable, *flags, "-P", _BOOTSTRAP, *map(str, files)],
                stdin=subprocess.DEVNULL,
                pass_fds=files,
                env={**os.environ, **variables},
            )
    except BaseException:
        ours.close()
        os.close(progress)
        raise
    return _Worker(process, Channel(ours), progress)


@contextmanager
def workers(jobs: int, key: str, order: Order) -> Iterator[Executor]:
    """Start processes that know an order; after an error, kill them.

    Raises
    ------
    UsageError
        If the function or its global args cannot be sent to them.
    """
    env = environment.capture()
    packed = replace(order, env=env).packed()
    setup = pack((_start_worker, (key, packed, os.getpid()), {}))
    executor = ProcessExecutor(jobs, setup, environment.process_variables(env))
    try:
        yield executor
    except BaseException:
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()


_ENOUGH = Packed(b"")


def serve(sock: socket.socket, progress: int) -> None:
    """Make calls that the parent sends, in a worker process, until it sends none."""
    note_progress_with(lambda done: os.pwrite(progress, done.to_bytes(8, "little"), 0))
    channel = Channel(sock)
    with suppress(EOFError, OSError):  # the parent is gone
        while (call := channel.receive()).data:
            channel.send(_answer(call))


def _answer(call: Packed) -> Packed:
    try:
        fn, args, kwargs = call.load()
        return pack((True, fn(*args, **kwargs)))
    except BaseException as exc:
        return pack((False, exc))


def _start_worker(key: str, packed: bytes, parent: int) -> None:
    """Prepare a new worker process: it runs before any window."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    begin(key, packed)


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, in whatever way."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started meanwhile.

    The terminal sends it to all processes of a group. They inherit that it is
    blocked, for good; this process gets it at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
