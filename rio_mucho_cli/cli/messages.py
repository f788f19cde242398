"""What is said when a run ends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import click

from rio_mucho_cli.engine.report import Report
from rio_mucho_cli.errors import MuchoChildError, MuchoError, OutputExistsError, UsageError
from rio_mucho_cli.outputs.files import journal_of, partial_folder
from rio_mucho_cli.outputs.mosaic_folder import parts_folder, unfinished_run
from rio_mucho_cli.reports.file import is_stdout, write_report
from rio_mucho_cli.reports.preview import Preview
from rio_mucho_cli.reports.progress import summary
from rio_mucho_cli.system import system_error
from rio_mucho_cli.windows import format_window

_MOST_LISTED = 20


class _Failed(click.ClickException):
    """A run that failed: one line on stderr."""

    exit_code = 1


class _WrongUsage(click.ClickException):
    """A command that makes no sense, found out by the job and not by click."""

    exit_code = 2


def failure(
    exc: MuchoError | OSError, output: str, *, resume: bool, is_last: bool
) -> click.ClickException:
    """Say an error as the command line says it."""
    if not isinstance(exc, MuchoError):
        exc = system_error(exc)
    message = str(exc.args[0])
    if exc.window is not None and "window rows" not in message:
        message = f"at {format_window(exc.window)} (ij {exc.ij}): {message}"
    if isinstance(exc, OutputExistsError) and is_last:
        message += ", or, if it is an input, name an output after it"
    if isinstance(exc, MuchoChildError):
        click.echo(exc.formatted, err=True, nl=False)
        message += f"; {exc.done} window{'s were' if exc.done != 1 else ' was'} done"
    if isinstance(exc, UsageError):
        return _WrongUsage(message)
    kept = what_is_kept(output, resume)
    return _Failed(f"{message.rstrip('.')}.{kept}" if kept else message)


def what_is_kept(output: str, resume: bool) -> str:
    """Say where what was done is kept, if it is."""
    if resume and unfinished_run(output) is not None:
        folder = parts_folder(output).name
        return f" The parts that were done are in {folder}: the same command goes on with them."
    if not resume or not journal_of(output).exists():
        return ""
    folder = partial_folder(output).name
    return f" What was done is in {folder}: the same command goes on with it."


def summarise(report: Report, outputs: Sequence[str]) -> None:
    """Say in a line what was done, if anything was."""
    if report.windows:
        with suppress(OSError):
            click.echo(summary(report, outputs), err=True)


def show_preview(preview: Preview, report: str | None) -> bool:
    """Print what a run would do, or write it as JSON; return whether its window failed."""
    failed = (preview.probe or {}).get("failure")
    if failed:
        click.echo(failed.rstrip(), err=True)
    if report is None or not is_stdout(report):
        click.echo(str(preview))
    if report is not None:
        write_report(preview.as_dict(), report)
    return bool(failed)


def list_failed(report: Report) -> None:
    """Say which windows are nodata because their function raised."""
    number = len(report.failed)
    if not number:
        return
    # Whether somebody reads it makes no difference to what was done.
    with suppress(OSError):
        click.echo(f"{number} of {report.windows} windows came out as nodata:", err=True)
        for failed in report.failed[:_MOST_LISTED]:
            window = f"{format_window(failed.window)} (ij {failed.ij})"
            click.echo(f"  {window}: {failed.message}", err=True)
        if number > _MOST_LISTED:
            click.echo(f"  and {number - _MOST_LISTED} more", err=True)
