"""Process one window in a worker: read, call the function, check, encode.

    open_run(run_id, context) ──▶ keep the context of a run, once in each process
    run_window(run_id, window) ─▶ WindowResult, or the MuchoError that ended the window
    run_windows(run_id, batch) ─▶ the same for several windows, one after another
    close_run(run_id) ──────────▶ close the datasets of all workers

Errors are returned, not raised: an exception raised in a worker process may fail
to pickle.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rio_mucho_cli import signals
from rio_mucho_cli.env import gdal_config, ignore_georeferencing_warnings
from rio_mucho_cli.errors import MuchoChildError, MuchoError, UsageError
from rio_mucho_cli.geotiff.block_table import EncodedBlocks
from rio_mucho_cli.geotiff.encode import Encoder
from rio_mucho_cli.geotiff.gdal_io import needs_exact_nodata
from rio_mucho_cli.inputs.window_data import InputDatasets
from rio_mucho_cli.outputs.profile import changes_values
from rio_mucho_cli.outputs.statistics import BandStatistics, statistics_of
from rio_mucho_cli.outputs.value_loss import NO_LOSS, ValueLoss, lost_in_cast, valid_nan
from rio_mucho_cli.outputs.vrt import PartFile
from rio_mucho_cli.system import peak_memory, worker_name
from rio_mucho_cli.text import for_command_line
from rio_mucho_cli.timing import StageTimes, Stopwatch, WindowTiming
from rio_mucho_cli.windows import PlannedWindow, normalize
from rio_mucho_cli.workers.context import OutputSpec, RunContext
from rio_mucho_cli.workers.functions import (
    FunctionRef,
    hint_of_arguments,
    make_callable,
    wrap_user_error,
)
from rio_mucho_cli.workers.results import (
    check_result,
    count_nodata,
    make_transparent,
    named_results,
    needs_mask,
    with_nan_masked,
)


@dataclass(frozen=True, slots=True)
class OutputResult:
    """Result of one window for one output.

    Attributes
    ----------
    form : tuple
        (count, dtype, whether it needs an internal mask) of the result.
    data : ndarray, EncodedBlocks or PartFile
        (count, rows, cols), or its encoded blocks; for a part of a mosaic, its
        file.
    statistics : tuple of BandStatistics
        Statistics of its bands as stored in the file; empty if not requested, or
        not known before the whole output is written.
    value_loss : ValueLoss
        Values that the output cannot represent.
    """

    form: tuple[int, str, bool]
    data: np.ndarray[Any, Any] | EncodedBlocks | PartFile
    statistics: tuple[BandStatistics, ...] = ()
    value_loss: ValueLoss = NO_LOSS


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Results of one window.

    Attributes
    ----------
    pieces : tuple of OutputResult
        One for each output; empty if the window was skipped.
    timing : WindowTiming or None
        Times for reading, the function and encoding; None if the function raised.
    """

    pieces: tuple[OutputResult, ...]
    timing: WindowTiming | None = None

    @property
    def nbytes(self) -> int:
        """Size of all results together, in bytes."""
        return sum(piece.data.nbytes for piece in self.pieces)


