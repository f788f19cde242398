"""Write results to outputs; the first result determines an output's count and dtype."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.engine.report import Failure
from rio_mucho_cli.errors import (
    MuchoChildError,
    MuchoError,
    ResultError,
    UsageError,
)
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.geotiff.overviews import check_overviews
from rio_mucho_cli.outputs.profile import changes_values
from rio_mucho_cli.outputs.resume import damaged_journal_error
from rio_mucho_cli.outputs.statistics import BandStatistics, has_statistics, statistics_of_nothing
from rio_mucho_cli.outputs.value_loss import NO_LOSS, ValueLoss
from rio_mucho_cli.outputs.vrt import PartFile
from rio_mucho_cli.outputs.writer import Writer, discarded_on_error, open_writer
from rio_mucho_cli.planning.hashing import digest
from rio_mucho_cli.planning.outputs import OutputPlan
from rio_mucho_cli.text import option
from rio_mucho_cli.timing import StageTime, StageTimes, Stopwatch
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers.context import ResultType
from rio_mucho_cli.workers.window import OutputResult, WindowResult, is_fatal

log = logging.getLogger(__name__)

# Most bands of a TIFF.
_MOST_BANDS = 65535


@dataclass
class OutputStream:
    """One output of a run while it is written.

    Attributes
    ----------
    plan : OutputPlan
    writer : Writer
    leaves_out : bool
        Whether windows may have no result.
    result_type : ResultType or None
        Type of the first result.
    has_mask : bool
        Whether the output has an internal mask.
    statistics : tuple of BandStatistics
        Statistics of each band so far.
    digest : str or None
        Digest of the run's fingerprint, if the run can be resumed.
    part_bytes : int
        Bytes of the parts of a mosaic so far.
    value_loss : ValueLoss
        Value loss so far.
    """

    plan: OutputPlan
    writer: Writer
    leaves_out: bool = False
    result_type: ResultType | None = None
    has_mask: bool = False
    statistics: tuple[BandStatistics, ...] = ()
    digest: str | None = None
    part_bytes: int = 0
    value_loss: ValueLoss = NO_LOSS

    def open_log(
        self, run: Mapping[str, Any], windows: Sequence[PlannedWindow], *, overwrite: bool
    ) -> int:
        """Open the journal; return how many windows an earlier run finished.

        Parameters
        ----------
        run : Mapping
            Fingerprint of the run.
        windows : sequence of PlannedWindow
        overwrite : bool
            Start over if the journal belongs to a different run.
        """
        self.digest = digest(run)
        return self.writer.open_log(run, windows, overwrite=overwrite)

    def restore(self, windows: int) -> list[Failure]:
        """Resume after this many windows of an earlier run; return their failures.

        Raises
        ------
        OutputError
            If the journal's state is invalid.
        """
        try:
            states = self.writer.truncate(windows)
            state = states[-1]
            count, dtype, masked = state["result_type"]
            if (
                type(count) is not int
                or not 1 <= count <= _MOST_BANDS
                or np.dtype(dtype).kind not in "iufc"
            ):
                raise ValueError("no result type")
            result_type = ResultType(count, str(np.dtype(dtype).name), bool(masked))
            self.statistics = tuple(map(BandStatistics.from_json, state["statistics"]))
            failed = [Failure.from_json(value) for state in states for value in state["failed"]]
            self.begin(result_type)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
            raise damaged_journal_error(self.plan.output.path, exc) from None
        return failed

    def record(self, number: int, failed: Sequence[Failure]) -> bool:
        """Record in the journal how many windows of the plan are written.

        Parameters
        ----------
        number : int
            Number of windows written.
        failed : sequence of Failure
            Failures since the last record.

        Returns
        -------
        bool
            False if it is too early, because the output does not exist yet.
        """
        state = {
            "result_type": self.result_type,
            "statistics": [band.as_json() for band in self.statistics],
            "failed": [failure.as_json() for failure in failed],
        }
        return self.writer.record(number, state)

    def append(self, window: Window, result: OutputResult) -> None:
        """Write one result; the first one creates the output.

        Raises
        ------
        ResultError
            If count or dtype differ from the first result, or only this one is masked.
        """
        result_type, first = result.result_type, self.result_type
        if first is None:
            self.begin(result_type)
        elif self.plan.output.profile is None and (
            (result_type.count, result_type.dtype) != (first.count, first.dtype)
        ):
            name = self.plan.output.name
            raise ResultError(
                f"{'' if name is None else f'for {name!r} '}the function returned "
                f"{result_type.count} bands of {result_type.dtype}, but {first.count} of "
                f"{first.dtype} for the first window: return the same for every window, or set "
                f"{option('dtype')}"
            )
        elif result_type.masked and not self.has_mask:
            raise ResultError(
                "the function returned a masked array, but a plain one for the first window: "
                f"return masked arrays from the first window on, or set {option('nodata')}"
            )
        self.writer.append(window, result.data)
        if isinstance(result.data, PartFile):
            self.part_bytes += result.data.nbytes
        self.value_loss = self.value_loss.merge(result.value_loss)
        if self.statistics:
            merged = map(BandStatistics.merge, self.statistics, result.statistics)
            self.statistics = tuple(merged)
        else:
            self.statistics = result.statistics

    def warn(self, *, some: bool) -> None:
        """Log warnings of value loss.

        Parameters
        ----------
        some : bool
            Whether an earlier run wrote some windows, which are not counted.
        """
        if self.result_type is not None:
            warn_of_value_loss(self.plan, self.profile, self.value_loss, some=some)

    def describe(self) -> None:
        """Pass the statistics of all bands to the writer, as far as they are known."""
        if not self.plan.spec.statistics:
            return
        pixels = self.plan.size.width * self.plan.size.height
        missing = pixels - sum(band.pixels for band in self.statistics[:1])
        if missing and changes_values(self.profile):
            # A lossy codec such as WebP may change even blocks of one value.
            self.writer.set_statistics([])
            return
        rest = statistics_of_nothing(
            missing,
            len(self.statistics),
            nodata=self.profile.get("nodata"),
            dtype=str(self.profile["dtype"]),
            alpha=self.plan.template.masks_by_alpha(self.profile),
            masked=self.has_mask,
        )
        merged = map(BandStatistics.merge, self.statistics, rest)
        self.writer.set_statistics([band.tags() for band in merged])

    def count_bytes(self) -> int:
        """Return the size of the finished, unpublished output in bytes; 0 if unknown."""
        target = self.writer.target
        with suppress(OSError):
            if target is not None:
                return self.part_bytes + int(target.temporary.stat().st_size)
        return 0

    def begin_with_nothing(self, bands: int) -> None:
        """Create the output if no window has a result."""
        if self.result_type is None:
            result_type = self.plan.default_result_type(bands)
            self.begin(result_type)
            self.statistics = (BandStatistics(0),) * result_type.count

    def begin(self, result_type: ResultType) -> None:
        """Create the output for results of a type, and log warnings about its profile."""
        self.result_type = result_type
        self.profile = profile = final_profile(self.plan, result_type)
        # Without nodata or alpha, skipped windows would read as valid zeros.
        marks = profile.get("nodata") is not None or self.plan.template.masks_by_alpha(profile)
        self.has_mask = result_type.masked or (self.leaves_out and not marks)
        metadata = self.plan.metadata
        if metadata is not None:
            metadata = metadata.resolved(int(profile["count"]), str(profile["dtype"]))
        if self.digest is not None:
            metadata = (metadata or Metadata()).with_digest(self.digest)
        self.writer.begin(profile, masked=self.has_mask, metadata=metadata)
        if self.plan.format.conversion is not None:
            asked = self.plan.output.creation_options
            self.plan.format.conversion.check(profile, self.writer.target, asked)


def warn_of_value_loss(
    plan: OutputPlan, profile: Mapping[str, Any], value_loss: ValueLoss, *, some: bool = False
) -> None:
    """Log warnings of value loss; see `ValueLoss.messages`."""
    for message in value_loss.messages(
        str(profile["dtype"]),
        profile.get("nodata"),
        inherited=plan.template.inherited_nodata,
        some=some,
    ):
        log.warning("%s: %s", plan.output.shown_path, message)


def final_profile(plan: OutputPlan, result_type: ResultType) -> dict[str, Any]:
    """Return an output's profile for results of a type; log warnings about it.

    Raises
    ------
    MuchoError
        If the output cannot be made with this profile.
    """
    if not plan.is_part:
        plan.warn(result_type)
    profile = plan.template.profile(result_type.count, result_type.dtype)
    if plan.metadata is not None and plan.metadata.described is not None:
        plan.metadata.described.check(int(profile["count"]), str(profile["dtype"]))
    if plan.spec.statistics and not has_statistics(profile["dtype"]):
        raise UsageError(
            f"statistics are not available for {profile['dtype']}: leave out {option('stats')}"
        )
    if plan.overviews is not None:
        check_overviews(profile)
    return profile


def open_streams(
    plans: Sequence[OutputPlan],
    *,
    overwrite: bool,
    replaceable: Sequence[str] = (),
    inputs: Sequence[str] = (),
    resume: bool = False,
    leaves_out: bool = False,
) -> list[OutputStream]:
    """Open all outputs, or none; see `open_writer`.

    Parameters
    ----------
    plans : sequence of OutputPlan
    overwrite : bool
    replaceable : sequence of str
        Outputs that may be replaced without `overwrite`.
    inputs : sequence of str
    resume : bool
        Keep progress for a later run.
    leaves_out : bool
        Whether windows may have no result.

    Raises
    ------
    OutputError
        If an output exists and may not be replaced, or cannot be created.
    """
    streams: list[OutputStream] = []
    writers: list[Writer] = []
    with discarded_on_error(writers):
        for plan in plans:
            writer = open_writer(
                plan.output.path,
                overwrite=overwrite or plan.output.local_path in replaceable,
                inputs=inputs,
                options=plan.output.creation_options,
                blocks=plan.blocks,
                conversion=plan.format.conversion,
                overview_plan=plan.overviews,
                cog=plan.format.cog,
                statistics=plan.spec.statistics,
                resume=resume,
                mosaic=plan.format.resampling if plan.output.is_mosaic else None,
            )
            writers.append(writer)
            streams.append(OutputStream(plan, writer, leaves_out))
    return streams


class TakesValues(Protocol):
    """A value output, or a part of one."""

    def append(self, value: Any) -> None:
        """Add the value of the next window."""


def write_windows(
    streams: Sequence[OutputStream],
    results: Iterable[tuple[PlannedWindow, WindowResult | MuchoError, StageTime]],
    on_result: Callable[[PlannedWindow, WindowResult | MuchoChildError, StageTimes], None],
    *,
    tolerant: bool,
    done: int = 0,
    shifted: Callable[[Window], Window] | None = None,
    values: Sequence[TakesValues] = (),
) -> None:
    """Write the results of windows to all outputs, in order.

    Parameters
    ----------
    streams : sequence of OutputStream
    results : iterable of (planned window, outcome, transfer)
        Outcome of each window, with its transfer time.
    on_result : callable
        Called with each window, its outcome, and its times of transfer and
        writing.
    tolerant : bool
        Leave a window nodata if the function raises.
    done : int
        Number of windows already written.
    shifted : callable, optional
        Function that turns a window of the grid into a window of the outputs.
    values : sequence of TakesValues
        Value outputs.

    Raises
    ------
    MuchoError
        The first error that ends the run.
    """
    for planned, outcome, transfer in results:
        arrival = StageTimes(transfer=transfer)
        if isinstance(outcome, WindowResult):
            window = planned.window if shifted is None else shifted(planned.window)
            stopwatch = Stopwatch()
            try:
                for stream, result in zip(streams, outcome.results, strict=False):
                    stream.append(window, result)
                for value_stream, value in zip(values, outcome.values, strict=False):
                    value_stream.append(value)
            except (ResultError, MuchoChildError) as exc:
                if isinstance(exc, MuchoChildError):
                    exc.done = done
                raise exc.at(planned.window, planned.ij) from None
            arrival = StageTimes(transfer=transfer, write=stopwatch.split())
        elif is_fatal(outcome, tolerant=tolerant):
            if isinstance(outcome, MuchoChildError):
                outcome.done = done
            raise outcome
        done += 1
        on_result(planned, cast("WindowResult | MuchoChildError", outcome), arrival)
        del outcome  # free the result before the next one arrives
