"""Shell completion for values of options that click cannot complete itself.

No user code is imported: functions are found by parsing files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def functions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the functions of Python files, as FILE.py:NAME, and folders."""
    from rio_mucho_cli.text import functions_in

    module, colon, start = incomplete.partition(":")
    if colon:
        path = Path(module if module.endswith(".py") else f"{module}.py")
        names = [f"{module}:{name}" for name in functions_in(path) if name.startswith(start)]
        return [CompletionItem(name) for name in names]
    folder = incomplete.rpartition("/")[0]
    files = sorted(Path(folder or ".").glob("*.py"))
    paths = [(f"{folder}/{file.name}" if folder else file.name, file) for file in files]
    return [
        CompletionItem(incomplete, type="dir"),
        *(
            CompletionItem(f"{name}:{function}")
            for name, file in paths
            if name.startswith(incomplete)
            for function in functions_in(file)
        ),
    ]


def windows(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return files, and the word `blocks`."""
    words = [CompletionItem("blocks")] if "blocks".startswith(incomplete) else []
    return [CompletionItem(incomplete, type="file"), *words]


def complete_names(list_names: Callable[[], Iterable[str]]) -> Completer:
    """Return a completer for NAME (all inputs) and N=NAME (the Nth input)."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        before, equals, start = incomplete.rpartition("=")
        return [
            CompletionItem(f"{before}{equals}{name}")
            for name in list_names()
            if name.startswith(start)
        ]

    return complete


def resamplings() -> list[str]:
    """Return rasterio's names of the resamplings that GDAL warps with."""
    from rasterio.enums import Resampling

    return [method.name for method in Resampling if method.name != "gauss"]


def overview_resamplings() -> list[str]:
    """Return rasterio's names of overview resamplings."""
    from rasterio.enums import OverviewResampling

    return [method.name for method in OverviewResampling]


def drivers(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the drivers for which rasterio knows a file extension, and COG."""
    from rasterio.drivers import raster_driver_extensions

    names = sorted({*raster_driver_extensions().values(), "COG"})
    return [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]


def creation_options(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the names of GeoTIFF creation options, each followed by `=`."""
    from rio_mucho_cli.geotiff.options import GTIFF_OPTIONS

    start = incomplete.upper()
    return [CompletionItem(f"{name}=") for name in GTIFF_OPTIONS if name.startswith(start)]
