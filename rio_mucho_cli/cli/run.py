"""Make a Job from the options, run it, and print its outcome."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rio_mucho_cli.cli import parsing
from rio_mucho_cli.cli.windows import read_windows
from rio_mucho_cli.engine.events import Listener, ignore
from rio_mucho_cli.engine.report import Report
from rio_mucho_cli.engine.run import run_job
from rio_mucho_cli.env import ignore_georeferencing_warnings, keep_freed_memory
from rio_mucho_cli.errors import (
    InputError,
    MuchoChildError,
    MuchoError,
    OutputError,
    OutputExistsError,
    UsageError,
)
from rio_mucho_cli.inputs.scene_lists import MissingAssets, read_list, read_scenes
from rio_mucho_cli.inputs.scenes import number_by_asset
from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.outputs.files import journal_of, partial_folder
from rio_mucho_cli.reports.progress import on_stderr, summary
from rio_mucho_cli.system import system_error, usable_cpus, without_bytecode
from rio_mucho_cli.text import option, redact
from rio_mucho_cli.windows import format_window
from rio_mucho_cli.workers.executor import fork_server_from_here
from rio_mucho_cli.workers.functions import FunctionRef

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.vectors import Features

_MOST_LISTED = 20


class _Failed(click.ClickException):
    """A run that failed: one line on stderr."""

    exit_code = 1


class _WrongUsage(click.ClickException):
    """A usage error found by the job, not by click."""

    exit_code = 2


def failure(
    exc: MuchoError | OSError, output: str, *, resume: bool, is_last: bool
) -> click.ClickException:
    """Return the click exception for an error of a run."""
    if not isinstance(exc, MuchoError):
        exc = system_error(exc)
    message = redact(str(exc.args[0]))
    if exc.window is not None and "window rows" not in message:
        message = f"at {format_window(exc.window)} (ij {exc.ij}): {message}"
    if isinstance(exc, OutputExistsError) and is_last:
        message += ", or, if it is an input, name an output after it"
    if isinstance(exc, MuchoChildError):
        click.echo(exc.formatted, err=True, nl=False)
        message += f"; {exc.done} window{'s were' if exc.done != 1 else ' was'} done"
    if isinstance(exc, UsageError):
        return _WrongUsage(message)
    partial = partial_results(output, resume)
    return _Failed(f"{message.rstrip('.')}.{partial}" if partial else message)


def partial_results(output: str, resume: bool) -> str:
    """Return a sentence on where partial results are kept; empty if none are."""
    if not resume:
        return ""
    from rio_mucho_cli.outputs.mosaic_folder import parts_folder, unfinished_run

    if unfinished_run(output) is not None:
        folder = parts_folder(output).name
        return f" Finished parts are kept in {folder}: run the same command again to resume."
    if not journal_of(output).exists():
        return ""
    folder = partial_folder(output).name
    return f" Finished windows are kept in {folder}: run the same command again to resume."


def print_summary(report: Report, outputs: Sequence[str]) -> None:
    """Print a one-line summary of the run, if it had any windows."""
    if report.windows:
        outputs = ["values" if path == "-" else path for path in outputs]
        with suppress(OSError):
            click.echo(summary(report, outputs), err=True)


def preview(job: Job, report: str | None, *, probe: bool, others: Sequence[str]) -> bool:
    """Print the plan of a job or write it as JSON; return whether the probe failed."""
    from rio_mucho_cli.reports.file import check_report_path, is_stdout, write_report
    from rio_mucho_cli.reports.preview import describe

    check_report_path(report, job, is_page_possible=False, others=others)
    preview = describe(job, probe=probe)
    failed = (preview.probe or {}).get("failure")
    if failed:
        click.echo(failed.rstrip(), err=True)
    if report is None or not is_stdout(report):
        click.echo(str(preview))
    if report is not None:
        write_report(preview.as_dict(), report)
    return bool(failed)


def print_value(job: Job, report: Report) -> None:
    """Print the value of the output that is standard output, if there is one."""
    for output in job.values:
        if output.path == "-":
            from rio_mucho_cli.outputs.value_text import pretty_json
            from rio_mucho_cli.outputs.values import plain_value
            from rio_mucho_cli.reports.file import print_text

            text, _ = pretty_json(plain_value(report.values[output.name or "-"]))
            print_text(f"{text}\n")


def list_failed(report: Report, *, is_raster: bool = True) -> None:
    """Print the windows that are nodata, or have no value, because the function raised."""
    number = len(report.failed)
    if not number:
        return
    # A closed stderr must not change the outcome.
    with suppress(OSError):
        became = "became nodata" if is_raster else "have no value"
        click.echo(f"{number} of {report.windows} windows failed, and {became}:", err=True)
        for failed in report.failed[:_MOST_LISTED]:
            window = f"{format_window(failed.window)} (ij {failed.ij})"
            click.echo(f"  {window}: {failed.message}", err=True)
        if number > _MOST_LISTED:
            click.echo(f"  and {number - _MOST_LISTED} more", err=True)


# Exit status if some windows failed and are nodata; the others are click's.
_WINDOWS_FAILED = 3


def prepare(*, executor: Any, scheduler: str | None, jobs: int | None, **options: Any) -> None:
    """Fork the fork server from this process, if the run will have worker processes."""
    if not options["dry_run"]:  # it calls the function in this process
        jobs = jobs if options["timeout"] is None else None  # one job has a process, too
        fork_server_from_here(_executor(executor, scheduler), jobs)


def stdout_for(
    report: str | None, outputs: Sequence[str], *, dry_run: bool
) -> AbstractContextManager[None]:
    """Return a context in which functions print to stderr, if a report or a value is printed.

    Raises
    ------
    UsageError
        If both are, or a value cannot be printed.
    """
    has_value = "-" in outputs and not dry_run
    if report is None and not has_value:
        return nullcontext()
    from rio_mucho_cli.reports.file import is_stdout, reserve_stdout

    if report is not None and is_stdout(report):
        if has_value:
            raise click.UsageError(
                "the report and the value of an output both go to standard output: give one of "
                "them a file"
            )
        return reserve_stdout()
    if has_value and sys.stdout is None:
        raise click.UsageError("standard output is closed: give the value a file")
    return reserve_stdout() if has_value else nullcontext()


def run(
    *,
    dry_run: bool,
    no_probe: bool,
    report: str | None,
    output: str,
    is_last: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Run the job, or print its plan with `dry_run`; return the exit status.

    Parameters are the values of the options, except `is_last`: whether the
    output is the last of the positional arguments.

    Raises
    ------
    ClickException
        For every MuchoError and OSError, with a message and an exit status.
    """
    others = [
        name.removeprefix("@")
        for name in (options["windows"], options["global_args"], options["inputs"])
        if name
    ]
    try:
        with without_bytecode() if dry_run else nullcontext():
            job = _job(output=output, **options)
        keep_freed_memory()
        # Never undone: threads may still open datasets after Ctrl-C has ended the run.
        ignore_georeferencing_warnings()
        if dry_run:
            failed = preview(job, report, probe=not no_probe, others=others)
        else:
            with nullcontext(ignore) if quiet else on_stderr() as listen:
                done = _run_and_report(job, report, listen, others)
    except (MuchoError, OSError) as exc:
        raise failure(exc, output, resume=options["resume"], is_last=is_last) from None
    if not dry_run:
        failed = bool(done.failed)
        if not quiet:
            print_summary(done, [output, *(str(other.path) for other in job.also)])
        list_failed(done, is_raster=bool(job.rasters))
        try:
            print_value(job, done)
        except BrokenPipeError:  # its reader has gone; click ends quietly
            raise
        except OSError as exc:
            error = OutputError(f"standard output cannot be written: {exc.strerror}")
            raise failure(error, output, resume=False, is_last=is_last) from None
    return _WINDOWS_FAILED if failed else 0


