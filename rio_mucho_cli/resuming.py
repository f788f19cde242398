"""What a run can know of an earlier one before it starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from rio_mucho_cli.canonical import digest
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.metadata import digest_of
from rio_mucho_cli.job import Job
from rio_mucho_cli.outputs.files import journal_of, open_to_read, partial_folder, remove_partial
from rio_mucho_cli.outputs.journal import read_header
from rio_mucho_cli.outputs.mosaic_folder import remove_abandoned, unfinished_run
from rio_mucho_cli.outputs.vrt import parts_of
from rio_mucho_cli.paths import is_in_memory, is_virtual
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import Size

log = logging.getLogger(__name__)


def with_earlier_windows(job: Job) -> Job:
    """Return a job with the windows of the run that it resumes, if nobody has given any.

    They depend on jobs and memory, and fewer jobs are a good reason to resume
    a run.
    """
    path = job.outputs[0].local_path
    if not job.resume or job.windows is not None or path is None:
        return job
    match unfinished_run(path) if job.is_mosaic else _header(journal_of(path)):
        case {"windows": {"size": [int(width), int(height)]}} if min(width, height) > 0:
            return replace(job, windows=Size(width, height))
    return job


def check_can_resume(job: Job) -> None:
    """Raise UsageError if outputs are none that could be found again, half done."""
    for output in job.outputs:
        if output.local_path is None or is_virtual(output.local_path):
            raise UsageError("only outputs that are local files can be resumed")


def done_outputs(job: Job, run: Mapping[str, Any]) -> list[str]:
    """Return the outputs that are there, and are those of this very run.

    If it was killed while it put several into place, some may be.
    """
    wanted = digest(run)
    paths = [str(output.local_path) for output in job.outputs]
    return [path for path in paths if _is_done(path, wanted)]


def is_done(job: Job, run: Mapping[str, Any]) -> bool:
    """Whether there is nothing left to do but to remove what an end at the last moment left."""
    if job.overwrite:
        return False
    done = done_outputs(job, run)
    if len(done) < len(job.outputs):
        return False
    for path in done:
        remove_partial(path)
        if job.is_mosaic:
            remove_abandoned(path)
    log.info("nothing is left to do: the output is there, and of this very run")
    return True


def warn_of_leftovers(job: Job) -> None:
    """Say where a run that was to be resumed has left what it did of outputs that now are there."""
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


def _is_done(path: str, wanted: str) -> bool:
    if not Path(path).is_file():
        return False
    try:
        with rasterio.open(path) as src:
            is_ours = digest_of(src) == wanted
    except RasterioError:
        return False
    missing = [part for part in parts_of(path) if is_ours and not part.is_file()]
    if missing:
        log.warning("%s is of this run, but its part %s is missing", path, missing[0])
    return is_ours and not missing


def _header(path: Path) -> Any:
    with suppress(OSError, ValueError), open_to_read(path) as file:
        return read_header(file)[0]
    return None
