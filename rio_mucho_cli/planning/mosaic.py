"""Plan the parts of a mosaic: each is a separate output, on its part of the grid."""

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
"""Default side of a part, in pixels."""


@dataclass(frozen=True, slots=True)
class MosaicPart:
    """One part of a mosaic, with one file for each output.

    Attributes
    ----------
    ij : tuple of int
        Row and column in the grid of parts.
    window : Window
        Window of the mosaic that the part covers.
    windows : sequence of (window, ij)
        Windows inside the part, in the order of computation.
    outputs : tuple of OutputPlan
        Plans of its files. Their paths are bare names until `placed`.
    records : bool
        Whether to keep a record beside each file, for a later run.
    leaves_out : bool
        Whether windows may have no result.
    tolerant : bool
        Leave a window nodata if the function raises.
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
        """Name of its files."""
        return f"{self.ij[0]}_{self.ij[1]}.tif"

    def placed(self, places: Sequence[str]) -> MosaicPart:
        """Return the part with the paths of its files."""
        outputs = tuple(
            replace(plan, output=replace(plan.output, path=place))
            for plan, place in zip(self.outputs, places, strict=True)
        )
        return replace(self, outputs=outputs)

    def shifted(self, window: Window) -> Window:
        """Return a window of the mosaic in pixels of the part."""
        col_off, row_off = (
            window.col_off - self.window.col_off,
            window.row_off - self.window.row_off,
        )
        return Window(col_off, row_off, window.width, window.height)


def largest_part(job: Job, first: DatasetInfo) -> DatasetInfo:
    """Return the first input on the grid of the largest part, in whole tile units."""
    asked = job.part_size or PART_SIZE
    width, height = (
        length if asked >= length else max(1, asked // TILE_UNIT) * TILE_UNIT
        for length in (first.grid.width, first.grid.height)
    )
    return replace(first, grid=first.grid.crop((0, width), (0, height)))


def size_of_parts(job: Job, first: DatasetInfo, window: Size) -> Size:
    """Return the size of parts: whole windows, at least one.

    Parameters
    ----------
    job : Job
    first : DatasetInfo
        First input, on the output's grid.
    window : Size
        Size that divides all windows; 0 for windows from edge to edge.
    """
    asked = job.part_size or PART_SIZE
    sides = [
        max(1, asked // side) * side if side else length
        for side, length in zip(window, (first.grid.width, first.grid.height), strict=True)
    ]
    return Size(*sides)


def window_unit(job: Job, first: DatasetInfo, windows: Sequence[PlannedWindow]) -> Size:
    """Return the size of the windows, or a size that divides all of them."""
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
    """Return the parts of a mosaic.

    Parameters
    ----------
    job : Job
    first : DatasetInfo
        First input, on the output's grid.
    windows : sequence of (window, ij)
    size : Size
        Size of a part that is not cut by an edge.
    metadata : Metadata or None
        Metadata of the mosaic.

    Raises
    ------
    WindowsError
        If a window lies in several parts.
    """
    width, height = first.grid.width, first.grid.height
    if metadata is not None:
        # RPCs and geolocation tags refer to pixels of the mosaic.
        metadata = metadata.without_grid()
    # An incomplete part starts over, so its own progress need not be kept.
    one_go = replace(job, resume=False)
    parts = []
    for ij, window, inside in windowing.group_by_part(windows, width, height, size):
        (top, bottom), (left, right) = window.toranges()
        on_part = replace(first, grid=first.grid.crop((left, right), (top, bottom)))
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
    """Return the windows inside a part, in pixels of the part."""
    if isinstance(part.windows, WindowGrid):
        return part.windows.rebase()
    return [
        (part.shifted(windowing.normalize(window, width, height)), ij)
        for window, ij in part.windows
    ]
