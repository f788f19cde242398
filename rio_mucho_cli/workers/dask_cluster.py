"""A dask cluster: start one on this machine, connect to one, check its workers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from distributed import Client, Nanny, Security, rpc
from distributed.comm.addressing import parse_host_port
from distributed.deploy.subprocess import SubprocessCluster

from rio_mucho_cli.errors import FunctionNotFoundError, MuchoError, UsageError, one_line
from rio_mucho_cli.signals import exit_with_parent
from rio_mucho_cli.system import versions_of
from rio_mucho_cli.text import secret_names
from rio_mucho_cli.workers.functions import FunctionRef

# Seconds for workers to end.
_STOP_PATIENCE = 5

log = logging.getLogger(__name__)

# What dask runs in the scheduler, at its start.
_PRELOAD = """
from rio_mucho_cli.signals import exit_with_parent
exit_with_parent({parent}, {folder!r})
"""


class WatchingNanny(Nanny):  # type: ignore[misc]
    """What starts a worker, and another one when that has died; it ends with its parent.

    Parameters
    ----------
    parent : int
        Its process.
    folder : str
        Is removed then.
    env : dict
        Environment variables that the worker has from its start.
    **options
        dask's own.
    """

    def __init__(
        self, *args: Any, parent: int, folder: str, env: dict[str, str], **options: Any
    ) -> None:
        exit_with_parent(parent, folder)
        super().__init__(*args, **options)
        self.pre_spawn_env.update(env)


@contextmanager
def local_cluster(jobs: int, variables: Mapping[str, str]) -> Iterator[Any]:
    """Start a scheduler, and workers of one thread each.

    Parameters
    ----------
    jobs : int
    variables : Mapping
        Environment variables of the workers.
    """
    with tempfile.TemporaryDirectory(prefix="mucho-dask-", ignore_cleanup_errors=True) as folder:
        preload = Path(folder, "watch_parent.py")
        preload.write_text(_PRELOAD.format(parent=os.getpid(), folder=folder), "utf-8")
        # The scheduler takes no other word for where it keeps files, and how much it says.
        with _variables(DASK_TEMPORARY_DIRECTORY=folder, DASK_LOGGING__DISTRIBUTED="error"):
            cluster = SubprocessCluster(
                n_workers=jobs,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0" if find_spec("bokeh") else None,
                silence_logs=logging.ERROR,
                scheduler_kwargs={
                    "preload": [str(preload)],
                    "scheduler_file": str(Path(folder, "scheduler.json")),
                },
                worker_class=f"{__name__}.{WatchingNanny.__name__}",
                worker_kwargs={
                    "parent": os.getpid(),
                    "folder": folder,
                    "env": dict(variables),
                },
            )
        with cluster:
            try:
                yield cluster
            finally:
                _end_workers(cluster)


@contextmanager
def _variables(**given: str) -> Iterator[None]:
    """Set environment variables for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_workers(cluster: Any) -> None:
    """Have what looks after workers end by itself, and remove its semaphores from the system.

    Closing the cluster would kill it.
    """
    processes = [worker.process for worker in cluster.workers.values()]
    for process in processes:
        with suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + _STOP_PATIENCE
    while time.monotonic() < deadline and any(each.returncode is None for each in processes):
        time.sleep(0.05)


# Seconds to connect to a scheduler, and to a worker.
_CONNECT_PATIENCE = 8
_PATIENCE_WITH_WORKER = 2
# So many workers are tried.
_TRIED = 4


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to oneself what dask says of workers that come and go: what matters is said here."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(max(before, logging.ERROR))
    try:
        yield
    finally:
        logger.setLevel(before)


