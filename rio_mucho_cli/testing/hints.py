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
from rio_mucho_cli.windows import WindowPair

# Overlap is limited to a quarter of a side: with more, windows soon contain the whole raster.
_SIDE_PER_OVERLAP = 4
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
    window_sets : sequence of sequences of (window, ij)
        All sets of windows to compare with the whole.
    """

    trial: Trial
    tolerance: Tolerance
    whole: Array
    parts: Array
    windows: Sequence[WindowPair]
    window_sets: Sequence[Sequence[WindowPair]]

    def gives(
        self, expected: Array, windows: Any, move: Move | None = None, *, hides_index: bool = False
    ) -> bool | None:
        """Return whether a run gives the expected result; None if it fails."""
        try:
            result = self.trial.run(windows, move, hides_index=hides_index)
            return self.are_equal(expected, result)
        except MuchoError:
            return None

    def are_equal(self, one: Array, other: Array) -> bool:
        """Return whether two results are equal within the tolerance."""
        same_type = one.shape == other.shape and one.dtype == other.dtype
        return same_type and self.tolerance.are_equal(one, other)


def find_hint(case: Case) -> str | None:
    """Return one line with a cause or a remedy; None if none is found."""
    with suppress(MuchoError):  # a failed run gives no hint
        return next(_hints(case), None)
    return None


def _hints(case: Case) -> Iterator[str]:
    if case.gives(case.whole, WHOLE) is False:
        yield (
            "two runs over the whole raster differ, too: the function is not deterministic (random "
            "numbers, time), or keeps state between runs"
        )
    if case.trial.takes_info and case.gives(case.whole, list(case.windows), hides_index=True):
        yield (
            "with info.index 0 and info.total 1 for all windows the result does not depend on "
            "them: the function uses the number of its window"
        )
    if case.gives(case.parts, list(case.windows)[::-1]) is False:
        yield (
            "the same windows in reverse order give another result: the function keeps state "
            "between windows"
        )
    if case.gives(case.parts, [(window, (0, 0)) for window, _ in case.windows]) is False:
        yield (
            "the same windows with ij (0, 0) give another result: the function uses ij, which "
            "depends on the window size"
        )
    if case.trial.options.get("skip_masked") and _is_independent(case, skip_masked=False):
        yield (
            "without skip_masked the result does not depend on the windows: the function does not "
            "return nodata for fully masked windows, but skipped windows are nodata"
        )
    if _depends_on_window(case):
        yield (
            "the same data with another window gives the whole raster's result: the function uses "
            "the size or position of its window"
        )
    loose = _with_tolerance(case)
    if loose and all(loose.gives(case.whole, list(windows)) for windows in case.window_sets):
        yield f"with {loose.tolerance} the results are equal: rounding differs"
    yield from _overlap_hints(case, loose)


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


def _with_tolerance(case: Case) -> Case | None:
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


def _overlap_hints(case: Case, loose: Case | None) -> Iterator[str]:
    """Yield hints: the smallest overlap that is enough, or that none is."""
    least = case.trial.options.get("overlap", 0)
    limit = min(_MOST_OVERLAP, min(case.whole.shape[1:]) // _SIDE_PER_OVERLAP)
    if case.trial.options.get("mode") == "manual_read" or limit <= least:
        return
    overlap = _smallest_overlap(case, least, limit)
    if overlap is not None:
        yield (
            f"with overlap={overlap} the result does not depend on the windows: the function uses "
            "neighbouring pixels"
        )
    overlap = _smallest_overlap(loose, least, limit) if loose else None
    if loose and overlap is not None:
        yield (
            f"with overlap={overlap}, {loose.tolerance} the result does not depend on the windows: "
            "the function uses neighbouring pixels, and rounding differs"
        )
    yield (
        f"no overlap up to {limit} is enough: pixels depend on others further away (such as a "
        "global mean or maximum), or on the window itself"
    )


def _smallest_overlap(case: Case, least: int, limit: int) -> int | None:
    """Return the smallest overlap that is enough; None if none is."""
    failed, step = least, 1  # double the step until it is enough, then bisect
    while not _is_independent(case, overlap=(overlap := min(limit, least + step))):
        if overlap == limit:
            return None
        failed, step = overlap, 2 * step
    while overlap - failed > 1:
        middle = (failed + overlap) // 2
        if _is_independent(case, overlap=middle):
            overlap = middle
        else:
            failed = middle
    return overlap


def _is_independent(case: Case, **options: Any) -> bool:
    """Return whether all windows give the result of the whole with other options.

    Raises
    ------
    MuchoError
        If a run fails.
    """
    trial = case.trial.with_options(**options)
    whole = trial.run(WHOLE)
    return all(case.are_equal(whole, trial.run(list(windows))) for windows in case.window_sets)
