"""Write a GeoTIFF from blocks encoded by workers, with a journal to resume it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.geotiff import gdal_io
from rio_mucho_cli.geotiff.appendable import AppendableGeoTiff
from rio_mucho_cli.geotiff.block_table import EncodedBlocks
from rio_mucho_cli.geotiff.gdal_io import needs_exact_nodata, write_exact_nodata
from rio_mucho_cli.geotiff.metadata import Metadata, write_band_tags
from rio_mucho_cli.geotiff.overview_plan import (
    OverviewPlan,
    PendingOverviews,
    from_source_level,
    pending_overviews,
    scale_window,
)
from rio_mucho_cli.geotiff.overviews import SourceLevel, build_in_thread, compute_statistics
from rio_mucho_cli.outputs.layout import BlockLayout
from rio_mucho_cli.outputs.resume import ResumeLog
from rio_mucho_cli.outputs.target import Finish, Target
from rio_mucho_cli.system import write_at
from rio_mucho_cli.windows import PlannedWindow

_HEADER = "header.tif"
_NOTHING = np.zeros(0, np.uint8)


class BlockWriter:
    """Appends encoded blocks to a header written by GDAL.

    Parameters
    ----------
    target : Target
    options : Mapping
        Creation options given by the user.
    layout : BlockLayout
        Blocks of the output.
    overview_plan : OverviewPlan or None
        Overviews of the output.
    statistics : bool
        Reserve space for band statistics.
    finish : callable or None
        Function that makes the output from an intermediate GeoTIFF.
    """

    def __init__(
        self,
        target: Target,
        options: Mapping[str, str],
        layout: BlockLayout,
        overview_plan: OverviewPlan | None = None,
        *,
        statistics: bool = False,
        finish: Finish | None = None,
    ) -> None:
        self.target = target
        self._path = target.temporary if finish is None else target.intermediate
        self._make_output = finish
        self._options = options
        self._block = layout.block
        self._overview_plan = overview_plan
        self._has_statistics = statistics
        self._tiff: AppendableGeoTiff | None = None
        self._source_level: SourceLevel | None = None
        # Overviews that GDAL builds in the finished file.
        self._gdal_overviews: OverviewPlan | None = None
        # None: not requested; empty: GDAL computes them.
        self._statistics: Sequence[Mapping[str, str]] | None = None
        self._log: ResumeLog | None = None
        # Blocks appended since the last record, and their sizes.
        self._unrecorded: list[Any] = []
        self._unrecorded_sizes: list[list[list[int]]] = []

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Open the journal and return the number of windows an earlier run finished."""
        self._windows = windows
        self._log = ResumeLog.open(
            self.target, self._path, fingerprint, len(windows), overwrite=overwrite
        )
        return self._log.done

    def truncate(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Keep only the first windows of the earlier run; return their states."""
        log = cast("ResumeLog", self._log)
        log.truncate(windows)
        return log.states()

    def record(self, number: int, state: Mapping[str, Any]) -> bool:
        """Record that all windows up to a number have been appended.

        Parameters
        ----------
        number : int
            Index of the last window in the plan.
        state : Mapping
            State to restore on resume, as JSON.

        Returns
        -------
        bool
            False before `begin`, when there is no file yet.
        """
        if self._log is None:
            return True
        if self._tiff is None:
            return False
        parts, sizes = self._unrecorded, self._unrecorded_sizes
        begin = self._tiff.end - sum(part.nbytes for part in parts)
        self._log.record(number, begin, parts, sizes, state, self._tiff.file)
        self._unrecorded, self._unrecorded_sizes = [], []
        return True

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Write the header with GDAL: a sparse file without any blocks."""
        path, name = self._header_path(), self.target.path
        sparse = {**profile, "sparse_ok": "YES"}
        dst = gdal_io.create(str(path), name, sparse, self._options, metadata)
        nodata, has_alpha = dst.nodata, ColorInterp.alpha in dst.colorinterp
        if needs_exact_nodata(profile):
            nodata = profile["nodata"]
        if self._has_statistics:
            # Their values are not known yet, but the IFD needs the tag.
            write_band_tags(dst, [{"STATISTICS_VALID_PERCENT": "0"}])
        if masked:
            # This creates the mask. The one block that GDAL writes stays in
            # the header and is dropped from the block table.
            gdal_io.make_mask(dst)
        gdal_io.close(dst, name)
        write_exact_nodata(path, profile)
        file = self._open_with_header(path)
        self._tiff = tiff = AppendableGeoTiff(file, name, profile, self._block, nodata, metadata)
        # Whether GDAL computes each overview from the previous one, for any resampling.
        self._cascades = tiff.is_pixel_interleaved or has_alpha
        overview_plan = self._overview_plan
        if overview_plan is not None and not _is_local(overview_plan, tiff, masked=masked):
            self._gdal_overviews, overview_plan = overview_plan, None
        self._overview_plan = overview_plan
        if overview_plan is not None:
            tiff.add_overviews(overview_plan)
        if overview_plan is not None and overview_plan.source_level:
            size = overview_plan.size(overview_plan.source_level, *tiff.size)
            self._source_level = SourceLevel(self._path, profile, size, masked=masked)
        if self._log is not None:
            self._restore(self._log, tiff)

    def _header_path(self) -> Path:
        """Return the path of the header: a separate file when resuming."""
        if self._log is not None and self._log.records:
            return self._path.with_name(_HEADER)
        return self._path

    def _open_with_header(self, path: Path) -> FileIO:
        """Open the file with its header and any blocks of an earlier run."""
        if self._log is None or not self._log.records:
            return path.open("r+b", buffering=0)
        file, header = cast("FileIO", self._log.file), path.read_bytes()
        path.unlink()
        if len(header) != self._log.records[0].begin:
            raise OutputError(
                f"{self.target.journal} does not fit this GDAL: remove it to start over"
            )
        # The file may hold a complete block table, and blocks that are not in the journal.
        file.truncate(self._log.records[-1].end)
        write_at(file, header, 0)
        return file

    def _restore(self, log: ResumeLog, tiff: AppendableGeoTiff) -> None:
        """Enter the blocks of an earlier run into the block tables."""
        for record in log.records:
            end = record.begin
            sizes = log.sizes(record)
            window = self._windows[record.window].window
            # A skipped window has no blocks.
            for level, sizes_of_level in enumerate(sizes):
                level_window = self._window_of(tiff, level, window)
                for table, part in zip(tiff.levels[level], sizes_of_level, strict=True):
                    blocks = EncodedBlocks(_NOTHING, np.array(part, np.int64), table.decoding)
                    end = table.place(level_window, blocks, end)

    def _window_of(self, tiff: AppendableGeoTiff, level: int, window: Window) -> Window:
        """Return the window at an overview level that a full-resolution window covers."""
        if level == 0:
            return window
        overview_plan = cast("OverviewPlan", self._overview_plan)
        return scale_window(window, overview_plan.factors[level - 1], tiff.levels[level][0].size)

    def append(self, window: Any, data: EncodedBlocks) -> None:
        """Append the encoded blocks of a window and of its overviews."""
        tiff, overview_plan = cast("AppendableGeoTiff", self._tiff), self._overview_plan
        overviews = data.overviews if overview_plan is not None else ()
        for level, part in enumerate([data, *overviews]):
            written = tiff.append(level, self._window_of(tiff, level, window), part)
            if self._log is not None:
                self._unrecorded += [blocks.content for blocks in written]
                self._unrecorded_sizes.append([blocks.sizes.tolist() for blocks in written])
        if overview_plan is not None and self._source_level is not None:
            factor = overview_plan.factors[overview_plan.source_level - 1]
            self._source_level.write(
                scale_window(window, factor, self._source_level.size), data.source_level
            )

    def append_overview(self, level: int, window: Window, data: EncodedBlocks) -> None:
        """Append the encoded blocks of a window of a pending overview level."""
        cast("AppendableGeoTiff", self._tiff).append(level, window, data)

    def pending_overviews(self) -> Sequence[PendingOverviews]:
        """Return the overviews still to be built, with their source levels.

        After this call the file can be read at full resolution.
        """
        tiff, overview_plan = cast("AppendableGeoTiff", self._tiff), self._overview_plan
        if overview_plan is None:
            return ()
        tiff.fill_missing(0)
        tiff.fill_in_tables()
        path = str(self._path)
        source = ""
        if self._source_level is not None:
            self._source_level.close()
            source = str(self._source_level.path)
        return pending_overviews(overview_plan, *tiff.size, path, source, cascades=self._cascades)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Store the statistics of all bands, as tags."""
        self._statistics = tags

    def finish(self) -> None:
        """Write the block tables and the IFDs of overviews, and make the output."""
        tiff = cast("AppendableGeoTiff", self._tiff)
        for level in range(len(tiff.levels)):
            tiff.fill_missing(level)
        tiff.fill_in_tables()
        tiff.write_overviews()
        if self._statistics:
            tiff.write_statistics(self._statistics)
        tiff.file.close()
        if self._log is not None:
            self._log.close()
        self.target.remove_all_but(self._path)
        if self._gdal_overviews is not None:
            build_in_thread(str(self._path), self._gdal_overviews)
        if self._statistics is not None and not self._statistics:
            compute_statistics(str(self._path))
        if self._make_output is not None:
            self._make_output(self._path, self.target)

    def discard(self) -> None:
        """Remove the partial output, unless a later run can resume it."""
        if self._source_level is not None:
            self._source_level.discard()
        if self._log is not None:
            self._log.keep(None if self._tiff is None else self._tiff.file)
            if not self._log.has_records:
                self.target.remove_all_but()
        if self._tiff is not None:
            self._tiff.file.close()
        self.target.discard()


def _is_local(overview_plan: OverviewPlan, tiff: AppendableGeoTiff, *, masked: bool) -> bool:
    """Return whether workers build the overviews.

    GDAL builds none of an external mask. If the file is not pixel-interleaved,
    it uses only the first level of the mask. With nearest resampling, it does
    not compute one level of a mask from another.
    """
    if not overview_plan.is_local or not masked:
        return overview_plan.is_local
    levels = range(overview_plan.encoded + 1, len(overview_plan.factors) + 1)
    from_source = from_source_level(overview_plan, *tiff.size, cascades=False)
    return from_source == list(levels) and tiff.is_pixel_interleaved
