"""Hints on why a result depends on the windows, each confirmed by a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.testing.comparison import Array, Tolerance
from rio_mucho_cli.testing.trials import WHOLE, Move, Trial
from rio_mucho_cli.windows import PlannedWindow

# Overlap is limited to a quarter of a side: with more, windows soon contain the whole raster.
_SHARE = 4
_MOST_OVERLAP = 128
# Relative precision left after some arithmetic in a different order.
_ROUNDING = {"float32": 1e-5, "float64": 1e-12, "complex64": 1e-5, "complex128": 1e-12}


@dataclass(frozen=True, slots=True)
class Case:
    """A result that depends on the windows.

    Attributes
    ----------
    trial : Trial
    tolerance : Tolerance
    whole, parts : ndarray
        Results for one window and for several.
    windows : sequence of (window, ij)
        The windows of `parts`.
    ways : sequence of sequences of (window, ij)
        All sets of windows to compare with the whole.
    """

    trial: Trial
    tolerance: Tolerance
    whole: Array
    parts: Array
    windows: Sequence[PlannedWindow]
    ways: Sequence[Sequence[PlannedWindow]]

    def gives(self, expected: Array, windows: Any, move: Move | None = None) -> bool | None:
        """Return whether a run gives the expected result; None if it fails."""
        try:
            return self.equal(expected, self.trial.run(windows, move))
        except MuchoError:
            return None

    def equal(self, one: Array, other: Array) -> bool:
        """Return whether two results are equal within the tolerance."""
        has_form = one.shape == other.shape and one.dtype == other.dtype
        return has_form and self.tolerance.same(one, other)


def find_hint(case: Case) -> str | None:
    """Return one line with a cause or a remedy; None if none is found."""
    with suppress(MuchoError):  # a failed run gives no hint
        return next(_hints(case), None)
    return None


def _hints(case: Case) -> Iterator[str]:
    if case.gives(case.whole, WHOLE) is False:
        yield (
            "two runs over the whole differ, too: the function is not deterministic (random "
            "numbers, the time), or uses what an earlier run has left"
        )
    if case.gives(case.parts, list(case.windows)[::-1]) is False:
        yield (
            "the same windows in reverse order give other results: the function keeps something "
            "from one window to the next"
        )
    if case.gives(case.parts, [(window, (0, 0)) for window, _ in case.windows]) is False:
        yield (
            "the same windows with (0, 0) as ij give other results: the function uses ij, which "
            "depends on the size of windows"
        )
    if case.trial.options.get("skip_masked") and _agrees(case, skip_masked=False):
        yield (
            "without skip_masked the result does not depend on them: the function does not give "
            "nodata where all pixels are masked, as windows that are skipped do"
        )
    if _depends_on_window(case):
        yield (
            "the same data with another window give the result of the whole: the function uses "
            "the size or the place of its window"
        )
    loose = _loosened(case)
    if loose and all(loose.gives(case.whole, list(way)) for way in case.ways):
        yield f"with {loose.tolerance} they are the same: numbers are rounded in another way"
    yield from _overlaps(case, loose)


def _depends_on_window(case: Case) -> bool:
    """Return whether passing another window gives the result of the whole."""
    options = case.trial.options
    if options.get("plain") or options.get("mode") == "manual_read":
        return False
    _, height, width = case.whole.shape
    moves: tuple[Move, ...] = (
        lambda window: Window(0, 0, width, height),
        lambda window: Window(0, 0, window.width, window.height),
    )
    return any(case.gives(case.whole, list(case.windows), move) for move in moves)


def _loosened(case: Case) -> Case | None:
    """Return the case with a tolerance for rounding; None if it has one already."""
    rtol = _ROUNDING.get(case.whole.dtype.name)
    if rtol is None or rtol <= case.tolerance.rtol:
        return None
    sizes = np.abs(np.ma.compressed(case.whole))
    sizes = sizes[np.isfinite(sizes)]
    # The median, not the maximum: nodata of -3.4e38 would make any difference tolerable.
    atol = rtol * float(np.median(sizes)) if sizes.size else 0.0
    atol = 10.0 ** math.ceil(math.log10(atol)) if atol else 0.0
    tolerance = Tolerance(rtol, max(atol, case.tolerance.atol))
    return replace(case, tolerance=tolerance)


def _overlaps(case: Case, loose: Case | None) -> Iterator[str]:
    """Yield hints: the smallest overlap that is enough, or that none is."""
    given = case.trial.options.get("overlap", 0)
    limit = min(_MOST_OVERLAP, min(case.whole.shape[1:]) // _SHARE)
    if case.trial.options.get("mode") == "manual_read" or limit <= given:
        return
    overlap = _smallest(case, given, limit)
    if overlap is not None:
        yield (
            f"with overlap={overlap} the result does not depend on them: the function looks at "
            "neighbours"
        )
    overlap = _smallest(loose, given, limit) if loose else None
    if loose and overlap is not None:
        yield (
            f"with overlap={overlap}, {loose.tolerance} the result does not depend on them: the "
            "function looks at neighbours, and numbers are rounded in another way"
        )
    yield (
        f"no overlap up to {limit} helps: a pixel depends on others that are further away "
        "(a mean or a maximum of all, for instance), or on the window itself"
    )


def _smallest(case: Case, given: int, limit: int) -> int | None:
    """Return the smallest overlap that is enough; None if none is."""
    failed, step = given, 1  # double the step until it is enough, then bisect
    while not _agrees(case, overlap=(overlap := min(limit, given + step))):
        if overlap == limit:
            return None
        failed, step = overlap, 2 * step
    while overlap - failed > 1:
        middle = (failed + overlap) // 2
        if _agrees(case, overlap=middle):
            overlap = middle
        else:
            failed = middle
    return overlap


def _agrees(case: Case, **options: Any) -> bool:
    """Return whether all windows give the result of the whole with other options.

    Raises
    ------
    MuchoError
        If a run fails.
    """
    trial = case.trial.changed(**options)
    whole = trial.run(WHOLE)
    return all(case.equal(whole, trial.run(list(way))) for way in case.ways)
