"""Which run it is: all that its output depends on, to compare when it is resumed.

A function by name is the files that it comes from; one that was handed over as
an object is its code, and what that uses of modules that are not installed. What
a function reads for itself, files or the network, is not in it, nor are the
libraries that it calls.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.canonical import canonical, digest, name_of
from rio_mucho_cli.errors import InputError
from rio_mucho_cli.inputs.sources import open_dataset
from rio_mucho_cli.inputs.windows import PlannedWindow, Size, WindowGrid
from rio_mucho_cli.job import Job
from rio_mucho_cli.paths import absolute, is_in_memory, is_on_network, local_file
from rio_mucho_cli.spelling import option
from rio_mucho_cli.versions import versions_of
from rio_mucho_cli.work.functions import FunctionRef
from rio_mucho_cli.work.source import digest_of

# Fields of a Job that say where, how fast and how often, but not what.
_OF_NO_MATTER = {
    "output", "overwrite", "executor", "scheduler", "jobs", "mem_limit", "resume", "retries",
}  # fmt: skip
_WITH_PARTS = {"inputs", "function", "global_args", "windows"}
# How many characters of an argument are kept as they are.
_MOST = 1000


def fingerprint(job: Job, windows: Sequence[PlannedWindow]) -> dict[str, Any]:
    """Describe a run, in parts that have names and are JSON.

    Parameters
    ----------
    job : Job
    windows : sequence of (window, ij)
        As they were planned.

    Raises
    ------
    InputError
        If an input cannot be opened.
    UsageError
        If the function or its arguments hold something that cannot be
        compared, such as a lock.

    Notes
    -----
    Signed URLs, credentials in paths and arguments are in it as they are: who
    keeps it must keep it to himself.
    """
    options = {
        field.name: canonical(getattr(job, field.name))
        for field in dataclasses.fields(job)
        if field.name not in _OF_NO_MATTER | _WITH_PARTS
    }
    is_list = not (job.windows is None or isinstance(job.windows, str | Size))
    if options.pop("keep_nodata"):  # then none is given
        options["nodata"] = "the first input's"
    options["windows"] = "a list" if is_list else canonical(job.windows)
    return {
        "versions": versions_of("rio-mucho-cli", "GDAL", "rasterio", "numpy"),
        "inputs": [_dataset(path) for path in job.inputs],
        "like": [] if job.like is None else [_dataset(job.like)],
        "function": _function(job.function),
        "global_args": _arguments(job.global_args),
        "options": options,
        "windows": _windows(windows),
    }


def check_inputs(job: Job, run: Mapping[str, Any]) -> None:
    """Raise InputError if inputs are not what they were when the run began."""
    for name, paths in (("inputs", job.inputs), ("like", [job.like] if job.like else [])):
        for path, was in zip(paths, run[name], strict=True):
            if _dataset(path) != was:
                raise InputError(
                    f"{path} changed during the run, so the run cannot be resumed: "
                    f"pass {option('overwrite')} to start over"
                )


def _dataset(path: str) -> dict[str, Any]:
    """Return the path of an input, and the size and age of its files, or of their archives."""
    if is_on_network(path) or is_in_memory(path):
        return {"path": path, "files": {}}
    files = {}
    with open_dataset(path) as src:
        for name in src.files:
            file = local_file(name)
            # GDAL writes statistics there when another program asks for them.
            if file is not None and not name.endswith(".aux.xml"):
                about = file.stat()
                files[str(file.resolve())] = {
                    "bytes": about.st_size,
                    "modified": _format_time(about.st_mtime_ns),
                }
    name = absolute(path)
    return {"path": str(Path(name).resolve()) if Path(name).exists() else name, "files": files}


def _format_time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    with suppress(ValueError, OverflowError, OSError):  # years after 9999
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09} UTC"
    return str(nanoseconds)


def _function(function: Any) -> dict[str, Any]:
    if not isinstance(function, FunctionRef):
        bare = function
        while isinstance(bare, functools.partial):
            bare = bare.func
        return {"name": name_of(bare), "code": {"sha256": digest(canonical(function))}}
    module, colon, attributes = function.name.rpartition(":")
    if module.endswith(".py") or os.sep in module:
        module = str(Path(function.folder, module).resolve())
    return {"name": f"{module}{colon}{attributes}", "code": {"sha256": digest_of(function)}}


def _arguments(arguments: Any) -> Any:
    """Keep short arguments as they are, so that messages can show them."""
    if isinstance(arguments, Mapping):
        pairs = [(canonical({key: 0}), value) for key, value in arguments.items()]
        return {key: _brief(canonical(value)) for names, value in pairs for key in names}
    return _brief(canonical(arguments))


def _brief(value: Any) -> Any:
    return value if len(json.dumps(value)) <= _MOST else {"sha256": digest(value)}


def _windows(windows: Sequence[PlannedWindow]) -> dict[str, Any]:
    total = hashlib.sha256()
    if isinstance(windows, WindowGrid):  # it may be of millions
        total.update(json.dumps([windows.width, windows.height, *windows.size]).encode("ascii"))
    for window, ij in () if isinstance(windows, WindowGrid) else windows:
        total.update(json.dumps(canonical([_ends(window), ij])).encode("ascii"))
    size = None
    if windows and isinstance(windows[0][0], Window):
        size = canonical([windows[0][0].width, windows[0][0].height])
    return {"number": len(windows), "size": size, "sha256": total.hexdigest()}


def _ends(window: Any) -> Any:
    return window.flatten() if isinstance(window, Window) else window
