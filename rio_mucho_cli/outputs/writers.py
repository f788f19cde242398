"""Where results go: begin, append, commit or discard.

    begin(profile) ──▶ append(window, data) ──▶ … ──▶ finish() ──▶ publish
                                            └───────▶ discard() ◀─────┘

A writer takes results in the order of the windows. What it has written shows
under the output's name when it is published, together with what the writers
of the same run have, and never after discard.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Protocol

import rasterio.shutil
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError, UsageError, one_line
from rio_mucho_cli.inputs.windows import PlannedWindow
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.blocks import BlockWriter
from rio_mucho_cli.outputs.cog import CogWriter
from rio_mucho_cli.outputs.conversion import Conversion, ConvertingWriter
from rio_mucho_cli.outputs.encoding import Encoded
from rio_mucho_cli.outputs.metadata import Metadata, write_band_tags
from rio_mucho_cli.outputs.overviews import build_aside, compute_statistics
from rio_mucho_cli.outputs.profile import Layout
from rio_mucho_cli.outputs.pyramid import Pyramid, Unmade
from rio_mucho_cli.outputs.target import Inner, Target, exists_error, is_remote, publish
from rio_mucho_cli.outputs.tiff import is_whole

log = logging.getLogger(__name__)


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

    def unmade_overviews(self) -> Sequence[Unmade]:
        """Say what overviews workers have still to make, after the last window."""

    def append_overview(self, level: int, window: Window, data: Encoded) -> None:
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


class _Plain:
    """What writers have in common that get arrays: no overviews of workers, and no journal."""

    @property
    def target(self) -> Any:
        """Nothing that is to be published."""
        return None

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Refuse: there are no blocks that could be found again."""
        raise UsageError(
            "only what workers encode can be resumed: a GeoTIFF, a COG or another file, in windows "
            "that are whole blocks of it"
        )

    def restrict(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Refuse: there is no journal."""
        raise NotImplementedError

    def note(self, number: int, state: Mapping[str, Any]) -> bool:
        """Do nothing: there is no journal."""
        return True

    def unmade_overviews(self) -> Sequence[Unmade]:
        """Return nothing."""
        return ()

    def append_overview(self, level: int, window: Window, data: Encoded) -> None:
        """Refuse: nobody has been asked for it."""
        raise NotImplementedError


class _GdalWriter(_Plain):
    """What writers have in common that leave all to GDAL.

    Parameters
    ----------
    path : str
        Where GDAL writes.
    name : str
        What messages call it.
    options : Mapping
        The creation options that the user gave.
    """

    def __init__(self, path: str, name: str, options: Mapping[str, str]) -> None:
        self._path = path
        self._name = name
        self._options = options
        self._masked = False
        self._is_empty = True
        self._dst: Any = None

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Make the output."""
        self._masked = masked
        self._dst = gdal.create(self._path, self._name, profile, self._options, metadata)

    def append(self, window: Any, data: Any) -> None:
        """Write one window."""
        self._is_empty = False
        gdal.write(self._dst, self._name, window, data, masked=self._masked)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Write the statistics of all bands."""
        if tags:
            write_band_tags(self._dst, tags)
        else:
            self._compute_statistics()

    def _close(self) -> None:
        """Close the output; one that nothing was written to gets its mask now."""
        if self._masked and self._is_empty:
            gdal.make_mask(self._dst)
        gdal.close(self._dst, self._name)

    def _compute_statistics(self) -> None:
        log.warning("%s has no statistics: its compression changes values", self._name)


class FileWriter(_GdalWriter):
    """Writes a file, through GDAL, beside the target.

    Parameters
    ----------
    target : Target or Inner
    options : Mapping
        The creation options that the user gave.
    pyramid : Pyramid or None
        Overviews that GDAL makes at the end.
    """

    def __init__(
        self, target: Target | Inner, options: Mapping[str, str], pyramid: Pyramid | None = None
    ) -> None:
        super().__init__(str(target.temporary), target.path, options)
        self._place = target
        self._pyramid = pyramid
        self._computes_statistics = False

    @property
    def target(self) -> Any:
        """What is to be published."""
        return self._place

    def finish(self) -> None:
        """Close the output, and have GDAL make its overviews."""
        self._close()
        self._check()
        if self._pyramid is not None:
            build_aside(self._path, self._pyramid)
            self._check()
        if self._computes_statistics:
            compute_statistics(self._path)

    def _compute_statistics(self) -> None:
        self._computes_statistics = True

    def discard(self) -> None:
        """Close and remove what there is."""
        if self._dst is not None:
            with suppress(Exception), gdal.messages():
                self._dst.close()
        self._place.discard()

    def _check(self) -> None:
        """Raise OutputError unless all that GDAL should have written is there.

        A write that fails while a dataset is closed, on a full disk, is
        reported by libtiff to the terminal and by nobody to the program.
        """
        path = self._place.temporary
        whole = False
        if path.stat().st_size:
            with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                whole = is_whole(data)
        if not whole:
            raise OutputError(f"{self._name} was not written whole: is the disk full?")


class RemoteWriter(_GdalWriter):
    """Writes where there is no renaming: GDAL's virtual and remote files."""

    def __init__(self, path: str, *, overwrite: bool, options: Mapping[str, str]) -> None:
        super().__init__(path, path, options)
        if path.startswith(_READ_ONLY):
            raise OutputError(f"{path} is in an archive, where nothing can be written")
        try:
            exists = not overwrite and rasterio.shutil.exists(path)
        except Exception as exc:
            raise OutputError(f"{path} cannot be reached: {one_line(exc)}") from None
        if exists:
            raise exists_error(path)

    def finish(self) -> None:
        """Close the output."""
        self._close()

    def discard(self) -> None:
        """Close and delete what there is."""
        if self._dst is not None:
            with suppress(Exception), gdal.messages():
                self._dst.close()
                rasterio.shutil.delete(self._path)


_READ_ONLY = ("zip://", "zip+", "tar://", "gzip://", "/vsizip", "/vsitar", "/vsigzip", "/vsi7z")


class DatasetWriter(_Plain):
    """Writes to a dataset that the caller has opened, and closes it.

    What is in it after a failure is the caller's affair: its place and its
    making are not ours.
    """

    def __init__(self, dst: Any) -> None:
        self._dst = dst

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Do nothing: the dataset is made."""

    def append(self, window: Any, data: Any) -> None:
        """Write one window."""
        gdal.write(self._dst, str(self._dst.name), window, data)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Write the statistics of all bands, if they are known."""
        if tags:
            write_band_tags(self._dst, tags)

    def finish(self) -> None:
        """Close the dataset."""
        gdal.close(self._dst, str(self._dst.name))

    def discard(self) -> None:
        """Close the dataset."""
        with suppress(Exception):
            self._dst.close()


def make_writer(
    output: Any,
    *,
    overwrite: bool,
    inputs: Sequence[str],
    options: Mapping[str, str],
    blocks: Layout | None = None,
    conversion: Conversion | None = None,
    pyramid: Pyramid | None = None,
    cog: bool = False,
    statistics: bool = False,
    resume: bool = False,
) -> Writer:
    """Choose the writer for an output.

    Parameters
    ----------
    output : str, Path or open dataset
    overwrite : bool
    inputs : sequence of str
    options : Mapping
        The creation options that the user gave.
    blocks : Layout or None
        The output's blocks, if results come encoded.
    conversion : Conversion or None
        To what the GeoTIFF is converted that is made first.
    pyramid : Pyramid or None
        Overviews of a GeoTIFF.
    cog : bool
        Put the GeoTIFF in the order of a COG.
    statistics : bool
        The output gets the statistics of its bands.
    resume : bool
        What is there of it outlasts a run that does not come to its end.

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, or cannot be made.
    """
    if not isinstance(output, str | Path):
        return DatasetWriter(output)
    if is_remote(str(output)):
        return RemoteWriter(str(output), overwrite=overwrite, options=options)
    target = Target(str(output), overwrite=overwrite, inputs=inputs, resume=resume)

    def geotiff(target: Target | Inner, options: Mapping[str, str]) -> Writer:
        if blocks is None:
            return FileWriter(target, options, pyramid)
        return BlockWriter(target, options, blocks, pyramid, statistics=statistics)

    try:
        if cog:
            return CogWriter(target, options, geotiff)
        if conversion is not None:
            return ConvertingWriter(target, conversion, options, partial(geotiff, options={}))
        return geotiff(target, options)
    except BaseException:
        target.discard()
        raise


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


def commit_all(writers: Sequence[Writer]) -> None:
    """Finish all outputs, and make them visible together.

    Raises
    ------
    OutputError
        If one of them cannot be finished; then none is visible.
    """
    for writer in writers:
        try:
            writer.finish()
        except OutputError:
            raise
        except OSError as exc:
            raise OutputError(f"an output cannot be finished: {one_line(exc)}") from None
    publish([writer.target for writer in writers if writer.target is not None])
