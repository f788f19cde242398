"""Workers of a dask cluster: one that runs, or one on this machine for the time of a run.

    submit ─▶ scheduler ─▶ worker: carried(order, call) ─▶ result stays there
                                                              │
    Future.result() ◀──── fetched, with the few that follow ◀─┘

A result waits in its worker's memory until its turn comes, so that this
process holds a few at a time, however many workers there are. The order is a
result itself, which dask brings to every worker that needs it, those that
join later too, and forgets with this client.

dask does again by itself what a worker was lost with. It gives up a call that
several workers did not survive.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, TimeoutError as NotDone, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import dask
from distributed import get_worker
from distributed.scheduler import KilledWorker

from rio_mucho_cli.env import env_options, process_variables
from rio_mucho_cli.errors import InputError, MuchoError, UsageError, WorkerLostError, one_line
from rio_mucho_cli.paths import absolute
from rio_mucho_cli.text import secrets_in_variables
from rio_mucho_cli.workers.any_executor import carried, forget
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.dask_cluster import (
    address_of,
    check_workers,
    connected,
    local_cluster,
    quiet,
    sendable,
)
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.window import stop

log = logging.getLogger(__name__)

# Seconds between two looks at how many workers there are.
_INTERVAL = 2
# Seconds without any before it is said: of a cluster that runs, and of one that is being started.
_LONG = 10
_LONG_TO_START = 60
# How many results are fetched before their turn.
_AHEAD = 4


class DaskExecutor(Executor):
    """An executor of a cluster, for one run.

    Parameters
    ----------
    client : distributed.Client
    key : str
        The name of the run.
    packed : bytes
        Its order.
    name : str
        What dask's dashboard calls the calls.
    patience : float
        Seconds without any worker before it is said.
    """

    def __init__(
        self, client: Any, key: str, packed: bytes, name: str, patience: float = _LONG
    ) -> None:
        self._patience = patience
        self._client = client
        self._address = client.scheduler.address
        self._key = key
        self._name = f"{name}-{key}"
        self._number = 0
        # dask warns of what it takes for data that somebody else should load.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2**62}):
            self._order = client.submit(bytes, packed, key=f"order-{key}", pure=False)
        self._fetching = ThreadPoolExecutor(_AHEAD, thread_name_prefix="mucho-fetch")
        self._waiting: deque[_Result] = deque()
        self._looked = -float("inf")
        self._threads = 0
        self._lonely = time.monotonic()
        self._complained = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call; its result is fetched when it is asked for.

        Raises
        ------
        LostError
            If the scheduler has gone.
        """
        self._number += 1
        name = (self._name, self._number)
        call = _call, self._key, self._order, fn, *args
        try:
            remote = self._client.submit(*call, key=name, pure=False, **kwargs)
        except Exception:
            raise _disconnected() from None
        future = _Result(self, remote)
        self._waiting.append(future)
        remote.add_done_callback(future.settle)
        return future

    def in_flight(self) -> int:
        """Return how many calls should be submitted at once, for the workers that there are."""
        return 2 * max(1, self._count_threads())

    def fetch(self, result: _Result) -> Any:
        """Fetch a result that is done, and begin to fetch those that come next."""
        self.forget_taken()
        for future in [result, *islice(self._waiting, _AHEAD + 1)]:
            is_wanted = future is result or not future.is_taken
            if is_wanted and future.done() and not (future.fetched or future.exception()):
                future.fetched = self._fetching.submit(future.remote.result)
        assert result.fetched is not None
        fetched, result.fetched = result.fetched, None
        try:
            while not fetched.done():
                wait([fetched], _INTERVAL)
                self.complain()
            return fetched.result()
        except Exception as exc:
            raise _translated(exc) from None
        finally:
            result.remote.release()

    def forget_taken(self) -> None:
        """Keep nothing of calls whose results, or errors, have been taken."""
        while self._waiting and self._waiting[0].is_taken:
            self._waiting.popleft()

    def complain(self) -> None:
        """Say so, once, if there is nobody to work for long."""
        if self._count_threads():
            self._lonely, self._complained = time.monotonic(), False
        elif not self._complained and time.monotonic() - self._lonely > self._patience:
            self._complained = True
            log.warning("the cluster at %s has no workers: waiting for some to join", self._address)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Give up what is not done; parts of mosaics that are being worked on are not completed."""
        if cancel_futures:
            with suppress(Exception):
                self._client.run(stop, self._key, on_error="ignore")
        self._fetching.shutdown(wait=False, cancel_futures=True)
        with suppress(Exception):
            self._client.cancel([each.remote for each in self._waiting])
        if wait and not cancel_futures:
            with suppress(Exception):
                self._client.run(forget, self._key, on_error="ignore")

    def _count_threads(self) -> int:
        if time.monotonic() - self._looked > _INTERVAL:
            self._looked = time.monotonic()
            # Without a scheduler there is no answer, and calls end with that.
            with suppress(Exception):
                self._threads = sum(self._client.nthreads().values())
        return self._threads


class _Result(Future[Any]):
    """A call at a worker: it is done when its result is there, and fetched when it is wanted."""

    def __init__(self, executor: DaskExecutor, remote: Any) -> None:
        super().__init__()
        self._executor = executor
        self.remote = remote
        self.fetched: Future[Any] | None = None
        self.is_taken = False

    def settle(self, remote: Any) -> None:
        """Take note that the call has come to an end."""
        if self.done():
            return
        if remote.status in {"finished", "lost", "pending"}:
            # What was lost since is computed again while it is being fetched.
            self.set_result(None)
        elif remote.status == "error":
            self.set_exception(_translated(remote.exception()))
        else:
            self.set_exception(_disconnected())

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result, and bring it here. That can be done once."""
        while timeout is None and not self.done():
            with suppress(NotDone):
                super().exception(_INTERVAL)
            self._executor.complain()
        self.exception(timeout)
        self.is_taken = True
        super().result()
        return self._executor.fetch(self)


