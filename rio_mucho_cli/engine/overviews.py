"""Make the overviews that remain after the last window, in workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from typing import Any, cast

from rasterio.windows import Window

from rio_mucho_cli.engine.output_stream import OutputStream
from rio_mucho_cli.engine.scheduling import Recover, Task, in_order
from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.geotiff.block_table import EncodedBlocks
from rio_mucho_cli.geotiff.encode import Encoder
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan, PendingOverviews
from rio_mucho_cli.geotiff.overviews import build, overview_profile, read_level
from rio_mucho_cli.windows import Size, window_grid
from rio_mucho_cli.workers.window import in_environment


def make_overviews(key: str, unmade: PendingOverviews, pyramid: OverviewPlan) -> MuchoError | None:
    """Build overviews with GDAL, in a file or beside it; return an error or None.

    Parameters
    ----------
    key : str
        Id of the run.
    unmade : PendingOverviews
    pyramid : OverviewPlan
    """
    try:
        with in_environment(key):
            build(
                unmade.path,
                unmade.factors,
                pyramid.resampling,
                block=pyramid.block,
                beside=unmade.beside,
            )
    except MuchoError as exc:
        return exc
    return None


def encode_overview(
    key: str,
    path: str,
    level: int,
    window: Window,
    profile: Mapping[str, Any],
    block: int,
    masked: bool,
) -> EncodedBlocks | MuchoError:
    """Return a window of an overview level, encoded, or an error.

    Parameters
    ----------
    key : str
        Id of the run.
    path : str
    level : int
        Level in the file; 0 is full resolution.
    window : Window
    profile : Mapping
        Profile of the output.
    block : int
        Side of tiles, in pixels.
    masked : bool
        Whether the output has an internal mask.
    """
    try:
        with in_environment(key), closing(Encoder()) as encoder:
            array = read_level(path, level, window, masked=masked)
            return encoder.encode_overview(array, overview_profile(profile, block), masked=masked)
    except MuchoError as exc:
        return exc


# Side of the windows that are encoded in one task, in pixels.
_SIDE = 1024


def make_remaining_overviews(
    executor: Executor,
    key: str,
    in_flight: int,
    delivery: OutputStream,
    recover: Recover | None = None,
) -> Iterator[tuple[int, Window]]:
    """Make an output's remaining overviews; yield level and window of each part.

    Raises
    ------
    MuchoError
        If an overview cannot be made.
    """
    for unmade in delivery.writer.pending_overviews():
        pyramid = cast("OverviewPlan", delivery.plan.pyramid)
        if unmade.factors:
            build = Task(None, make_overviews, (key, unmade, pyramid))
            for _, error in in_order(executor, iter([build]), lambda: 1, recover):
                if error is not None:
                    raise error
        tasks = _tasks(key, unmade, delivery)
        for (level, window), encoded in in_order(executor, tasks, lambda: in_flight, recover):
            if isinstance(encoded, MuchoError):
                raise encoded
            delivery.writer.append_overview(level, window, encoded)
            yield level, window


def count_windows(deliveries: Sequence[OutputStream]) -> int:
    """Return how many parts `make_remaining_overviews` yields."""
    count = 0
    for delivery in deliveries:
        pyramid = delivery.plan.pyramid
        if pyramid is not None and pyramid.is_local:
            levels = range(pyramid.encoded + 1, len(pyramid.factors) + 1)
            count += sum(len(_windows_of(delivery, pyramid, level)) for level in levels)
    return count


def _tasks(
    key: str, unmade: PendingOverviews, delivery: OutputStream
) -> Iterator[Task[tuple[int, Window]]]:
    """Yield a task for each part of the pending levels."""
    pyramid = cast("OverviewPlan", delivery.plan.pyramid)
    count, dtype, _ = cast("tuple[int, str, bool]", delivery.form)
    profile = delivery.plan.recipe.profile(count, dtype)
    for level, number in unmade.levels:
        for window in _windows_of(delivery, pyramid, level):
            arguments = (
                key, unmade.path, number, window, profile, pyramid.block, delivery.has_mask,
            )  # fmt: skip
            yield Task((level, window), encode_overview, arguments)


def _windows_of(delivery: OutputStream, pyramid: OverviewPlan, level: int) -> list[Window]:
    side = max(1, _SIDE // pyramid.block) * pyramid.block
    size = pyramid.size(level, *delivery.plan.size)
    return [window for window, _ in window_grid(*size, Size(side, side))]
