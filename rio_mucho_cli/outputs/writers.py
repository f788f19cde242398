"""Where results go: begin, append, commit or discard.

    begin(profile) ──▶ append(window, data) ──▶ … ──▶ commit()
                                            └───────▶ discard()

A writer takes results in the order of the windows. What it has written shows
under the output's name after commit, and never after discard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Protocol

import rasterio.shutil

from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.blocks import BlockWriter
from rio_mucho_cli.outputs.conversion import Conversion, ConvertingWriter
from rio_mucho_cli.outputs.metadata import Metadata
from rio_mucho_cli.outputs.profile import Layout
from rio_mucho_cli.outputs.target import Target, exists_error, is_remote
from rio_mucho_cli.outputs.tiff import is_whole


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

    def append(self, window: Any, data: Any) -> None:
        """Write a window: a (count, rows, cols) array, or its encoded blocks."""

    def commit(self) -> None:
        """Make the output visible, whole."""

    def discard(self) -> None:
        """Leave nothing of it. Does nothing after commit."""


class _GdalWriter:
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
        gdal.write(self._dst, self._name, window, data, masked=self._masked)


class FileWriter(_GdalWriter):
    """Writes a file, through GDAL, beside the target, and moves it into place."""

    def __init__(self, target: Target, options: Mapping[str, str]) -> None:
        super().__init__(str(target.temporary), target.path, options)
        self._target = target

    def commit(self) -> None:
        """Close the output, and move it and what lies beside it into place."""
        gdal.close(self._dst, self._name)
        self._check()
        self._target.publish()

    def discard(self) -> None:
        """Close and remove what there is."""
        if self._dst is not None:
            with suppress(Exception), gdal.messages():
                self._dst.close()
        self._target.discard()

    def _check(self) -> None:
        """Raise OutputError unless all that GDAL should have written is there.

        A write that fails while a dataset is closed, on a full disk, is
        reported by libtiff to the terminal and by nobody to the program.
        """
        path = self._target.temporary
        whole = False
        if path.stat().st_size:
            with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                whole = is_whole(data)
        if not whole:
            raise OutputError(f"{self._target.path} was not written whole: is the disk full?")


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

    def commit(self) -> None:
        """Close the output."""
        gdal.close(self._dst, self._path)
        self._dst = None

    def discard(self) -> None:
        """Close and delete what there is."""
        if self._dst is not None:
            with suppress(Exception), gdal.messages():
                self._dst.close()
                rasterio.shutil.delete(self._path)


_READ_ONLY = ("zip://", "zip+", "tar://", "gzip://", "/vsizip", "/vsitar", "/vsigzip", "/vsi7z")


class DatasetWriter:
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

    def commit(self) -> None:
        """Close the dataset."""
        gdal.close(self._dst, str(self._dst.name))

    def discard(self) -> None:
        """Close the dataset."""
        with suppress(Exception):
            self._dst.close()


@contextmanager
def open_writer(
    output: Any,
    *,
    overwrite: bool,
    inputs: Sequence[str],
    options: Mapping[str, str],
    blocks: Layout | None = None,
    conversion: Conversion | None = None,
) -> Iterator[Writer]:
    """Choose the writer for an output; discard what is not committed.

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

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, or cannot be made.
    """
    writer: Writer
    if not isinstance(output, str | Path):
        writer = DatasetWriter(output)
    elif is_remote(str(output)):
        writer = RemoteWriter(str(output), overwrite=overwrite, options=options)
    else:
        target = Target(str(output), overwrite=overwrite, inputs=inputs)

        def make_writer(target: Target, options: Mapping[str, str]) -> Writer:
            return BlockWriter(target, options, blocks) if blocks else FileWriter(target, options)

        if conversion is None:
            writer = make_writer(target, options)
        else:
            geotiff = partial(make_writer, options={})
            writer = ConvertingWriter(target, conversion, options, geotiff)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise
