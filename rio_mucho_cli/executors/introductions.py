"""What a cluster's workers have to be like: the same versions, and the function at hand."""

from __future__ import annotations

import logging
from typing import Any

from rio_mucho_cli.errors import FunctionNotFoundError, MuchoError, one_line
from rio_mucho_cli.system import versions_of
from rio_mucho_cli.work.functions import FunctionRef

log = logging.getLogger(__name__)

_PACKAGES = ("rio-mucho-cli", "rasterio", "numpy", "cloudpickle", "distributed")


def introduce(function: FunctionRef | None) -> tuple[dict[str, str], str | None]:
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
    answers = client.run(introduce, function if is_there else None, on_error="return")
    ours, _ = introduce(None)
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