def address_of(scheduler: str) -> str:
    """Return the address of a scheduler, which a file may say.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if "://" in scheduler:
        return scheduler
    try:
        return str(json.loads(Path(scheduler).read_text("utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"the scheduler {scheduler} is neither an address, such as tcp://host:8786, nor a file "
            "that dask scheduler --scheduler-file has written"
        ) from None


@contextmanager
def connected(address: Any) -> Iterator[Any]:
    """Connect to a scheduler, or to a cluster that this process has started; yield the client.

    Raises
    ------
    MuchoError
        If no scheduler answers.
    """
    try:
        if isinstance(address, str):
            _knock(address)
        client = Client(address, timeout=_CONNECT_PATIENCE, name="rio-mucho", set_as_default=False)
    except Exception as exc:  # of whatever is there instead
        raise MuchoError(
            f"no dask scheduler answers at {address} ({one_line(exc)}): start one with dask "
            "scheduler, or give the address that it printed"
        ) from None
    try:
        workers = islice(client.scheduler_info()["workers"], _TRIED)
        client.direct_to_workers = all(map(_is_reachable, workers))
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=_CONNECT_PATIENCE)


def _is_reachable(address: str) -> bool:
    """Whether results can be had from a worker itself, and need not go through the scheduler."""
    try:
        host, port = parse_host_port(address.partition("://")[2])
        socket.create_connection((host, port), _PATIENCE_WITH_WORKER).close()
    except (OSError, ValueError):
        return False
    return True


def _knock(address: str) -> None:
    """Raise an exception where no scheduler listens.

    A Client would try where the connection is refused, and does not let go of
    what does not answer it as a scheduler does.
    """
    scheme, _, place = address.partition("://")
    if scheme in {"tcp", "tls"}:
        host, port = parse_host_port(place)
        socket.create_connection((host, port), _CONNECT_PATIENCE / 2).close()

    async def ask() -> Any:
        arguments = Security().get_connection_args("client")
        async with rpc(
            address, timeout=_CONNECT_PATIENCE / 2, connection_args=arguments
        ) as scheduler:
            return await asyncio.wait_for(scheduler.identity(), _CONNECT_PATIENCE / 2)

    with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a loop that runs
        kind = thread.submit(asyncio.run, ask()).result()["type"]
    if kind != "Scheduler":
        raise ValueError(f"there is a {kind}")


def sendable(env: dict[str, Any], client: Any) -> dict[str, Any]:
    """Leave out secrets if somebody could read them on their way."""
    address = client.scheduler_info()["address"]
    host = address.partition("://")[2].rpartition(":")[0].strip("[]")
    if address.startswith(("tls://", "wss://", "inproc://")) or host in {"127.0.0.1", "::1"}:
        return env
    withheld = secret_names(env)
    if withheld:
        log.warning(
            "%s not sent to the workers, because the connection to %s is not encrypted: give the "
            "workers credentials of their own, or use a scheduler at a tls:// address",
            ", ".join(withheld) + (" is" if len(withheld) == 1 else " are"),
            address,
        )
    return {name: value for name, value in env.items() if name not in withheld}


_PACKAGES = ("rio-mucho-cli", "rasterio", "numpy", "cloudpickle", "distributed")


def describe_worker(function: FunctionRef | None) -> tuple[dict[str, str], str | None]:
    """Return the versions that this process has, and why it does not have a function."""
    versions = versions_of(*_PACKAGES, "Python", "GDAL")
    if function is not None:
        try:
            function.load()
        except FunctionNotFoundError as exc:
            return versions, str(exc)
    return versions, None


def check_workers(client: Any, function: Any) -> None:
    """Compare the workers that a cluster has by now with this process.

    Versions that differ are warned of.

    Parameters
    ----------
    client : distributed.Client
    function : callable or FunctionRef
        One in a module must be there; others are brought.

    Raises
    ------
    MuchoError
        If a worker lacks this package.
    FunctionNotFoundError
        If one lacks the function.
    """
    is_there = isinstance(function, FunctionRef) and not function.is_file
    answers = client.run(describe_worker, function if is_there else None, on_error="return")
    ours, _ = describe_worker(None)
    others: dict[str, list[str]] = {}
    for address, answer in answers.items():
        if isinstance(answer, BaseException):
            raise MuchoError(
                f"the worker {address} cannot work on windows ({one_line(answer)}): install "
                f"rio-mucho-cli {ours['rio-mucho-cli']} and what it needs there"
            )
        versions, missing = answer
        if missing is not None:
            raise FunctionNotFoundError(
                f"on the worker {address}, {missing}: install the module there, or give "
                "path/to/file.py:FUNCTION, which is brought to the workers"
            )
        for name, number in versions.items():
            if number != ours[name]:
                others.setdefault(f"{name} {number} and not {ours[name]}", []).append(address)
    for what, addresses in others.items():
        more = f" and {len(addresses) - 1} more workers" if len(addresses) > 1 else ""
        log.warning("%s%s: %s: results may differ", addresses[0], more, what)
