"""`rio mucho`: options become a Job, the Job is run, its end becomes the exit status.

`rio` imports this module at every start, whatever its command: everything
that is not needed to show an option is imported within the command.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rasterio.rio import options

from rio_mucho_cli import texts

if TYPE_CHECKING:
    from rio_mucho_cli.errors import MuchoError
    from rio_mucho_cli.job import Windows
    from rio_mucho_cli.progress import Event, Listener
    from rio_mucho_cli.report import Report

# Exit statuses, beside click's own: windows were left out; and 128 + a signal's number.
_LEFT_OUT = 3
_BY_SIGNAL = 128
_MOST_LISTED = 20

# rasterio's files_inout_arg without its callback, which refuses a missing
# input as wrong usage, and does not look at the last one after -o. The engine
# opens all inputs, and says what is wrong with any of them.
_files_arg = click.argument(
    "files", nargs=-1, type=click.Path(), required=True, metavar="INPUTS... OUTPUT"
)


class _Failed(click.ClickException):
    """A run that failed: one line on stderr."""

    exit_code = 1


class _WrongUsage(click.ClickException):
    """A command that makes no sense, found out by the job and not by click."""

    exit_code = 2


def _parsed(parse: Callable[[Any], Any]) -> Callable[..., Any]:
    """Make a callback of a function that raises ValueError."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from None

    return callback


