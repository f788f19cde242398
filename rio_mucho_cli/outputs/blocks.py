"""Write a GeoTIFF from blocks that workers have encoded.

    ┌────────┬──────┬────────┬─────────┬─────────┬───┬───────────┐
    │ header │ tags │ tables │ block 0 │ block 7 │ … │ overviews │
    └────────┴──────┴────────┴─────────┴─────────┴───┴───────────┘
     by GDAL, as a sparse        appended, in the     their tags, as
     file of the full size       order of windows;    GDAL has them in
                                 overviews' as well   a small file

Where each block is goes into the tables at the end. Nothing is decoded,
computed or compressed here.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.inputs.windows import PlannedWindow, Size
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.directories import Entry, entries_of, lay_out, resized
from rio_mucho_cli.outputs.durable import write_at
from rio_mucho_cli.outputs.encoding import Encoded, encode
from rio_mucho_cli.outputs.kept import KeptLevel
from rio_mucho_cli.outputs.log import Log
from rio_mucho_cli.outputs.metadata import Metadata, write_band_tags
from rio_mucho_cli.outputs.overviews import build_aside, compute_statistics, overview_profile
from rio_mucho_cli.outputs.profile import Layout, is_yes
from rio_mucho_cli.outputs.pyramid import Pyramid, Unmade, of_kept, scaled, unmade
from rio_mucho_cli.outputs.tables import Tables
from rio_mucho_cli.outputs.target import Inner, Target
from rio_mucho_cli.outputs.templates import metadata_text, overview_template
from rio_mucho_cli.outputs.tiff import METADATA, Directory

_HEADER = "header.tif"
_NOTHING = np.zeros(0, np.uint8)


class BlockWriter:
    """Appends encoded blocks to a header that GDAL has written.

    Parameters
    ----------
    target : Target or Inner
    options : Mapping
        The creation options that the user gave.
    layout : Layout
        The output's blocks.
    pyramid : Pyramid or None
        Its overviews.
    statistics : bool
        Leave a place for the statistics of its bands.
    """

    def __init__(
        self,
        target: Target | Inner,
        options: Mapping[str, str],
        layout: Layout,
        pyramid: Pyramid | None = None,
        *,
        statistics: bool = False,
    ) -> None:
        self.target = target
        self._options = options
        self._block = layout.block
        self._pyramid = pyramid
        self._has_statistics = statistics
        self._file: FileIO | None = None
        self._kept: KeptLevel | None = None
        # The entries of an overview's directories: the image's, and the mask's.
        self._template: list[list[Entry]] = []
        # Overviews that GDAL makes in the finished file.
        self._left_to_gdal: Pyramid | None = None
        self._statistics: Sequence[Mapping[str, str]] = ()
        self._computes_statistics = False
        self._log: Log | None = None
        # What has been appended since the last note: blocks, and the sizes of all.
        self._fresh: list[Any] = []
        self._sizes: list[list[list[int]]] = []

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Open the journal; return how many windows an earlier run has done."""
        self._windows = windows
        self._log = Log.take_up(self.target, fingerprint, len(windows), overwrite=overwrite)
        return self._log.done

    def restrict(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Take up so many windows of the earlier run, at the beginning; return its states."""
        log = cast("Log", self._log)
        log.restrict(windows)
        return log.states()

    def note(self, number: int, state: Mapping[str, Any]) -> bool:
        """Write down that all windows up to a number have been appended.

        Parameters
        ----------
        number : int
            Of the last one, in the plan.
        state : Mapping
            What is to be known again, as JSON.

        Returns
        -------
        bool
            False before `begin`: there is no file yet.
        """
        if self._log is None:
            return True
        if self._file is None:
            return False
        begin = self._end - sum(part.nbytes for part in self._fresh)
        self._log.note(number, begin, self._fresh, self._sizes, state, self._file)
        self._fresh, self._sizes = [], []
        return True

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Have GDAL write the header: a file in which every block is missing."""
        self._size = Size(int(profile["width"]), int(profile["height"]))
        self._metadata = metadata
        path, name = self._header_path(), self.target.path
        rest = {key: value for key, value in profile.items() if key.upper() != "SPARSE_OK"}
        self._sparse_ok = any(is_yes(profile[key]) for key in profile.keys() - rest.keys())
        dst = gdal.create(str(path), name, {**rest, "sparse_ok": "YES"}, self._options, metadata)
        self._nodata = dst.nodata
        has_alpha = ColorInterp.alpha in dst.colorinterp
        if self._has_statistics:
            # They are not known yet, but there must be a place that leads to them.
            write_band_tags(dst, [{"STATISTICS_VALID_PERCENT": "0"}])
        if masked:
            # It makes the mask. The one block that is written stays in the
            # header, and the table forgets it.
            gdal.make_mask(dst)
        gdal.close(dst, name)
        self._file = self._opened(path)
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as header:
            self._is_big = header[2] == 43 or header[3] == 43
            self._directories = Directory.read_all(header)
            self._lie_together = self._directories[0].bands_lie_together(header)
            # Whether GDAL makes each overview of the one before, whatever the resampling.
            self._cascades = self._lie_together or has_alpha
            self._levels = [
                [
                    Tables.of(directory, header, self._size, self._block, name)
                    for directory in self._directories
                ]
            ]
        # With this profile the blocks of each level are encoded.
        self._profiles: list[Mapping[str, Any]] = [profile]
        self._end = self._file.seek(0, 2)
        if self._pyramid is not None and not self._is_local(self._pyramid, masked):
            self._left_to_gdal, self._pyramid = self._pyramid, None
        if self._pyramid is not None:
            self._begin_overviews(self._pyramid, profile, metadata, masked=masked)
        if self._log is not None and self._log.records:
            self._restore(self._log)

    def _header_path(self) -> Path:
        """Return where GDAL writes the header: aside, if there are blocks behind an earlier one."""
        path = self.target.temporary
        if self._log is not None and self._log.records:
            return path.with_name(_HEADER)
        return path

    def _opened(self, path: Path) -> FileIO:
        """Open the file with its header and, if there are, the blocks of an earlier run."""
        if self._log is None or not self._log.records:
            return path.open("r+b", buffering=0)
        file, header = cast("FileIO", self._log.file), path.read_bytes()
        path.unlink()
        if len(header) != self._log.records[0].begin:
            raise OutputError(
                f"{self.target.journal} does not fit this GDAL: remove it to begin anew"
            )
        # The tables in it may have been filled in, and what comes last is not in the journal.
        file.truncate(self._log.records[-1].end)
        write_at(file, header, 0)
        return file

    def _restore(self, log: Log) -> None:
        """Fill the tables with the blocks of an earlier run."""
        for record in log.records:
            end = record.begin
            sizes = log.sizes(record)
            window = self._windows[record.window][0]
            # A window that was skipped has none.
            for level, of_level in enumerate(sizes):
                place = self._window_of(level, window)
                for tables, part in zip(self._levels[level], of_level, strict=True):
                    blocks = Encoded(_NOTHING, np.array(part, np.int64), tables.decoding)
                    end = tables.place(place, blocks, end)

    def _window_of(self, level: int, window: Window) -> Window:
        """Return the window of a level that a window of the raster covers."""
        if level == 0:
            return window
        pyramid = cast("Pyramid", self._pyramid)
        return scaled(window, pyramid.factors[level - 1], self._levels[level][0].size)

    def _is_local(self, pyramid: Pyramid, masked: bool) -> bool:
        """Whether workers make the overviews.

        GDAL makes none of a mask beside a file. Where bands lie apart, it
        asks the mask for no level but the first; and it does not make one
        level of a mask out of another with the resampling nearest.
        """
        if not pyramid.is_local or not masked:
            return pyramid.is_local
        levels = range(pyramid.encoded + 1, len(pyramid.factors) + 1)
        kept = of_kept(pyramid, *self._size, cascades=False)
        return kept == list(levels) and self._lie_together

    def _begin_overviews(
        self,
        pyramid: Pyramid,
        profile: Mapping[str, Any],
        metadata: Metadata | None,
        *,
        masked: bool,
    ) -> None:
        """Learn from GDAL what the directories of overviews are like."""
        name, block = self.target.path, Size(pyramid.block, pyramid.block)
        data, size = overview_template(profile, metadata, pyramid.block, masked=masked)
        directories = Directory.read_all(data)[len(self._directories) :]
        self._template = [entries_of(data, directory) for directory in directories]
        for level in range(1, len(pyramid.factors) + 1):
            self._levels.append(
                [
                    Tables.of(directory, data, pyramid.size(level, *self._size), block, name, size)
                    for directory in directories
                ]
            )
            self._profiles.append(overview_profile(profile, pyramid.block))
        if pyramid.kept:
            size = pyramid.size(pyramid.kept, *self._size)
            self._kept = KeptLevel(self.target.temporary, profile, size, masked=masked)

    def append(self, window: Any, data: Encoded) -> None:
        """Append the encoded blocks of a window, and of its overviews."""
        overviews = data.overviews if self._pyramid is not None else ()
        for level, part in enumerate([data, *overviews]):
            written = self._append(level, self._window_of(level, window), part)
            if self._log is not None:
                self._fresh += [each.content for each in written]
                self._sizes.append([each.sizes.tolist() for each in written])
        if self._kept is not None:
            factor = cast("Pyramid", self._pyramid).factors[cast("Pyramid", self._pyramid).kept - 1]
            self._kept.write(scaled(window, factor, self._kept.size), data.kept)

    def append_overview(self, level: int, window: Window, data: Encoded) -> None:
        """Append the encoded blocks of a window of a level that windows did not have."""
        self._append(level, window, data)

    def _append(self, level: int, window: Window, data: Encoded) -> list[Encoded]:
        """Append the encoded blocks of a window of a level; return them, and those of its mask."""
        parts = [data]
        tables = self._levels[level]
        if len(tables) > 1:
            parts.append(data.mask if data.mask is not None else self._all_valid(level, window))
        for each, part in zip(tables, parts, strict=True):
            end = each.place(window, part, self._end)
            self._write(part.content, self._end)
            self._end = end
        return parts

    def unmade_overviews(self) -> Sequence[Unmade]:
        """Say what overviews are to be made, by whom they can be made, and of what.

        The file is readable from now on, as far as its own pixels go.
        """
        pyramid = self._pyramid
        if pyramid is None:
            return ()
        self._fill(0)
        self._fill_in_tables()
        path = str(self.target.temporary)
        kept = ""
        if self._kept is not None:
            self._kept.close()
            kept = str(self._kept.path)
        return unmade(pyramid, *self._size, path, kept, cascades=self._cascades)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Take the statistics of all bands, as tags."""
        self._statistics = tags
        self._computes_statistics = not tags

    def finish(self) -> None:
        """Fill in the tables, and write the directories of overviews."""
        for level in range(len(self._levels)):
            self._fill(level)
        self._fill_in_tables()
        if self._pyramid is not None:
            self._write_overviews()
        if self._statistics:
            self._write_statistics(self._statistics)
        cast("FileIO", self._file).close()
        if self._log is not None:
            self._log.close()
        self.target.remove_all_but(self.target.temporary)
        if self._left_to_gdal is not None:
            build_aside(str(self.target.temporary), self._left_to_gdal)
        if self._computes_statistics:
            compute_statistics(str(self.target.temporary))

    def discard(self) -> None:
        """Remove what there is, unless a later run is to go on with it."""
        if self._kept is not None:
            self._kept.close()
        if self._log is not None:
            self._log.leave(self._file)
            if not self._log.noted:
                self.target.remove_all_but()
        if self._file is not None:
            self._file.close()
        self.target.discard()

    def _fill_in_tables(self) -> None:
        for directory, tables in zip(self._directories, self._levels[0], strict=True):
            for field, values in zip(
                directory.tables, (tables.offsets, tables.counts), strict=True
            ):
                self._write(directory.packed(field, values), field.offset)

    def _write_overviews(self) -> None:
        """Write the directories of overviews, and have the last one of the header lead there."""
        last = self._directories[-1]
        start = self._end + self._end % 2
        chain = [
            resized(entries, last.order, each.size, each.offsets, each.counts, big=self._is_big)
            for tables in self._levels[1:]
            for entries, each in zip(self._template, tables, strict=True)
        ]
        if chain:
            directories = lay_out(chain, start, last.order, big=self._is_big)
            self._write(directories, start)
            self._write(last.pointer(start, big=self._is_big), last.next_at)
            self._end = start + len(directories)

    def _write_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Write the text of all tags anew, as GDAL puts it, and have the header lead there.

        Raises
        ------
        OutputError
            If a classic TIFF has no room for it.
        """
        text = metadata_text(self._profiles[0], self._metadata, tags)
        start = self._end + self._end % 2
        self._write(text, start)
        self._end = start + len(text)
        first = self._directories[0]
        field = first.fields[METADATA]
        self._write(first.moved(field, len(text), start, big=self._is_big), field.at)

    def _fill(self, level: int) -> None:
        """Put blocks of nodata where no window was, as GDAL does."""
        if self._sparse_ok:
            return
        for number, tables in enumerate(self._levels[level]):
            missing = tables.missing()
            if not missing:
                continue
            rows = tables.size.height % tables.block.height
            empty = self._empty(level, tables.block.height)[number]
            short = self._empty(level, rows)[number] if rows else empty
            for index in missing:
                part = short if tables.is_short(index) else empty
                end = tables.place_at(np.array([index]), part, self._end)
                self._write(part.content, self._end)
                self._end = end

    def _empty(self, level: int, rows: int) -> list[Encoded]:
        """Encode one block of nothing but nodata, and one of the mask."""
        profile, tables = self._profiles[level], self._levels[level]
        columns = min(tables[0].block.width, tables[0].size.width)
        shape = (int(profile["count"]), rows, columns)
        array = np.full(shape, 0 if self._nodata is None else self._nodata, profile["dtype"])
        masked = len(tables) > 1
        encoded = encode(np.ma.array(array, mask=masked), profile, masked=masked)
        parts = [encoded] if encoded.mask is None else [encoded, encoded.mask]
        return [
            replace(part, content=part.content[: part.sizes[0]], sizes=part.sizes[:1])
            for part in parts
        ]

    def _all_valid(self, level: int, window: Window) -> Encoded:
        """Encode the mask of a window in which nothing is masked."""
        profile = self._profiles[level]
        shape = (int(profile["count"]), int(window.height), int(window.width))
        array = np.ma.zeros(shape, profile["dtype"])
        return cast("Encoded", encode(array, profile, masked=True).mask)

    def _write(self, data: Any, offset: int) -> None:
        """Write all of it, or raise OutputError."""
        try:
            write_at(cast("FileIO", self._file), data, offset)
        except OSError as exc:
            raise OutputError(f"{self.target.path} cannot be written: {exc.strerror}") from None
