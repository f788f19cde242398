"""Identify a run by all that its output depends on, and find what earlier runs left."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import os
import sys
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.geotiff.metadata import digest_of
from rio_mucho_cli.inputs.datasets import open_dataset
from rio_mucho_cli.inputs.scenes import Asset, Scene
from rio_mucho_cli.job import Job, Output, Windows
from rio_mucho_cli.outputs.files import journal_of, open_to_read, partial_folder, remove_partial
from rio_mucho_cli.outputs.journal import read_header
from rio_mucho_cli.outputs.mosaic_folder import remove_abandoned, unfinished_run
from rio_mucho_cli.outputs.vrt import parts_of
from rio_mucho_cli.paths import (
    absolute,
    input_name,
    is_in_memory,
    is_on_network,
    is_vector,
    is_virtual,
    local_file,
    unsigned,
)
from rio_mucho_cli.planning.declared import declared_by
from rio_mucho_cli.planning.hashing import digest, to_json
from rio_mucho_cli.system import source_date, versions_of
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import PlannedWindow, Size, WindowGrid
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.reloading import changed_modules
from rio_mucho_cli.workers.source import can_be_imported, source_digest

log = logging.getLogger(__name__)

# Attributes of a Job that do not change the output's content.
_OF_NO_MATTER = {
    "output", "overwrite", "executor", "scheduler", "jobs", "mem_limit", "resume", "retries",
    "timeout",
    "drop_in",
}  # fmt: skip
_WITH_PARTS = {"inputs", "aoi", "function", "global_args", "windows", "also"}
# Most characters of an argument; longer ones are hashed.
_MOST = 1000


def fingerprint(job: Job, windows: Sequence[PlannedWindow]) -> dict[str, Any]:
    """Return the fingerprint of a run: a dict of JSON values.

    Parameters
    ----------
    job : Job
    windows : sequence of PlannedWindow

    Raises
    ------
    InputError
        If an input cannot be opened.
    UsageError
        If the function cannot be imported, or arguments are not plain values.

    Notes
    -----
    Signed URLs and credentials in paths and arguments are not removed: keep
    the fingerprint where others cannot read it.
    """
    options = _options(job, _OF_NO_MATTER | _WITH_PARTS)
    is_list = not (job.windows is None or isinstance(job.windows, str | Size))
    options["windows"] = "a list" if is_list else to_json(job.windows, "windows")
    options["also"] = [_options(output) for output in job.also]
    others: dict[str, Any] = {}
    declared = declared_by(job)
    if declared is not None:
        others["output"] = to_json(dataclasses.asdict(declared), "output")
    if job.metadata and source_date():
        others["date"] = source_date()
    return {
        "versions": versions_of("rio-mucho-cli", "GDAL", "rasterio", "numpy"),
        "inputs": list(map(_input, job.inputs)),
        "like": [] if job.like is None else [_dataset(job.like)],
        "aoi": [] if job.aoi is None else [_input(job.aoi, is_area=True)],
        "function": _function(job.function),
        "global_args": _arguments(job.global_args),
        "options": options,
        "windows": _windows(windows),
        **others,
    }


def _options(asked: Job | Output, others: Container[str] = ()) -> dict[str, Any]:
    options = {
        field.name: to_json(getattr(asked, field.name), field.name)
        for field in dataclasses.fields(asked)
        if field.name not in others and field.name != "merge"
    }
    if asked.merge is not None:
        is_name = isinstance(asked.merge, str)
        options["merge"] = asked.merge if is_name else _function(asked.merge)
    if options.pop("keep_nodata"):  # then nodata is None
        options["nodata"] = "the first input's"
    return options


def check_inputs(job: Job, run: Mapping[str, Any]) -> None:
    """Raise InputError if inputs changed since the run began."""
    like, aoi = ([] if path is None else [path] for path in (job.like, job.aoi))
    for name, paths in (("inputs", job.inputs), ("like", like), ("aoi", aoi)):
        for path, was in zip(paths, run[name], strict=True):
            if _input(path, is_area=name == "aoi") != was:
                raise InputError(
                    f"{input_name(path)} changed during the run, so the run cannot be resumed: "
                    f"pass {option('overwrite')} to start over"
                )


def _input(source: Any, *, is_area: bool = False) -> dict[str, Any]:
    """Return what identifies an input: of a vector input, the content."""
    if isinstance(source, Scene):
        return _scene(source)
    if not is_area and not is_vector(source):
        return _dataset(source)
    from rio_mucho_cli.inputs.vectors import features_digest

    return {"path": absolute(input_name(source)), "sha256": features_digest(source)}


def _scene(scene: Scene) -> dict[str, Any]:
    """Return what identifies a scene: its files in order, and what a function is told of it."""
    files = list(map(_file_of_scene, scene.assets))
    if not scene.assets[0].name:  # a path
        return {"files": files}
    time = None if scene.datetime is None else scene.datetime.isoformat()
    return {"id": scene.name, "files": files, "sha256": digest([scene.properties, time])}


def _file_of_scene(asset: Asset) -> dict[str, Any]:
    """Return a file's path, size, time and use; thousands are not opened for this."""
    path = unsigned(asset.path)
    file = None if is_on_network(path) or is_in_memory(path) else local_file(path)
    said = {
        name: to_json(getattr(asset, name), name)
        for name in ("band", "nodata", "scales", "offsets")
        if getattr(asset, name) not in (None, ())
    }
    if file is None:
        return {"path": path, **said}
    return {"path": absolute(path), **_stat(file), **said}


