"""What writers have in common that append no encoded blocks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from typing import Any

import numpy as np
import rasterio.shutil
from rasterio.windows import Window

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import NodataError, OutputError, one_line
from rio_mucho_cli.geotiff import gdal_io
from rio_mucho_cli.geotiff.block_table import EncodedBlocks, is_whole
from rio_mucho_cli.geotiff.int64 import is_patched, write_nodata
from rio_mucho_cli.geotiff.metadata import Metadata, write_band_tags
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan, PendingOverviews
from rio_mucho_cli.geotiff.overviews import build_in_thread, compute_statistics
from rio_mucho_cli.outputs.files import exists_error
from rio_mucho_cli.outputs.resume import cannot_resume
from rio_mucho_cli.outputs.target import Finish, Target
from rio_mucho_cli.windows import PlannedWindow


class WithoutBlocks:
    """No overviews of workers, and no journal of blocks."""

    def restrict(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Refuse: there is no journal."""
        raise NotImplementedError

    def note(self, number: int, state: Mapping[str, Any]) -> bool:
        """Do nothing: there is no journal."""
        return True

    def unmade_overviews(self) -> Sequence[PendingOverviews]:
        """Return nothing."""
        return ()

    def append_overview(self, level: int, window: Window, data: EncodedBlocks) -> None:
        """Refuse: nobody has been asked for it."""
        raise NotImplementedError


log = logging.getLogger(__name__)


class _WithoutResume(WithoutBlocks):
    """What writers have in common that get arrays."""

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
        raise cannot_resume()


class _GdalWriter(_WithoutResume):
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
        self._profile: Mapping[str, Any] = {}
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
        self._profile = profile
        self._dst = gdal_io.create(self._path, self._name, profile, self._options, metadata)

    def append(self, window: Any, data: Any) -> None:
        """Write one window."""
        self._is_empty = False
        gdal_io.write(self._dst, self._name, window, data, masked=self._masked)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Write the statistics of all bands."""
        if tags:
            write_band_tags(self._dst, tags)
        else:
            self._compute_statistics()

    def _close(self) -> None:
        """Close the output; one that nothing was written to gets its mask now."""
        if self._masked and self._is_empty:
            gdal_io.make_mask(self._dst)
        gdal_io.close(self._dst, self._name)

    def _compute_statistics(self) -> None:
        log.warning("%s has no statistics: its compression changes values", self._name)


class FileWriter(_GdalWriter):
    """Writes a file, through GDAL, beside the target.

    Parameters
    ----------
    target : Target
    options : Mapping
        The creation options that the user gave.
    pyramid : OverviewPlan or None
        Overviews that GDAL makes at the end.
    finish : callable or None
        Makes the output from the file, if that is an intermediate GeoTIFF.
    """

    def __init__(
        self,
        target: Target,
        options: Mapping[str, str],
        pyramid: OverviewPlan | None = None,
        *,
        finish: Finish | None = None,
    ) -> None:
        self._file = target.temporary if finish is None else target.intermediate
        super().__init__(str(self._file), target.path, options)
        self._target = target
        self._pyramid = pyramid
        self._make_output = finish
        self._computes_statistics = False

    @property
    def target(self) -> Target:
        """The target to publish."""
        return self._target

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Make the output, in which everything is nodata that GDAL does not know."""
        super().begin(profile, masked=masked, metadata=metadata)
        if is_patched(profile):
            dst = self._dst
            for _, window in dst.block_windows():
                shape = dst.count, window.height, window.width
                nothing = np.full(shape, profile["nodata"], dst.dtypes[0])
                gdal_io.write(dst, self._name, window, nothing)

    def finish(self) -> None:
        """Close the file, have GDAL make its overviews, and make the output."""
        self._close()
        self._check()
        write_nodata(self._file, self._profile)
        if self._pyramid is not None:
            build_in_thread(self._path, self._pyramid)
            self._check()
        if self._computes_statistics:
            compute_statistics(self._path)
        if self._make_output is not None:
            self._make_output(self._file, self._target)

    def _compute_statistics(self) -> None:
        self._computes_statistics = True

    def discard(self) -> None:
        """Close and remove what there is."""
        if self._dst is not None:
            with suppress(Exception), captured_messages():
                self._dst.close()
        self._target.discard()

    def _check(self) -> None:
        """Raise OutputError unless all that GDAL should have written is there.

        A write that fails while a dataset is closed, on a full disk, is
        reported by libtiff to the terminal and by nobody to the program.
        """
        whole = False
        if self._file.stat().st_size:
            with self._file.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                whole = is_whole(data)
        if not whole:
            raise OutputError(f"{self._name} was not written whole: is the disk full?")


class MemoryWriter(_GdalWriter):
    """Writes GDAL's virtual files, which are in memory and cannot be renamed."""

    def __init__(self, path: str, *, overwrite: bool, options: Mapping[str, str]) -> None:
        super().__init__(path, path, options)
        try:
            exists = not overwrite and rasterio.shutil.exists(path)
        except Exception as exc:
            raise OutputError(f"{path} cannot be reached: {one_line(exc)}") from None
        if exists:
            raise exists_error(path)

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Make the output, or raise NodataError."""
        if is_patched(profile):
            raise NodataError(
                f"nodata {profile['nodata']} of {profile['dtype']} reaches GDAL as another number, "
                "which is mended in files only: write to a file, or give another nodata"
            )
        super().begin(profile, masked=masked, metadata=metadata)

    def finish(self) -> None:
        """Close the output."""
        self._close()

    def discard(self) -> None:
        """Close and delete what there is."""
        if self._dst is not None:
            with suppress(Exception), captured_messages():
                self._dst.close()
                rasterio.shutil.delete(self._path)


class DatasetWriter(_WithoutResume):
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
        gdal_io.write(self._dst, str(self._dst.name), window, data)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Write the statistics of all bands, if they are known."""
        if tags:
            write_band_tags(self._dst, tags)

    def finish(self) -> None:
        """Close the dataset."""
        gdal_io.close(self._dst, str(self._dst.name))

    def discard(self) -> None:
        """Close the dataset."""
        with suppress(Exception):
            self._dst.close()
