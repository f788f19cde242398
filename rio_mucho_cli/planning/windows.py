"""Choose the windows of a job, with the reasons for the choice."""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.job import Windows
from rio_mucho_cli.outputs.layout import BlockLayout, choose_layout
from rio_mucho_cli.planning.formats import OutputFormat
from rio_mucho_cli.windows import (
    PlannedWindow,
    Size,
    WindowList,
    WindowPair,
    format_window,
    outline,
    window_grid,
)

log = logging.getLogger(__name__)

TARGET_PIXELS = 1024 * 1024
"""Default number of pixels of a window.

Large enough that the overhead of a window is negligible, small enough that a
few bands of it fit into a worker's memory.
"""


def default_size(
    width: int,
    height: int,
    block: Size,
    *,
    whole_rows: bool = False,
    most: int | None = None,
    wide: bool = False,
) -> Size:
    """Return a window size of whole blocks and about a million pixels.

    Parameters
    ----------
    width, height : int
        Size of the raster, in pixels.
    block : Size
        Block size of the output.
    whole_rows : bool
        Make windows as wide as the raster. Narrower windows would decode or
        encode strips of inputs or outputs several times.
    most : int
        Most pixels that fit into memory. The result is at least one block;
        whole rows are given up if a row of blocks does not fit.
    wide : bool
        Make windows as wide and short as possible. Adjacent blocks of a row
        are contiguous in a file, and need only one request to a server.
    """
    pixels = TARGET_PIXELS if most is None else min(TARGET_PIXELS, most)
    if whole_rows and (most is None or width * block.height <= most or block.width >= width):
        return Size(width, max(1, pixels // width // block.height) * block.height)
    across = min(math.isqrt(pixels), pixels // block.height) // block.width
    if wide:
        across = min(pixels // block.height // block.width, math.ceil(width / block.width))
    columns = max(1, across) * block.width
    return Size(columns, max(1, pixels // columns // block.height) * block.height)


# Largest common multiple of the outputs' block sides; above it, only the first fits.
_LARGEST_COMMON = 2048

Reason: TypeAlias = Literal[
    "given", "size", "blocks", "resumed", "default", "input", "strips", "network", "memory",
    "limit", "parts",
]  # fmt: skip

REASONS: dict[Reason, str] = {
    "given": "as given",
    "size": "of the size asked for",
    "blocks": "the blocks of the first input",
    "resumed": "as in the run that is resumed",
    "default": "about a million pixels, in whole blocks of the output",
    "input": "about a million pixels, in whole blocks of the first input",
    "strips": "whole rows, because blocks are strips",
    "network": "wide and short, because an input is read over a network",
    "memory": "smaller, so that all jobs fit into memory",
    "limit": "smaller, because of the memory limit",
    "parts": "no larger than a part of the mosaic",
}
"""Text of each reason."""


def say_why(reasons: Sequence[Reason]) -> str:
    """Return the text of several reasons."""
    return "; ".join(REASONS[reason] for reason in reasons)


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Windows of a job, and the reasons for their size.

    Attributes
    ----------
    windows : sequence of PlannedWindow
    reasons : tuple of str
        Origin of the windows first, then what changed their size.
    """

    windows: Sequence[PlannedWindow]
    reasons: tuple[Reason, ...]


def plan_windows(
    asked: Windows,
    first: DatasetInfo | None,
    within: DatasetInfo | None,
    formats: Sequence[OutputFormat],
    most_pixels: int,
    *,
    on_network: bool = False,
    is_limited: bool = False,
    strict: bool = True,
    resumed: bool = False,
) -> WindowPlan:
    """Return the windows of a run; by default they suit the outputs' blocks.

    Parameters
    ----------
    asked : None, "blocks", Size, or sequence of (window, ij)
        Windows of the job.
    first : DatasetInfo or None
        First input, on the output's grid.
    within : DatasetInfo or None
        The same, on the grid of the largest file of an output.
    formats : sequence of OutputFormat
    most_pixels : int
        Most pixels of a window that fit into memory.
    on_network : bool
        Whether an input needs a server.
    is_limited : bool
        Whether the caller set a memory limit.
    strict : bool
        Check that the caller's windows are inside the raster and do not overlap.
    resumed : bool
        Whether the windows are those of the run that is resumed.

    Raises
    ------
    WindowsError
        If windows are invalid; with `strict`, also if they overlap or leave
        the raster.
    """
    profile = formats[0].profile if formats else None
    raster = None if profile is None else Size(int(profile["width"]), int(profile["height"]))
    if first is None:
        pairs = cast("Sequence[WindowPair]", asked)
        return WindowPlan(WindowList.of(pairs, cast("Size", raster)), ("given",))
    width, height = first.grid.width, first.grid.height
    windows: Sequence[PlannedWindow]
    reason: Reason
    match asked:
        case None:
            size, reasons = _size_for(
                first, within or first, formats, most_pixels, wide=on_network, is_limited=is_limited
            )
            return WindowPlan(window_grid(width, height, size), reasons)
        case "blocks":
            windows, reason = window_grid(width, height, first.block), "blocks"
        case Size():
            windows, reason = window_grid(width, height, asked), "size"
        case _:
            windows = WindowList.of(asked, raster or Size(width, height))
            reason = "given"
    if strict:
        check_windows(windows, width, height)
    return WindowPlan(windows, ("resumed" if resumed else reason,))


def check_windows(windows: Sequence[PlannedWindow], width: int, height: int) -> None:
    """Raise WindowsError unless windows are inside the raster and do not overlap.

    Raises
    ------
    WindowsError
        If there is no window, one extends beyond the raster, or two overlap.
    """
    if not windows:
        raise WindowsError("the list of windows is empty: give at least one")
    outlined = outline(windows)
    for window in outlined:
        if (
            min(window.col_off, window.row_off) < 0
            or min(window.width, window.height) < 1
            or window.col_off + window.width > width
            or window.row_off + window.height > height
        ):
            raise WindowsError(
                f"{format_window(window)} is not inside the raster of {width} x {height} pixels: "
                "take windows from rio blocks of the first input"
            )
    pair = _overlapping(outlined)
    if pair:
        raise WindowsError(
            f"{format_window(pair[0])} and {format_window(pair[1])} overlap: "
            "every pixel may be in one window only"
        )


def _overlapping(windows: Sequence[Window]) -> tuple[Window, Window] | None:
    """Return two windows that overlap, or None, in one sweep from the top down.

    `taken` holds the columns in use at the current row as sorted spans that do
    not overlap. A span that ended above is replaced when it is met.
    """
    taken: list[tuple[int, int, int]] = []  # first column, end column, index in `rows`
    rows = sorted(windows, key=lambda w: (w.row_off, w.col_off))
    for index, window in enumerate(rows):
        end = window.col_off + window.width
        first = last = max(0, bisect_left(taken, (window.col_off,)) - 1)
        if first < len(taken) and taken[first][1] <= window.col_off:
            first = last = first + 1
        while last < len(taken) and taken[last][0] < end:
            above = rows[taken[last][2]]
            if above.row_off + above.height > window.row_off:
                return above, window
            last += 1
        taken[first:last] = [(window.col_off, end, index)]
    return None


def _size_for(
    first: DatasetInfo,
    within: DatasetInfo,
    formats: Sequence[OutputFormat],
    most_pixels: int,
    *,
    wide: bool,
    is_limited: bool,
) -> tuple[Size, tuple[Reason, ...]]:
    """Return a window size that suits blocks and strips, with the reasons."""
    # If block sizes conflict, those of a COG win, because they are fixed.
    cogs_first = sorted(formats, key=lambda chosen: not chosen.cog)
    layouts = [choose_layout(within, chosen.layout_options, None) for chosen in cogs_first]
    block = _common_block(layouts) if layouts else _block_to_read(within)
    whole_rows = within.is_striped or not all(layout.tiled for layout in layouts)
    if wide:
        # Otherwise several windows would request the same block.
        block = _common_size([block, within.block]) or block
    grid = within.grid

    def size_up_to(most: int | None, *, wide: bool = wide) -> Size:
        return default_size(
            grid.width, grid.height, block, whole_rows=whole_rows, most=most, wide=wide
        )

    size = size_up_to(most_pixels)
    reasons: list[Reason] = ["default" if layouts else "input"]
    if whole_rows and size.width >= grid.width:
        reasons.append("strips")
    elif wide and size != size_up_to(most_pixels, wide=False):
        reasons.append("network")
    if size != size_up_to(None):
        reasons.append("limit" if is_limited else "memory")
    # In a part smaller than the raster, windows are whole blocks inside the part.
    most = (
        length if side >= length else max(1, side // of_block) * of_block
        for side, length, of_block in zip(
            (grid.width, grid.height), (first.grid.width, first.grid.height), block, strict=True
        )
    )
    inside = Size(*map(min, size, most))
    if inside != size and within is not first:
        reasons.append("parts")
    return inside, tuple(reasons)


def _block_to_read(first: DatasetInfo) -> Size:
    """Return the block that windows consist of where only values are written."""
    block = first.block
    return block if block.width * block.height <= TARGET_PIXELS else Size(256, 256)


def _common_block(layouts: Sequence[BlockLayout]) -> Size:
    """Return a size in whole blocks of all outputs, or else of the first output."""
    first = layouts[0].block
    # Whole rows fit tiles of any width.
    strips = [layout.block.width for layout in layouts if not layout.tiled]
    widths = strips[:1] or [layout.block.width for layout in layouts]
    common = Size(math.lcm(*widths), math.lcm(*(layout.block.height for layout in layouts)))
    largest = Size(max(first.width, *strips, _LARGEST_COMMON), max(first.height, _LARGEST_COMMON))
    fits = common.width <= largest.width and common.height <= largest.height
    return common if fits else first


def _common_size(sizes: Sequence[Size]) -> Size | None:
    """Return a common multiple of sizes, or None if it is too large."""
    widths, heights = zip(*sizes, strict=True)
    common = Size(math.lcm(*widths), math.lcm(*heights))
    return common if max(common) <= _LARGEST_COMMON else None
