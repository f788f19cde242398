"""From the values of the options to a Job, and its run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rio_mucho_cli import engine
from rio_mucho_cli.cli import texts
from rio_mucho_cli.cli.bar import shown
from rio_mucho_cli.cli.messages import failure, list_failed, summarise
from rio_mucho_cli.cli.windows import read_windows
from rio_mucho_cli.environment import keep_memory
from rio_mucho_cli.errors import MuchoError, OutputError
from rio_mucho_cli.executors import usable_cpus
from rio_mucho_cli.interrupts import caught
from rio_mucho_cli.job import Job
from rio_mucho_cli.output import Output
from rio_mucho_cli.work.functions import FunctionRef

# Exit status, beside click's own: windows were left out.
_LEFT_OUT = 3


def run(*, output: str, quiet: bool, **given: Any) -> None:
    """Run the job that was described; exit if windows were left out.

    Raises
    ------
    ClickException
        For every MuchoError, with its message and its exit status, and for
        what the system refuses.
    """
    try:
        job = _job(output=output, **given)
        keep_memory()
        with caught(for_good=True), shown(quiet) as listen:
            report = engine.run(job, listen)
    except (MuchoError, OSError) as exc:
        raise failure(exc, output, given["resume"]) from None
    if not quiet:
        summarise(report, output)
    if report.failed:
        list_failed(report)
        sys.exit(_LEFT_OUT)


def _job(
    *,
    func: str,
    windows: str | None,
    global_args: str | None,
    args: dict[str, Any],
    output: str,
    jobs: int | None,
    also: list[dict[str, Any]],
    executor: Any,
    scheduler: str | None,
    resampling: dict[int, str] | None,
    no_metadata: bool,
    **given: Any,
) -> Job:
    """Make a Job of the values of the options; those not named here are its own."""
    for path in (output, *(each["path"] for each in also)):
        if path.startswith("/vsimem/"):
            raise OutputError(f"{path} would be gone when this command ends: give a file")
    function = FunctionRef(func, str(Path.cwd()))
    function.load()
    return Job(
        function=function,
        windows=read_windows(windows),
        global_args={**texts.json_object(global_args), **args},
        output=output,
        also=[Output(**each) for each in also],
        jobs=usable_cpus() if jobs in (None, -1) else jobs,
        executor=executor or ("processes" if scheduler is None else "dask"),
        scheduler=scheduler,
        resampling=resampling or "nearest",
        metadata=not no_metadata,
        **given,
    )
