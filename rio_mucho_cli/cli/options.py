"""The options of `rio mucho`, grouped as in its help."""

from __future__ import annotations

import click
from rasterio.rio import options as rasterio_options

from rio_mucho_cli.cli import completion, parsing
from rio_mucho_cli.cli.option_types import OneOf, Option, parse_with, rasterio_option
from rio_mucho_cli.dtypes import DTYPES

# rasterio's files_inout_arg without its callback, which reports a missing input as
# a usage error and ignores -o. The engine opens all inputs and explains what is
# wrong with any of them.
FILES = click.Argument(
    ["files"], nargs=-1, type=click.Path(), required=True, metavar="INPUTS... OUTPUT"
)

_FUNCTION = [
    Option(
        ["--func"],
        required=True,
        metavar="MODULE:NAME",
        shell_complete=completion.functions,
        help="Function or class to call; FILE.py:NAME also works.",
        details="The current folder is importable, and NAME may have dots. Each worker creates "
        "one instance of a class, and calls it for every window. A keyword-only parameter `info` "
        "of the function gives it the position of its window.",
    ),
    Option(
        ["--arg", "args"],
        multiple=True,
        metavar="NAME=VALUE",
        callback=parse_with(parsing.named_values),
        help="Set an entry of global_args (JSON or text).",
        details="Repeatable. Takes precedence over `--global-args`.",
    ),
    Option(
        ["--global-args"],
        metavar="JSON|@FILE|-",
        help="All of global_args, as a JSON object.",
        details="From a file after `@`, or from standard input (`-`).",
    ),
    Option(
        ["--mode"],
        type=OneOf(["simple_read", "array_read", "manual_read"]),
        default="simple_read",
        show_default=True,
        help="Pass an array per input, one of all bands, or open datasets.",
        details="Arrays are `(count, rows, cols)`. With `manual_read`, the function does its own "
        "reading.",
    ),
    Option(
        ["--plain"],
        is_flag=True,
        help="Call the function as func(*arrays, **args).",
        details="Arrays are 2-D for inputs with one band. `args` are the global args.",
    ),
    Option(
        ["--masked/--no-masked"],
        default=None,
        help="Pass masked arrays.",
        details="Masked pixels are nodata, or hidden by a mask or an alpha band.",
    ),
    Option(
        ["--fill"],
        metavar="nan|NUMBER",
        callback=parse_with(parsing.number),
        help="Replace masked pixels with this number.",
        details="With `nan`, integers arrive as floats, and NaN in the result is masked again.",
    ),
    Option(
        ["--skip-masked"],
        is_flag=True,
        help="Skip windows that are masked in all inputs.",
        details="They are nodata in the output.",
    ),
    Option(
        ["--on-error"],
        type=OneOf(["fail", "nodata"]),
        default="fail",
        show_default=True,
        help="If the function raises: fail, or leave nodata and exit with 3.",
        details="With `nodata`, all other windows are computed, and those that failed are listed.",
    ),
]

_SCENES = [
    Option(
        ["--inputs"],
        metavar="FILE|-",
        help="List of scenes: paths, or STAC items.",
        details="The function gets the scenes that touch its window. A path on each line, or JSON: "
        "a list of paths, an item, a list of items, an ItemCollection, or an item on each line. "
        "See [Series](../how-to/series.md).",
    ),
    Option(
        ["--assets"],
        metavar="NAME,...",
        help="Assets of items to read, in this order.",
        details="By key, or by the name or common name of a band. In options with `N=`, N is the "
        "number of an asset, or its name.",
    ),
    Option(
        ["--missing-assets"],
        type=OneOf(["fail", "skip"]),
        help="If an item lacks an asset.  [default: fail]",
        details="`fail` is an error. `skip` leaves such items out, and warns how many.",
    ),
]

