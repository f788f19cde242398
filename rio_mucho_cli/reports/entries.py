"""The report of a run as a JSON object.

Its format is described in `docs/reference/report-format.md`.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import rasterio
from rasterio.windows import Window

from rio_mucho_cli.engine.report import Report
from rio_mucho_cli.env import THREAD_VARIABLES, env_options
from rio_mucho_cli.inputs.bands import exact_nodatavals
from rio_mucho_cli.job import Job
from rio_mucho_cli.paths import input_name, is_in_memory, is_virtual
from rio_mucho_cli.planning.outputs import OutputPlan
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.reports.advice import advise
from rio_mucho_cli.reports.plan import describe_plan, function_name
from rio_mucho_cli.reports.plan_inputs import json_number
from rio_mucho_cli.reports.recorder import Recorder, SlowWindow, WorkerTotal
from rio_mucho_cli.reports.timeline import NAMES, Cell, Interval, Total
from rio_mucho_cli.system import peak_memory, usable_cpus, usable_memory, versions_of
from rio_mucho_cli.text import redact, secret_names
from rio_mucho_cli.windows import format_window
from rio_mucho_cli.workers.context import ResultType


def versions() -> dict[str, str]:
    """Return the versions of Python, GDAL and the main libraries."""
    names = ["Python", "GDAL", "rasterio", "numpy", "rio-mucho-cli"]
    if "distributed" in sys.modules:
        names.append("distributed")
    return {name.lower(): number for name, number in versions_of(*names).items()}


def machine() -> dict[str, Any]:
    """Return facts about the machine of the main process."""
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count() or 1,
        "usable_cpus": usable_cpus(),
        "memory_bytes": usable_memory(),
    }


def about_job(job: Job, plan: Plan | None = None) -> dict[str, Any]:
    """Return the options of a job, without secrets and values of global args."""
    options, args = env_options(), job.global_args
    hidden = set(secret_names(options))
    return {
        "function": function_name(job),
        "mode": job.mode,
        "inputs": [redact(input_name(source)) for source in job.inputs],
        "outputs": [output.shown_path for output in job.outputs],
        "global_args": sorted(map(str, args)) if isinstance(args, Mapping) else [],
        "jobs": job.jobs,
        "masked": bool(job.masked) if plan is None else plan.reading.masked,
        "like": None if job.like is None else redact(str(job.like)),
        "extent": job.extent,
        "aoi": None if job.aoi is None else redact(input_name(job.aoi)),
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
    """Return the plan as a dry run does, with the files of the outputs."""
    files = [_about_file(output, plan) for output in plan.outputs]
    # After a failed run, an existing file is an older output.
    result_types = (
        ResultType(file["count"], file["dtype"]) if file is not None and is_done else None
        for file in files
    )
    entries = describe_plan(job, plan, tuple(result_types))
    for output, file in zip(entries["outputs"], files, strict=True):
        output["file"] = file
    return entries


def _about_file(output: OutputPlan, plan: Plan) -> dict[str, Any] | None:
    """Return facts about an output's file; None if it is not a local file."""
    path = output.output.local_path
    if path is None or is_virtual(path) or is_in_memory(path):
        return None
    with suppress(Exception), rasterio.open(path) as src:
        return {
            "driver": src.driver,
            "count": src.count,
            "dtype": src.dtypes[0],
            "nodata": json_number(exact_nodatavals(src)[0]),
            "compress": src.profile.get("compress"),
            "block": list(src.block_shapes[0])[::-1],
            "overviews": src.overviews(1),
            "bytes": None if plan.parts else os.path.getsize(path),  # noqa: PTH202
        }
    return None


SCHEMA = 1
"""Version of the format, increased when an entry changes or is removed."""

_MOST_FAILURES = 100
_LONGEST_MESSAGE = 4000