def _call(key: str, packed: bytes, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Make a call in a worker; errors that have to do with where it is say where that was."""
    made = carried(key, packed, fn, *args, **kwargs)
    for outcome in made if isinstance(made, list) else [made]:
        if isinstance(outcome, InputError | UsageError):
            outcome.args = (f"{outcome.args[0]} (on the worker {get_worker().address})",)
    return made


def _disconnected() -> WorkerLostError:
    return WorkerLostError("the connection to dask's scheduler was lost", started=False)


def _translated(exc: BaseException) -> BaseException:
    """Return what the engine takes for a worker that was lost, where it is that."""
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
    return MuchoError(f"dask could not bring a result here ({one_line(exc)})")


@contextmanager
def dask_workers(
    jobs: int, key: str, order: RunContext, scheduler: str | None
) -> Iterator[Executor]:
    """Use a cluster, or start one on this machine.

    Parameters
    ----------
    jobs : int
        How many workers are started, if no scheduler is given.
    key : str
        The name of the run.
    order : RunContext
    scheduler : str or None
        Its address, or a file that it has written.

    Raises
    ------
    MuchoError
        If no scheduler answers, or its workers are not fit for the run.
    UsageError
        If the function or its global args cannot be sent.
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
        packed, name = _for_others(replace(order, env=env)), _name_of(order.function)
        patience = _LONG_TO_START
        if scheduler is not None:
            check_workers(client, order.function)
            patience = _LONG
        executor = DaskExecutor(client, key, packed, name, patience)
        try:
            yield executor
            executor.shutdown()
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise


def _for_others(order: RunContext) -> bytes:
    """Pickle an order for processes with another current folder, or another disk."""
    function = order.function
    if isinstance(function, FunctionRef) and function.is_file:
        function = function.load()
    inputs = [replace(each, path=absolute(each.path)) for each in order.reading.inputs]
    reading = replace(order.reading, inputs=inputs)
    # Modules by name are for other disks to have.
    return replace(order, function=function, reading=reading).packed(or_name=False)


def _name_of(function: Any) -> str:
    """Return what to call the calls."""
    name = function.name if isinstance(function, FunctionRef) else getattr(function, "__name__", "")
    return name.rpartition(":")[2].rpartition(".")[2].strip("<>") or "mucho"
