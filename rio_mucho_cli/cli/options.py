"""The options of `rio mucho`, in the groups in which its help shows them.

Help has a short line for each; docs/command.md has the whole story.
"""

from __future__ import annotations

import click
from rasterio.rio import options as rasterio_options

from rio_mucho_cli.cli import completion, texts
from rio_mucho_cli.cli.groups import OneOf, of_rasterio, parsed
from rio_mucho_cli.dtypes import DTYPES

# rasterio's files_inout_arg without its callback, which refuses a missing
# input as wrong usage, and does not look at the last one after -o. The engine
# opens all inputs, and says what is wrong with any of them.
FILES = click.Argument(
    ["files"], nargs=-1, type=click.Path(), required=True, metavar="INPUTS... OUTPUT"
)

_FUNCTION = [
    click.Option(
        ["--func"],
        required=True,
        metavar="MODULE:NAME",
        shell_complete=completion.functions,
        help="Also file.py:NAME, or a class.",
    ),
    click.Option(
        ["--arg", "args"],
        multiple=True,
        metavar="NAME=VALUE",
        callback=parsed(texts.named_values),
        help="A global arg: JSON or else text. Repeatable.",
    ),
    click.Option(
        ["--global-args"],
        metavar="JSON|@FILE|-",
        help="All of its global args, as a JSON object.",
    ),
    click.Option(
        ["--mode"],
        type=OneOf(["simple_read", "array_read", "manual_read"]),
        default="simple_read",
        show_default=True,
        help="It gets an array for each input, one array of all bands, or open datasets.",
    ),
    click.Option(
        ["--plain"],
        is_flag=True,
        help="Call it as func(*arrays, **args).",
    ),
    click.Option(["--masked"], is_flag=True, help="Give it masked arrays."),
    click.Option(
        ["--fill"],
        metavar="nan|NUMBER",
        callback=parsed(texts.number),
        help="Give it this number for masked pixels.",
    ),
    click.Option(
        ["--skip-masked"],
        is_flag=True,
        help="Leave out windows masked in all inputs.",
    ),
    click.Option(
        ["--on-error"],
        type=OneOf(["fail", "nodata"]),
        default="fail",
        show_default=True,
        help="If it raises: end, or leave nodata and exit with 3.",
    ),
]

_WINDOWS = [
    click.Option(
        ["--windows"],
        metavar="blocks|SIZE|FILE|-",
        shell_complete=completion.windows,
        help="Blocks of the first input, 512, 1024x512, or what rio blocks writes.  "
        "[default: about a million pixels]",
    ),
    click.Option(
        ["--overlap"],
        type=int,
        default=0,
        metavar="N",
        help="Read N more pixels on each side of a window.",
    ),
    click.Option(
        ["--boundary"],
        metavar="NAME",
        help="What these are beyond the raster: nodata, edge, reflect or constant=VALUE.",
    ),
    click.Option(
        ["-b", "--bidx"],
        multiple=True,
        metavar="[N=]BANDS",
        callback=parsed(texts.by_input),
        help="Of all inputs, or of the Nth: 1,3 or 1..3.",
    ),
    click.Option(
        ["--like"], type=click.Path(), metavar="FILE", help="Read all inputs on its grid."
    ),
    click.Option(
        ["--extent"],
        type=OneOf(["first", "intersection", "union"]),
        help="How far the output reaches where inputs differ.",
    ),
    click.Option(
        ["--bounds"],
        metavar="'LEFT BOTTOM RIGHT TOP'",
        callback=parsed(texts.bounds),
        help="Work on these bounds only.",
    ),
    click.Option(
        ["--resampling"],
        multiple=True,
        metavar="[N=]NAME",
        callback=parsed(texts.by_input),
        shell_complete=completion.names(completion.resamplings),
        help="Of inputs on other grids, or of the Nth.  [default: nearest]",
    ),
]

_OUTPUT = [
    of_rasterio(rasterio_options.output_opt, help="The output; all others are inputs then."),
    of_rasterio(rasterio_options.overwrite_opt, help="Replace an output that exists."),
    of_rasterio(
        rasterio_options.format_opt,
        metavar="DRIVER",
        find=completion.drivers,
        help="GTiff, COG, ...  [default: by the output's extension]",
    ),
    click.Option(
        ["-t", "--dtype"],
        type=OneOf(DTYPES),
        metavar="DTYPE",
        help="uint8, int16, float32, ...  [default: the function's]",
    ),
    click.Option(
        ["--nodata"],
        metavar="NUMBER|nan|none",
        callback=parsed(texts.nodata),
        help="Nodata.  [default: the first input's or nan]",
    ),
    click.Option(
        ["--count"],
        type=click.IntRange(min=1),
        metavar="N",
        help="Bands that it has to return.",
    ),
    of_rasterio(
        rasterio_options.creation_options,
        find=completion.creation_options,
        help="Creation option of the driver. Repeatable.",
    ),
    click.Option(
        ["--no-metadata"],
        is_flag=True,
        help="Leave out the first input's tags, colours and names.",
    ),
    click.Option(
        ["--overviews"],
        metavar="2,4,8|2^1..3|auto",
        callback=parsed(texts.overview_factors),
        help="Make overviews. A COG has its own.",
    ),
    click.Option(
        ["--overview-resampling"],
        metavar="NAME",
        shell_complete=completion.names(completion.overview_resamplings),
        help="Of overviews.  [default: nearest]",
    ),
    click.Option(["--stats"], is_flag=True, help="Write statistics of all bands into the tags."),
    click.Option(
        ["--also"],
        multiple=True,
        metavar="NAME=PATH[,...]",
        callback=parsed(texts.also),
        help="One more output, for NAME in a dict that the function returns. Repeatable.",
    ),
    click.Option(
        ["--part-size"],
        type=click.IntRange(min=1),
        metavar="PIXELS",
        help="Side of the files of which an output in .vrt is made.  [default: 16384]",
    ),
]

_RUNNING = [
    click.Option(
        ["-j", "--jobs"],
        type=int,
        metavar="N",
        help="Windows to work on at once.  [default: all CPUs]",
    ),
    click.Option(
        ["--executor"],
        type=OneOf(["processes", "threads", "serial", "dask"]),
        help="Where they are worked on.  [default: processes]",
    ),
    click.Option(
        ["--scheduler"],
        metavar="ADDRESS|FILE",
        help="Work in the dask cluster of this scheduler.",
    ),
    click.Option(
        ["--mem-limit"],
        type=click.IntRange(min=1),
        metavar="MB",
        help="Memory for all processes together.",
    ),
    click.Option(
        ["--retries"],
        type=click.IntRange(min=0),
        default=2,
        metavar="N",
        help="How often a window whose worker died is tried again.  [default: 2]",
    ),
    click.Option(
        ["--resume"],
        is_flag=True,
        help="Go on with what the same command has done, and leave what this one does.",
    ),
]

_TELLING = [
    click.Option(
        ["--dry-run"],
        is_flag=True,
        help="Print what would happen; nothing is written.",
    ),
    click.Option(["--no-probe"], is_flag=True, help="With --dry-run: do not try a window."),
    click.Option(
        ["--report"],
        metavar="FILE|-",
        help="What was, or would be, done: JSON, or a page in .html.",
    ),
    click.Option(["-q", "--quiet"], is_flag=True, help="Show neither progress nor a summary."),
]

GROUPS = {
    "Function": _FUNCTION,
    "Windows and grid": _WINDOWS,
    "Output": _OUTPUT,
    "Running": _RUNNING,
    "Telling": _TELLING,
}
