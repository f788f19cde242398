"""Plan the parts of a mosaic: each is a separate output, on its part of the grid."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.job import Output, Windows
from rio_mucho_cli.outputs.layout import TILE_UNIT
from rio_mucho_cli.planning.formats import OutputOptions, choose_part_format
from rio_mucho_cli.planning.outputs import OutputPlan, plan_output
from rio_mucho_cli.text import format_count, option
from rio_mucho_cli.windows import (
    PlannedWindow,
    Size,
    WindowGrid,
    WindowList,
    common_multiple,
    format_window,
    pairs_of,
)

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
    windows : sequence of PlannedWindow
        Windows inside the part, in the order of computation.
    outputs : tuple of OutputPlan
        Plans of its files. Their paths are bare names until `with_paths`.
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

    def with_paths(self, paths: Sequence[str]) -> MosaicPart:
        """Return the part with the paths of its files."""
        outputs = tuple(
            replace(plan, output=replace(plan.output, path=path))
            for plan, path in zip(self.outputs, paths, strict=True)
        )
        return replace(self, outputs=outputs)

    def shifted(self, window: Window) -> Window:
        """Return a window of the mosaic in pixels of the part."""
        col_off, row_off = (
            window.col_off - self.window.col_off,
            window.row_off - self.window.row_off,
        )
        return Window(col_off, row_off, window.width, window.height)


def largest_part(first: DatasetInfo, part_size: int | None) -> DatasetInfo:
    """Return the first input on the grid of the largest part, in whole tile units."""
    asked = part_size or PART_SIZE
    width, height = (
        length if asked >= length else max(1, asked // TILE_UNIT) * TILE_UNIT
        for length in (first.grid.width, first.grid.height)
    )
    return replace(first, grid=first.grid.crop((0, width), (0, height)))


def size_of_parts(first: DatasetInfo, part_size: int | None, window: Size) -> Size:
    """Return the size of parts: whole windows, at least one.

    Parameters
    ----------
    first : DatasetInfo
        First input, on the output's grid.
    part_size : int or None
        Side of a part that the job asks for.
    window : Size
        Size that divides all windows; 0 for windows from edge to edge.
    """
    asked = part_size or PART_SIZE
    sides = [
        max(1, asked // side) * side if side else length
        for side, length in zip(window, (first.grid.width, first.grid.height), strict=True)
    ]
    return Size(*sides)


def window_unit(asked: Windows, first: DatasetInfo, windows: Sequence[PlannedWindow]) -> Size:
    """Return the size of the windows, or a size that divides all of them."""
    match asked:
        case "blocks":
            return first.block
        case Size():
            return asked
    return common_multiple(windows, first.grid.width, first.grid.height)


def plan_parts(
    outputs: Sequence[Output],
    options: OutputOptions,
    first: DatasetInfo,
    windows: Sequence[PlannedWindow],
    size: Size,
    metadata: Sequence[Metadata | None],
    *,
    leaves_out: bool,
    tolerant: bool,
) -> list[MosaicPart]:
    """Return the parts of a mosaic.

    Parameters
    ----------
    outputs : sequence of Output
        The mosaics.
    options : OutputOptions
    first : DatasetInfo
        First input, on the output's grid.
    windows : sequence of PlannedWindow
    size : Size
        Size of a part that is not cut by an edge.
    metadata : sequence of Metadata or None
        Metadata of each mosaic.
    leaves_out, tolerant : bool
        As for MosaicPart.

    Raises
    ------
    WindowsError
        If a window lies in several parts.
    """
    width, height = first.grid.width, first.grid.height
    # RPCs and geolocation tags refer to pixels of the mosaic.
    metadata = [whole if whole is None else whole.without_grid() for whole in metadata]
    # An incomplete part starts over, so its own progress need not be kept.
    of_parts = replace(options, resume=False)
    parts = []
    for ij, window, inside in group_by_part(windows, width, height, size):
        (top, bottom), (left, right) = window.toranges()
        on_part = replace(first, grid=first.grid.crop((left, right), (top, bottom)))
        part = MosaicPart(ij, window, inside, (), options.resume, leaves_out, tolerant)
        moved = _moved(part)
        plans = [
            plan_output(
                replace(output, path=part.name),
                choose_part_format(output, of_parts, on_part),
                of_parts,
                on_part,
                moved,
                of_output,
            )
            for output, of_output in zip(outputs, metadata, strict=True)
        ]
        parts.append(replace(part, outputs=tuple(replace(plan, is_part=True) for plan in plans)))
    log.info("%s of %d x %d pixels", format_count(len(parts), "part"), *size)
    return parts


def group_by_part(
    windows: Sequence[PlannedWindow], width: int, height: int, part: Size
) -> Sequence[tuple[tuple[int, int], Window, Sequence[PlannedWindow]]]:
    """Return the parts of a raster with the windows in each.

    Parameters
    ----------
    windows : sequence of PlannedWindow
    width, height : int
        Size of the raster.
    part : Size
        Size of a part; those at the right and lower edge may be smaller.

    Returns
    -------
    sequence of (ij, Window, sequence of PlannedWindow)
        Parts with at least one window, row by row; windows in the given order.

    Raises
    ------
    WindowsError
        If a window lies in several parts.
    """
    of_grid = windows.group_by_part(part) if isinstance(windows, WindowGrid) else None
    if of_grid is not None:
        return of_grid
    if not isinstance(windows, WindowList):
        all_windows = [planned.window for planned in windows]
        windows = WindowList(pairs_of(windows), all_windows, range(len(windows)))
    indexes: dict[tuple[int, int], list[int]] = {}
    for index, window in enumerate(windows.windows):
        row, col = int(window.row_off // part.height), int(window.col_off // part.width)
        top, left = row * part.height, col * part.width
        if (
            window.row_off + window.height > top + part.height
            or window.col_off + window.width > left + part.width
        ):
            raise WindowsError(
                f"{format_window(window)} lies in several parts of "
                f"{part.width} x {part.height} pixels: align the windows with the parts, or "
                f"change {option('part_size')}"
            )
        indexes.setdefault((row, col), []).append(index)
    parts = []
    for (row, col), inside in sorted(indexes.items()):
        top, left = row * part.height, col * part.width
        size = min(part.width, width - left), min(part.height, height - top)
        parts.append(((row, col), Window(left, top, *size), windows.select(inside)))
    return parts


def _moved(part: MosaicPart) -> Sequence[PlannedWindow]:
    """Return the windows inside a part, in pixels of the part."""
    if isinstance(part.windows, WindowGrid):
        return part.windows.rebase()
    return [replace(planned, window=part.shifted(planned.window)) for planned in part.windows]
