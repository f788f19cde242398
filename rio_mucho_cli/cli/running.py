"""From the values of the options to a Job, and its run."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

# nothing to import
from rio_mucho_cli.cli import texts
from rio_mucho_cli.cli.messages import failure, list_failed, show_preview, summarise
from rio_mucho_cli.cli.windows import read_windows
from rio_mucho_cli.engine.events import ignore
from rio_mucho_cli.engine.run import run_job
from rio_mucho_cli.env import ignore_georeferencing_warnings, keep_freed_memory
from rio_mucho_cli.errors import MuchoError, UsageError
from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.reports.file import check_report_path as check_report
from rio_mucho_cli.reports.file import recorded
from rio_mucho_cli.reports.preview import describe, without_bytecode
from rio_mucho_cli.reports.progress import on_stderr
from rio_mucho_cli.system import usable_cpus
from rio_mucho_cli.workers.functions import FunctionRef

# Exit status, beside click's own: windows were left out.
_LEFT_OUT = 3


def run(
    *,
    dry_run: bool,
    no_probe: bool,
    report: str | None,
    output: str,
    is_last: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Run the job that was described, or show what that would do; return the exit status.

    Of what is no option: `is_last` says that the output is the last of several names.

    Raises
    ------
    ClickException
        For every MuchoError, with its message and its exit status, and for
        what the system refuses.
    """
    others = [name.removeprefix("@") for name in (given["windows"], given["global_args"]) if name]
    try:
        with without_bytecode() if dry_run else nullcontext():
            job = _job(output=output, **given)
        keep_freed_memory()
        # For good: threads may still open something after Ctrl-C has ended the run.
        ignore_georeferencing_warnings()
        if dry_run:
            check_report(report, job, is_page_possible=False, others=others)
            failed = show_preview(describe(job, probe=not no_probe), report)
        else:
            with (
                nullcontext(ignore) if quiet else on_stderr() as listen,
                recorded(job, report, listen, others=others) as listen,
            ):
                done = run_job(job, listen)
    except (MuchoError, OSError) as exc:
        raise failure(exc, output, resume=given["resume"], is_last=is_last) from None
    if not dry_run:
        failed = bool(done.failed)
        if not quiet:
            summarise(done, [output, *(str(each.path) for each in job.also)])
        list_failed(done)
    return _LEFT_OUT if failed else 0


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
            raise UsageError(f"{path} would be gone when this command ends: give a file")
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
