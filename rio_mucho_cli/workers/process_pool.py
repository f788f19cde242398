"""A pool of worker processes, each with its own channel.

    submit ─▶ queue ─▶ thread 1 ◀── channel ──▶ process 1
                   └─▶ thread 2 ◀── channel ──▶ process 2 † ─▶ process 3

Each thread takes a call from the queue, sends it to its process, and waits for
the answer. Workers are forked by the fork server, or are new interpreters. They
are not forked from the main process: GDAL's locks and caches do not survive a
fork. Nor do they import its ``__main__``, so scripts need no guard.

Pools whose workers share one pipe and its lock (the standard library's, loky's)
hang if a worker is killed while it sends a result. With a channel for each
worker, the system closes the worker's end, and the window that it was working
on is known: workers write their progress to a small file, which the main
process reads after a death.

With a timeout, workers also write when a window begins, and the thread kills a
process that takes too long for it.

A death loses only the call in progress: the thread starts a new process and
goes on. If processes keep dying before their first call, or cannot get ready,
the executor ends.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from rio_mucho_cli.env import env_options, process_variables
from rio_mucho_cli.errors import (
    MuchoError,
    WorkerProcessDiedError,
    WorkerStartError,
    WorkerTimeoutError,
)
from rio_mucho_cli.workers.channel import Channel, Message, pack_message, unnamed_file
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.fork_server import fork_worker
from rio_mucho_cli.workers.process import (
    NOT_BEGUN,
    Child,
    Process,
    Program,
    SpawnedChild,
    import_path,
    new_interpreter,
)
from rio_mucho_cli.workers.window import open_run

log = logging.getLogger(__name__)

# Seconds for a worker to exit after its last call; atexit handlers run then and may hang.
_PATIENCE = 5

_Call: TypeAlias = "tuple[Future[Any], Message]"


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts worker processes that have what this program has at its creation.

    Attributes
    ----------
    program : Program
    """

    program: Program

    def for_worker(self, number: int) -> Launcher:
        """Return a launcher of processes that have this number."""
        return Launcher(replace(self.program, worker=number))

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
            progress = unnamed_file(16)
            undo.callback(os.close, progress)
            files = theirs.fileno(), progress
            child: Child | None = fork_worker(*files)
            if child is None:
                popen = new_interpreter("worker", files, self.program.variables)
                child = SpawnedChild(popen)
                with suppress(OSError):  # it has ended, as the first call will find
                    ours.sendall(import_path())
            undo.pop_all()
        return Process(child, Channel(ours), progress, self.program)


