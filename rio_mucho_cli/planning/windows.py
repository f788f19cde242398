"""Choose the windows of a job, with the reasons for the choice."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from rio_mucho_cli import windows as windowing
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.job import Job
from rio_mucho_cli.outputs.layout import BlockLayout, choose_layout
from rio_mucho_cli.paths import is_on_network
from rio_mucho_cli.planning.formats import OutputFormat
from rio_mucho_cli.planning.mosaic import largest_part
from rio_mucho_cli.windows import PlannedWindow, Size

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
    low: bool = False,
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
    low : bool
        Make windows as wide and short as possible. Adjacent blocks of a row
        are contiguous in a file, and need only one request to a server.
    """
    pixels = TARGET_PIXELS if most is None else min(TARGET_PIXELS, most)
    if whole_rows and (most is None or width * block.height <= most or block.width >= width):
        return Size(width, max(1, pixels // width // block.height) * block.height)
    across = min(math.isqrt(pixels), pixels // block.height) // block.width
    if low:
        across = min(pixels // block.height // block.width, math.ceil(width / block.width))
    columns = max(1, across) * block.width
    return Size(columns, max(1, pixels // columns // block.height) * block.height)


# Largest common multiple of the outputs' block sides; above it, only the first fits.
_LARGEST_COMMON = 2048

Reason: TypeAlias = Literal[
    "given", "size", "blocks", "resumed", "default", "strips", "network", "memory", "limit", "parts"
]

REASONS: dict[Reason, str] = {
    "given": "as they were given",
    "size": "of the size that was asked for",
    "blocks": "the blocks of the first input",
    "resumed": "as in the run that this one goes on with",
    "default": "about a million pixels, in whole blocks of the output",
    "strips": "whole rows, because blocks are strips",
    "network": "wide and low, because an input is on a network",
    "memory": "smaller, so that all jobs have memory enough",
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
    windows : sequence of (window, ij)
    reasons : tuple of str
        Origin of the windows first, then what changed their size.
    """

    windows: Sequence[PlannedWindow]
    reasons: tuple[Reason, ...]


def plan_windows(
    job: Job,
    first: DatasetInfo | None,
    formats: Sequence[OutputFormat],
    most_pixels: int,
    *,
    resumed: bool = False,
) -> WindowPlan:
    """Return the windows of a job; by default they suit the outputs' blocks.

    Parameters
    ----------
    job : Job
    first : DatasetInfo or None
        First input, on the output's grid.
    formats : sequence of OutputFormat
    most_pixels : int
        Most pixels of a window that fit into memory.
    resumed : bool
        Whether the job's windows are those of the run that it resumes.

    Raises
    ------
    WindowsError
        If the job is strict, and windows are invalid, overlap or leave the
        raster.
    """
    if first is None:
        return WindowPlan(cast("Sequence[PlannedWindow]", job.windows), ("given",))
    width, height = first.grid.width, first.grid.height
    given: Sequence[PlannedWindow]
    reason: Reason
    match job.windows:
        case None:
            size, reasons = _size_for(job, first, formats, most_pixels)
            return WindowPlan(windowing.window_grid(width, height, size), reasons)
        case "blocks":
            given, reason = windowing.window_grid(width, height, first.block), "blocks"
        case Size():
            given, reason = windowing.window_grid(width, height, job.windows), "size"
        case _:
            given, reason = job.windows, "given"
    if job.strict:
        windowing.check_windows(given, width, height)
    return WindowPlan(given, ("resumed" if resumed else reason,))


def _size_for(
    job: Job, first: DatasetInfo, formats: Sequence[OutputFormat], most_pixels: int
) -> tuple[Size, tuple[Reason, ...]]:
    """Return a window size that suits blocks and strips, with the reasons."""
    within = largest_part(job, first) if job.is_mosaic else first
    low = any(map(is_on_network, job.inputs))
    # If block sizes conflict, those of a COG win, because they are fixed.
    in_order = sorted(formats, key=lambda each: not each.cog)
    layouts = [choose_layout(within, each.layout_options, None) for each in in_order]
    block = _common_block(layouts)
    whole_rows = within.is_striped or not all(layout.tiled for layout in layouts)
    if low:
        # Otherwise several windows would request the same block.
        block = _common_size([block, within.block]) or block
    grid = within.grid

    def chosen(most: int | None, *, whole_rows: bool = whole_rows, low: bool = low) -> Size:
        return default_size(
            grid.width, grid.height, block, whole_rows=whole_rows, most=most, low=low
        )

    size = chosen(most_pixels)
    reasons: list[Reason] = ["default"]
    if whole_rows and size.width >= grid.width:
        reasons.append("strips")
    elif low and size != chosen(most_pixels, low=False):
        reasons.append("network")
    if size != chosen(None):
        reasons.append("memory" if job.mem_limit is None else "limit")
    # In a part smaller than the raster, windows are whole blocks inside the part.
    most = (
        length if side >= length else max(1, side // of_block) * of_block
        for side, length, of_block in zip(
            (grid.width, grid.height), (first.grid.width, first.grid.height), block, strict=True
        )
    )
    fitted = Size(*map(min, size, most))
    if job.is_mosaic and fitted != size:
        reasons.append("parts")
    return fitted, tuple(reasons)


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
