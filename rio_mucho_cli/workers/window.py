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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rio_mucho_cli import signals
from rio_mucho_cli.env import gdal_config, ignore_georeferencing_warnings
from rio_mucho_cli.errors import MuchoChildError, MuchoError, UsageError
from rio_mucho_cli.geotiff.block_table import EncodedBlocks
from rio_mucho_cli.geotiff.encode import Encoder
from rio_mucho_cli.geotiff.gdal_io import needs_exact_nodata
from rio_mucho_cli.inputs.window_data import InputDatasets, ReadSpec
from rio_mucho_cli.outputs.profile import changes_values
from rio_mucho_cli.outputs.statistics import BandStatistics, statistics_of
from rio_mucho_cli.outputs.value_loss import NO_LOSS, ValueLoss, valid_nan
from rio_mucho_cli.outputs.values import count_bytes
from rio_mucho_cli.outputs.vrt import PartFile
from rio_mucho_cli.system import peak_memory, worker_name
from rio_mucho_cli.text import for_command_line
from rio_mucho_cli.timing import StageTimes, Stopwatch, WindowTiming
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers import control, numbering
from rio_mucho_cli.workers.calling import FunctionCall
from rio_mucho_cli.workers.context import OutputSpec, ResultType, RunContext
from rio_mucho_cli.workers.results import (
    check_and_cast,
    check_value,
    count_nodata,
    make_transparent,
    named_results,
    needs_mask,
)