class Worker:
    """Open datasets and the function, for one thread."""

    def __init__(self, order: RunContext) -> None:
        self._order = order
        function = order.function
        if isinstance(function, FunctionRef):
            function = function.load()
        self._call = make_callable(function, order.global_args, plain=order.plain)
        ignore_georeferencing_warnings()
        self._sources = InputDatasets(order.reading)
        self._encoder = Encoder()
        self._name = worker_name()

    def run(self, window: Any, ij: Any, wanted: Sequence[OutputSpec] | None = None) -> WindowResult:
        """Read a window, call the function, check its result, encode it.

        Parameters
        ----------
        window, ij
        wanted : sequence of OutputSpec, or None
            Specs to use instead of those in the run context.
        """
        order = self._order
        outputs = order.wanted if wanted is None else wanted
        watch = Stopwatch()
        read_data = self._sources.read(window)
        signals.check()
        absent = self._sources.absent
        read = watch.split()
        if read_data is None:
            return WindowResult((), WindowTiming(self._name, watch.started, StageTimes(read)))
        try:
            returned = self._call(read_data, window, ij, order.global_args)
        except signals.INTERRUPTS:
            raise
        except BaseException as exc:
            signals.check(instead=True)
            given = len(read_data) if isinstance(read_data, list) else 1
            hint = hint_of_arguments(self._call, exc, given, plain=order.plain)
            raise wrap_user_error("the function", exc, hint) from None
        finally:
            ignore_georeferencing_warnings()
        signals.check()
        whole = normalize(window, order.width, order.height)
        checked = [
            _checked(result, each, whole, order.reading.overlap)
            for result, each in zip(
                named_results(returned, [each.name for each in outputs]), outputs, strict=True
            )
        ]
        called = watch.split()
        pieces = tuple(
            self._piece(array, each, unfit, absent)
            for (array, unfit), each in zip(checked, outputs, strict=True)
        )
        if order.plain and absent is not None and order.reading.fill is None:
            unfit = pieces[0].value_loss.merge(ValueLoss(read_windows=1))
            pieces = (replace(pieces[0], value_loss=unfit), *pieces[1:])
        stages = StageTimes(read, called, watch.split())
        return WindowResult(pieces, WindowTiming(self._name, watch.started, stages))

    def _piece(
        self,
        array: np.ndarray[Any, Any],
        wanted: OutputSpec,
        unfit: ValueLoss,
        absent: np.ndarray[Any, Any] | None,
    ) -> OutputResult:
        """Return the result for one output: encoded, masked, with statistics."""
        count, dtype = array.shape[0], array.dtype.name
        if wanted.recipe is None:
            return OutputResult((count, dtype, False), array.copy(), value_loss=unfit)
        profile = wanted.recipe.profile(count, dtype)
        if wanted.recipe.nan_is_unexpected(dtype):
            unfit = unfit.merge(valid_nan(array))
        reading = self._order.reading
        if wanted.recipe.complete is None:
            unfit = unfit.merge(count_nodata(array, wanted.recipe, absent, reading))
        by_alpha = wanted.recipe.masks_by_alpha(profile)
        alpha = wanted.recipe.inherited_alpha(count)
        if alpha and profile["nodata"] is None and np.ma.isMaskedArray(array):
            array = make_transparent(array, alpha)
            array = np.ma.getdata(array) if by_alpha else array
        if np.ma.isMaskedArray(array) and needs_exact_nodata(profile):
            # rasterio would fill it with the nodata value as a double.
            array = np.ma.filled(array.astype(profile["dtype"], copy=False), profile["nodata"])
        masked = needs_mask(array, profile, wanted.recipe)
        data: np.ndarray[Any, Any] | EncodedBlocks
        if wanted.encodes:
            data = self._encoder.encode(array, profile, masked=masked, overview_plan=wanted.pyramid)
        else:
            # The function may return the same buffer again before this is written.
            data = array.copy()
        statistics: tuple[BandStatistics, ...] = ()
        if wanted.statistics:
            statistics = self._statistics(array, profile, masked, wanted.encodes, by_alpha)
        return OutputResult((count, dtype, masked), data, statistics, unfit)

    def _statistics(
        self,
        array: np.ndarray[Any, Any],
        profile: Mapping[str, Any],
        masked: bool,
        encodes: bool,
        by_alpha: bool,
    ) -> tuple[BandStatistics, ...]:
        """Return statistics of the stored values, or () if they are unknown."""
        if changes_values(profile):
            if not encodes:
                return ()
            array = self._encoder.as_stored(array, profile, masked=masked)
        elif np.ma.isMaskedArray(array) and not masked and profile.get("nodata") is None:
            array = np.ma.filled(array)  # as rasterio does when writing
        dtype, nodata = str(profile["dtype"]), profile.get("nodata")
        return statistics_of(array, nodata=nodata, dtype=dtype, alpha=by_alpha)

    def close(self) -> None:
        """Close the datasets."""
        self._sources.close()
        self._encoder.close()


def _checked(
    result: Any, wanted: OutputSpec, window: Any, overlap: int
) -> tuple[np.ndarray[Any, Any], ValueLoss]:
    """Return a result as (count, rows, cols) in the output's dtype, and its losses."""
    array = check_result(result, window, wanted.count, overlap, wanted.name)
    if wanted.masks_nan and array.dtype.kind in "fc":
        array = with_nan_masked(array, wanted)
    if wanted.dtype is None or array.dtype == wanted.dtype:
        return array, NO_LOSS
    unfit = lost_in_cast(array, wanted.dtype)
    is_given = wanted.recipe is None or wanted.recipe.complete is not None
    if is_given and np.ma.isMaskedArray(array):
        return array, unfit  # rasterio fills first and casts afterwards
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(wanted.dtype, copy=False), unfit