def _stat(file: Path) -> dict[str, Any]:
    about = file.stat()
    return {"bytes": about.st_size, "modified": _format_time(about.st_mtime_ns)}


def _dataset(path: str) -> dict[str, Any]:
    """Return the path of an input, with size and time of its files or their archives."""
    if is_on_network(path) or is_in_memory(path):
        return {"path": path, "files": {}}
    files = {}
    with open_dataset(path) as src:
        for name in src.files:
            file = local_file(name)
            # GDAL writes statistics to this file when another program computes them.
            if file is not None and not name.endswith(".aux.xml"):
                files[str(file.resolve())] = _stat(file)
    name = absolute(path)
    return {"path": str(Path(name).resolve()) if Path(name).exists() else name, "files": files}


def _format_time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    with suppress(ValueError, OverflowError, OSError):  # years after 9999
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09} UTC"
    return str(nanoseconds)


def _function(function: Any) -> dict[str, Any]:
    if isinstance(function, functools.partial):
        return {
            "func": _function(function.func),
            "args": to_json(function.args, "args of a partial"),
            "keywords": to_json(function.keywords, "keywords of a partial"),
        }
    if not isinstance(function, FunctionRef):
        function = reference_to(function)
    module, colon, attributes = function.name.rpartition(":")
    if module.endswith(".py") or os.sep in module:
        module = str(Path(function.folder, module).resolve())
    return {"name": f"{module}{colon}{attributes}", "code": {"sha256": source_digest(function)}}


def reference_to(function: Any) -> FunctionRef:
    """Return a FunctionRef to a function.

    Raises
    ------
    UsageError
        If importing its name does not give this function.
    """
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    name = str(getattr(function, "__qualname__", None))
    target: Any = module
    for part in name.split("."):
        target = getattr(target, part, None)
    if module is None or target != function or not can_be_imported(module):
        raise UsageError(
            f"{option('resume')} needs a function that can be imported, found "
            f"{_describe(function)}: move it into a module and import it from there, or give "
            "'module:function' or 'file.py:function'"
        )
    levels = module.__name__.count(".") + hasattr(module, "__path__")
    file = Path(getattr(module, "__file__", None) or __file__).absolute()  # built-ins have none
    reference = FunctionRef(f"{module.__name__}:{name}", str(file.parents[levels])).pinned()
    changed = [] if reference.code is None else changed_modules(reference.code)
    if changed:
        raise UsageError(
            f"{changed[0]} has changed since it was imported: import it again, or give the "
            f"function as {reference.name!r}"
        )
    return reference


def _describe(function: Any) -> str:
    name = getattr(function, "__qualname__", None)
    if name is None:
        return f"an object of the class {type(function).__qualname__}"
    if name.endswith("<lambda>"):
        return "a lambda"
    if "<locals>" in name:
        return f"{name}, which is defined in a function"
    if function.__module__ == "__main__":
        return f"{name} of a script or notebook"
    return f"{function.__module__}:{name}, which is not what importing it gives"


