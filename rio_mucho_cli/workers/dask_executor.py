"""Run windows on a dask cluster: an existing one, or a local one for this run.

    submit ─▶ scheduler ─▶ worker: call_in_run(context, call) ─▶ result stays there
                                                                │
    Future.result() ◀──── fetched, with the few that follow ◀───┘

A result stays in its worker's memory until it is needed, so the main process
holds only a few at a time. The run context is itself a dask result: dask sends
it to every worker that needs it, including later ones, and deletes it with this
client.

dask recomputes what was lost with a worker. It gives up on a call that several
workers did not survive. With a timeout, workers end themselves, and say so in an
event of dask's.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, TimeoutError as NotDone, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import dask
from distributed import get_worker
from distributed.scheduler import KilledWorker

from rio_mucho_cli.env import env_options, process_variables
from rio_mucho_cli.errors import (
    InputError,
    MuchoError,
    UsageError,
    WorkerLostError,
    WorkerTimeoutError,
    one_line,
)
from rio_mucho_cli.paths import absolute
from rio_mucho_cli.text import option, secrets_in_variables
from rio_mucho_cli.workers.any_executor import call_in_run, close_if_idle
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.control import limit_windows_with, stop
from rio_mucho_cli.workers.dask_cluster import (
    address_of,
    check_workers,
    connected,
    local_cluster,
    place_in_cluster,
    quiet,
    sendable,
)
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.numbering import number_by

log = logging.getLogger(__name__)

# Seconds between two checks of the number of workers.
_INTERVAL = 2
# Seconds without workers before a warning: for a running cluster, and for one being started.
_LONG = 10
_LONG_TO_START = 60
# Bytes of a context that is sent with each call. A larger one is a call's result on which
# the others depend: sent once to each worker, but dask's scheduler may wait for ever for it
# if it is lost with a worker (dask/distributed#8702).
_MOST_SENT = 64 * 1024
# Number of results to prefetch.
_AHEAD = 4


class DaskExecutor(Executor):
    """Executor of a cluster, for one run.

    Parameters
    ----------
    client : distributed.Client
    run_id : str
        Run id.
    pickled : bytes
        Pickled RunContext.
    name : str
        Name of the calls in dask's dashboard.
    patience : float
        Seconds without workers before a warning.
    timeout : float or None
        Seconds after which a worker ends itself if a window is not done.
    """

    def __init__(
        self,
        client: Any,
        run_id: str,
        pickled: bytes,
        name: str,
        patience: float = _LONG,
        timeout: float | None = None,
    ) -> None:
        self._patience = patience
        self._timeout = timeout
        self._client = client
        self._address = client.scheduler.address
        self._run_id = run_id
        self._name = f"{name}-{run_id}"
        self._number = 0
        self._context: Any = pickled
        if len(pickled) > _MOST_SENT:
            # dask would warn that such large arguments should be loaded by the workers.
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2**62}):
                self._context = client.submit(bytes, pickled, key=f"context-{run_id}", pure=False)
        self._fetching = ThreadPoolExecutor(_AHEAD, thread_name_prefix="mucho-fetch")
        self._waiting: deque[_Result] = deque()
        self._counted_at = -float("inf")
        self._threads = 0
        self._last_seen = time.monotonic()
        self._warned = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call; its result is fetched on request.

        Raises
        ------
        WorkerLostError
            If the connection to the scheduler was lost.
        """
        self._number += 1
        name = (self._name, self._number)
        function = _call if self._timeout is None else _call_with_timeout
        call = function, self._run_id, self._context, fn, *args
        try:
            remote = self._client.submit(*call, key=name, pure=False, **kwargs)
        except Exception:
            raise _disconnected() from None
        future = _Result(self, remote)
        self._waiting.append(future)
        remote.add_done_callback(future.settle)
        return future

    def in_flight(self) -> int:
        """Return how many calls to keep submitted for the current workers."""
        return 2 * max(1, self._count_threads())

    def fetch(self, result: _Result) -> Any:
        """Return the result of a finished call, and prefetch the next ones."""
        self.drop_taken()
        for future in [result, *islice(self._waiting, _AHEAD + 1)]:
            is_wanted = future is result or not future.is_taken
            if is_wanted and future.done() and not (future.fetched or future.exception()):
                future.fetched = self._fetching.submit(future.remote.result)
        assert result.fetched is not None
        fetched, result.fetched = result.fetched, None
        try:
            while not fetched.done():
                wait([fetched], _INTERVAL)
                self.warn_if_alone()
            return fetched.result()
        except Exception as exc:
            raise _translate(exc) from None
        finally:
            result.remote.release()

    def explain(self, lost: WorkerLostError, remote: Any) -> WorkerLostError:
        """Return the error of a call whose workers were lost, as they have explained it."""
        if self._timeout is None or not lost.started:
            return lost
        with suppress(Exception):  # the scheduler may be gone
            events = self._client.get_events(_topic(self._run_id))
            if str(remote.key) in [key for _, key in events]:
                return WorkerTimeoutError(self._timeout, progress=None, times=lost.times)
        return WorkerLostError(
            f"{lost}, or native code has exceeded the timeout of {self._timeout:g} s",
            started=True,
            times=lost.times,
        )

    def drop_taken(self) -> None:
        """Drop calls whose results or errors have been fetched."""
        while self._waiting and self._waiting[0].is_taken:
            self._waiting.popleft()

    def warn_if_alone(self) -> None:
        """Warn, once, if the cluster has had no workers for too long."""
        if self._count_threads():
            self._last_seen, self._warned = time.monotonic(), False
        elif not self._warned and time.monotonic() - self._last_seen > self._patience:
            self._warned = True
            log.warning("the cluster at %s has no workers: waiting for some to join", self._address)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel pending calls, or stop all work if futures are to be cancelled.

        Mosaic parts in progress are then left incomplete.
        """
        if cancel_futures:
            with suppress(Exception):
                self._client.run(stop, self._run_id, on_error="ignore")
        self._fetching.shutdown(wait=False, cancel_futures=True)
        with suppress(Exception):
            self._client.cancel([future.remote for future in self._waiting])
        if wait and not cancel_futures:
            with suppress(Exception):
                self._client.run(close_if_idle, self._run_id, on_error="ignore")

    def _count_threads(self) -> int:
        if time.monotonic() - self._counted_at > _INTERVAL:
            self._counted_at = time.monotonic()
            # Without a scheduler this fails, and so do the calls.
            with suppress(Exception):
                self._threads = sum(self._client.nthreads().values())
        return self._threads


class _Result(Future[Any]):
    """Future of a call on a worker; its result is fetched on request."""

    def __init__(self, executor: DaskExecutor, remote: Any) -> None:
        super().__init__()
        self._executor = executor
        self.remote = remote
        self.fetched: Future[Any] | None = None
        self.is_taken = False

    def settle(self, remote: Any) -> None:
        """Record that the call has finished."""
        if self.done():
            return
        if remote.status in {"finished", "lost", "pending"}:
            # A result lost since then is recomputed when it is fetched.
            self.set_result(None)
        elif remote.status == "error":
            self.set_exception(_translate(remote.exception()))
        else:
            self.set_exception(_disconnected())

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result and fetch it. This works only once."""
        while timeout is None and not self.done():
            with suppress(NotDone):
                super().exception(_INTERVAL)
            self._executor.warn_if_alone()
        self.exception(timeout)
        self.is_taken = True
        try:
            super().result()
        except WorkerLostError as exc:
            raise self._executor.explain(exc, self.remote) from None
        return self._executor.fetch(self)


