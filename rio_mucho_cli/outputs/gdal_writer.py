"""Writers that pass arrays to GDAL: files, memory and open datasets."""

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
from rio_mucho_cli.geotiff.gdal_io import needs_exact_nodata, write_exact_nodata
from rio_mucho_cli.geotiff.metadata import Metadata, write_band_tags
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan, PendingOverviews
from rio_mucho_cli.geotiff.overviews import build_in_thread, compute_statistics
from rio_mucho_cli.outputs.files import exists_error
from rio_mucho_cli.outputs.resume import cannot_resume_error
from rio_mucho_cli.outputs.target import Finish, Target
from rio_mucho_cli.windows import PlannedWindow

log = logging.getLogger(__name__)


class WithoutBlocks:
    """Base of writers without a journal and without overviews from workers."""

    def truncate(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Raise NotImplementedError: this writer has no journal."""
        raise NotImplementedError

    def record(self, number: int, state: Mapping[str, Any]) -> bool:
        """Return True: this writer has no journal."""
        return True

    def pending_overviews(self) -> Sequence[PendingOverviews]:
        """Return an empty tuple: workers build no overviews here."""
        return ()

    def append_overview(self, level: int, window: Window, data: EncodedBlocks) -> None:
        """Raise NotImplementedError: workers build no overviews here."""
        raise NotImplementedError


class _WithoutResume(WithoutBlocks):
    """Base of writers that take arrays and cannot resume."""

    @property
    def target(self) -> Any:
        """None: there is no target to publish."""
        return None

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Raise UsageError: only encoded blocks can be resumed."""
        raise cannot_resume_error()


class _GdalWriter(_WithoutResume):
    """Base of writers that create their dataset with GDAL.

    Parameters
    ----------
    path : str
        Path that GDAL writes to.
    name : str
        Name of the output in messages.
    options : Mapping
        Creation options given by the user.
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
        """Create the output."""
        self._masked = masked
        self._profile = profile
        self._dst = gdal_io.create(self._path, self._name, profile, self._options, metadata)

    def append(self, window: Any, data: Any) -> None:
        """Write a window."""
        self._is_empty = False
        gdal_io.write(self._dst, self._name, window, data, masked=self._masked)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Write the statistics of all bands, or compute them if there are no tags."""
        if tags:
            write_band_tags(self._dst, tags)
        else:
            self._compute_statistics()

    def _close(self) -> None:
        """Close the output; create the mask first if no window was written."""
        if self._masked and self._is_empty:
            gdal_io.make_mask(self._dst)
        gdal_io.close(self._dst, self._name)

    def _compute_statistics(self) -> None:
        log.warning("%s has no statistics: its compression changes values", self._name)


class FileWriter(_GdalWriter):
    """Writes a file with GDAL in the target's temporary folder.

    Parameters
    ----------
    target : Target
    options : Mapping
        Creation options given by the user.
    overview_plan : OverviewPlan or None
        Overviews that GDAL builds at the end.
    finish : callable or None
        Function that makes the output from an intermediate GeoTIFF.
    """

    def __init__(
        self,
        target: Target,
        options: Mapping[str, str],
        overview_plan: OverviewPlan | None = None,
        *,
        finish: Finish | None = None,
    ) -> None:
        self._file = target.temporary if finish is None else target.intermediate
        super().__init__(str(self._file), target.path, options)
        self._target = target
        self._overview_plan = overview_plan
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
        """Create the output; fill it with nodata if GDAL cannot represent that."""
        super().begin(profile, masked=masked, metadata=metadata)
        if needs_exact_nodata(profile):
            dst = self._dst
            for _, window in dst.block_windows():
                shape = dst.count, window.height, window.width
                nodata = np.full(shape, profile["nodata"], dst.dtypes[0])
                gdal_io.write(dst, self._name, window, nodata)

    def finish(self) -> None:
        """Close the file, build its overviews with GDAL, and make the output."""
        self._close()
        self._check()
        write_exact_nodata(self._file, self._profile)
        if self._overview_plan is not None:
            build_in_thread(self._path, self._overview_plan)
            self._check()
        if self._computes_statistics:
            compute_statistics(self._path)
        if self._make_output is not None:
            self._make_output(self._file, self._target)

    def _compute_statistics(self) -> None:
        self._computes_statistics = True

    def discard(self) -> None:
        """Close and remove the partial output."""
        if self._dst is not None:
            with suppress(Exception), captured_messages():
                self._dst.close()
        self._target.discard()

    def _check(self) -> None:
        """Raise OutputError unless the file is complete.

        If a write fails while a dataset is being closed, as on a full disk,
        libtiff only prints to the terminal and the program gets no error.
        """
        is_complete = False
        if self._file.stat().st_size:
            with self._file.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                is_complete = is_whole(data)
        if not is_complete:
            raise OutputError(f"{self._name} was not written whole: is the disk full?")


class MemoryWriter(_GdalWriter):
    """Writes to GDAL's in-memory files, which cannot be renamed."""

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
        """Create the output, or raise NodataError if GDAL cannot represent its nodata."""
        if needs_exact_nodata(profile):
            raise NodataError(
                f"nodata {profile['nodata']} of {profile['dtype']} reaches GDAL as another number, "
                "which is mended in files only: write to a file, or give another nodata"
            )
        super().begin(profile, masked=masked, metadata=metadata)

    def finish(self) -> None:
        """Close the output."""
        self._close()

    def discard(self) -> None:
        """Close and delete the partial output."""
        if self._dst is not None:
            with suppress(Exception), captured_messages():
                self._dst.close()
                rasterio.shutil.delete(self._path)


class DatasetWriter(_WithoutResume):
    """Writes to a dataset opened by the user, and closes it.

    After a failure the dataset is left as it is: it belongs to the user.
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
        """Write what the function declares, if anything: the dataset exists already."""
        if metadata is not None:
            gdal_io.write_metadata(self._dst, str(self._dst.name), profile, metadata)

    def append(self, window: Any, data: Any) -> None:
        """Write a window."""
        gdal_io.write(self._dst, str(self._dst.name), window, data)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Write the statistics of all bands, if there are any."""
        if tags:
            write_band_tags(self._dst, tags)

    def finish(self) -> None:
        """Close the dataset."""
        gdal_io.close(self._dst, str(self._dst.name))

    def discard(self) -> None:
        """Close the dataset."""
        with suppress(Exception):
            self._dst.close()
