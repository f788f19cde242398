"""What a report says of the machine, the job and the plan."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import rasterio

from rio_mucho_cli.describing import describe_plan, function_name
from rio_mucho_cli.describing_outputs import number
from rio_mucho_cli.env import THREAD_VARIABLES, env_options
from rio_mucho_cli.inputs.int64 import exact_nodatavals
from rio_mucho_cli.job import Job
from rio_mucho_cli.paths import is_in_memory, is_virtual
from rio_mucho_cli.planning.outputs import OutputPlan
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.system import usable_cpus, usable_memory, versions_of
from rio_mucho_cli.text import redact, secret_names


def versions() -> dict[str, str]:
    """Return the versions of everything that pixels and speed depend on."""
    names = ["Python", "GDAL", "rasterio", "numpy", "rio-mucho-cli"]
    if "distributed" in sys.modules:
        names.append("distributed")
    return {name.lower(): number for name, number in versions_of(*names).items()}


def machine() -> dict[str, Any]:
    """Say what the calling process runs on."""
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count() or 1,
        "usable_cpus": usable_cpus(),
        "memory_bytes": usable_memory(),
    }


def about_job(job: Job) -> dict[str, Any]:
    """Say what was asked for; values of global args and secrets are left out."""
    options, args = env_options(), job.global_args
    hidden = set(secret_names(options))
    return {
        "function": function_name(job),
        "mode": job.mode,
        "inputs": [redact(path) for path in job.inputs],
        "outputs": [output.shown_path for output in job.outputs],
        "global_args": sorted(map(str, args)) if isinstance(args, Mapping) else [],
        "jobs": job.jobs,
        "masked": job.masked,
        "like": None if job.like is None else redact(str(job.like)),
        "extent": job.extent,
        "bounds": None if job.bounds is None else list(map(float, job.bounds)),
        "mem_limit_mb": job.mem_limit,
        "thread_variables": {
            name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ
        },
        "gdal_options": {
            name: None if name in hidden else redact(str(value))
            for name, value in sorted(options.items())
        },
    }


def about_plan(job: Job, plan: Plan, *, is_done: bool) -> dict[str, Any]:
    """Say what the job came to, as a dry run does, and what its outputs are now."""
    files = [_about_file(output, plan) for output in plan.outputs]
    # Of a run that failed, what is there is an older output.
    forms = (
        (file["count"], file["dtype"], False) if file is not None and is_done else None
        for file in files
    )
    said = describe_plan(job, plan, tuple(forms))
    for each, file in zip(said["outputs"], files, strict=True):
        each["file"] = file
    return said


def _about_file(output: OutputPlan, plan: Plan) -> dict[str, Any] | None:
    """Say what an output became, if it is a local file that is there."""
    path = output.output.local_path
    if path is None or is_virtual(path) or is_in_memory(path):
        return None
    with suppress(Exception), rasterio.open(path) as src:
        return {
            "driver": src.driver,
            "count": src.count,
            "dtype": src.dtypes[0],
            "nodata": number(exact_nodatavals(src)[0]),
            "compress": src.profile.get("compress"),
            "block": list(src.block_shapes[0])[::-1],
            "overviews": src.overviews(1),
            "bytes": None if plan.parts else os.path.getsize(path),  # noqa: PTH202
        }
    return None
