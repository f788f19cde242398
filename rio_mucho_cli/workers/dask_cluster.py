"""Start a local dask cluster, connect to a cluster, and check its workers."""

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

from distributed import Client, Nanny, Security, get_worker, rpc
from distributed.comm.addressing import parse_host_port
from distributed.deploy.subprocess import SubprocessCluster
from distributed.utils import sync

from rio_mucho_cli.errors import FunctionNotFoundError, MuchoError, UsageError, one_line
from rio_mucho_cli.signals import exit_with_parent
from rio_mucho_cli.system import versions_of
from rio_mucho_cli.text import secret_names
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.numbering import Place

# Seconds that workers get to exit.
_STOP_PATIENCE = 5
# Seconds that the scheduler gets to answer a worker.
_ANSWER_PATIENCE = 30

log = logging.getLogger(__name__)

# Code that dask runs when the scheduler starts.
_PRELOAD = """
from rio_mucho_cli.signals import exit_with_parent
exit_with_parent({parent}, {folder!r})
"""


class WatchingNanny(Nanny):  # type: ignore[misc]
    """Nanny of one worker that exits with its parent process.

    It starts the worker, and restarts it when it dies.

    Parameters
    ----------
    parent : int
        Process id of the parent.
    folder : str
        Folder to remove on exit.
    env : dict
        Environment variables of the worker.
    **options
        Options of dask's Nanny.
    """

    def __init__(
        self, *args: Any, parent: int, folder: str, env: dict[str, str], **options: Any
    ) -> None:
        exit_with_parent(parent, folder)
        super().__init__(*args, **options)
        self.pre_spawn_env.update(env)


@contextmanager
def local_cluster(jobs: int, variables: Mapping[str, str]) -> Iterator[Any]:
    """Start a scheduler and single-threaded workers on this machine.

    Parameters
    ----------
    jobs : int
        Number of workers.
    variables : Mapping
        Environment variables of the workers.
    """
    with tempfile.TemporaryDirectory(prefix="mucho-dask-", ignore_cleanup_errors=True) as folder:
        preload = Path(folder, "watch_parent.py")
        preload.write_text(_PRELOAD.format(parent=os.getpid(), folder=folder), "utf-8")
        # The scheduler's folder and log level can only be set through variables. Workers that
        # end may log as an error that no scheduler answers; failures are reported here.
        with _variables(DASK_TEMPORARY_DIRECTORY=folder, DASK_LOGGING__DISTRIBUTED="critical"):
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
def _variables(**values: str) -> Iterator[None]:
    """Set environment variables for processes that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_workers(cluster: Any) -> None:
    """Terminate the nannies so that they remove their semaphores.

    Closing the cluster would kill them.
    """
    processes = [worker.process for worker in cluster.workers.values()]
    for process in processes:
        with suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + _STOP_PATIENCE
    while time.monotonic() < deadline and any(process.returncode is None for process in processes):
        time.sleep(0.05)


# Seconds to connect to a scheduler, and to a worker.
_CONNECT_PATIENCE = 8
_PATIENCE_WITH_WORKER = 2
# Number of workers to test for a direct connection.
_TRIED = 4


@contextmanager
def quiet() -> Iterator[None]:
    """Hide dask's messages about workers; the ones that matter are reported here."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(max(before, logging.ERROR))
    try:
        yield
    finally:
        logger.setLevel(before)


def address_of(scheduler: str) -> str:
    """Return the address of a scheduler, given as such or in a scheduler file.

    Raises
    ------
    UsageError
        If it is neither an address nor a scheduler file.
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
    """Connect to a scheduler or a cluster object; yield the client.

    Raises
    ------
    MuchoError
        If no scheduler answers.
    """
    try:
        if isinstance(address, str):
            _knock(address)
        client = Client(address, timeout=_CONNECT_PATIENCE, name="rio-mucho", set_as_default=False)
    except Exception as exc:  # depends on what listens at the address
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
    """Return whether results can be fetched directly from a worker.

    Otherwise they pass through the scheduler.
    """
    try:
        host, port = parse_host_port(address.partition("://")[2])
        socket.create_connection((host, port), _PATIENCE_WITH_WORKER).close()
    except (OSError, ValueError):
        return False
    return True


def _knock(address: str) -> None:
    """Raise an exception if no scheduler listens at an address.

    A Client would keep retrying a refused connection, and would hang on a
    server that is not a scheduler.
    """
    scheme, _, location = address.partition("://")
    if scheme in {"tcp", "tls"}:
        host, port = parse_host_port(location)
        socket.create_connection((host, port), _CONNECT_PATIENCE / 2).close()

    async def ask() -> Any:
        arguments = Security().get_connection_args("client")
        async with rpc(
            address, timeout=_CONNECT_PATIENCE / 2, connection_args=arguments
        ) as scheduler:
            return await asyncio.wait_for(scheduler.identity(), _CONNECT_PATIENCE / 2)

    with ThreadPoolExecutor(1) as thread:  # a notebook's main thread already runs an event loop
        kind = thread.submit(asyncio.run, ask()).result()["type"]
    if kind != "Scheduler":
        raise ValueError(f"there is a {kind}")


def sendable(env: dict[str, Any], client: Any) -> dict[str, Any]:
    """Return GDAL options without secrets, unless the connection is secure."""
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
    """Return this process's versions, and why a function cannot be loaded."""
    versions = versions_of(*_PACKAGES, "Python", "GDAL")
    if function is not None:
        try:
            function.load()
        except FunctionNotFoundError as exc:
            return versions, str(exc)
    return versions, None


def check_workers(client: Any, function: Any) -> None:
    """Compare the current workers of a cluster with this process.

    Versions that differ are logged as warnings.

    Parameters
    ----------
    client : distributed.Client
    function : callable or FunctionRef
        A function in a module must be installed on the workers; any other is
        sent to them.

    Raises
    ------
    MuchoError
        If a worker lacks this package.
    FunctionNotFoundError
        If a worker lacks the function.
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


def place_in_cluster(workers: int) -> Place:
    """Return the place of a task's thread among those of the cluster.

    Workers are in the order of their names; those with numbers come first. Their
    threads are counted.
    """
    worker = get_worker()
    try:
        identity = sync(worker.loop, worker.scheduler.identity, callback_timeout=_ANSWER_PATIENCE)
        others = identity["workers"].items()
    except Exception as exc:
        log.warning("dask's scheduler does not say what workers there are (%s)", one_line(exc))
        return worker.address, 0
    before = 0
    for address, other in sorted(others, key=lambda item: _name_order(item[1].get("name"))):
        if address == worker.address:
            break
        before += int(other["nthreads"])
    return worker.address, before


def _name_order(name: Any) -> tuple[bool, int, str]:
    is_number = isinstance(name, int)
    return not is_number, name if is_number else 0, str(name)