# Workers are keyed by run and thread: a process may have several threads, and a
# function may start a run of its own.
_contexts: dict[str, RunContext | bytes] = {}
_workers: dict[tuple[str, int], Worker] = {}

# Does nothing in the main process.
_note_progress: Callable[[int], Any] = bool


def open_run(key: str, order: RunContext | bytes) -> None:
    """Store the context of a run in this process.

    It is unpickled for the first window, where an error can be returned.
    """
    _contexts[key] = order


@contextmanager
def in_environment(key: str) -> Iterator[RunContext]:
    """Apply the GDAL options of a run; yield its context."""
    order = _context_of(key)
    ignore_georeferencing_warnings()
    with (
        nullcontext() if order.env is None else gdal_config(order.env),
        for_command_line(order.for_command_line),
    ):
        yield order


def run_window(
    key: str, planned: PlannedWindow, wanted: Sequence[OutputSpec] | None = None
) -> WindowResult | MuchoError:
    """Process one window; return its result or its error.

    Parameters
    ----------
    key : str
        Run id.
    planned : (window, ij)
    wanted : sequence of OutputSpec, or None
        See `Worker.run`.
    """
    window, ij = planned
    try:
        with in_environment(key) as order:
            place = (key, threading.get_ident())
            worker = _workers.get(place)
            if worker is None:
                worker = _workers[place] = Worker(order)
            try:
                return worker.run(window, ij, wanted)
            except UsageError as exc:
                return exc  # does not depend on the window
            except MuchoError as exc:
                return exc.at(window, ij)
    except MuchoError as exc:
        return exc


def run_windows(key: str, batch: Sequence[PlannedWindow]) -> list[WindowResult | MuchoError]:
    """Process windows one after another, up to the first fatal error.

    Small windows are sent in batches: sending a task takes as long as processing
    one of them.
    """
    outcomes: list[WindowResult | MuchoError] = []
    for done, planned in enumerate(batch):
        _note_progress(done)
        outcomes.append(run_window(key, planned))
        if is_fatal(outcomes[-1], tolerant=_is_tolerant(key)):
            break
    last = outcomes[-1]
    if isinstance(last, WindowResult) and last.timing is not None:
        # Measured once per batch: it takes as long as processing a small window.
        outcomes[-1] = replace(last, timing=replace(last.timing, peak=peak_memory()))
    return outcomes


def is_fatal(outcome: WindowResult | MuchoError, *, tolerant: bool) -> bool:
    """Return whether the outcome of a window ends the run.

    Parameters
    ----------
    outcome : WindowResult or MuchoError
    tolerant : bool
        Whether windows whose function raises are filled with nodata.
    """
    if not isinstance(outcome, MuchoError):
        return False
    is_windows = isinstance(outcome, MuchoChildError) and outcome.window is not None
    return not (tolerant and is_windows)


def _is_tolerant(key: str) -> bool:
    order = _contexts.get(key)
    return isinstance(order, RunContext) and order.tolerant


def note_progress(done: int) -> None:
    """Report how many windows of a task are done, in case the worker dies."""
    _note_progress(done)


def note_progress_with(note: Callable[[int], Any]) -> None:
    """Set the function that reports how many windows of a batch are done."""
    global _note_progress
    _note_progress = note


# Runs that ended early. Long-lived processes see many, and cannot know when the last
# call of a run is over, so only the latest are kept.
_stopped: deque[str] = deque(maxlen=64)


def stop(key: str) -> None:
    """Ask long-running work of a run in this process to stop soon."""
    _stopped.append(key)


def is_stopped(key: str) -> bool:
    """Return whether a run was stopped."""
    return key in _stopped


def close_run(key: str) -> None:
    """Close the workers of a run in this process and forget the run."""
    _contexts.pop(key, None)
    with suppress(ValueError):
        _stopped.remove(key)
    for place in [place for place in _workers if place[0] == key]:
        _workers.pop(place).close()


@atexit.register
def _dismiss_all() -> None:
    """Close datasets before Python exits: rasterio complains about open ones."""
    for key, _ in list(_workers):
        close_run(key)


def _context_of(key: str) -> RunContext:
    order = _contexts[key]
    if isinstance(order, bytes):
        try:
            order = _contexts[key] = RunContext.unpacked(order)
        except Exception as exc:
            raise UsageError(
                "the function or its global args cannot be loaded in a worker process "
                f"({type(exc).__name__}: {exc}): use the executor threads, or one job"
            ) from None
    return order