@dataclass(frozen=True, slots=True)
class OutputResult:
    """Result of one window for one output.

    Attributes
    ----------
    result_type : ResultType
    data : ndarray, EncodedBlocks or PartFile
        (count, rows, cols), or its encoded blocks; for a part of a mosaic, its
        file.
    statistics : tuple of BandStatistics
        Statistics of its bands as stored in the file; empty if not requested, or
        not known before the whole output is written.
    value_loss : ValueLoss
        Values that the output cannot represent.
    """

    result_type: ResultType
    data: np.ndarray[Any, Any] | EncodedBlocks | PartFile
    statistics: tuple[BandStatistics, ...] = ()
    value_loss: ValueLoss = NO_LOSS


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Results of one window.

    Attributes
    ----------
    results : tuple of OutputResult
        One for each raster output; empty if the window was skipped.
    timing : WindowTiming or None
        Times for reading, the function and encoding; None if the function raised.
    values : tuple
        One for each value output, a plain value or Lines; empty if the window was
        skipped.
    read_nodata : bool
        Whether the function got nodata as numbers, where no raster's `ValueLoss`
        counts it.
    """

    results: tuple[OutputResult, ...]
    timing: WindowTiming | None = None
    values: tuple[Any, ...] = ()
    read_nodata: bool = False

    @property
    def is_skipped(self) -> bool:
        """Whether the window was skipped."""
        return not self.results and not self.values

    @property
    def nbytes(self) -> int:
        """Size of all results together, in bytes."""
        size = sum(result.data.nbytes for result in self.results)
        return size + sum(map(count_bytes, self.values))


def open_inputs(reading: ReadSpec) -> InputDatasets:
    """Return the inputs for reading in one worker."""
    if reading.series is None:
        return InputDatasets(reading)
    from rio_mucho_cli.inputs.series import SceneDatasets

    return SceneDatasets(reading)


class Worker:
    """Open datasets and the function, for one thread."""

    def __init__(self, context: RunContext, run_id: str) -> None:
        self._context = context
        self._function = FunctionCall(context, run_id)
        ignore_georeferencing_warnings()
        self._sources = open_inputs(context.reading)
        self._encoder = Encoder()
        self._name = worker_name()

    def run(
        self, planned: PlannedWindow, specs: Sequence[OutputSpec] | None = None
    ) -> WindowResult:
        """Read a window, call the function, check its result, encode it.

        Parameters
        ----------
        planned : PlannedWindow
        specs : sequence of OutputSpec, or None
            Specs to use instead of those in the run context.
        """
        context, window = self._context, planned.window
        specs = context.specs if specs is None else specs
        stopwatch = Stopwatch()
        read_data = self._sources.read(window)
        signals.check()
        absent = self._sources.absent
        read = stopwatch.split()
        if read_data is None:
            return WindowResult((), WindowTiming(self._name, stopwatch.started, StageTimes(read)))
        returned = self._function(read_data, planned, self._sources)
        signals.check()
        names = [spec.name for spec in specs] + [spec.name for spec in context.values]
        returned = named_results(returned, names, is_value=not specs)
        checked = [
            check_and_cast(result, spec, window, context.reading.overlap, self._sources.outside)
            for result, spec in zip(returned, specs, strict=False)
        ]
        called = stopwatch.split()
        results = tuple(
            self._result(array, spec, loss, absent)
            for (array, loss), spec in zip(checked, specs, strict=True)
        )
        values = tuple(
            check_value(result, spec, window, context.reading.overlap)
            for result, spec in zip(returned[len(specs) :], context.values, strict=True)
        )
        read_nodata = context.plain and absent is not None and context.reading.fill is None
        if results and read_nodata:
            loss = results[0].value_loss.merge(ValueLoss(read_windows=1))
            results = (replace(results[0], value_loss=loss), *results[1:])
        stages = StageTimes(read, called, stopwatch.split())
        timing = WindowTiming(self._name, stopwatch.started, stages)
        return WindowResult(results, timing, values, read_nodata and not results)

    def _result(
        self,
        array: np.ndarray[Any, Any],
        spec: OutputSpec,
        loss: ValueLoss,
        absent: np.ndarray[Any, Any] | None,
    ) -> OutputResult:
        """Return the result for one output: encoded, masked, with statistics."""
        count, dtype = array.shape[0], array.dtype.name
        if spec.template is None:
            return OutputResult(ResultType(count, dtype), array.copy(), value_loss=loss)
        profile = spec.template.profile(count, dtype)
        if spec.template.nan_is_unexpected(dtype):
            loss = loss.merge(valid_nan(array))
        reading = self._context.reading
        if spec.template.complete is None:
            loss = loss.merge(count_nodata(array, spec.template, absent, reading))
        by_alpha = spec.template.masks_by_alpha(profile)
        alpha = spec.template.inherited_alpha(count)
        if alpha and profile["nodata"] is None and np.ma.isMaskedArray(array):
            array = make_transparent(array, alpha)
            array = np.ma.getdata(array) if by_alpha else array
        if np.ma.isMaskedArray(array) and needs_exact_nodata(profile):
            # rasterio would fill it with the nodata value as a double.
            array = np.ma.filled(array.astype(profile["dtype"], copy=False), profile["nodata"])
        has_area = reading.area is not None
        masked = needs_mask(array, profile, spec.template, has_area=has_area)
        data: np.ndarray[Any, Any] | EncodedBlocks
        if spec.encodes:
            data = self._encoder.encode(array, profile, masked=masked, overview_plan=spec.overviews)
        else:
            # The function may return the same buffer again before this is written.
            data = array.copy()
        statistics: tuple[BandStatistics, ...] = ()
        if spec.statistics:
            statistics = self._statistics(array, profile, masked, spec.encodes, by_alpha)
        return OutputResult(ResultType(count, dtype, masked), data, statistics, loss)

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


# Workers are keyed by run and thread: a process may have several threads, and a
# function may start a run of its own.
_contexts: dict[str, RunContext | bytes] = {}
_workers: dict[tuple[str, int], Worker] = {}


def open_run(run_id: str, context: RunContext | bytes, is_numbered: bool = False) -> None:
    """Store the context of a run in this process.

    It is unpickled for the first window, where an error can be returned.

    Parameters
    ----------
    run_id : str
    context : RunContext or bytes
    is_numbered : bool
        Whether this process is a worker of the run, and has a number.
    """
    _contexts[run_id] = context
    if is_numbered:
        numbering.number_by(run_id, numbering.place_of_process)


@contextmanager
def in_environment(run_id: str) -> Iterator[RunContext]:
    """Apply the GDAL options of a run; yield its context."""
    context = context_of(run_id)
    ignore_georeferencing_warnings()
    with (
        nullcontext() if context.env is None else gdal_config(context.env),
        for_command_line(context.for_command_line),
    ):
        yield context


def run_window(
    run_id: str, planned: PlannedWindow, specs: Sequence[OutputSpec] | None = None
) -> WindowResult | MuchoError:
    """Process one window; return its result or its error.

    Parameters
    ----------
    run_id : str
        Run id.
    planned : PlannedWindow
    specs : sequence of OutputSpec, or None
        See `Worker.run`.
    """
    try:
        with in_environment(run_id) as context:
            worker_key = (run_id, threading.get_ident())
            worker = _workers.get(worker_key)
            if worker is None:
                worker = _workers[worker_key] = Worker(context, run_id)
            try:
                with control.limited(run_id, context.timeout):
                    return worker.run(planned, specs)
            except UsageError as exc:
                return exc  # does not depend on the window
            except MuchoError as exc:
                return exc.at(planned.window, planned.ij)
    except MuchoError as exc:
        return exc


def run_windows(run_id: str, batch: Sequence[PlannedWindow]) -> list[WindowResult | MuchoError]:
    """Process windows one after another, up to the first fatal error.

    Small windows are sent in batches: sending a task takes as long as processing
    one of them.
    """
    outcomes: list[WindowResult | MuchoError] = []
    for done, planned in enumerate(batch):
        control.note_progress(done)
        outcomes.append(run_window(run_id, planned))
        if is_fatal(outcomes[-1], tolerant=_is_tolerant(run_id)):
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


def _is_tolerant(run_id: str) -> bool:
    context = _contexts.get(run_id)
    return isinstance(context, RunContext) and context.tolerant


def close_run(run_id: str) -> None:
    """Close the workers of a run in this process and forget the run."""
    _contexts.pop(run_id, None)
    numbering.forget_run(run_id)
    control.forget(run_id)
    for worker_key in [key for key in _workers if key[0] == run_id]:
        _workers.pop(worker_key).close()


@atexit.register
def _close_all() -> None:
    """Close datasets before Python exits: rasterio complains about open ones."""
    for run_id, _ in list(_workers):
        close_run(run_id)


def context_of(run_id: str) -> RunContext:
    """Return the context of a run in this process; raise UsageError if it cannot be loaded."""
    context = _contexts[run_id]
    if isinstance(context, bytes):
        try:
            context = _contexts[run_id] = RunContext.from_bytes(context)
        except Exception as exc:
            raise UsageError(
                "the function or its global args cannot be loaded in a worker process "
                f"({type(exc).__name__}: {exc}): use the executor threads, or one job"
            ) from None
    return context
