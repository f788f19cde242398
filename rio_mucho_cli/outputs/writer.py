"""Writers: the common interface of all outputs.

    begin(profile) ──▶ append(window, data) ──▶ … ──▶ finish() ──▶ publish
                                            └───────▶ discard() ◀─────┘

A writer takes results in the order of the windows. All outputs of a run become
visible together when they are published; a discarded output never does.
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
from rio_mucho_cli.outputs.target import Finish, Target, publish
from rio_mucho_cli.paths import is_in_memory, is_virtual
from rio_mucho_cli.signals import check
from rio_mucho_cli.windows import PlannedWindow


class Writer(Protocol):
    """The interface between the engine and an output."""

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Create the output; called once, before the first window.

        Parameters
        ----------
        profile : Mapping
        masked : bool
            Add an internal mask.
        metadata : Metadata or None
            Metadata of the output.
        """

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Open the journal, before `begin`; return the number of finished windows."""

    def truncate(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Keep only the first windows of an earlier run; return their recorded states."""

    def append(self, window: Any, data: Any) -> None:
        """Write a window, as a (count, rows, cols) array or encoded blocks."""

    def record(self, number: int, state: Mapping[str, Any]) -> bool:
        """Record that windows up to a number are written; False before `begin`."""

    def pending_overviews(self) -> Sequence[PendingOverviews]:
        """Return the overviews that workers still have to build after the last window."""

    def append_overview(self, level: int, window: Window, data: EncodedBlocks) -> None:
        """Write the encoded blocks of a window of a pending overview level."""

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Store the statistics of all bands as tags; if empty, GDAL computes them."""

    def finish(self) -> None:
        """Complete the output under its temporary name."""

    def discard(self) -> None:
        """Remove the partial output, unless a later run can resume it."""

    @property
    def target(self) -> Any:
        """Target to publish when the output is finished, or None."""


def open_writer(
    output: Any,
    *,
    overwrite: bool,
    inputs: Sequence[str],
    options: Mapping[str, str],
    blocks: BlockLayout | None = None,
    conversion: Conversion | None = None,
    overview_plan: OverviewPlan | None = None,
    cog: bool = False,
    statistics: bool = False,
    resume: bool = False,
    mosaic: str | None = None,
) -> Writer:
    """Return the writer for an output.

    Parameters
    ----------
    output : str, Path or open dataset
    overwrite : bool
    inputs : sequence of str
    options : Mapping
        Creation options given by the user.
    blocks : BlockLayout or None
        Block layout of the output, if results are encoded blocks.
    conversion : Conversion or None
        Conversion from an intermediate GeoTIFF.
    overview_plan : OverviewPlan or None
        Overviews of a GeoTIFF.
    cog : bool
        Reorder an intermediate GeoTIFF as a COG.
    statistics : bool
        Write band statistics.
    resume : bool
        Keep the partial output of an interrupted run.
    mosaic : str or None
        Resampling of the parts' overviews, if the output is a mosaic.

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, or cannot be made.
    """
    if not isinstance(output, str | Path):
        return DatasetWriter(output)
    if mosaic is not None:
        from rio_mucho_cli.outputs.mosaic import MosaicWriter, open_mosaic

        mosaic_target = open_mosaic(str(output), overwrite=overwrite, inputs=inputs, resume=resume)
        return MosaicWriter(mosaic_target, mosaic)
    if is_in_memory(str(output)):
        return MemoryWriter(str(output), overwrite=overwrite, options=options)
    target = open_target(str(output), overwrite=overwrite, inputs=inputs, resume=resume)
    finish: Finish | None = None
    if cog:
        finish = partial(finish_cog, bigtiff=options.get("bigtiff"))
    elif conversion is not None:
        finish, options = partial(conversion.finish, user_options=options), {}
    if blocks is None:
        return FileWriter(target, options, overview_plan, finish=finish)
    return BlockWriter(target, options, blocks, overview_plan, statistics=statistics, finish=finish)


def open_target(
    path: str, *, overwrite: bool, inputs: Sequence[str], resume: bool = False
) -> Target:
    """Return the target of an output: a local file, or an object in a bucket."""
    if is_virtual(path):
        from rio_mucho_cli.outputs.remote_target import RemoteTarget

        return RemoteTarget(path, overwrite=overwrite, inputs=inputs)
    return Target(path, overwrite=overwrite, inputs=inputs, resume=resume)


class _Discardable(Protocol):
    """A writer, as far as its end is concerned."""

    @property
    def target(self) -> Any:
        """Target to publish when the output is finished, or None."""

    def finish(self) -> None:
        """Complete the output under its temporary name."""

    def discard(self) -> None:
        """Remove the partial output, unless a later run can resume it."""


@contextmanager
def discarded_on_error(writers: Sequence[_Discardable]) -> Iterator[None]:
    """Discard the outputs of all writers if an exception is raised."""
    try:
        yield
    except BaseException:
        for writer in writers:
            # If one folder is missing or full, still discard the others.
            with suppress(OSError):
                writer.discard()
        raise


def finish_all(writers: Sequence[_Discardable]) -> None:
    """Complete all outputs under their temporary names.

    Raises
    ------
    OutputError
        If one of them cannot be completed.
    """
    for writer in writers:
        try:
            writer.finish()
        except OutputError:
            raise
        except OSError as exc:
            raise OutputError(f"an output cannot be finished: {one_line(exc)}") from None
        check()


def publish_all(writers: Sequence[_Discardable], then: Callable[[], None] | None = None) -> None:
    """Publish all finished outputs together; see `publish`."""
    publish([writer.target for writer in writers if writer.target is not None], then)