class ProcessExecutor(Executor):
    """Executor that runs calls in worker processes.

    Parameters
    ----------
    jobs : int
        Number of processes.
    setup : Message
        First call of each process.
    variables : Mapping
        Environment variables to add to this process's.
    timeout : float or None
        Most seconds for one window, after which its process is killed.

    Raises
    ------
    MuchoError
        If the system does not allow this many processes.
    """

    def __init__(
        self,
        jobs: int,
        setup: Message,
        variables: Mapping[str, str],
        timeout: float | None = None,
    ) -> None:
        self._setup = setup
        self._timeout = timeout
        self._launch = Launcher(Program({**os.environ, **variables}))
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._broken: BrokenExecutor | None = None
        # Guards the attributes below, which several threads change.
        self._lock = threading.Lock()
        self._left = jobs
        self._processes: set[Process] = set()
        self._closed = self._cancelled = False
        self._threads: list[threading.Thread] = []
        started = 0
        try:
            while started < jobs:
                first: Future[None] = Future()
                thread = threading.Thread(target=self._drive, args=(started, first), daemon=True)
                thread.start()
                self._threads.append(thread)
                first.result()
                started += 1
        except (OSError, TypeError, RuntimeError) as exc:  # no sys.executable, no more threads
            self.shutdown(cancel_futures=True)
            raise MuchoError(
                f"only {started} of {jobs} worker processes could be started ({exc}): "
                f"use {'fewer jobs' if started else 'the executor threads'}"
            ) from None
        except BaseException:
            self.shutdown(cancel_futures=True)
            raise

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call and return its future.

        The future fails with WorkerProcessDiedError if its worker dies, and with
        that or another BrokenExecutor if no worker can be started.
        """
        future: Future[Any] = Future()
        call = future, pack_message((fn, args, kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("a call was submitted after the executor was shut down")
            self._calls.put(call)
        if self._broken is not None:
            self._end_queued(self._broken)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers when the queue is empty, or at once to cancel."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                self._cancelled = True
                for process in self._processes:
                    process.kill()
        if cancel_futures:
            self._end_queued(None)
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _drive(self, worker: int, first: Future[None]) -> None:
        """Feed a process and its replacements; runs in its own thread."""
        attempts = 1
        launch = self._launch.for_worker(worker)
        error: BrokenExecutor | None = None
        call: _Call | None = None
        while attempts:
            try:
                process = launch.start()
            except BaseException as exc:
                if not first.done():
                    first.set_exception(exc)
                    return
                self._shrink(exc)
                break
            try:
                self._register(process)
                if not first.done():
                    first.set_result(None)
                error, call = self._feed(process, call)
            finally:
                self._forget(process)
            if not isinstance(error, WorkerProcessDiedError) or self._cancelled or self._broken:
                attempts = 0
            else:
                # Whatever killed a process may also kill the next one before it is ready.
                attempts = 2 if error.started else attempts - 1
        if call is not None:
            call[0].set_exception(error)
        if error is not None and not attempts:
            self._break(error)

    def _feed(
        self, process: Process, call: _Call | None
    ) -> tuple[BrokenExecutor | None, _Call | None]:
        """Run calls in a process until it ends, starting with the given one.

        Return the error, if any, and a call that this process has not started,
        which the next process can run.
        """
        started = proven = False
        error: BrokenExecutor
        try:
            process.introduce(self._setup)
            started = True
            while (call := call or self._next()) is not None:
                _settle(call[0], process.call(call[1], self._timeout))
                call = None  # a result must not be kept alive until the next call
                proven = True
            with suppress(OSError):
                process.dismiss()
                process.wait(_PATIENCE)
            return None, None
        except TimeoutError:
            assert self._timeout is not None
            process.wait()
            error = WorkerTimeoutError(self._timeout, progress=max(0, process.progress()))
        except (EOFError, OSError):
            error = _death(process, started)
            if not started or (proven and process.progress() == NOT_BEGUN):
                return error, call
        except WorkerStartError as exc:
            error = exc
        except BaseException as exc:  # any other error must end the future too
            error = BrokenExecutor(f"{type(exc).__name__}: {exc}")
        if call is not None and not call[0].done():
            call[0].set_exception(error)
        return error, None

    def _next(self) -> _Call | None:
        """Wait for a call that is not cancelled; return None if there are no more."""
        while (call := self._calls.get()) is not None:
            if call[0].set_running_or_notify_cancel():
                return call
        return None

    def _register(self, process: Process) -> None:
        """Let `shutdown` kill a process; kill it now after a cancelling shutdown."""
        with self._lock:
            self._processes.add(process)
            if self._cancelled:
                process.kill()

    def _forget(self, process: Process) -> None:
        process.close()
        with self._lock:
            self._processes.remove(process)

    def _shrink(self, cause: BaseException) -> None:
        """Continue with one process fewer, unless it was the last."""
        with self._lock:
            self._left -= 1
            left = self._left
        log.warning("a worker process died and cannot be replaced (%s): %d are left", cause, left)
        if not left:
            self._break(BrokenExecutor(f"no worker process is left, and none can start: {cause}"))

    def _break(self, error: BrokenExecutor) -> None:
        """End all queued calls with an error, now and in future."""
        if self._broken is None:
            self._broken = error
        self._end_queued(self._broken)

    def _end_queued(self, error: BrokenExecutor | None) -> None:
        """End the queued futures with an error, or cancel them."""
        with suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is None:
                    self._calls.put(None)
                    return
                future, _ = call
                if error is None:
                    future.cancel()
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)


def _death(process: Process, started: bool) -> WorkerProcessDiedError:
    """Wait for the end of a process that closed its channel; return the error."""
    if not process.wait(_PATIENCE):  # it has closed its channel but still runs
        process.kill()
        process.wait()
    exitcode = process.exitcode
    assert exitcode is not None
    return WorkerProcessDiedError(
        exitcode, started=started, progress=max(0, process.progress()), peak=process.peak
    )


def _settle(future: Future[Any], answer: Message) -> None:
    try:
        succeeded, value = answer.load()
    except Exception as exc:
        succeeded, value = False, exc
    if succeeded:
        future.set_result(value)
    else:
        future.set_exception(value)


@contextmanager
def process_workers(jobs: int, run_id: str, context: RunContext) -> Iterator[Executor]:
    """Start processes with a run context, and kill them after an error.

    Raises
    ------
    UsageError
        If the function or its global args cannot be pickled.
    """
    env = env_options()
    setup = pack_message((open_run, (run_id, replace(context, env=env).to_bytes(), True), {}))
    executor = ProcessExecutor(jobs, setup, process_variables(env), context.timeout)
    try:
        yield executor
        executor.shutdown()
    except BaseException:
        executor.shutdown(cancel_futures=True)
        raise