def _call(run_id: str, pickled: bytes, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function in a worker; add the worker's address to some errors."""
    number_by(run_id, place_in_cluster)
    result = call_in_run(run_id, pickled, fn, *args, **kwargs)
    for outcome in result if isinstance(result, list) else [result]:
        if isinstance(outcome, InputError | UsageError):
            outcome.args = (f"{outcome.args[0]} (on the worker {get_worker().address})",)
    return result


# Runs whose main process is this one.
_ours: set[str] = set()


def _call_with_timeout(run_id: str, *call: Any) -> Any:
    """Call a function in a worker that ends itself if a window takes too long."""
    if run_id in _ours:
        raise UsageError(
            f"{option('timeout')} needs workers that can be ended, and this cluster's are threads "
            "of the program itself: use one with processes"
        )
    limit_windows_with(_limited)
    return _call(run_id, *call)


def _limited(run_id: str, seconds: float) -> AbstractContextManager[None]:
    """Return a context that ends this worker after so many seconds, and tells the client."""
    from rio_mucho_cli.workers.watchdog import exit_after

    worker = get_worker()
    key = str(worker.get_current_task())
    return exit_after(seconds, lambda: worker.log_event(_topic(run_id), key))


def _topic(run_id: str) -> str:
    """Return the topic of dask's events that name the calls that took too long."""
    return f"mucho-timeout-{run_id}"


def _disconnected() -> WorkerLostError:
    return WorkerLostError("the connection to dask's scheduler was lost", started=False)


def _translate(exc: BaseException) -> BaseException:
    """Return an exception as the engine expects it.

    A call that killed too many workers becomes a WorkerLostError.
    """
    if isinstance(exc, KilledWorker):
        times = exc.allowed_failures + 1
        return WorkerLostError(
            f"{times} workers were lost with it, the last one {exc.last_worker.address}: its "
            "memory may have run out, or native code that the function calls has crashed, which "
            "the worker's log says",
            started=True,
            times=times,
        )
    if isinstance(exc, MuchoError):
        return exc
    return MuchoError(f"dask could not fetch a result ({one_line(exc)})")


@contextmanager
def dask_workers(
    jobs: int, run_id: str, context: RunContext, scheduler: str | None
) -> Iterator[Executor]:
    """Use a cluster, or start one on this machine.

    Parameters
    ----------
    jobs : int
        Number of workers to start if no scheduler is given.
    run_id : str
        Run id.
    context : RunContext
    scheduler : str or None
        Address of a scheduler, or path of its scheduler file.

    Raises
    ------
    MuchoError
        If no scheduler answers, or its workers cannot run the job.
    UsageError
        If the function or its global args cannot be pickled.
    """
    env = env_options()
    with ExitStack() as stack:
        stack.enter_context(quiet())
        if scheduler is None:
            cluster = stack.enter_context(local_cluster(jobs, process_variables(env)))
            client = stack.enter_context(connected(cluster))
        else:
            client = stack.enter_context(connected(address_of(scheduler)))
            env = sendable({**secrets_in_variables(), **env}, client)
        pickled, name = _to_bytes(replace(context, env=env)), _name_of(context.function)
        patience = _LONG_TO_START
        if scheduler is not None:
            check_workers(client, context.function)
            patience = _LONG
        executor = DaskExecutor(client, run_id, pickled, name, patience, context.timeout)
        _ours.add(run_id)
        stack.callback(_ours.discard, run_id)
        try:
            yield executor
            executor.shutdown()
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise


def _to_bytes(context: RunContext) -> bytes:
    """Pickle a context for processes with another working directory or disk."""
    function = context.function
    if isinstance(function, FunctionRef) and function.is_file:
        function = function.load()
    reading = context.reading.moved(absolute)
    # Another disk may lack modules that are pickled by name.
    return replace(context, function=function, reading=reading).to_bytes(or_name=False)


def _name_of(function: Any) -> str:
    """Return the name of the calls in dask's dashboard."""
    name = function.name if isinstance(function, FunctionRef) else getattr(function, "__name__", "")
    return name.rpartition(":")[2].rpartition(".")[2].strip("<>") or "mucho"
