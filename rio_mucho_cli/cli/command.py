"""The `rio mucho` command: its arguments, its help and its handling of signals."""

from __future__ import annotations

import atexit
import logging
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from rio_mucho_cli.cli.options import FILES, GROUPS


def check_stdin(inputs: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raise UsageError if two arguments would read standard input."""
    readers = [f"--{name.replace('_', '-')}" for name in _STDIN if options.get(name) == "-"]
    readers += ["an input"] * inputs.count("-")
    if len(readers) > 1:
        first, second = readers[0], "another" if readers[1] == readers[0] else readers[1]
        raise click.UsageError(f"{first} and {second} cannot both read standard input")


# Options that read standard input if they are "-".
_STDIN = ("inputs", "windows", "global_args", "aoi")


class GroupedCommand(click.Command):
    """A command whose help shows options in groups, each under its own title.

    Parameters
    ----------
    arguments : sequence of Argument
        Arguments, which come before the options.
    groups : Mapping of str to sequence of Option
        Options by group title. The last group includes --help.
    **settings
        Parameters of click.Command.
    """

    def __init__(
        self,
        *,
        arguments: Sequence[click.Argument],
        groups: Mapping[str, Sequence[click.Option]],
        **settings: Any,
    ) -> None:
        self.groups = groups
        options = [option for group in groups.values() for option in group]
        super().__init__(**{**settings, "params": [*arguments, *options]})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; explain where options of `rio` itself belong."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as exc:
            name, parent = exc.option_name, ctx.parent
            if parent is not None and any(name in param.opts for param in parent.command.params):
                raise click.UsageError(
                    f"{name} is an option of {parent.command_path}, and must come before "
                    f"{ctx.info_name}: {parent.command_path} {name} {ctx.info_name} ...",
                    ctx,
                ) from None
            from rio_mucho_cli.text import closest

            names = [name for param in self.params for name in param.opts if name[:1] == "-"]
            similar = closest(exc.option_name, names, lambda name: name.lstrip("-"))
            suggestions = None if similar is None else [similar]
            raise click.NoSuchOption(exc.option_name, possibilities=suggestions, ctx=ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group as its own section."""
        *_, last = self.groups
        for title, options in self.groups.items():
            shown = [*options, self.get_help_option(ctx)] if title == last else options
            records = [option.get_help_record(ctx) for option in shown if option is not None]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


class MessageFormatter(logging.Formatter):
    """Formats messages of this package like click's errors: ``Warning: ...``.

    Parameters
    ----------
    other : Formatter or None
        Formatter for messages of other loggers.
    """

    def __init__(self, other: logging.Formatter | None) -> None:
        super().__init__()
        self._other = other or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, after its level if that is a warning or an error."""
        if record.name.partition(".")[0] != "rio_mucho_cli":
            return self._other.format(record)
        text = super().format(record)
        return f"{record.levelname.title()}: {text}" if record.levelno >= logging.WARNING else text


def format_messages() -> None:
    """Give the handlers that `rio` has installed a MessageFormatter."""
    for handler in logging.getLogger().handlers:
        is_ours = isinstance(handler.formatter, MessageFormatter)
        if type(handler) is logging.StreamHandler and not is_ours:
            handler.setFormatter(MessageFormatter(handler.formatter))


# The verbosity of rio -vv.
_WINDOW_VERBOSITY = 2


@click.command(
    cls=GroupedCommand,
    arguments=[FILES],
    groups=GROUPS,
    context_settings={"max_content_width": 100},
    short_help="Apply a Python function to every window of rasters.",
)
@click.pass_context
def mucho(
    ctx: click.Context, /, files: tuple[str, ...], output: str | None, **options: Any
) -> None:
    """Apply a Python function to every window of some rasters, in parallel.

    The function is called as func(data, window, ij, global_args) and returns
    an array (count, rows, cols), or (rows, cols) for one band. The results of
    all windows are written to one raster, on the grid of the first input. The
    output appears only once it is complete.

    \b
        $ cat index.py
        def run(data, window, ij, global_args):
            nir, red = (band[0].astype("float32") for band in data)
            return (nir - red) / (nir + red)
    \b
        $ rio mucho b5.tif b4.tif ndvi.tif --func index:run -j 8
        $ rio mucho b5.tif b4.tif cog.tif --func index:run -f COG --stats
        $ rio mucho dem.tif smooth.tif --func scipy.ndimage:gaussian_filter \\
              --plain --fill nan --arg sigma=2 --overlap 8 --boundary edge
    """  # noqa: D301 (click needs the character itself)
    from rio_mucho_cli.cli.leaving import end_on_ignored_signals, exit_after_signal
    from rio_mucho_cli.signals import INTERRUPTS, first_signal_raises
    from rio_mucho_cli.text import for_command_line

    # Ignore signals while the interpreter shuts down: there is nothing left to interrupt.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            atexit.register(signal.signal, getattr(signal, name), signal.SIG_IGN)
    is_last = output is None
    if output is None:
        *paths, output = files
    else:
        paths = list(files)
    check_stdin(paths, options)
    if options["no_probe"] and not options["dry_run"]:
        raise click.UsageError("--no-probe needs --dry-run: pass that as well")
    format_messages()
    verbosity = ctx.obj.get("verbosity", 0)
    if verbosity == _WINDOW_VERBOSITY:
        # rasterio logs twenty lines for each of ours; -vvv shows them all.
        logging.getLogger("rasterio").setLevel(logging.INFO)
    options["quiet"] = options["quiet"] or verbosity < 0
    sets_nodata = ctx.get_parameter_source("nodata") == ParameterSource.COMMANDLINE
    options |= {"is_last": is_last, "keep_nodata": not sets_nodata}
    status = None
    try:
        with for_command_line(), first_signal_raises(for_good=True):
            from rio_mucho_cli.cli.run import prepare, run, stdout_for

            outputs = [output, *(other["path"] for other in options["also"])]
            prepare(**options)  # before GDAL is used, and before there is another thread
            with (
                end_on_ignored_signals(output, options["resume"]),
                ctx.obj["env"],
                stdout_for(options["report"], outputs, dry_run=options["dry_run"]),
            ):
                status = run(paths=paths, output=output, **options)
    except INTERRUPTS as exc:
        if status is None:  # otherwise the run had ended already
            exit_after_signal(exc, output, options["resume"])
    if status:
        ctx.exit(status)