_WINDOWS = [
    Option(
        ["--windows"],
        metavar="blocks|SIZE|FILE|-",
        shell_complete=completion.windows,
        help="Blocks of the first input, 512, 1024x512, or output of rio blocks.  "
        "[default: about a million pixels]",
        details="A size is in pixels, width x height. `FILE`, or `-`, has GeoJSON features as "
        "`rio blocks` writes them. The default is whole blocks of the output.",
    ),
    Option(
        ["--overlap"],
        type=int,
        metavar="N",
        help="Read N more pixels on each side of a window.",
        details="They are cropped from the result.",
    ),
    Option(
        ["--boundary"],
        metavar="NAME",
        help="Pixels beyond the raster: nodata, edge, reflect or constant=VALUE.",
        details="The default is `nodata` if the input has one, else `edge`.",
    ),
    Option(
        ["-b", "--bidx"],
        multiple=True,
        metavar="[N=]BANDS",
        callback=parse_with(parsing.by_input),
        help="Bands to read, such as 1,3 or 1..3.",
        details="`N=BANDS` for the Nth input only. Repeatable. The default is all bands.",
    ),
    Option(
        ["--src-nodata"],
        multiple=True,
        metavar="[N=]VALUE|none",
        callback=parse_with(parsing.nodata_by_input),
        help="Override the nodata value of inputs.",
        details="`N=VALUE` for the Nth input only. `none` means no nodata. Repeatable.",
    ),
    Option(
        ["--burn"],
        multiple=True,
        metavar="[N=]ATTRIBUTE",
        callback=parse_with(parsing.by_input),
        help="Attribute of vector inputs to burn.",
        details="By default, the numbers of the features are burned, from 1. `N=ATTRIBUTE` for the "
        "Nth input only. `ATTRIBUTE,all_touched` burns all pixels that a feature touches. See "
        "[Vectors](../how-to/vectors.md). Repeatable.",
    ),
    Option(
        ["--like"],
        type=click.Path(),
        metavar="FILE",
        help="Read all inputs on the grid of this raster.",
        details="The output has this grid, too.",
    ),
    Option(
        ["--extent"],
        type=OneOf(["first", "intersection", "union"]),
        help="Output extent when inputs differ.",
        details="Pixel size and CRS are those of the first input. Without this option, inputs on "
        "different grids are an error.",
    ),
    Option(
        ["--bounds"],
        metavar="'LEFT BOTTOM RIGHT TOP'",
        callback=parse_with(parsing.bounds),
        help="Limit the run to these bounds.",
        details="In the grid's CRS, snapped outward to pixels. Nothing outside is read.",
    ),
    Option(
        ["--aoi"],
        metavar="FILE|-",
        help="Limit the run to an area of interest.",
        details="Features of any shape, in any CRS. Windows that do not touch it are skipped. "
        "Pixels outside are nodata. See [Vectors](../how-to/vectors.md#an-area-of-interest).",
    ),
    Option(
        ["--resampling"],
        multiple=True,
        metavar="[N=]NAME",
        callback=parse_with(parsing.by_input),
        shell_complete=completion.complete_names(completion.resamplings),
        help="Resampling of inputs on other grids.  [default: nearest]",
        details="`N=NAME` for the Nth input only. Repeatable.",
    ),
]

_OUTPUT = [
    rasterio_option(
        rasterio_options.output_opt,
        help="The output; all other files are inputs.",
        details="Without it, the last file is the output.",
    ),
    rasterio_option(
        rasterio_options.overwrite_opt,
        help="Replace an existing output.",
        details="The output may be one of the inputs.",
    ),
    rasterio_option(
        rasterio_options.format_opt,
        metavar="DRIVER",
        complete=completion.drivers,
        help="GTiff, COG, ...  [default: by the output's extension]",
        details="Any GDAL driver that can write.",
    ),
    Option(
        ["-t", "--dtype"],
        type=OneOf(DTYPES),
        metavar="DTYPE",
        help="uint8, int16, float32, ...  [default: the function's]",
        details="Results are cast to this dtype. Out-of-range values are counted and reported.",
    ),
    Option(
        ["--nodata"],
        metavar="NUMBER|nan|none",
        callback=parse_with(parsing.nodata),
        help="Nodata.  [default: the first input's or nan]",
        details="The default is the first input's if the output has its dtype, else `nan` for "
        "floats and `none` for integers.",
    ),
    Option(
        ["--count"],
        type=click.IntRange(min=1),
        metavar="N",
        help="Bands that the function must return.",
        details="The default is the number of bands that it returns.",
    ),
    rasterio_option(
        rasterio_options.creation_options,
        complete=completion.creation_options,
        help="Creation option of the driver. Repeatable.",
        details="By default tiles suit the windows, and compression follows "
        "[this rule](../how-to/cog.md#compression).",
    ),
    Option(
        ["--no-metadata"],
        is_flag=True,
        help="Copy no metadata, write no provenance.",
        details="By default, metadata that still applies is copied, and tags record how the output "
        "was made.",
    ),
    Option(
        ["--overviews"],
        metavar="2,4,8|2^1..3|auto",
        callback=parse_with(parsing.overview_factors),
        help="Build overviews. A COG has its own.",
        details="Factors as for `rio overview --build`. `auto` adds overviews until no side "
        "exceeds 256 pixels.",
    ),
    Option(
        ["--overview-resampling"],
        metavar="NAME",
        shell_complete=completion.complete_names(completion.overview_resamplings),
        help="Resampling for overviews.  [default: nearest]",
        details="`average`, `mode`, or another one of GDAL's.",
    ),
    Option(
        ["--stats"],
        is_flag=True,
        help="Write statistics of all bands into the tags.",
        details="Minimum, maximum, mean, standard deviation and valid percentage, in the tags that "
        "GDAL and QGIS read.",
    ),
    Option(
        ["--also"],
        multiple=True,
        metavar="NAME=PATH[,...]",
        callback=parse_with(parsing.also),
        help="One more output, for NAME in a dict that the function returns. Repeatable.",
        details="`NAME=PATH,OPTION=VALUE,...`: `dtype`, `count`, `nodata`, `driver`, `merge`, or "
        "an option of the driver.",
    ),
    Option(
        ["--merge"],
        metavar="NAME",
        help="Merge values of windows: sum, min, max, list or MODULE:NAME.",
        details="For an output in .json, .ndjson, .csv or .geojsonl, or `-`. Values are merged in "
        "the order of the windows. A function is called as `merge(total, value)`. The default is "
        "the function's own `merge`, else `list`. See [Values](../how-to/values.md).",
    ),
    Option(
        ["--part-size"],
        type=click.IntRange(min=1),
        metavar="PIXELS",
        help="Side of the files that make up an output in .vrt.  [default: 16384]",
        details="Files consist of whole windows.",
    ),
]