def read_stdin() -> Features:
    """Return the features on standard input."""
    from rio_mucho_cli.inputs.vectors import parse_geojson

    try:
        return parse_geojson(sys.stdin.read(), "-")
    except UnicodeDecodeError as exc:
        raise InputError(f"- is not GeoJSON: {exc}") from None


def _run_and_report(
    job: Job, report: str | None, listen: Listener, others: Sequence[str]
) -> Report:
    """Run the job, and write a report if there shall be one."""
    if report is None:
        return run_job(job, listen)
    from rio_mucho_cli.reports.file import recorded

    with recorded(job, report, listen, others=others) as listen:
        return run_job(job, listen)


def _sources(
    paths: Sequence[str],
    listed: str | None,
    assets: str | None,
    missing_assets: MissingAssets | None,
) -> list[Any]:
    """Return the inputs: paths and features, or the scenes of a list.

    Raises
    ------
    UsageError
        If both are given, or options of scenes without a list.
    InputError
        If a list, or features on standard input, cannot be read.
    """
    if listed is None:
        for name, value in (("assets", assets), ("missing_assets", missing_assets)):
            if value is not None:
                raise UsageError(f"{option(name)} is for scenes: give their list with --inputs")
        return [read_stdin() if path == "-" else path for path in paths]
    if paths:
        raise UsageError(
            f"inputs are {paths[0]}, and the scenes of --inputs {listed}: use one of them"
        )
    text = None
    if listed == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as exc:
            raise InputError(f"- is not a list of scenes: {exc}") from None
    return [*read_scenes(read_list(listed, text), assets or (), missing_assets or "fail")]


def _executor(executor: Any, scheduler: str | None) -> Any:
    """Return the executor that the options choose."""
    return executor or ("processes" if scheduler is None else "dask")


def _job(
    *,
    func: str,
    paths: list[str],
    inputs: str | None,
    assets: str | None,
    missing_assets: MissingAssets | None,
    aoi: str | None,
    windows: str | None,
    global_args: str | None,
    args: dict[str, Any],
    output: str,
    jobs: int | None,
    also: list[dict[str, Any]],
    executor: Any,
    scheduler: str | None,
    bidx: dict[Any, str] | None,
    resampling: dict[Any, str] | None,
    src_nodata: dict[Any, Any] | None,
    no_metadata: bool,
    **options: Any,
) -> Job:
    """Return the Job of the options; those not named here are passed on unchanged."""
    for path in (output, *(other["path"] for other in also)):
        if path.startswith("/vsimem/"):
            raise UsageError(f"{path} would be lost when this command ends: use a file")
    function = FunctionRef(func, str(Path.cwd()))
    function.load()
    sources = _sources(paths, inputs, assets, missing_assets)
    return Job(
        inputs=sources,
        aoi=read_stdin() if aoi == "-" else aoi,
        function=function,
        windows=read_windows(windows),
        global_args={**parsing.json_object(global_args), **args},
        output=output,
        also=[Output(**other) for other in also],
        jobs=usable_cpus() if jobs in (None, -1) else jobs,
        executor=_executor(executor, scheduler),
        scheduler=scheduler,
        bidx=number_by_asset(bidx, sources, "bidx"),
        resampling=number_by_asset(resampling, sources, "resampling") or "nearest",
        src_nodata=number_by_asset(src_nodata, sources, "src_nodata"),
        metadata=not no_metadata,
        **options,
    )
