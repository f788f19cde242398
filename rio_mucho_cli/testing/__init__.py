"""Test whether the result of a function depends on the windows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, Unpack

from rio_mucho_cli.errors import MuchoError, ResultError, UsageError
from rio_mucho_cli.inputs.scenes import Scene
from rio_mucho_cli.job_options import Function, FunctionOptions
from rio_mucho_cli.testing.comparison import (
    Array,
    Tolerance,
    choose_windows,
    describe_difference,
    describe_type_difference,
    describe_windows,
)
from rio_mucho_cli.testing.hints import Case, find_hint
from rio_mucho_cli.testing.trials import WHOLE, Trial, rasters_from_arrays
from rio_mucho_cli.text import did_you_mean
from rio_mucho_cli.windows import WindowPair, format_window

__all__ = ["check"]

ArrayOrPath: TypeAlias = Array | str | os.PathLike[str] | Scene


def check(
    function: Function,
    arrays: ArrayOrPath | Sequence[ArrayOrPath],
    *,
    rtol: float = 0,
    atol: float = 0,
    transform: Any = None,
    crs: Any = None,
    **options: Unpack[FunctionOptions],
) -> Any:
    """Return a function's result, after checking that windows do not change it.

    The function runs as in `rio mucho`: over the whole raster as one window,
    then over windows of several sizes. These are whole rows, whole columns,
    halves, small windows, and windows one pixel wide or high, as they occur
    at the edge of any raster.

    Parameters
    ----------
    function : callable or str
        As for `run`.
    arrays : array, path, or sequence of these
        The inputs: arrays (rows, cols) or (count, rows, cols), or rasters. A
        few hundred pixels a side are enough. Arrays become rasters in memory,
        on the grid of the first path if there is one; masked pixels stay
        masked. Or scenes of `read_scenes`, which are a series.
    rtol, atol : float
        Largest difference between results, as for `numpy.isclose`. With 0,
        results must be equal; NaN equals NaN.
    transform : Affine, optional
        Transform of the arrays, for a function that takes `info`.
    crs : CRS or str, optional
        CRS of the arrays.
    **options
        Options of a `Job` that affect how inputs are read and the function is
        called: `mode`, `overlap`, `boundary`, `global_args`, `plain`,
        `masked`, `fill`, `skip_masked`, `bidx`, `src_nodata`, `like`,
        `extent`, `bounds` and `resampling`; and `dtype`, `count` and `nodata`
        of the result. `nodata` also applies to rasters made from arrays, if
        their dtype can hold it.

    Returns
    -------
    ndarray, or dict of ndarray
        The result for the whole raster, (count, rows, cols); masked if the
        function masks and there is no nodata. If the function returns a dict
        of arrays, a dict of such results with the same names.

    Raises
    ------
    AssertionError
        If a result differs from that of the whole raster. The message gives
        the position and size of the difference, and its cause if further runs
        could find it.
    MuchoError
        If a run fails, as it would in `rio mucho`: the function raises, or
        its dtype or shape differs between windows. UsageError if the function
        cannot be sent to worker processes.

    Notes
    -----
    Each run has its own copy of the function, as worker processes do: changes
    that the function makes outside itself are not visible here.

    The arrays of a dict are checked one by one: `dtype`, `count` and `nodata`
    apply to each.

    Examples
    --------
    >>> def test_slope():
    ...     dem = np.random.default_rng(0).random((90, 70))
    ...     slope = check(slope_of, dem, plain=True, overlap=1)
    ...     assert slope.min() >= 0
    """
    __tracebackhide__ = True  # pytest shows the line that calls this
    _check_names(options)
    tolerance = Tolerance(rtol, atol)
    with rasters_from_arrays(arrays, options, transform=transform, crs=crs) as inputs:
        trial = Trial.of(function, inputs, options)
        try:
            whole = _run(trial, None)
        except ResultError:
            if not trial.names:
                raise
        if not trial.names:
            return _compare(trial, whole, tolerance)
        trials = {name: trial.for_array(name) for name in tuple(trial.names)}
        return {
            name: _compare(trial, _run(trial, None), tolerance) for name, trial in trials.items()
        }


def _compare(trial: Trial, whole: Array, tolerance: Tolerance) -> Array:
    """Return the result for the whole; raise AssertionError if another differs."""
    __tracebackhide__ = True
    window_sets = choose_windows(whole.shape[2], whole.shape[1])
    for windows in window_sets:
        parts = _run(trial, windows)
        message = describe_type_difference(whole, parts, windows)
        if message is None and not tolerance.are_equal(whole, parts):
            message = describe_difference(whole, parts, tolerance, windows)
        if message is not None:
            hint = find_hint(Case(trial, tolerance, whole, parts, windows, window_sets))
            message = message if trial.name is None else f"array {trial.name!r}: {message}"
            raise AssertionError("\n".join(filter(None, [message, hint])))
    return whole


def _check_names(options: Mapping[str, Any]) -> None:
    names = FunctionOptions.__annotations__
    unknown = sorted(set(options) - set(names))
    if unknown:
        hint = did_you_mean(unknown[0], names) or f": expected one of {', '.join(names)}"
        raise UsageError(f"check has no {unknown[0]!r}{hint}")


def _run(trial: Trial, windows: Sequence[WindowPair] | None) -> Array:
    """Run a trial; add a note to errors that only occur with several windows."""
    __tracebackhide__ = True
    try:
        return trial.run(WHOLE if windows is None else list(windows))
    except MuchoError as exc:
        if windows is not None:
            where = f"in {format_window(exc.window)}, " if exc.window else ""
            exc.add_note(
                f"This happens {where}with {describe_windows(windows)}; the whole raster, as one "
                "window, did not fail."
            )
        raise exc.with_traceback(None) from None