def _arguments(arguments: Any) -> Any:
    """Return arguments as JSON; short ones are kept in full, for messages."""
    values = to_json(arguments, "global_args")
    return (
        {key: _brief(value) for key, value in values.items()}
        if isinstance(values, dict)
        else _brief(values)
    )


def _brief(value: Any) -> Any:
    return value if len(json.dumps(value)) <= _MOST else {"sha256": digest(value)}


def _windows(windows: Sequence[PlannedWindow]) -> dict[str, Any]:
    total = hashlib.sha256()
    if isinstance(windows, WindowGrid):  # it may have millions of windows
        total.update(json.dumps([windows.width, windows.height, *windows.size]).encode("ascii"))
    for planned in () if isinstance(windows, WindowGrid) else windows:
        about = to_json([planned.window.flatten(), planned.ij], "windows")
        total.update(json.dumps(about).encode("ascii"))
    size = None
    if windows:
        first = windows[0].window
        size = to_json([first.width, first.height], "windows")
    return {"number": len(windows), "size": size, "sha256": total.hexdigest()}


def asked_windows(job: Job) -> Windows:
    """Return the windows of a job, or else the window size of the run that it resumes.

    Default windows depend on jobs and memory, and a run may be resumed with
    fewer jobs.
    """
    path = job.outputs[0].local_path
    if not job.resume or job.windows is not None or path is None:
        return job.windows
    match unfinished_run(path) if job.is_mosaic else _header(journal_of(path)):
        case {"windows": {"size": [int(width), int(height)]}} if min(width, height) > 0:
            return Size(width, height)
    return job.windows


def check_can_resume(job: Job) -> None:
    """Raise UsageError unless all outputs are local files."""
    for output in job.outputs:
        if output.local_path is None or is_virtual(output.local_path):
            raise UsageError("a run can only be resumed if its outputs are local files")


def done_outputs(job: Job, run: Mapping[str, Any]) -> list[str]:
    """Return paths of outputs that this run already published.

    These may be some of them, if the run was killed while publishing. A file of values
    does not say of which run it is: it is known only beside a raster.
    """
    run_digest = digest(run)
    paths = [str(output.local_path) for output in job.rasters]
    done = [path for path in paths if _is_done(path, run_digest)]
    if done and len(done) == len(paths):  # they are published before files of values
        values = [str(output.local_path) for output in job.values]
        done += [path for path in values if Path(path).is_file()]
    return done


def is_all_done(job: Job, done: Sequence[str]) -> bool:
    """Return whether `done_outputs` has all outputs."""
    return len(done) == len(job.outputs)


def is_done(job: Job, run: Mapping[str, Any]) -> bool:
    """Return whether this run has published all outputs; if so, remove its leftovers."""
    if job.overwrite:
        return False
    if not is_all_done(job, done_outputs(job, run)):
        return False
    for output in job.outputs:
        path = str(output.local_path)
        remove_partial(path)
        if job.is_mosaic:
            remove_abandoned(path)
    log.info("nothing to do: the output already exists and comes from this run")
    return True


def warn_of_leftovers(job: Job) -> None:
    """Log a warning for each partial result that an earlier run with `resume` left."""
    for output in job.outputs:
        path = output.local_path
        if path is None or is_virtual(path) or is_in_memory(path):
            continue
        folder = partial_folder(path)
        if os.path.isdir(folder):  # noqa: PTH112 (it raises nothing)
            log.warning(
                "%s holds the partial result of an earlier run of %s with %s: remove it if you do "
                "not want to resume that run",
                *(folder, path, option("resume")),
            )


def _is_done(path: str, run_digest: str) -> bool:
    if not Path(path).is_file():
        return False
    try:
        with rasterio.open(path) as src:
            is_ours = digest_of(src) == run_digest
    except RasterioError:
        return False
    missing = [part for part in parts_of(path) if is_ours and not part.is_file()]
    if missing:
        log.warning("%s comes from this run, but its part %s is missing", path, missing[0])
    return is_ours and not missing


def _header(path: Path) -> Any:
    with suppress(OSError, ValueError), open_to_read(path) as file:
        return read_header(file)[0]
    return None