@click.command(short_help="Apply a Python function to every window of rasters.")
@_files_arg
@options.output_opt
@click.option(
    "--func",
    "func",
    required=True,
    metavar="MODULE:FUNCTION",
    help="The function: MODULE:FUNCTION or path/to/file.py:FUNCTION. A class is made once in "
    "each worker, with the global args, and its instance called.",
)
@click.option(
    "--mode",
    type=click.Choice(["simple_read", "array_read", "manual_read"]),
    default="simple_read",
    show_default=True,
    help="What the function gets: a list with an array for each input, one array with the "
    "bands of all, or the open datasets.",
)
@click.option(
    "--global-args",
    "global_args",
    metavar="JSON|@FILE|-",
    help="A JSON object that the function gets as its last argument.",
)
@click.option(
    "--arg",
    "args",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_parsed(texts.named_values),
    help="One of the global args; VALUE is JSON or else text. Repeatable; wins over --global-args.",
)
@click.option("--like", metavar="FILE", help="Read all inputs on this raster's grid.")
@click.option(
    "--extent",
    type=click.Choice(["first", "intersection", "union"]),
    help="How far the output reaches where inputs differ, in the first one's pixels.  "
    "[default: they must not differ]",
)
@click.option(
    "--bounds",
    metavar="'LEFT BOTTOM RIGHT TOP'",
    callback=_parsed(texts.bounds),
    help="Make an output of the pixels that these bounds touch.",
)
@click.option(
    "--resampling",
    multiple=True,
    metavar="[N=]NAME",
    callback=_parsed(texts.by_input),
    help="For inputs on other grids, or for the Nth input.  [default: nearest]",
)
@click.option(
    "-b",
    "--bidx",
    multiple=True,
    metavar="[N=]BANDS",
    callback=_parsed(texts.by_input),
    help="Bands to read, of all inputs or of the Nth: 1,3 or 1..3.  [default: all]",
)
@click.option(
    "--overlap",
    type=int,
    default=0,
    metavar="N",
    help="Give the function N more pixels on each side; they are cut off what it returns.",
)
@click.option(
    "--boundary",
    metavar="nodata|edge|reflect|constant=VALUE",
    help="What these pixels are beyond the raster.  [default: nodata if the input has one, "
    "else edge]",
)
@click.option(
    "--plain",
    is_flag=True,
    help="Call the function with the arrays, 2-D where an input has one band, and the global "
    "args by name: func(*arrays, **args).",
)
@click.option("--masked", is_flag=True, help="Give the function masked arrays.")
@click.option(
    "--skip-masked",
    is_flag=True,
    help="Do not compute windows in which every input pixel is masked: they are nodata.",
)
@click.option(
    "--windows",
    metavar="blocks|SIZE|FILE|-",
    help="Windows to work on: 'blocks' of the first input, a size in pixels (512 or "
    "WIDTHxHEIGHT), or GeoJSON features as rio blocks writes them.  [default: about a "
    "million pixels each, in whole blocks of the output]",
)
@options.dtype_opt
@click.option("--count", type=click.IntRange(min=1), help="Bands that the function returns.")
@options.nodata_opt
@options.format_opt
@options.creation_options
@click.option(
    "--no-metadata",
    is_flag=True,
    help="Do not carry over the first input's tags, names of bands, colours, scales and points.",
)
@click.option(
    "--overviews",
    metavar="2,4,8|2^1..3|auto",
    callback=_parsed(texts.overview_factors),
    help="Make overviews, as rio overview does; auto: until no side has more than 256 pixels. "
    "A COG has its own.",
)
@click.option(
    "--overview-resampling",
    metavar="NAME",
    help="For overviews: nearest, average, mode, or another one that GDAL has.  [default: nearest]",
)
@click.option(
    "--stats",
    is_flag=True,
    help="Write minimum, maximum, mean, standard deviation and valid percentage of all bands "
    "into the tags that GDAL and QGIS read.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="NAME=PATH[,OPTION=VALUE...]",
    callback=_parsed(texts.also),
    help="One more output, of a function that returns a dict of arrays: the one called NAME. "
    "Options are dtype, count, nodata, driver, and the driver's own. Repeatable.",
)
@click.option(
    "--part-size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="If OUTPUT ends in .vrt: the side of each of the files of which it is a mosaic.  "
    "[default: 16384]",
)
@options.overwrite_opt
@click.option(
    "-j",
    "--jobs",
    type=int,
    help="Windows to work on at once; -1 for all CPUs.  [default: all CPUs that may be used]",
)
@click.option(
    "--executor",
    type=click.Choice(["processes", "threads", "serial", "dask"]),
    help="Where windows are worked on. dask: in a cluster started here, or --scheduler's.  "
    "[default: processes]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS|FILE",
    help="Work in the dask cluster of this scheduler: tcp://host:8786, or a file that it has "
    "written. All its workers are used.",
)
@click.option(
    "--mem-limit",
    type=click.IntRange(min=1),
    metavar="MB",
    help="What all processes may take together, by estimate: windows become smaller, then jobs "
    "fewer.  [default: what suits the jobs and the machine]",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    metavar="N",
    help="How often a window is computed again whose worker process was killed, or crashed.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "nodata"]),
    default="fail",
    show_default=True,
    help="If the function raises: end the run, or make the window nodata, and exit with 3.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with what an interrupted run of the same command has done; leave what this one "
    "has done, in OUTPUT.mucho-partial or OUTPUT.parts, if it is interrupted.",
)
@click.option(
    "--report",
    metavar="FILE|-",
    help="Write what the run did, and where its time went: a page if FILE ends in .html, else "
    "JSON; -: JSON on standard output.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
@click.pass_context
def mucho(
    ctx: click.Context,
    files: tuple[str, ...],
    output: str | None,
    func: str,
    mode: Any,
    global_args: str | None,
    args: dict[str, Any],
    like: str | None,
    extent: Any,
    bounds: Any,
    resampling: dict[int, str] | None,
    bidx: dict[int, str] | None,
    overlap: int,
    boundary: str | None,
    plain: bool,
    masked: bool,
    skip_masked: bool,
    windows: str | None,
    dtype: str | None,
    count: int | None,
    nodata: float | None,
    driver: str | None,
    creation_options: dict[str, str],
    no_metadata: bool,
    overviews: tuple[int, ...] | None,
    overview_resampling: str | None,
    stats: bool,
    also: list[dict[str, Any]],
    part_size: int | None,
    overwrite: bool,
    jobs: int | None,
    executor: Any,
    scheduler: str | None,
    mem_limit: int | None,
    retries: int,
    on_error: Any,
    resume: bool,
    report: str | None,
    quiet: bool,
) -> None:
    """Apply a Python function to every window of some rasters, in parallel.

    The function is called as func(data, window, ij, global_args) and returns
    an array (count, rows, cols), or (rows, cols) for one band. What it returns
    for all windows becomes one raster, on the grid of the first input. Data
    type and number of bands are those of what it returns; nodata, format and
    compression are the first input's, unless options say otherwise.

    The output appears when all is done; a run that fails leaves none, and an
    old one as it was.

    \b
        $ cat index.py
        def run(data, window, ij, global_args):
            nir, red = (band[0].astype("float32") for band in data)
            return (nir - red) / (nir + red)
    \b
        $ rio mucho b5.tif b4.tif ndvi.tif --func index:run -j 8 --nodata nan
    """  # noqa: D301 (click wants the character itself)
    from rio_mucho_cli.interrupts import INTERRUPTS, Terminated

    # While the interpreter shuts down, Ctrl-C has nothing left to interrupt.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    if output is None:
        *inputs, output = files
    else:
        inputs = list(files)
    if windows == "-" and global_args == "-":
        raise click.UsageError("--windows and --global-args cannot both be standard input")
    nodata_given = ctx.get_parameter_source("nodata") == ParameterSource.COMMANDLINE
    try:
        with ctx.obj["env"]:
            _run(
                func,
                windows,
                global_args,
                args,
                report,
                quiet,
                inputs=inputs,
                output=output,
                mode=mode,
                like=like,
                extent=extent,
                bounds=bounds,
                resampling=resampling or "nearest",
                bidx=bidx,
                overlap=overlap,
                boundary=boundary,
                plain=plain,
                masked=masked,
                skip_masked=skip_masked,
                driver=driver,
                dtype=dtype,
                count=count,
                nodata=nodata,
                keep_nodata=not nodata_given,
                creation_options=creation_options,
                metadata=not no_metadata,
                overviews=overviews,
                overview_resampling=overview_resampling,
                stats=stats,
                also=also,
                part_size=part_size,
                overwrite=overwrite,
                executor=executor or ("processes" if scheduler is None else "dask"),
                scheduler=scheduler,
                jobs=jobs,
                mem_limit=mem_limit,
                retries=retries,
                on_error=on_error,
                resume=resume,
            )
    except INTERRUPTS as exc:
        signum = exc.signum if isinstance(exc, Terminated) else signal.SIGINT
        how = "Interrupted" if signum == signal.SIGINT else f"Ended by {signum.name}"
        with suppress(OSError):
            click.echo(f"{how}: {output} was not written.{_kept(output, resume)}", err=True)
        _leave(_BY_SIGNAL + signum)


def _run(
    func: str,
    windows: str | None,
    global_args: str | None,
    args: dict[str, Any],
    report_path: str | None,
    quiet: bool,
    *,
    output: str,
    jobs: int | None,
    also: list[dict[str, Any]],
    **given: Any,
) -> None:
    """Make a Job of what was given, and run it.

    Raises
    ------
    ClickException
        For every MuchoError, with its message and its exit status, and for
        what the system refuses.
    """
    from rio_mucho_cli import engine
    from rio_mucho_cli.environment import keep_memory
    from rio_mucho_cli.errors import MuchoError, OutputError
    from rio_mucho_cli.executors import usable_cpus
    from rio_mucho_cli.interrupts import caught
    from rio_mucho_cli.job import Job
    from rio_mucho_cli.output import Output
    from rio_mucho_cli.telling.file import recorded
    from rio_mucho_cli.work.functions import FunctionRef

    try:
        for path in (output, *(each["path"] for each in also)):
            if path.startswith("/vsimem/"):
                raise OutputError(f"{path} would be gone when this command ends: give a file")
        function = FunctionRef(func, str(Path.cwd()))
        function.load()
        job = Job(
            function=function,
            windows=_read_windows(windows),
            global_args={**texts.json_object(global_args), **args},
            output=output,
            also=[Output(**each) for each in also],
            jobs=usable_cpus() if jobs in (None, -1) else jobs,
            **given,
        )
        keep_memory()
        with (
            caught(for_good=True),
            _bar(quiet) as bar,
            recorded(job, report_path, bar) as listen,
        ):
            report = engine.run(job, listen)
    except MuchoError as exc:
        kept = _kept(output, given["resume"])
        raise _failure(exc, kept) from None
    except OSError as exc:
        kept = _kept(output, given["resume"])
        raise _failure(_refused(exc), kept) from None
    if report.failed:
        # Whether somebody reads it makes no difference to what was done.
        with suppress(OSError):
            _list_failed(report)
        sys.exit(_LEFT_OUT)


def _list_failed(report: Report) -> None:
    """Say which windows are nodata because their function raised."""
    from rio_mucho_cli.inputs.windows import describe

    number = len(report.failed)
    click.echo(f"{number} of {report.windows} windows came out as nodata:", err=True)
    for failure in report.failed[:_MOST_LISTED]:
        click.echo(f"  {describe(failure.window)} (ij {failure.ij}): {failure.message}", err=True)
    if number > _MOST_LISTED:
        click.echo(f"  and {number - _MOST_LISTED} more", err=True)


def _read_windows(text: str | None) -> Windows:
    """Turn the value of --windows into what a Job takes.

    Raises
    ------
    WindowsError
        If it is none of the four.
    """
    from rio_mucho_cli.errors import WindowsError
    from rio_mucho_cli.inputs.windows import from_features, parse_size

    if text is None:
        return None
    if text == "blocks":
        return "blocks"
    size = parse_size(text)
    if size is not None:
        return size
    # os.path, unlike Path, takes a name that is too long for one of no file.
    if text != "-" and not os.path.isfile(text):  # noqa: PTH113
        raise WindowsError(
            f"--windows {text} is no file: expected 'blocks', a size such as 512 or 1024x512, "
            "a file of GeoJSON features, or - for standard input"
        )
    from cligj.features import iter_features

    try:
        source = sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8")
        lines = [line for line in source.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].startswith("{") and lines[0].endswith("}"):
            # cligj would take a line that does not parse for the first one's end.
            for line in lines:
                json.loads(line)
        return from_features(iter_features(iter(lines)) if lines else [])
    except WindowsError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise WindowsError(
            f"--windows {text} is not GeoJSON ({type(exc).__name__}: {exc}): expected a "
            "FeatureCollection, or one Feature on each line, as rio blocks --sequence and jq -c "
            "write them"
        ) from None


@contextmanager
def _bar(quiet: bool) -> Iterator[Listener]:
    """Show a progress bar on stderr, if that is a terminal."""
    from rio_mucho_cli.progress import OverviewDone, RunStarted, WindowDone, ignore

    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield ignore
        return
    with (
        suppress(BrokenPipeError),
        click.progressbar(length=0, label="windows", show_pos=True, file=sys.stderr) as bar,
    ):

        def show(event: Event) -> None:
            match event:
                case RunStarted(windows=windows, overviews=overviews, done=done):
                    bar.length = windows + overviews
                    bar.update(done)
                    bar.render_progress()
                case WindowDone() | OverviewDone():
                    bar.update(1)

        def listen(event: Event) -> None:
            # A terminal that has gone is no reason to end the run.
            with suppress(OSError):
                show(event)

        yield listen


def _kept(output: str, resume: bool) -> str:
    """Say where what was done is kept, if it is."""
    from rio_mucho_cli.outputs.parts_folder import parts_folder, unfinished_run
    from rio_mucho_cli.outputs.target import journal_of, partial_folder

    if resume and unfinished_run(output) is not None:
        folder = parts_folder(output).name
        return f" The parts that were done are in {folder}: the same command goes on with them."
    if not resume or not journal_of(output).exists():
        return ""
    folder = partial_folder(output).name
    return f" What was done is in {folder}: the same command goes on with it."


def _refused(exc: OSError) -> MuchoError:
    """Say what the system refuses, where nobody who knows more has said it."""
    from rio_mucho_cli.errors import MuchoError

    advice = ""
    if exc.errno in (errno.EMFILE, errno.ENFILE):
        advice = ": allow more open files (ulimit -n), or use fewer inputs or jobs"
    return MuchoError(f"the system does not let the run go on ({exc}){advice}")


def _failure(exc: MuchoError, kept: str) -> click.ClickException:
    """Say an error as the command line says it."""
    from rio_mucho_cli.errors import MuchoChildError, UsageError

    message = str(exc.args[0])
    if exc.window is not None and "window rows" not in message:
        from rio_mucho_cli.inputs.windows import describe

        message = f"at {describe(exc.window)} (ij {exc.ij}): {message}"
    if isinstance(exc, MuchoChildError):
        click.echo(exc.formatted, err=True, nl=False)
        message += f"; {exc.done} window{'s were' if exc.done != 1 else ' was'} done"
    if isinstance(exc, UsageError):
        return _WrongUsage(message)
    return _Failed(f"{message.rstrip('.')}.{kept}" if kept else message)


def _leave(status: int) -> None:
    """Exit, without waiting for threads that are busy with a window."""
    if any(thread.name.startswith("mucho") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
