"""The parts of a mosaic: each is an output of its own, on its part of the grid."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rasterio.windows import Window

from rio_mucho_cli import windows as windowing
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.job import Job
from rio_mucho_cli.outputs.layout import TILE_UNIT
from rio_mucho_cli.planning.formats import choose_part_format
from rio_mucho_cli.planning.outputs import OutputPlan, plan_output
from rio_mucho_cli.text import format_count
from rio_mucho_cli.windows import PlannedWindow, Size, WindowGrid, common_multiple

log = logging.getLogger(__name__)

PART_SIZE = 16384
"""Pixels of a side, if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class MosaicPart:
    """One part of a mosaic; of several, if the function returns several arrays.

    Attributes
    ----------
    ij : tuple of int
        Its (row, column) in the grid of parts.
    window : Window
        Of the whole.
    windows : sequence of (window, ij)
        That lie in it, in the order in which they are worked on.
    outputs : tuple of OutputPlan
        Its files; in each plan the path is a name, until it is `placed`.
    records : bool
        Leave a record of it beside it, for a later run.
    leaves_out : bool
        There may be windows without a result.
    tolerant : bool
        Windows whose function raises are nodata.
    """

    ij: tuple[int, int]
    window: Window
    windows: Sequence[PlannedWindow]
    outputs: tuple[OutputPlan, ...]
    records: bool = False
    leaves_out: bool = False
    tolerant: bool = False

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.ij[0]}_{self.ij[1]}.tif"

    def placed(self, places: Sequence[str]) -> MosaicPart:
        """Return it with the paths of its files."""
        outputs = tuple(
            replace(plan, output=replace(plan.output, path=place))
            for plan, place in zip(self.outputs, places, strict=True)
        )
        return replace(self, outputs=outputs)

    def shifted(self, window: Window) -> Window:
        """Return a window of the whole as one of the part."""
        col_off, row_off = (
            window.col_off - self.window.col_off,
            window.row_off - self.window.row_off,
        )
        return Window(col_off, row_off, window.width, window.height)


def largest_part(job: Job, first: DatasetInfo) -> DatasetInfo:
    """Return the first input on a part's grid: the largest one that tiles can be made to fit."""
    asked = job.part_size or PART_SIZE
    width, height = (
        length if asked >= length else max(1, asked // TILE_UNIT) * TILE_UNIT
        for length in (first.grid.width, first.grid.height)
    )
    return replace(first, grid=first.grid.cut((0, width), (0, height)))


def size_of_parts(job: Job, first: DatasetInfo, window: Size) -> Size:
    """Return how large parts are: whole windows, and at least one.

    Parameters
    ----------
    job : Job
    first : DatasetInfo
        The first input, on the output's grid.
    window : Size
        Of the windows, or of what all are a multiple of; 0 where there is no
        such limit, because they reach from edge to edge.
    """
    asked = job.part_size or PART_SIZE
    sides = [
        max(1, asked // side) * side if side else length
        for side, length in zip(window, (first.grid.width, first.grid.height), strict=True)
    ]
    return Size(*sides)


def window_unit(job: Job, first: DatasetInfo, windows: Sequence[PlannedWindow]) -> Size:
    """Return the size of windows, or what all of them are a multiple of."""
    match job.windows:
        case "blocks":
            return first.block
        case Size():
            return job.windows
    return common_multiple(windows, first.grid.width, first.grid.height)


def plan_parts(
    job: Job,
    first: DatasetInfo,
    windows: Sequence[PlannedWindow],
    size: Size,
    metadata: Metadata | None,
) -> list[MosaicPart]:
    """Say which parts there are, and what each is like.

    Parameters
    ----------
    job : Job
    first : DatasetInfo
        The first input, on the output's grid.
    windows : sequence of (window, ij)
    size : Size
        Of a part that no edge cuts off.
    metadata : Metadata or None
        Of the whole.

    Raises
    ------
    WindowsError
        If a window lies in several parts.
    """
    width, height = first.grid.width, first.grid.height
    if metadata is not None:
        # That is about the pixels of the whole.
        metadata = metadata.without_grid()
    # A part is begun anew if it is not complete: nothing of it has to outlast an interruption.
    one_go = replace(job, resume=False)
    parts = []
    for ij, window, inside in windowing.group_by_part(windows, width, height, size):
        (top, bottom), (left, right) = window.toranges()
        on_part = replace(first, grid=first.grid.cut((left, right), (top, bottom)))
        part = MosaicPart(
            ij, window, inside, (), job.resume, job.leaves_out, job.on_error == "nodata"
        )
        moved = _moved(part, width, height)
        plans = [
            plan_output(
                replace(output, path=part.name),
                choose_part_format(job, output, on_part),
                one_go,
                on_part,
                moved,
                metadata,
            )
            for output in job.outputs
        ]
        outputs = tuple(replace(plan, is_part=True) for plan in plans)
        parts.append(replace(part, outputs=outputs))
    log.info("%s of %d x %d pixels", format_count(len(parts), "part"), *size)
    return parts


def _moved(part: MosaicPart, width: int, height: int) -> Sequence[PlannedWindow]:
    """Return a part's windows as windows of the part."""
    if isinstance(part.windows, WindowGrid):
        return part.windows.rebased()
    return [
        (part.shifted(windowing.normalize(window, width, height)), ij)
        for window, ij in part.windows
    ]
