"""Compute one window in the main process, to estimate times and sizes of a run."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rasterio.windows import intersect

from rio_mucho_cli.engine.output_stream import final_profile, warn_of_value_loss
from rio_mucho_cli.env import limited_block_cache
from rio_mucho_cli.errors import MuchoChildError, MuchoError
from rio_mucho_cli.geotiff.block_table import EncodedBlocks
from rio_mucho_cli.job import Job
from rio_mucho_cli.planning.plan import Plan, run_context
from rio_mucho_cli.system import usable_cpus
from rio_mucho_cli.text import format_count, truncate
from rio_mucho_cli.windows import PlannedWindow, WindowGrid
from rio_mucho_cli.workers import local
from rio_mucho_cli.workers.context import OutputSpec, ResultType
from rio_mucho_cli.workers.executor import LOCAL
from rio_mucho_cli.workers.window import OutputResult, WindowResult, run_window

# Most characters of a value.
_LONGEST_VALUE = 200
# The first window includes imports and opening inputs: if it was quick, time it again.
_QUICK = 1.0
# Approximate start-up time of these executors, in seconds; processes are forked.
_STARTING = {"processes": 0.1, "dask": 3.0}


@dataclass(frozen=True, slots=True)
class Probe:
    """Outcome of one window.

    Attributes
    ----------
    planned : PlannedWindow
    shape : tuple of int
        Rows and columns of the window.
    result_types : tuple of ResultType
        Type of the result for each output; empty if the window is nodata.
    encoded : tuple of int or None
        Bytes of encoded blocks for each output, without overviews; None where
        workers do not encode.
    seconds : dict
        Seconds of the stages read, function and encode.
    profiles : tuple of dict
        Profile of each output.
    failure : str
        Traceback of the function, if the run would continue.
    values : tuple of str
        The window's value for each value output, shortened.
    """

    planned: PlannedWindow
    shape: tuple[int, int]
    result_types: tuple[ResultType, ...]
    encoded: tuple[int | None, ...]
    seconds: dict[str, float]
    profiles: tuple[dict[str, Any], ...] = ()
    failure: str = ""
    values: tuple[str, ...] = ()

    @property
    def is_skipped(self) -> bool:
        """Whether the window has no result."""
        return not self.result_types and not self.values


def probe_window(job: Job, plan: Plan) -> Probe:
    """Compute the middle window without writing it; return its outcome.

    Raises
    ------
    MuchoError
        If a run would raise it for this window.
    """
    planned = _middle(plan)
    plans = plan.outputs
    for part in plan.parts:
        if intersect(part.window, planned.window):
            plans = part.outputs
    specs = [output.spec for output in plans]
    outcome = _compute(job, plan, planned, specs)
    if isinstance(outcome, WindowResult) and _seconds(outcome) < _QUICK:
        outcome = _compute(job, plan, planned, specs)
    shape = int(planned.window.height), int(planned.window.width)
    if isinstance(outcome, MuchoChildError):
        outcome.done = 0
        if job.on_error == "nodata" and outcome.window is not None:
            return Probe(planned, shape, (), (), {}, failure=outcome.formatted)
    if isinstance(outcome, MuchoError):
        raise outcome
    profiles = tuple(
        final_profile(output, result.result_type)
        for output, result in zip(plan.outputs, outcome.results, strict=False)
    )
    for output, profile, result in zip(plan.outputs, profiles, outcome.results, strict=False):
        warn_of_value_loss(output, profile, result.value_loss)
    return Probe(
        planned,
        shape,
        tuple(result.result_type for result in outcome.results),
        tuple(map(_encoded_bytes, outcome.results)),
        _stages(outcome),
        profiles,
        values=tuple(map(_shown_value, outcome.values)),
    )


def _middle(plan: Plan) -> PlannedWindow:
    """Return the window whose centre is nearest to that of the raster."""
    if isinstance(plan.windows, WindowGrid):
        return plan.windows.middle()
    width, height = plan.size

    def distance(planned: PlannedWindow) -> float:
        window = planned.window
        across = window.col_off + window.width / 2 - width / 2
        return math.hypot(across, window.row_off + window.height / 2 - height / 2)

    return min(plan.windows, key=distance)


def _compute(
    job: Job, plan: Plan, planned: PlannedWindow, specs: Sequence[OutputSpec]
) -> WindowResult | MuchoError:
    """Compute a window in a new worker, so that none of its blocks are cached."""
    run_id = uuid.uuid4().hex
    with limited_block_cache(plan.cache), local.serial_workers(1, run_id, run_context(job, plan)):
        return run_window(run_id, planned, specs)


def estimate_seconds(plan: Plan, probe: Probe, pixels: int) -> dict[str, float] | None:
    """Estimate the duration of a run from one window.

    Parameters
    ----------
    plan : Plan
    probe : Probe
    pixels : int
        Pixels of all windows to compute.

    Returns
    -------
    dict or None
        Seconds for ``starting`` workers, for ``windows``, and their sum,
        ``whole``. None if the window has no result.
    """
    if probe.is_skipped:
        return None
    seconds = sum(probe.seconds.values())
    workers = min(plan.jobs, usable_cpus()) if plan.executor in LOCAL else plan.jobs
    windows = seconds * pixels / (probe.shape[0] * probe.shape[1]) / workers
    starting = _STARTING.get(plan.executor, 0.0) if isinstance(plan.executor, str) else 0.0
    return {"starting": starting, "windows": windows, "whole": starting + windows}


def _shown_value(value: Any) -> str:
    from rio_mucho_cli.outputs.value_text import Lines, json_text

    if isinstance(value, Lines):
        lines = value.content.decode().splitlines()
        first = f", the first: {truncate(lines[0], _LONGEST_VALUE)}" if lines else ""
        return f"{format_count(len(lines), 'line')}{first}"
    return truncate(json_text(value)[0], _LONGEST_VALUE)


def _seconds(result: WindowResult) -> float:
    return sum(_stages(result).values())


def _stages(result: WindowResult) -> dict[str, float]:
    assert result.timing is not None
    times = result.timing.stages
    return {name: getattr(times, name).seconds for name in ("read", "function", "encode")}


def _encoded_bytes(result: OutputResult) -> int | None:
    data: Any = result.data
    if not isinstance(data, EncodedBlocks):
        return None
    return int(data.content.nbytes) + (0 if data.mask is None else int(data.mask.content.nbytes))
