"""Validate the attributes of a `Job` and its outputs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from enum import Enum
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from rasterio.dtypes import check_dtype

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.overview_plan import check_factors, check_resampling
from rio_mucho_cli.inputs.grid import EXTENTS
from rio_mucho_cli.inputs.overlap import Boundary
from rio_mucho_cli.inputs.scenes import Scene
from rio_mucho_cli.inputs.window_data import MODES
from rio_mucho_cli.outputs.values import MERGES, STDOUT
from rio_mucho_cli.paths import input_name, is_in_memory, is_virtual, vsi_path
from rio_mucho_cli.text import did_you_mean, is_for_command_line, option, truncate
from rio_mucho_cli.windows import Size
from rio_mucho_cli.workers.executor import EXECUTORS, executor_name
from rio_mucho_cli.workers.functions import FunctionRef

if TYPE_CHECKING:
    from rio_mucho_cli.job import Job, Output

OnError: TypeAlias = Literal["fail", "nodata"]

WHOLE, NUMBER, TEXT, FLAG = "a whole number", "a number", "text", "True or False"
_KINDS: Mapping[str, type] = {WHOLE: Integral, NUMBER: Real, TEXT: str, FLAG: bool}
_JOB_KINDS = {
    **dict.fromkeys(("jobs", "retries", "mem_limit", "part_size", "overlap"), WHOLE),
    **dict.fromkeys(("fill", "timeout"), NUMBER),
    **dict.fromkeys(("like", "scheduler", "overview_resampling"), TEXT),
    **dict.fromkeys(("masked", "skip_masked", "plain", "stats", "resume"), FLAG),
    **dict.fromkeys(("metadata", "overwrite", "strict", "drop_in"), FLAG),
}


def check_kinds(owner: object, names: Mapping[str, str]) -> None:
    """Raise UsageError for the first attribute of a wrong kind; None is always valid.

    Parameters
    ----------
    owner : object
    names : Mapping of str to str
        Kind of each attribute: WHOLE, NUMBER, TEXT or FLAG.
    """
    for name, kind in names.items():
        value = getattr(owner, name)
        if value is None:
            continue
        # bool is a subclass of int.
        if isinstance(value, bool) != (kind == FLAG) or not isinstance(value, _KINDS[kind]):
            hint = ', such as float("nan")' if kind == NUMBER else ""
            raise UsageError(f"{name} is {value!r}: expected {kind}{hint}")


def check_all_are(values: Any, kind: type, name: str) -> None:
    """Raise UsageError unless a value is a sequence of instances of a class."""
    wrong: Sequence[Any] = [values]
    if isinstance(values, Sequence):
        wrong = [value for value in values if not isinstance(value, kind)]
    if wrong:
        raise UsageError(f"{name} has {wrong[0]!r}: expected a list of {kind.__name__}s")


# Attributes of an Output that only rasters have.
_OF_RASTERS = ("driver", "dtype", "count", "nodata")


def check_merge(output: Output) -> None:
    """Raise UsageError if an output of values has a profile, or another one a merge."""
    merge, path = output.merge, output.shown_path
    is_known = merge is None or callable(merge) or isinstance(merge, FunctionRef)
    if not is_known and not (isinstance(merge, str) and (merge in MERGES or ":" in merge)):
        raise UsageError(
            f"merge is {merge!r}: expected {', '.join(MERGES)}, or module:function"
            f"{did_you_mean(str(merge), MERGES)}"
        )
    if output.value_format is None:
        if merge is not None:
            raise UsageError(
                f"{option('merge')} is for values, and {path} is a raster: give an output such as "
                "out.json"
            )
        return
    if is_in_memory(str(output.path)):
        raise UsageError(f"{path} is in GDAL's memory, which takes rasters: use reduce()")
    if output.profile is not None:
        raise UsageError(
            f"{path} takes values, and a profile is that of a raster: give an output such as "
            "out.tif, or use run() or reduce()"
        )
    for name in _OF_RASTERS:
        if getattr(output, name) is not None:
            raise UsageError(f"{path} takes values, which have no {name}: leave it out")
    if output.creation_options:
        option_name = next(iter(output.creation_options))
        raise UsageError(f"{path} takes values, which have no option {option_name}: leave it out")


def check_windows_value(windows: Any) -> None:
    """Raise UsageError unless a value is None, "blocks", a Size or pairs (window, ij)."""
    if windows is None or isinstance(windows, Size) or windows == "blocks":
        return
    if not _is_sequence(windows) or not all(_is_sequence(pair, 2) for pair in windows):
        raise windows_error(windows)


def windows_error(windows: Any) -> UsageError:
    """Return a UsageError that lists valid values of `windows`."""
    return UsageError(
        f"windows are {truncate(repr(windows), 60)}: expected 'blocks', a size in pixels, or a "
        "list of (window, ij)"
    )


def _is_sequence(value: Any, length: int | None = None) -> bool:
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
    return is_sequence and length in {None, len(value)}


def path_text(value: Any, name: str) -> str:
    """Return a path as text; raise UsageError if it is not a path."""
    try:
        return str(os.fspath(value))
    except TypeError:
        raise UsageError(f"{name} is {value!r}: expected a path") from None


def check_job(job: Job) -> None:
    """Raise UsageError if attributes of a job are invalid or contradict each other."""
    check_kinds(job, _JOB_KINDS)
    check_windows_value(job.windows)
    if not job.inputs and (job.profile is None or job.windows is None):
        raise UsageError("there is no input: pass at least one, before the output")
    if job.mode not in MODES:
        raise UsageError(f"mode is {job.mode!r}: expected one of {', '.join(MODES)}")
    _check_reading(job)
    if not isinstance(job.executor, Executor) and job.executor not in EXECUTORS:
        raise UsageError(f"executor is {job.executor!r}: expected one of {', '.join(EXECUTORS)}")
    if job.scheduler is not None and job.executor != "dask":
        raise UsageError(
            f"the scheduler {job.scheduler} is for dask, but the executor is "
            f"{executor_name(job.executor)}: use {option('executor', 'dask')}"
        )
    if job.jobs < 1:
        all_cpus = ", or -1 for all CPUs" if is_for_command_line() else ""
        raise UsageError(f"jobs is {job.jobs}: expected at least 1{all_cpus}")
    if job.retries < 0:
        raise UsageError(f"retries is {job.retries}: expected 0 or more")
    _check_timeout(job)
    if job.on_error not in get_args(OnError):
        raise UsageError(f"on_error is {job.on_error!r}: expected fail or nodata")
    if job.mem_limit is not None and job.mem_limit < 1:
        raise UsageError(f"the memory limit is {job.mem_limit}: expected a number of MB")
    if not isinstance(job.function, FunctionRef) and not callable(job.function):
        raise UsageError(f"{job.function!r} is not callable: expected a function")
    if job.plain and not isinstance(job.global_args, Mapping):
        raise UsageError(
            "a plain function gets the global args as keyword arguments, but they are "
            f"{job.global_args!r}: pass a dict"
        )
    _check_outputs(job)


def _check_timeout(job: Job) -> None:
    """Raise UsageError for a timeout that is no time, or that an executor cannot keep."""
    if job.timeout is None:
        return
    if not 0 < job.timeout < math.inf:
        raise UsageError(f"timeout is {job.timeout}: expected seconds, more than 0")
    if job.executor not in ("processes", "dask"):
        raise UsageError(
            f"{option('timeout')} needs workers that can be ended, and those of the executor "
            f"{executor_name(job.executor)} cannot: use processes or dask"
        )


def _check_outputs(job: Job) -> None:
    """Raise UsageError for outputs that contradict each other."""
    names = [output.name for output in job.outputs[1:]]
    for name in names:
        if not name:
            raise UsageError("an additional output has no name: set its name")
        if names.count(name) > 1:
            raise UsageError(f"two outputs have the name {name!r}: use different names")
    paths = [output.local_path for output in job.outputs]
    real_paths = [None if path is None else _real_path(path) for path in paths]
    for path, real_path in zip(paths, real_paths, strict=True):
        if real_path is not None and real_paths.count(real_path) > 1:
            raise UsageError(f"two outputs have the path {path}: use different paths")
    _check_values(job)
    _check_mosaics(job)
    if not job.inputs and any(output.profile is None for output in job.also):
        raise UsageError("there is no input, and an output has no profile: set its profile")
    if job.overviews is not None:
        check_factors(job.overviews)
    if job.overview_resampling is not None:
        check_resampling(job.overview_resampling)


def _check_values(job: Job) -> None:
    """Raise UsageError for contradictions in outputs that take values."""
    if not job.values:
        return
    if not job.inputs:
        raise UsageError("there is no input, and an output takes values: give an input")
    if sum(output.path == STDOUT for output in job.values) > 1:
        raise UsageError(f"two outputs are {STDOUT}, standard output: give one of them a file")
    for name, is_set in (("overviews", job.overviews is not None), ("stats", job.stats)):
        if is_set and not job.rasters:
            raise UsageError(f"{option(name)} needs a raster, and {job.output} takes values")


def _check_mosaics(job: Job) -> None:
    """Raise UsageError for invalid mosaics, and for a part size without a mosaic."""
    by_kind = {output.is_mosaic: output for output in job.rasters}
    if job.part_size is not None and job.part_size < 1:
        raise UsageError(f"the part size is {job.part_size}: expected 1 pixel or more")
    if True not in by_kind:
        if job.part_size is not None:
            raise UsageError(
                f"the part size is {job.part_size}, but {job.output} has no parts: use an output "
                "that ends in .vrt"
            )
        return
    if False in by_kind:
        raise UsageError(
            f"{by_kind[True].path} is a mosaic, but {by_kind[False].path} is a single file: all "
            "outputs must end in .vrt, or none"
        )
    for output in job.rasters:
        if output.profile is not None:
            raise UsageError(
                f"{output.path} would be a VRT over parts, which cannot have a profile: use "
                "`rio mucho`, a Job without a profile, or another name"
            )
        if is_in_memory(str(output.path)):
            raise UsageError(
                f"{output.path} is in the memory of this process, but worker processes write the "
                "parts: use a file or an object in a bucket"
            )


def _check_reading(job: Job) -> None:
    """Raise UsageError for contradictions in how inputs are read."""
    if job.like is not None and job.extent is not None:
        raise UsageError("like and extent both define the output's grid: use one of them")
    if job.extent is not None and job.extent not in EXTENTS:
        raise UsageError(f"extent is {job.extent!r}: expected one of {', '.join(EXTENTS)}")
    if job.bounds is not None and not _are_numbers(job.bounds, 4):
        raise UsageError(f"bounds are {job.bounds!r}: expected left, bottom, right and top")
    if job.overlap is not None and job.overlap < 0:
        raise UsageError(f"overlap is {job.overlap!r}: expected 0 or more pixels")
    _check_burn(job.burn)
    _check_series(job)
    if job.boundary is not None:
        Boundary.parse(str(job.boundary))
    if job.masked and job.fill is not None:
        raise UsageError(
            f"{option('masked')} passes masked arrays, and {option('fill')} replaces masked "
            "pixels: use one of them"
        )
    _check_src_nodata(job.src_nodata)
    if job.mode != "manual_read":
        return
    if job.plain:
        raise UsageError(
            "plain functions get arrays, but manual_read passes datasets: use one of them"
        )
    for name, is_set in (
        ("overlap", job.overlap),
        ("bidx", job.bidx is not None),
        ("src_nodata", job.src_nodata is not None),
        ("masked", job.masked),
        ("fill", job.fill is not None),
        ("skip_masked", job.skip_masked),
    ):
        if is_set:
            raise UsageError(
                f"{option(name)} cannot be used with manual_read, where the function itself reads"
            )


def _check_series(job: Job) -> None:
    """Raise UsageError if scenes are given where there can be none."""
    others = [source for source in job.inputs if not isinstance(source, Scene)]
    if len(others) == len(job.inputs):
        return
    if others:
        raise UsageError(
            f"inputs are scenes, and {input_name(others[0])}: give scenes alone, or paths alone"
        )
    if job.mode == "manual_read":
        raise UsageError(
            "a series cannot be passed as open datasets: use simple_read or array_read, or let the "
            "function open info.items[k].path"
        )
    if job.burn is not None:
        raise UsageError(f"{option('burn')} is for vector inputs, and inputs are scenes")


def _check_burn(given: Any) -> None:
    """Raise UsageError unless attributes to burn are text, or a Mapping to text."""
    for value in given.values() if isinstance(given, Mapping) else [given]:
        if value is not None and not isinstance(value, str):
            raise UsageError(f"burn is {value!r}: expected the name of an attribute")


def _check_src_nodata(given: Any) -> None:
    """Raise UsageError unless nodata of inputs is a number or "none", or a Mapping to these."""
    for value in given.values() if isinstance(given, Mapping) else [given]:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        is_none = value is None or (isinstance(value, str) and value == "none")
        if not (is_number or is_none):
            raise UsageError(f'src_nodata is {value!r}: expected a number or "none"')


def _real_path(path: str) -> str:
    """Return the real path of a local file, or GDAL's path of a virtual one."""
    return vsi_path(path) if is_virtual(path) else os.path.realpath(path)


def _are_numbers(values: Any, count: int) -> bool:
    try:
        return len(values) == count and all(isinstance(float(value), float) for value in values)
    except (TypeError, ValueError):
        return False


def option_text(value: Any) -> str:
    """Return a creation option's value as text for GDAL."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def is_dtype(dtype: Any) -> bool:
    """Return whether numpy and GDAL both have a dtype."""
    try:
        return bool(check_dtype(np.dtype(dtype).name))
    except TypeError:
        return False
