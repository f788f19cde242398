"""What a report says of the machine, the job and the plan."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from itertools import islice
from typing import Any

import numpy as np
import rasterio

from rio_mucho_cli.credentials import options_without_secrets, secrets_among, without_secrets
from rio_mucho_cli.describing import function_name
from rio_mucho_cli.describing_outputs import number
from rio_mucho_cli.environment import THREAD_VARIABLES, capture
from rio_mucho_cli.executors import name_of, usable_cpus
from rio_mucho_cli.inputs.sources import Source
from rio_mucho_cli.inputs.windows import PlannedWindow, Size, as_window
from rio_mucho_cli.job import Job
from rio_mucho_cli.memory import usable_memory
from rio_mucho_cli.output_plan import OutputPlan
from rio_mucho_cli.outputs.target import is_in_memory, is_remote
from rio_mucho_cli.plan import Plan
from rio_mucho_cli.tasks import largest
from rio_mucho_cli.window_plan import say_why

# So many windows tell how windows and blocks lie to each other.
_LOOKED_AT = 2000


def versions() -> dict[str, str]:
    """Return the versions of everything that pixels and speed depend on."""
    found = {
        "python": platform.python_version(),
        "gdal": rasterio.__gdal_version__,
        "rasterio": rasterio.__version__,
        "numpy": np.__version__,
    }
    with suppress(metadata.PackageNotFoundError):
        found["rio-mucho-cli"] = metadata.version("rio-mucho-cli")
    if "distributed" in sys.modules:
        found["distributed"] = metadata.version("distributed")
    return found


def machine() -> dict[str, Any]:
    """Say what the calling process runs on."""
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count() or 1,
        "usable_cpus": usable_cpus(),
        "memory_bytes": usable_memory(),
    }


def about_job(job: Job, plan: Plan | None) -> dict[str, Any]:
    """Say what was asked for; values of global args and secrets are left out."""
    options, args = capture(), job.global_args
    hidden = set(secrets_among(options))
    return {
        "function": function_name(job),
        "mode": job.mode,
        "inputs": (
            [{"path": without_secrets(path)} for path in job.inputs]
            if plan is None
            else [_about_input(source, job, plan) for source in plan.sources]
        ),
        "outputs": [without_secrets(_path_of(output.path)) for output in job.outputs],
        "global_args": sorted(map(str, args)) if isinstance(args, Mapping) else [],
        "overlap": job.overlap,
        "masked": job.masked,
        "like": None if job.like is None else without_secrets(str(job.like)),
        "extent": job.extent,
        "bounds": None if job.bounds is None else list(map(float, job.bounds)),
        "mem_limit_mb": job.mem_limit,
        "retries": job.retries,
        "on_error": job.on_error,
        "resume": job.resume,
        "thread_variables": {
            name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ
        },
        "gdal_options": {
            name: None if name in hidden else without_secrets(str(value))
            for name, value in sorted(options.items())
        },
    }


def about_plan(plan: Plan, job: Job) -> dict[str, Any]:
    """Say what the job came to: windows, workers, and who encodes."""
    raster = plan.outputs[0].size
    return {
        "width": raster.width,
        "height": raster.height,
        "windows": len(plan.windows),
        "window_size": list(largest(plan.windows, *raster)),
        "windows_why": say_why(plan.reasons),
        "parts": len(plan.parts),
        "executor": name_of(plan.executor),
        "jobs": plan.jobs,
        "jobs_asked_for": job.jobs,
        "in_flight": plan.in_flight,
        "outputs": [_about_output(output, plan) for output in plan.outputs],
    }


def _about_input(source: Source, job: Job, plan: Plan) -> dict[str, Any]:
    """Say what there is of an input."""
    grid = source.grid
    said: dict[str, Any] = {
        "path": without_secrets(source.path),
        "driver": source.profile["driver"],
        "width": grid.width,
        "height": grid.height,
        "count": int(source.profile["count"]),
        "dtypes": list(dict.fromkeys(source.dtypes)),
        "crs": None if grid.crs is None else without_secrets(grid.crs.to_string()),
        "transform": list(grid.transform)[:6],
        "block": list(source.block),
        "striped": source.is_striped,
        "compress": source.profile.get("compress"),
        "nodata": number(source.profile["nodata"]),
        "on_network": is_remote(source.path),
    }
    if job.mode != "manual_read" and plan.reading.grid is None:
        size = Size(grid.width, grid.height)
        if size == plan.outputs[0].size:
            said["block_reads"] = block_reads(plan.windows, source.block, size, job.overlap)
    return said


def block_reads(
    windows: Sequence[PlannedWindow], block: Size, raster: Size, overlap: int = 0
) -> float:
    """Return how often a block is read, on average, where a worker keeps none of them.

    Windows that are whole blocks read each once: 1.0.

    Parameters
    ----------
    windows : sequence of (window, ij)
    block : Size
        Of the input.
    raster : Size
    overlap : int
        In pixels, on each side.
    """
    wanted = decoded = 0
    for window, _ in islice(windows, _LOOKED_AT):
        whole = as_window(window, *raster)
        sides = []
        for start, length, side, end in (
            (whole.col_off, whole.width, block.width, raster.width),
            (whole.row_off, whole.height, block.height, raster.height),
        ):
            first = max(0, math.floor(start) - overlap) // side * side
            last = math.ceil(min(end, start + length + overlap) / side) * side
            sides.append(min(end, last) - first)
        wanted += round(whole.width * whole.height)
        decoded += sides[0] * sides[1]
    return round(decoded / max(1, wanted), 3)


def _about_output(output: OutputPlan, plan: Plan) -> dict[str, Any]:
    """Say how an output is made, and, if it is there, what it became."""
    path, conversion = output.output.local_path, output.format.conversion
    said: dict[str, Any] = {
        "path": without_secrets(_path_of(output.output.path)),
        "driver": output.format.driver,
        "cog": output.format.cog,
        "converted_to": None if conversion is None else str(conversion.driver),
        "width": output.size.width,
        "height": output.size.height,
        "block": None if output.blocks is None else list(output.blocks.block),
        "encoded_by": "workers" if output.blocks or plan.parts else "calling process",
        "options": options_without_secrets(output.recipe.options),
    }
    if path is None or is_remote(path) or is_in_memory(path):
        return said
    with suppress(Exception), rasterio.open(path) as src:
        profile = src.profile
        said["written"] = {
            "driver": src.driver,
            "count": src.count,
            "dtype": src.dtypes[0],
            "nodata": number(src.nodata),
            "compress": profile.get("compress"),
            "block": list(src.block_shapes[0])[::-1],
            "overviews": src.overviews(1),
            "bytes": None if plan.parts else os.path.getsize(path),  # noqa: PTH202
        }
    return said


def _path_of(path: Any) -> str:
    return str(path) if isinstance(path, str | os.PathLike) else str(getattr(path, "name", path))
