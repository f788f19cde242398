"""Read the scenes of a series that touch a window."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from rio_mucho_cli.errors import InputError
from rio_mucho_cli.gcps import has_gcps_or_rpcs
from rio_mucho_cli.inputs.datasets import in_this_env
from rio_mucho_cli.inputs.footprints import Box, Footprint, box_of
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.open_inputs import OpenInput, OpenInputs
from rio_mucho_cli.inputs.pixels import PixelsOfInput, stack
from rio_mucho_cli.inputs.scenes import SeriesSpec
from rio_mucho_cli.inputs.window_data import InputDatasets, ReadSpec, read_pixels
from rio_mucho_cli.text import redact

# A dataset takes some 30 to 100 kB, and most scenes are not needed again.
_MOST_OPEN = 1024


class SceneDatasets(InputDatasets):
    """Scenes of a series, opened when a window first needs them.

    Parameters
    ----------
    reading : ReadSpec
        With a series, and a grid.
    """

    def __init__(self, reading: ReadSpec) -> None:
        assert reading.series is not None
        assert reading.grid is not None
        self._series: SeriesSpec = reading.series
        self._grid: Grid = reading.grid
        self._footprints: dict[int, Footprint] = {}  # of files that were opened
        self._pool = (
            ThreadPoolExecutor(self._series.threads, "mucho-read")
            if self._series.threads > 1
            else None
        )
        super().__init__(reading)

    def _open(self) -> OpenInputs:
        return OpenInputs(self._series.files, self._grid, most=_MOST_OPEN)

    def _read_inputs(self, window: Any) -> list[PixelsOfInput]:
        """Return the pixels of each scene with pixels in the window, and note the scenes."""
        box = box_of(window, self._grid, self._reading.overlap)
        touching = [
            scene
            for scene in self._series.footprints.touching(window, self._reading.overlap)
            if self._may_touch(scene, box)
        ]
        read = self._read_files([file for scene in touching for file in self._files(scene)], window)
        # Scenes may only adjoin the window, by the margin of what their items say.
        touching = [scene for scene in touching if self._may_touch(scene, box)]
        self.scenes = [self._series.scenes[scene] for scene in touching]
        return [_join([read[file] for file in self._files(scene)]) for scene in touching]

    def _files(self, scene: int) -> range:
        """Return the numbers of the files of a scene."""
        count = len(self._series.counts)
        return range(scene * count, (scene + 1) * count)

    def _may_touch(self, scene: int, box: Box) -> bool:
        """Return whether a scene can have pixels in a box, from the files that were opened."""
        footprints = map(self._footprints.get, self._files(scene))
        return any(footprint is None or footprint.touches(box) for footprint in footprints)

    def _read_files(self, files: Sequence[int], window: Any) -> dict[int, PixelsOfInput]:
        """Return the pixels of files."""
        files = sorted(files, key=lambda number: number not in self._inputs)
        if self._pool is None or len(files) == 1:
            return {number: self._read_file(number, window) for number in files}
        read = in_this_env(self._read_file)
        reads = {number: self._pool.submit(read, number, window) for number in files}
        try:
            wait(reads.values(), return_when=FIRST_EXCEPTION)
        finally:
            for future in reads.values():
                future.cancel()
            wait(reads.values())  # the next window may read the same datasets
        return {number: future.result() for number, future in reads.items()}

    def _read_file(self, number: int, window: Any) -> PixelsOfInput:
        scene, file = divmod(number, len(self._series.counts))
        spec = self._series.files[number]
        with self._inputs.using(number) as opened:
            count = len(opened.reader.bands.indexes)
            if count != self._series.counts[file]:
                raise InputError(
                    f"{redact(spec.path)} has {count} bands, and the first scene's "
                    f"{redact(self._series.files[file].path)} has {self._series.counts[file]}: all "
                    "scenes need as many"
                )
            if self._series.are_claimed[scene] and number not in self._footprints:
                self._footprints[number] = self._footprint(number, scene, opened)
            return read_pixels(opened, spec, window, self._reading)

    def _footprint(self, number: int, scene: int, opened: OpenInput) -> Footprint:
        """Return where an open file is; raise InputError if its item says otherwise."""
        claimed = self._series.footprints[scene]
        if has_gcps_or_rpcs(opened.src):
            return claimed
        resampling = self._series.files[number].resampling
        found = Footprint.of(Grid.of(opened.src), self._grid, resampling)
        if not claimed.contains(found):
            raise InputError(
                f"{redact(opened.src.name)} is not where the item "
                f"{self._series.scenes[scene].name} says: its proj:transform, proj:shape and "
                "proj:code must be those of the file, or be left out"
            )
        return found

    def _stack(self, arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        join = np.ma.stack if any(map(np.ma.isMaskedArray, arrays)) else np.stack
        stacked: np.ndarray[Any, Any] = join(arrays)
        return stacked

    def close(self) -> None:
        """Close all datasets."""
        if self._pool is not None:
            self._pool.shutdown()
        super().close()


def _join(files: Sequence[PixelsOfInput]) -> PixelsOfInput:
    """Return the bands of several files as those of one."""
    if len(files) == 1:
        return files[0]
    return PixelsOfInput(
        stack([pixels.array for pixels in files]),
        tuple(value for pixels in files for value in pixels.nodatavals),
        np.concatenate([pixels.are_alpha for pixels in files]),
    )
