"""Where results go: begin, append, commit or discard.

    begin(profile) ──▶ append(window, data) ──▶ … ──▶ finish() ──▶ publish
                                            └───────▶ discard() ◀─────┘

A writer takes results in the order of the windows. What it has written shows
under the output's name when it is published, together with what the writers
of the same run have, and never after discard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.geotiff.block_table import EncodedBlocks
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan, PendingOverviews
from rio_mucho_cli.outputs.block_writer import BlockWriter
from rio_mucho_cli.outputs.from_geotiff import Conversion, finish_cog
from rio_mucho_cli.outputs.gdal_writer import DatasetWriter, FileWriter, MemoryWriter
from rio_mucho_cli.outputs.layout import BlockLayout
from rio_mucho_cli.outputs.mosaic import MosaicWriter, open_mosaic
from rio_mucho_cli.outputs.remote_target import RemoteTarget
from rio_mucho_cli.outputs.target import Finish, Target, publish
from rio_mucho_cli.paths import is_in_memory, is_virtual
from rio_mucho_cli.signals import check
from rio_mucho_cli.windows import PlannedWindow


class Writer(Protocol):
    """What the engine needs of an output."""

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Make the output; called once, before the first window.

        Parameters
        ----------
        profile : Mapping
        masked : bool
            With an internal mask.
        metadata : Metadata or None
            What else is said of it.
        """

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Open the journal, before `begin`; return how many windows an earlier run has done."""

    def restrict(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Take up so many windows of an earlier run; return the states that were noted."""

    def append(self, window: Any, data: Any) -> None:
        """Write a window: a (count, rows, cols) array, or its encoded blocks."""

    def note(self, number: int, state: Mapping[str, Any]) -> bool:
        """Write down that all windows up to a number are written; False if it is too early."""

    def unmade_overviews(self) -> Sequence[PendingOverviews]:
        """Say what overviews workers have still to make, after the last window."""

    def append_overview(self, level: int, window: Window, data: EncodedBlocks) -> None:
        """Write a window of one of them, encoded."""

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Take the statistics of all bands, as tags; of none, if GDAL is to find them out."""

    def finish(self) -> None:
        """Complete the output, under whatever name it has by now."""

    def discard(self) -> None:
        """Leave nothing of it."""

    @property
    def target(self) -> Any:
        """The Target that is to be published when it is finished, or None."""


def open_writer(
    output: Any,
    *,
    overwrite: bool,
    inputs: Sequence[str],
    options: Mapping[str, str],
    blocks: BlockLayout | None = None,
    conversion: Conversion | None = None,
    pyramid: OverviewPlan | None = None,
    cog: bool = False,
    statistics: bool = False,
    resume: bool = False,
    mosaic: str | None = None,
) -> Writer:
    """Choose the writer for an output.

    Parameters
    ----------
    output : str, Path or open dataset
    overwrite : bool
    inputs : sequence of str
    options : Mapping
        The creation options that the user gave.
    blocks : BlockLayout or None
        The output's blocks, if results come encoded.
    conversion : Conversion or None
        To what the GeoTIFF is converted that is made first.
    pyramid : OverviewPlan or None
        Overviews of a GeoTIFF.
    cog : bool
        Put the GeoTIFF in the order of a COG.
    statistics : bool
        The output gets the statistics of its bands.
    resume : bool
        What is there of it outlasts a run that does not come to its end.
    mosaic : str or None
        It is a VRT over parts; the resampling of their overviews.

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, or cannot be made.
    """
    if not isinstance(output, str | Path):
        return DatasetWriter(output)
    if mosaic is not None:
        place = open_mosaic(str(output), overwrite=overwrite, inputs=inputs, resume=resume)
        return MosaicWriter(place, mosaic)
    if is_in_memory(str(output)):
        return MemoryWriter(str(output), overwrite=overwrite, options=options)
    if is_virtual(str(output)):
        target: Target = RemoteTarget(str(output), overwrite=overwrite, inputs=inputs)
    else:
        target = Target(str(output), overwrite=overwrite, inputs=inputs, resume=resume)

    finish: Finish | None = None
    if cog:
        finish = partial(finish_cog, bigtiff=options.get("bigtiff"))
    elif conversion is not None:
        finish, options = partial(conversion.finish, asked=options), {}
    if blocks is None:
        return FileWriter(target, options, pyramid, finish=finish)
    return BlockWriter(target, options, blocks, pyramid, statistics=statistics, finish=finish)


@contextmanager
def discarded_on_error(writers: Sequence[Writer]) -> Iterator[None]:
    """Discard what writers have if anything is raised."""
    try:
        yield
    except BaseException:
        for writer in writers:
            # A folder that is gone or full is no reason to leave others there.
            with suppress(OSError):
                writer.discard()
        raise


def finish_all(writers: Sequence[Writer]) -> None:
    """Complete all outputs, under their temporary names.

    Raises
    ------
    OutputError
        If one of them cannot be.
    """
    for writer in writers:
        try:
            writer.finish()
        except OutputError:
            raise
        except OSError as exc:
            raise OutputError(f"an output cannot be finished: {one_line(exc)}") from None
        check()


def publish_all(writers: Sequence[Writer], then: Callable[[], None] | None = None) -> None:
    """Make all outputs visible together, when they are finished; see `publish`."""
    publish([writer.target for writer in writers if writer.target is not None], then)