def document(job: Job, recorder: Recorder, failure: BaseException | None = None) -> dict[str, Any]:
    """Return the report of a run that has ended.

    Parameters
    ----------
    job : Job
    recorder : Recorder
        The listener of the run.
    failure : exception or None
        Exception that ended the run early.
    """
    ended, plan, report = time.time(), recorder.plan, recorder.report()
    seconds = ended - recorder.started
    entries: dict[str, Any] = {
        "schema": SCHEMA,
        "outcome": "done" if failure is None else "failed",
        "message": None if failure is None else _message(failure),
        "failure": _where(failure),
        "started": datetime.fromtimestamp(recorder.started, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "versions": versions(),
        "machine": machine(),
        "job": about_job(job, plan),
        "plan": None if plan is None else about_plan(job, plan, is_done=failure is None),
        "phases": _phases(recorder, ended),
    }
    entries |= _results(recorder, report, entries["phases"])
    entries["advice"] = [] if plan is None else [advice.as_json() for advice in advise(entries)]
    return entries


def _phases(recorder: Recorder, ended: float) -> dict[str, float]:
    """Return the seconds before the first window, until the last, and after it."""
    starts = [worker.started for worker in recorder.workers.values()]
    # Clocks of other machines may differ.
    first = min(max(min(starts, default=ended), recorder.started), ended)
    last = min(max(recorder.last, first), ended)
    return {
        "starting_seconds": round(first - recorder.started, 6),
        "working_seconds": round(last - first, 6),
        "finishing_seconds": round(ended - last, 6),
    }


def _results(recorder: Recorder, report: Report | None, phases: dict[str, float]) -> dict[str, Any]:
    plan = recorder.plan
    jobs = 1 if plan is None else plan.jobs
    busy = sum(worker.total.seconds for worker in recorder.workers.values())
    failed = () if report is None else report.failed
    working = phases["working_seconds"]
    pixels = 0 if report is None else report.pixels
    return {
        "result": {
            "windows": 0 if report is None else report.windows,
            "windows_of_earlier_runs": 0 if report is None else report.resumed,
            "windows_failed": len(failed),
            "windows_retried": 0 if report is None else report.retried,
            "value_loss": [] if report is None else [loss.as_json() for loss in report.value_loss],
            "overview_parts": recorder.overviews,
            "pixels": pixels,
            "pixels_per_second": round(report.pixels_per_second) if report and pixels else None,
        },
        "stages": _stages(report),
        "waiting": {
            "workers_idle_seconds": round(max(0.0, jobs * working - busy), 6),
            "caller_waited_seconds": 0.0 if report is None else round(report.waited_seconds, 6),
        },
        "memory": {
            "caller_peak_bytes": peak_memory(),
            "workers_peak_bytes": sum(_peaks_by_process(recorder).values()),
        },
        "workers": [
            _worker(name, worker, recorder, working) for name, worker in recorder.workers.items()
        ],
        "slowest": [_slow_window(slow) for slow in recorder.slowest],
        "failures": [_failure(failure, plan) for failure in failed[:_MOST_FAILURES]],
        "map": [_cell(cell) for cell in recorder.cells],
        "timeline": {
            "merged_below_seconds": round(recorder.timeline.shortest, 6),
            "rows": [
                {
                    "worker": worker,
                    "caller": worker == recorder.caller,
                    "stretches": [_interval(interval, recorder.started) for interval in row],
                }
                for worker, row in sorted(recorder.timeline.rows.items())
            ],
        },
    }


def _stages(report: Report | None) -> dict[str, dict[str, float]]:
    return (Total(0) if report is None else Total.of(report.stages)).as_json()


def _peaks_by_process(recorder: Recorder) -> dict[str, int]:
    """Return the peak memory of each worker process, without the main process."""
    own = recorder.caller.rpartition(":")[0]
    peaks: dict[str, int] = {}
    for name, worker in recorder.workers.items():
        process = name.rpartition(":")[0]
        if process != own:
            peaks[process] = max(peaks.get(process, 0), worker.peak)
    return peaks


def _worker(name: str, worker: WorkerTotal, recorder: Recorder, working: float) -> dict[str, Any]:
    return {
        "name": name,
        "windows": worker.total.windows,
        "pixels": worker.total.pixels,
        "started_after_seconds": round(worker.started - recorder.started, 6),
        "ended_after_seconds": round(worker.ended - recorder.started, 6),
        "busy_seconds": round(worker.total.seconds, 6),
        "busy_share": round(min(1.0, worker.total.seconds / working), 4) if working > 0 else None,
        "peak_bytes": worker.peak,
        "stages": worker.total.as_json(),
    }


def _slow_window(slow: SlowWindow) -> dict[str, Any]:
    total = Total.of(slow.timing.stages)
    return {
        "ij": _ij(slow.ij),
        "window": [float(value) for value in slow.window.flatten()],
        "seconds": round(total.seconds, 6),
        "worker": slow.timing.worker,
        "stages": total.as_json(),
    }


def _failure(failure: Any, plan: Plan | None) -> dict[str, Any]:
    return {
        "ij": _ij(failure.ij),
        "window": [float(value) for value in failure.window.flatten()],
        "message": redact(str(failure.message))[:_LONGEST_MESSAGE],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "window": [cell.left, cell.top, cell.right - cell.left, cell.bottom - cell.top],
        "ij": _ij(cell.ij),
        "windows": cell.total.windows,
        "failed": cell.failed,
        "slowest_seconds": round(cell.slowest, 6),
        "seconds": _by_name(cell.total),
    }


def _interval(interval: Interval, zero: float) -> dict[str, Any]:
    return {
        "started": round(interval.started - zero, 6),
        "ended": round(interval.ended - zero, 6),
        "windows": interval.total.windows,
        "ij": _ij(interval.first),
        "seconds": _by_name(interval.total),
    }


def _by_name(total: Total) -> dict[str, float]:
    walls = zip(NAMES, total.wall, strict=True)
    return {name: round(seconds, 6) for name, seconds in walls if seconds}


def _ij(ij: Any) -> Any:
    """Return an ij for JSON: two integers, else text."""
    try:
        row, col = ij
        return [int(row), int(col)]
    except (TypeError, ValueError):
        return str(ij)


def _message(failure: BaseException) -> str:
    """Return the message of an exception, shorten and without secrets."""
    args = getattr(failure, "args", ())
    text = str(args[0]) if args else ""
    name = type(failure).__name__
    if not isinstance(failure, Exception):  # a signal, or Ctrl-C
        text = f"interrupted ({text or name})"
    window = getattr(failure, "window", None)
    if window is not None and "window rows" not in text:
        text = f"at {format_window(window)} (ij {getattr(failure, 'ij', None)}): {text}"
    return redact(text or name)[:_LONGEST_MESSAGE]


def _where(failure: BaseException | None) -> dict[str, Any] | None:
    """Return the window that ended the run, and the traceback of the function."""
    window = getattr(failure, "window", None)
    if not isinstance(window, Window):
        return None
    return {
        "ij": _ij(getattr(failure, "ij", None)),
        "window": [float(value) for value in window.flatten()],
        "traceback": redact(getattr(failure, "formatted", "")) or None,
    }
