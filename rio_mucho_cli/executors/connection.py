"""The connection to a dask scheduler: is one there, can workers be reached, who listens."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from distributed import Client, Security, rpc
from distributed.comm.addressing import parse_host_port

from rio_mucho_cli.errors import MuchoError, UsageError, one_line
from rio_mucho_cli.text import secret_names

log = logging.getLogger(__name__)

# Seconds to connect to a scheduler, and to a worker.
_PATIENCE = 8
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
        client = Client(address, timeout=_PATIENCE, name="rio-mucho", set_as_default=False)
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
            client.close(timeout=_PATIENCE)


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
        socket.create_connection((host, port), _PATIENCE / 2).close()

    async def ask() -> Any:
        arguments = Security().get_connection_args("client")
        async with rpc(address, timeout=_PATIENCE / 2, connection_args=arguments) as scheduler:
            return await asyncio.wait_for(scheduler.identity(), _PATIENCE / 2)

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
