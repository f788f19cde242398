"""Dry runs: the plan of a run, without writing or locking any file.

    Job ─▶ plan ─▶ checks ─▶ one window, with the workers' code ─▶ Preview

A dry run raises the same errors as a run would before its first window.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from rasterio.env import env_ctx_if_needed

from rio_mucho_cli.engine.probe import Probe, estimate_seconds, probe_window
from rio_mucho_cli.env import http_retries, without_georeferencing_warnings, without_layout_options
from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.outputs.checks import check_output, check_parts, windows_done
from rio_mucho_cli.outputs.resume import cannot_resume_error
from rio_mucho_cli.paths import is_virtual
from rio_mucho_cli.planning.fingerprint import (
    check_can_resume,
    done_outputs,
    fingerprint,
    is_all_done,
)
from rio_mucho_cli.planning.plan import Plan, make_plan, run_context
from rio_mucho_cli.reports import preview_text
from rio_mucho_cli.reports.plan import describe_plan
from rio_mucho_cli.system import open_file_errors_explained, without_bytecode
from rio_mucho_cli.text import html_table, redact
from rio_mucho_cli.windows import PlannedWindow, Size, count_pixels
from rio_mucho_cli.workers.executor import check_executor

VERSION = 1
"""Version of `Preview.as_dict`, increased when an entry is renamed or removed."""


@dataclass(frozen=True, slots=True, repr=False)
class Preview:
    """The plan of a run and its estimates.

    Its text is that of ``--dry-run``, and notebooks show it as a table.

    Attributes
    ----------
    plan : dict
        The plan, see `reports.plan.describe_plan`.
    exists : tuple of bool
        Whether each output exists and would be replaced.
    done : int
        Windows done by an earlier run, according to its journal.
    keeps_parts : bool
        Whether complete parts of a mosaic from an earlier run are kept.
    complete : bool
        Whether there is nothing to do.
    probe : dict or None
        window (col_off, row_off, width, height), ij, seconds (of read,
        function and encode), results (count, dtype and encoded_bytes of each
        output; empty if the window is nodata), and failure (traceback of the
        function, if failed windows become nodata).
    estimate : dict or None
        seconds (starting, windows, whole), or None; and encoded_bytes: a
        number or None for each output, with overviews. All are extrapolated
        from the probed window.
    notes : tuple of str
        Checks that a dry run leaves out.
    """

    plan: dict[str, Any]
    exists: tuple[bool, ...] = ()
    done: int = 0
    keeps_parts: bool = False
    complete: bool = False
    probe: dict[str, Any] | None = None
    estimate: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the preview as a JSON object, with the version of its format."""
        return {
            "version": VERSION,
            "plan": self.plan,
            "exists": list(self.exists),
            "earlier": {
                "windows": self.done,
                "parts": self.keeps_parts,
                "complete": self.complete,
            },
            "probe": self.probe,
            "estimate": self.estimate,
            "notes": list(self.notes),
        }

    def as_json(self, indent: int | None = 2) -> str:
        """Return the preview as JSON text."""
        return json.dumps(self.as_dict(), indent=indent, allow_nan=False)

    def __str__(self) -> str:
        """Return the preview as text: less than 40 lines of at most 80 characters."""
        return "\n".join(preview_text.lines(self.as_dict()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title = f"Dry run of {self.plan['function']}: nothing is written."
        return html_table(title, preview_text.facts(self.as_dict()))


def describe(job: Job, *, probe: bool = True) -> Preview:
    """Return the preview of a run; nothing is written, and no worker is started.

    Parameters
    ----------
    job : Job
    probe : bool
        Whether to process the window in the middle, in this process. The
        function is called once, or twice if it is quick.

    Returns
    -------
    Preview

    Raises
    ------
    MuchoError
        As `run` would before its first window, and for the probed window.
        Errors that occur only on writing are not found: a full disk, a bucket
        without write access, a format that cannot hold the result.
    """
    try:
        return _describe_quietly(job, probe)
    except MuchoError as exc:
        # The message is enough; frames of this package would fill a notebook.
        raise exc.with_traceback(None) from None


def _describe_quietly(job: Job, probe: bool) -> Preview:
    with (
        without_bytecode(),
        open_file_errors_explained(),
        env_ctx_if_needed(),
        http_retries(),
        without_georeferencing_warnings(),
        without_layout_options(),
    ):
        return _describe(job, probe)


def _describe(job: Job, probe: bool) -> Preview:
    if job.resume:
        check_can_resume(job)
    plan = make_plan(job)
    run = fingerprint(job, plan.windows) if job.resume else None
    finished = [] if run is None else done_outputs(job, run)
    if run is not None and not job.overwrite and is_all_done(job, finished):
        return Preview(
            describe_plan(job, plan),
            (True,) * len(finished),
            done=len(plan.windows),
            complete=True,
        )
    exists = tuple(
        path is not None
        and check_output(
            path,
            overwrite=job.overwrite or path in finished,
            inputs=job.input_paths,
            resume=job.resume,
            is_mosaic=output.is_mosaic,
        )
        for output in _outputs(plan)
        for path in [output.local_path]
    )
    done, keeps_parts = _earlier(job, plan, run)
    check_executor(plan.executor, run_context(job, plan))
    outcome = probe_window(job, plan) if probe and plan.windows else None
    rest = plan.windows[done:]
    return Preview(
        describe_plan(job, plan, outcome.result_types if outcome else ()),
        exists,
        done,
        keeps_parts,
        probe=None if outcome is None else _probe_as_dict(outcome, plan),
        estimate=None if outcome is None else _estimate(plan, outcome, rest),
        notes=tuple(_notes(job, plan, outcome)),
    )


def _outputs(plan: Plan) -> list[Output]:
    """Return the outputs of a plan, those of values last."""
    rasters = [output.output for output in plan.outputs]
    return rasters + [value.output for value in plan.values]


def _earlier(job: Job, plan: Plan, run: Any) -> tuple[int, bool]:
    """Return the windows done by an earlier run, and whether its parts are kept."""
    if run is None:
        return 0, False
    paths = [str(output.local_path) for output in _outputs(plan)]
    if plan.parts:
        paths = paths[: len(plan.outputs)]
        keep_parts = [check_parts(path, run, overwrite=job.overwrite) for path in paths]
        return 0, all(keep_parts)
    if any(output.blocks is None for output in plan.outputs):
        raise cannot_resume_error()
    return min([windows_done(path, run, overwrite=job.overwrite) for path in paths]), False


def _probe_as_dict(probe: Probe, plan: Plan) -> dict[str, Any]:
    window, ij = probe.planned.window, probe.planned.ij
    results = [
        {"count": count, "dtype": dtype, "encoded_bytes": encoded}
        for (count, dtype, _), encoded in zip(probe.result_types, probe.encoded, strict=True)
    ]
    return {
        "window": [float(value) for value in window.flatten()],
        "ij": [int(index) for index in ij] if _is_pair(ij) else str(ij),
        "seconds": probe.seconds,
        "results": results,
        "values": [redact(value) for value in probe.values],
        "failure": redact(probe.failure),
    }


def _is_pair(ij: Any) -> bool:
    """Return whether an ij is a row and a column; it may be any object."""
    return isinstance(ij, tuple | list) and all(isinstance(index, Integral) for index in ij)


def _estimate(plan: Plan, probe: Probe, rest: Sequence[PlannedWindow]) -> dict[str, Any]:
    """Return time and sizes of the run, extrapolated from the probed window."""
    return {
        "seconds": estimate_seconds(plan, probe, count_pixels(rest)),
        "encoded_bytes": [
            None if size is None else _whole_bytes(plan, index, probe, size)
            for index, size in enumerate(probe.encoded)
        ],
    }


def _whole_bytes(plan: Plan, index: int, probe: Probe, size: int) -> int | None:
    """Return the size of an output with overviews, extrapolated from one window."""
    one = (plan.parts[0] if plan.parts else plan).outputs[index]
    if one.format.conversion is not None or one.blocks is None:
        return None
    whole, rows, cols = plan.outputs[index].size, *probe.shape
    unit = one.blocks.block
    if probe.profiles[index].get("compress"):
        unit = Size(1, 1)  # padding of edge blocks compresses to almost nothing
    times = _units(whole.width, whole.height, unit) / _units(cols, rows, unit)
    return round(size * times * (1 + sum(1 / factor**2 for factor in one.format.factors)))


def _units(width: int, height: int, unit: Size) -> int:
    return math.ceil(width / unit.width) * math.ceil(height / unit.height)


def _notes(job: Job, plan: Plan, probe: Probe | None) -> Iterator[str]:
    if plan.executor == "dask":
        yield (
            "dask: a dry run starts no cluster"
            if job.scheduler is None
            else "dask: the scheduler was not contacted; a run uses all its workers"
        )
    if any(is_virtual(output.output.local_path or "") for output in plan.outputs):
        yield "write access to the bucket is not checked"
    if any(output.format.conversion is not None for output in plan.outputs):
        yield "whether the format can hold the result is known only after the first window"
    if probe is not None and probe.is_skipped and not probe.failure:
        yield "the probed window is fully masked, so times and sizes are not estimated"
