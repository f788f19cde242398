"""Overviews that windows did not have: made by workers, after the last window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import cast

from rasterio.windows import Window

from rio_mucho_cli.delivery import Delivery
from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan, PendingOverviews
from rio_mucho_cli.ordered import Recover, Task, in_order
from rio_mucho_cli.windows import Size, window_grid
from rio_mucho_cli.work.overviews import encode_overview, make_overviews

# Pixels of a side of what is encoded in one go.
_SIDE = 1024


def make_rest(
    executor: Executor,
    key: str,
    in_flight: int,
    delivery: Delivery,
    recover: Recover | None = None,
) -> Iterator[tuple[int, Window]]:
    """Make an output's overviews as far as they are not made; yield level and window of each part.

    Raises
    ------
    MuchoError
        If one cannot be made.
    """
    for unmade in delivery.writer.unmade_overviews():
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


def count_windows(deliveries: Sequence[Delivery]) -> int:
    """Return how many parts `make_rest` makes."""
    count = 0
    for delivery in deliveries:
        pyramid = delivery.plan.pyramid
        if pyramid is not None and pyramid.is_local:
            levels = range(pyramid.encoded + 1, len(pyramid.factors) + 1)
            count += sum(len(_windows(delivery, pyramid, level)) for level in levels)
    return count


def _tasks(
    key: str, unmade: PendingOverviews, delivery: Delivery
) -> Iterator[Task[tuple[int, Window]]]:
    """Yield a task for each part of the levels that a file has."""
    pyramid = cast("OverviewPlan", delivery.plan.pyramid)
    count, dtype, _ = cast("tuple[int, str, bool]", delivery.form)
    profile = delivery.plan.recipe.profile(count, dtype)
    for level, number in unmade.levels:
        for window in _windows(delivery, pyramid, level):
            arguments = (
                key, unmade.path, number, window, profile, pyramid.block, delivery.has_mask,
            )  # fmt: skip
            yield Task((level, window), encode_overview, arguments)


def _windows(delivery: Delivery, pyramid: OverviewPlan, level: int) -> list[Window]:
    side = max(1, _SIDE // pyramid.block) * pyramid.block
    size = pyramid.size(level, *delivery.plan.size)
    return [window for window, _ in window_grid(*size, Size(side, side))]
