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
from rio_mucho_cli.workers.context import ResultType
from rio_mucho_cli.workers.window import in_environment


def make_overviews(
    run_id: str, pending: PendingOverviews, overviews: OverviewPlan
) -> MuchoError | None:
    """Build overviews with GDAL, in a file or beside it; return an error or None.

    Parameters
    ----------
    run_id : str
        Id of the run.
    pending : PendingOverviews
    overviews : OverviewPlan
    """
    try:
        with in_environment(run_id):
            build(
                pending.path,
                pending.factors,
                overviews.resampling,
                block=overviews.block,
                beside=pending.beside,
            )
    except MuchoError as exc:
        return exc
    return None


def encode_overview(
    run_id: str,
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
    run_id : str
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
        with in_environment(run_id), closing(Encoder()) as encoder:
            array = read_level(path, level, window, masked=masked)
            return encoder.encode_overview(array, overview_profile(profile, block), masked=masked)
    except MuchoError as exc:
        return exc


# Side of the windows that are encoded in one task, in pixels.
_SIDE = 1024


def make_remaining_overviews(
    executor: Executor,
    run_id: str,
    in_flight: int,
    stream: OutputStream,
    recover: Recover | None = None,
) -> Iterator[tuple[int, Window]]:
    """Make an output's remaining overviews; yield level and window of each part.

    Raises
    ------
    MuchoError
        If an overview cannot be made.
    """
    for pending in stream.writer.pending_overviews():
        overviews = cast("OverviewPlan", stream.plan.overviews)
        if pending.factors:
            build = Task(None, make_overviews, (run_id, pending, overviews))
            for _, error in in_order(executor, iter([build]), lambda: 1, recover):
                if error is not None:
                    raise error
        tasks = _tasks(run_id, pending, stream)
        for (level, window), encoded in in_order(executor, tasks, lambda: in_flight, recover):
            if isinstance(encoded, MuchoError):
                raise encoded
            stream.writer.append_overview(level, window, encoded)
            yield level, window


def count_windows(streams: Sequence[OutputStream]) -> int:
    """Return how many parts `make_remaining_overviews` yields."""
    count = 0
    for stream in streams:
        overviews = stream.plan.overviews
        if overviews is not None and overviews.is_local:
            levels = range(overviews.encoded + 1, len(overviews.factors) + 1)
            count += sum(len(_windows_of(stream, overviews, level)) for level in levels)
    return count


def _tasks(
    run_id: str, pending: PendingOverviews, stream: OutputStream
) -> Iterator[Task[tuple[int, Window]]]:
    """Yield a task for each part of the pending levels."""
    overviews = cast("OverviewPlan", stream.plan.overviews)
    result_type = cast("ResultType", stream.result_type)
    profile = stream.plan.template.profile(result_type.count, result_type.dtype)
    for level, number in pending.levels:
        for window in _windows_of(stream, overviews, level):
            arguments = (
                run_id, pending.path, number, window, profile, overviews.block, stream.has_mask,
            )  # fmt: skip
            yield Task((level, window), encode_overview, arguments)


def _windows_of(stream: OutputStream, overviews: OverviewPlan, level: int) -> list[Window]:
    side = max(1, _SIDE // overviews.block) * overviews.block
    size = overviews.size(level, *stream.plan.size)
    return [planned.window for planned in window_grid(*size, Size(side, side))]
