"""The plan of a job as a JSON object, without secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.job import Job
from rio_mucho_cli.outputs.profile import PROFILE_KEYS
from rio_mucho_cli.planning.memory import largest
from rio_mucho_cli.planning.outputs import OutputPlan
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.planning.windows import say_why
from rio_mucho_cli.reports.plan_inputs import (
    describe_grid,
    describe_input,
    describe_series,
    json_number,
    size_of,
)
from rio_mucho_cli.text import redact_options
from rio_mucho_cli.workers.context import ResultType
from rio_mucho_cli.workers.executor import executor_name
from rio_mucho_cli.workers.functions import name_of

_LAYOUT = {"tiled", "blockxsize", "blockysize", "compress", "interleave", "bigtiff"}


def describe_output(plan: Plan, index: int, result_type: ResultType | None) -> dict[str, Any]:
    """Return facts about one output.

    Parameters
    ----------
    plan : Plan
    index : int
        Index of the output.
    result_type : ResultType or None
        Type of the results, if known.

    Returns
    -------
    dict
        path : str
        name : str or None
            Name of its array in the dict that the function returns.
        driver : str
        cog : bool
        grid : dict or None
            crs, transform (six numbers, in rasterio's order), width, height,
            bounds; None for an open dataset.
        count, dtype, nodata
            None if they depend on the first result.
        block : list or None
            Block width and height.
        tiled, compress, interleave
            None if the driver decides.
        creation_options : dict
        uncompressed_bytes : int
            Size of all bands, without overviews. If the type of the results
            is not known, count and dtype of the first input are assumed.
        overviews : dict or None
            factors, resampling, and by: ``workers`` or ``GDAL``.
        part_size : list or None
            Width and height of a mosaic's parts.
        written : dict
            by: ``workers`` if they encode its blocks, else ``caller`` (the main
            process); and why.
        declared : list
            What is as the function declares, by name.
    """
    whole = plan.outputs[index]
    # For a mosaic, the format and layout are those of its parts.
    one = plan.parts[0].outputs[index] if plan.parts else whole
    known = result_type or _known_type(whole)
    bands = plan.reading.first_bands
    count, dtype, _ = known or whole.default_result_type(bands)
    profile = _describe_profile(one, count, dtype)
    conversion = one.format.conversion
    options = (
        conversion.options
        if conversion is not None
        else {key: profile[key] for key in profile if key not in PROFILE_KEYS | _LAYOUT}
    )
    layout = one.blocks or one.template.layout
    parts = plan.parts[0].window if plan.parts else None
    driver = one.format.driver if conversion is None else conversion.driver
    return {
        "path": whole.output.shown_path,
        "name": whole.output.name,
        "driver": "COG" if one.format.cog else driver,
        "cog": one.format.cog or driver.upper() == "COG",
        "grid": _describe_grid(whole),
        "count": int(count) if known else whole.spec.count,
        "dtype": dtype if known else whole.spec.dtype,
        "nodata": json_number(profile.get("nodata")) if known else None,
        "block": None if layout is None or conversion is not None else size_of(layout.block),
        "tiled": None if layout is None or conversion is not None else layout.tiled,
        "compress": None if conversion is not None else _json_text(profile.get("compress")),
        "interleave": None if conversion is not None else _json_text(profile.get("interleave")),
        "creation_options": redact_options(options),
        "uncompressed_bytes": whole.size.width
        * whole.size.height
        * count
        * np.dtype(dtype).itemsize,
        "overviews": _describe_overviews(one),
        "part_size": None if parts is None else [int(parts.width), int(parts.height)],
        "written": {
            "by": "workers" if plan.parts or one.blocks is not None else "caller",
            "why": "" if plan.parts else one.by_gdal,
        },
        "declared": list(whole.declared),
    }


def _json_text(value: Any) -> str | None:
    """Return an option as text; it may be one of rasterio's enumerations."""
    return None if value is None else str(getattr(value, "value", value))


def _known_type(plan: OutputPlan) -> ResultType | None:
    """Return the type of results if the job defines it, else None."""
    count, dtype = plan.spec.count, plan.spec.dtype
    return None if count is None or dtype is None else ResultType(count, dtype)


def _describe_profile(plan: OutputPlan, count: int, dtype: str) -> dict[str, Any]:
    if plan.output.local_path is None:
        # A run closes the dataset at its end; rasterio keeps only its meta.
        return dict(plan.output.path.meta)
    try:
        return plan.template.profile(count, dtype)
    except MuchoError:
        # Nodata does not fit the assumed dtype.
        return plan.template.profile(count, "float64")


def _describe_grid(plan: OutputPlan) -> dict[str, Any] | None:
    template = plan.template
    if template.complete is not None and {"crs", "transform"} <= template.complete.keys():
        return describe_grid(
            Grid(template.complete["crs"], template.complete["transform"], *plan.size)
        )
    if (
        template.complete is None
        and template.first is not None
        and plan.output.local_path is not None
    ):
        return describe_grid(template.first.grid)
    return None


def _describe_overviews(plan: OutputPlan) -> dict[str, Any] | None:
    if not plan.format.factors:
        return None
    by_workers = plan.overviews is not None and plan.overviews.is_local
    return {
        "factors": list(plan.format.factors),
        "resampling": plan.format.resampling,
        "by": "workers" if by_workers else "GDAL",
    }


def describe_plan(
    job: Job, plan: Plan, result_types: Sequence[ResultType | None] = ()
) -> dict[str, Any]:
    """Return the plan of a run as a JSON object, without opening any file.

    Parameters
    ----------
    job : Job
    plan : Plan
    result_types : sequence of ResultType or None
        Forms of the results by output; empty if not known yet.

    Returns
    -------
    dict
        A JSON object; NaN and infinity are text.

        function : str
        mode : str
        inputs, outputs : list
            See `describe_input` and `describe_output`.
        series : dict or None
            scenes, files and most (scenes of one window), if inputs are a series;
            `inputs` are then the files of the first scene.
        vectors, area, values
            Vector inputs and outputs that take values: see their `as_dict`.
        size : list
            Width and height of the raster that the windows divide.
        windows : dict
            number, size (of the largest), reasons (keys of
            `planning.windows.REASONS`), why (the same as text), overlap.
        parts : int or None
            Number of parts of a mosaic.
        executor : str
        jobs, in_flight : int
        memory : dict
            estimate and limit, in bytes, and asked_for: whether the job sets the
            limit.
        resume, on_error, retries, timeout
            Options of the job.
        declared : list
            Options of the run that are those that the function declares.
    """
    return {
        "function": function_name(job),
        "mode": job.mode,
        "inputs": [
            describe_input(source, spec, plan)
            for source, spec in zip(plan.sources, plan.reading.inputs, strict=True)
            if plan.reading.reads_rasters
        ],
        "series": describe_series(plan),
        "vectors": [spec.as_dict() for spec in plan.reading.vectors],
        "area": None if plan.reading.area is None else plan.reading.area.as_dict(),
        "outputs": [
            describe_output(plan, index, result_types[index] if index < len(result_types) else None)
            for index in range(len(plan.outputs))
        ],
        "values": [value.as_dict() for value in plan.values],
        "size": size_of(plan.size),
        "windows": {
            "number": len(plan.windows),
            "size": size_of(largest(plan.windows)),
            "reasons": list(plan.reasons),
            "why": say_why(plan.reasons),
            "overlap": plan.reading.overlap,
        },
        "parts": len(plan.parts) or None,
        "executor": executor_name(plan.executor),
        "jobs": plan.jobs,
        "in_flight": plan.in_flight,
        "memory": {
            "estimate": plan.memory,
            "limit": plan.limit,
            "asked_for": job.mem_limit is not None,
        },
        "resume": job.resume,
        "on_error": job.on_error,
        "retries": job.retries,
        "timeout": job.timeout,
        "declared": list(plan.declared),
    }


def function_name(job: Job) -> str:
    """Return the name of a job's function, with its module or file."""
    return name_of(job.function)
