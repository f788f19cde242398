"""Outputs while they are written: all results for one have the form of the first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.engine.report import Failure
from rio_mucho_cli.errors import (
    MuchoChildError,
    MuchoError,
    OutputError,
    ResultError,
    UsageError,
    one_line,
)
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.geotiff.overviews import check_overviews
from rio_mucho_cli.outputs.alpha import hides_by_alpha
from rio_mucho_cli.outputs.files import partial_folder
from rio_mucho_cli.outputs.profile import changes_values
from rio_mucho_cli.outputs.statistics import BandStatistics, has_statistics, statistics_of_nothing
from rio_mucho_cli.outputs.value_loss import NONE, ValueLoss
from rio_mucho_cli.outputs.vrt import PartFile
from rio_mucho_cli.outputs.writer import Writer, open_writer
from rio_mucho_cli.planning.hashing import digest
from rio_mucho_cli.planning.outputs import OutputPlan
from rio_mucho_cli.text import option
from rio_mucho_cli.timing import StageTime, StageTimes, Stopwatch
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers.window import OutputResult, WindowResult, is_fatal

log = logging.getLogger(__name__)

# Of a TIFF.
_MOST_BANDS = 65535


@dataclass
class OutputStream:
    """One output of a run, while it comes to be.

    Attributes
    ----------
    plan : OutputPlan
    writer : Writer
    leaves_out : bool
        There may be windows without a result.
    form : tuple or None
        Of the first result: (count, dtype, whether it is masked).
    has_mask : bool
        The output has an internal mask.
    statistics : tuple of BandStatistics
        Of its bands, as far as they have come.
    digest : str or None
        Which run it is, if it can be resumed.
    part_bytes : int
        Of the parts of a mosaic that have come.
    misfits : ValueLoss
        What it cannot hold as what it is, of all that have come.
    """

    plan: OutputPlan
    writer: Writer
    leaves_out: bool = False
    form: tuple[int, str, bool] | None = None
    has_mask: bool = False
    statistics: tuple[BandStatistics, ...] = ()
    digest: str | None = None
    part_bytes: int = 0
    misfits: ValueLoss = NONE

    def open_log(
        self, run: Mapping[str, Any], windows: Sequence[PlannedWindow], *, overwrite: bool
    ) -> int:
        """Open the journal; return how many windows an earlier run has done.

        Parameters
        ----------
        run : Mapping
            Its fingerprint.
        windows : sequence of (window, ij)
        overwrite : bool
            Begin anew if the earlier run was another one.
        """
        self.digest = digest(run)
        return self.writer.open_log(run, windows, overwrite=overwrite)

    def restore(self, windows: int) -> list[Failure]:
        """Take up so many windows of an earlier run; return those that failed.

        Raises
        ------
        OutputError
            If what is said of them makes no sense.
        """
        try:
            states = self.writer.restrict(windows)
            state = states[-1]
            count, dtype, masked = state["form"]
            if (
                type(count) is not int
                or not 1 <= count <= _MOST_BANDS
                or np.dtype(dtype).kind not in "iufc"
            ):
                raise ValueError("no form of a result")
            self.form = count, str(np.dtype(dtype).name), bool(masked)
            self.statistics = tuple(map(BandStatistics.from_json, state["statistics"]))
            failed = [Failure.from_json(value) for each in states for value in each["failed"]]
            self.begin(*self.form)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
            raise OutputError(
                f"the journal of {self.plan.output.path} makes no sense ({one_line(exc)}): "
                f"remove {partial_folder(str(self.plan.output.path))} to begin anew"
            ) from None
        return failed

    def note(self, number: int, failed: Sequence[Failure]) -> bool:
        """Write down that all windows up to a number are written.

        Parameters
        ----------
        number : int
            Of the last one, in the plan.
        failed : sequence of Failure
            Those of them that have failed since the last note.

        Returns
        -------
        bool
            False if there is nothing yet to note it of.
        """
        state = {
            "form": self.form,
            "statistics": [band.as_json() for band in self.statistics],
            "failed": [failure.as_json() for failure in failed],
        }
        return self.writer.note(number, state)

    def append(self, window: Window, piece: OutputResult) -> None:
        """Write one result; the first one settles what the output is.

        Raises
        ------
        ResultError
            If the result is unlike the first one.
        """
        if self.form is None:
            self.form = piece.form
            self.begin(*piece.form)
        elif self.plan.output.profile is None and piece.form[:2] != self.form[:2]:
            name = self.plan.output.name
            raise ResultError(
                f"{'' if name is None else f'for {name!r} '}the function returned "
                f"{piece.form[0]} bands of {piece.form[1]}, for the first window {self.form[0]} "
                f"of {self.form[1]}: it must return the same for every window, or "
                f"{option('dtype')} settle the dtype"
            )
        elif piece.form[2] and not self.has_mask:
            raise ResultError(
                "the function returned a masked array, for the first window a plain one: "
                f"it must mask from the first window on, or {option('nodata')} give the output a "
                "nodata value"
            )
        self.writer.append(window, piece.data)
        if isinstance(piece.data, PartFile):
            self.part_bytes += piece.data.nbytes
        self.misfits = self.misfits.merged(piece.misfits)
        if self.statistics:
            merged = map(BandStatistics.merged, self.statistics, piece.statistics)
            self.statistics = tuple(merged)
        else:
            self.statistics = piece.statistics

    def warn(self, *, some: bool) -> None:
        """Say what the output could not hold.

        Parameters
        ----------
        some : bool
            There are windows of an earlier run, which nobody has counted.
        """
        if self.form is not None:
            warn_of_value_loss(self.plan, self.profile, self.misfits, some=some)

    def describe(self) -> None:
        """Give the writer the statistics of all bands, as far as they are known."""
        if not self.plan.wanted.statistics:
            return
        pixels = self.plan.size.width * self.plan.size.height
        missing = pixels - sum(band.pixels for band in self.statistics[:1])
        if missing and changes_values(self.profile):
            # Not even those of one colour are what a codec like WebP makes of them.
            self.writer.set_statistics([])
            return
        rest = statistics_of_nothing(
            missing,
            len(self.statistics),
            nodata=self.profile.get("nodata"),
            dtype=str(self.profile["dtype"]),
            alpha=hides_by_alpha(self.plan.recipe, self.profile),
            masked=self.has_mask,
        )
        merged = map(BandStatistics.merged, self.statistics, rest)
        self.writer.set_statistics([band.tags() for band in merged])

    def count_bytes(self) -> int:
        """Return how large the output is that is finished and not published; 0 if nobody knows."""
        target = self.writer.target
        with suppress(OSError):
            if target is not None:
                return self.part_bytes + int(target.temporary.stat().st_size)
        return 0

    def begin_with_nothing(self, bands: int) -> None:
        """Make an output that no window has a result for."""
        if self.form is None:
            self.form = self.plan.form_of_nothing(bands)
            self.begin(*self.form)
            self.statistics = (BandStatistics(0),) * self.form[0]

    def begin(self, count: int, dtype: str, masked: bool) -> None:
        """Make the output, and say what a user might not expect of it."""
        self.profile = profile = final_profile(self.plan, count, dtype, masked)
        # What is skipped must not look like pixels, and 0 is transparent.
        marks = profile.get("nodata") is not None or hides_by_alpha(self.plan.recipe, profile)
        self.has_mask = masked or (self.leaves_out and not marks)
        metadata = self.plan.metadata
        if self.digest is not None:
            metadata = (metadata or Metadata()).with_digest(self.digest)
        self.writer.begin(profile, masked=self.has_mask, metadata=metadata)
        if self.plan.format.conversion is not None:
            asked = self.plan.output.creation_options
            self.plan.format.conversion.check(profile, self.writer.target, asked)


def warn_of_value_loss(
    plan: OutputPlan, profile: Mapping[str, Any], misfits: ValueLoss, *, some: bool = False
) -> None:
    """Say what an output cannot hold as what it is; see `ValueLoss.messages`."""
    for message in misfits.messages(
        str(profile["dtype"]),
        profile.get("nodata"),
        inherited=plan.recipe.inherited,
        some=some,
    ):
        log.warning("%s: %s", plan.output.shown_path, message)


def final_profile(plan: OutputPlan, count: int, dtype: str, masked: bool) -> dict[str, Any]:
    """Return an output's profile once its form is known; say what a user might not expect.

    Raises
    ------
    MuchoError
        If there is no such output.
    """
    if not plan.is_part:
        plan.warn(count, dtype, masked)
    profile = plan.recipe.profile(count, dtype)
    if plan.wanted.statistics and not has_statistics(profile["dtype"]):
        raise UsageError(
            f"there are no statistics of {profile['dtype']}: leave out {option('stats')}"
        )
    if plan.pyramid is not None:
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
    """Open all outputs, or none; see `make_writer`.

    Parameters
    ----------
    plans : sequence of OutputPlan
    overwrite : bool
    replaceable : sequence of str
        Outputs that may be replaced without `overwrite`.
    inputs : sequence of str
    resume : bool
    leaves_out : bool
        Windows without a result are possible.

    Raises
    ------
    OutputError
        If an output exists and may not be replaced, or cannot be made.
    """
    deliveries: list[OutputStream] = []
    try:
        for plan in plans:
            writer = open_writer(
                plan.output.path,
                overwrite=overwrite or plan.output.local_path in replaceable,
                inputs=inputs,
                options=plan.output.creation_options,
                blocks=plan.blocks,
                conversion=plan.format.conversion,
                pyramid=plan.pyramid,
                cog=plan.format.cog,
                statistics=plan.wanted.statistics,
                resume=resume,
                mosaic=plan.format.resampling if plan.output.is_mosaic else None,
            )
            deliveries.append(OutputStream(plan, writer, leaves_out))
    except BaseException:
        for delivery in deliveries:
            delivery.writer.discard()
        raise
    return deliveries


def write_windows(
    deliveries: Sequence[OutputStream],
    results: Iterable[tuple[PlannedWindow, WindowResult | MuchoError, StageTime]],
    on_result: Callable[[PlannedWindow, WindowResult | MuchoChildError, StageTimes], None],
    *,
    tolerant: bool,
    done: int = 0,
    shifted: Callable[[Window], Window] | None = None,
) -> None:
    """Write the results of windows to all outputs, in their order.

    Parameters
    ----------
    deliveries : sequence of OutputStream
    results : iterable of (planned window, outcome, transfer)
        With the time that each outcome took to arrive.
    on_result : callable
        Gets each window, its outcome, and the time of transfer and writing.
    tolerant : bool
        Windows whose function raises are nodata.
    done : int
        Number of windows that are written already.
    shifted : callable, optional
        Returns a window of the grid as one of the outputs.

    Raises
    ------
    MuchoError
        The first error that ends the run.
    """
    for planned, outcome, transfer in results:
        arrival = StageTimes(transfer=transfer)
        if isinstance(outcome, WindowResult):
            window, ij = planned
            place = window if shifted is None else shifted(window)
            stopwatch = Stopwatch()
            try:
                for delivery, piece in zip(deliveries, outcome.pieces, strict=False):
                    delivery.append(place, piece)
            except ResultError as exc:
                raise exc.at(window, ij) from None
            arrival = StageTimes(transfer=transfer, write=stopwatch.split())
        elif is_fatal(outcome, tolerant=tolerant):
            if isinstance(outcome, MuchoChildError):
                outcome.done = done
            raise outcome
        done += 1
        on_result(planned, cast("WindowResult | MuchoChildError", outcome), arrival)
        del outcome  # nothing keeps a result that has been written