_RUNNING = [
    Option(
        ["-j", "--jobs"],
        type=int,
        metavar="N",
        help="Windows to compute at once.  [default: all CPUs]",
        details="`-1` means all CPUs that the process may use. `1` computes in the main process.",
    ),
    Option(
        ["--executor"],
        type=OneOf(["processes", "threads", "serial", "dask"]),
        help="Where to compute windows.  [default: processes]",
        details="`threads` suit functions that release the GIL. `dask` starts a cluster on this "
        "machine, unless there is a `--scheduler`.",
    ),
    Option(
        ["--scheduler"],
        metavar="ADDRESS|FILE",
        help="Use the dask cluster of this scheduler.",
        details="`tcp://host:8786`, or a scheduler file. All workers of the cluster are used.",
    ),
    Option(
        ["--mem-limit"],
        type=click.IntRange(min=1),
        metavar="MB",
        help="Memory for all processes together.",
        details="In MB (10^6 bytes), by estimate. To keep the limit, windows become smaller first, "
        "then jobs fewer, with a message. The default suits the jobs and the machine.",
    ),
    Option(
        ["--retries"],
        type=click.IntRange(min=0),
        default=2,
        metavar="N",
        help="Retries of a window whose worker died.  [default: 2]",
        details="A function that raises is not retried.",
    ),
    Option(
        ["--timeout"],
        type=float,
        metavar="SECONDS",
        help="End workers that take longer for a window.",
        details="The window is retried, as if the worker had died. For `processes` and `dask`.",
    ),
    Option(
        ["--resume"],
        is_flag=True,
        help="Resume an interrupted run of this command; keep progress if interrupted again.",
        details="Needs a function that can be imported, and plain global args: "
        "[Resume interrupted runs](../how-to/resume.md).",
    ),
]

_REPORTING = [
    Option(
        ["--dry-run"],
        is_flag=True,
        help="Print the plan; write nothing.",
        details="The function is called for one window, to estimate times and sizes.",
    ),
    Option(
        ["--no-probe"],
        is_flag=True,
        help="With --dry-run: do not call the function.",
        details="Times and file sizes are not estimated.",
    ),
    Option(
        ["--report"],
        metavar="FILE|-",
        help="Report on the run as JSON, or as a page (.html).",
        details="`-` writes JSON to standard output. With `--dry-run`: the plan, as JSON.",
    ),
    Option(
        ["-q", "--quiet"],
        is_flag=True,
        help="Show neither progress nor a summary.",
        details="The default is a progress bar on a terminal, else a line from time to time, and a "
        "summary at the end.",
    ),
]

GROUPS = {
    "Function": _FUNCTION,
    "Series of scenes": _SCENES,
    "Windows and grid": _WINDOWS,
    "Output": _OUTPUT,
    "Running": _RUNNING,
    "Reporting": _REPORTING,
}
