"""Read a window of all inputs for the user's function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, get_args

import numpy as np

from rio_mucho_cli.errors import InfoError, InputError, MuchoError, one_line
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.open_inputs import InputSpec, OpenInput, OpenInputs
from rio_mucho_cli.inputs.overlap import read_padded
from rio_mucho_cli.inputs.pixels import PixelsOfInput, fill_masked, find_absent, stack
from rio_mucho_cli.paths import unsigned
from rio_mucho_cli.system import lacks_open_files
from rio_mucho_cli.text import redact
from rio_mucho_cli.windows import format_window

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.burned import Area, BurnedReader, VectorSpec
    from rio_mucho_cli.inputs.scenes import Scene, SeriesSpec

Mode: TypeAlias = Literal["simple_read", "array_read", "manual_read"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """How to read windows of all inputs.

    Attributes
    ----------
    inputs : sequence of InputSpec
    mode : str
    grid : Grid or None
        Grid of the output; None to read each input on its own grid.
    overlap : int
        Number of extra pixels on each side.
    masked : bool
        Whether the function gets masked arrays.
    skips_masked : bool
        Whether windows with all pixels masked are skipped.
    fill : float or None
        Value of masked pixels in the plain arrays that the function gets;
        None to leave them unchanged.
    records_absent : bool
        Whether to record nodata and masked pixels in `InputDatasets.absent`
        while the function gets plain arrays.
    vectors : tuple of VectorSpec
        Vector inputs.
    reads_rasters : bool
        Whether the function gets the arrays of `inputs`.
    area : VectorSpec or None
        Area of interest. Windows outside are skipped.
    series : SeriesSpec or None
        Scenes to read in place of `inputs`, which are then the files of the
        first one.
    """

    inputs: Sequence[InputSpec]
    mode: Mode = "simple_read"
    grid: Grid | None = None
    overlap: int = 0
    masked: bool = False
    skips_masked: bool = False
    fill: float | None = None
    records_absent: bool = False
    vectors: tuple[VectorSpec, ...] = ()
    reads_rasters: bool = True
    area: VectorSpec | None = None
    series: SeriesSpec | None = None

    @property
    def arrays(self) -> int:
        """Number of arrays that the function gets, unless all bands are in one; 1 for a series."""
        if self.series is not None:
            return 1
        return len(self.inputs) * self.reads_rasters + len(self.vectors)

    @property
    def first_bands(self) -> int:
        """Number of bands of the first input, or of a scene; 0 for all that there are."""
        if self.series is not None:
            return sum(self.series.counts)
        return sum(len(spec.indexes) for spec in self.inputs[:1])

    @property
    def files(self) -> Sequence[InputSpec]:
        """All files that are read: the inputs, or those of all scenes."""
        return self.inputs if self.series is None else self.series.files

    def moved(self, absolute: Callable[[str], str]) -> ReadSpec:
        """Return how to read the same files from another working directory.

        Parameters
        ----------
        absolute : callable
            Returns the absolute path of a file.
        """
        series = self.series
        if series is not None:
            files = [replace(spec, path=absolute(spec.path)) for spec in series.files]
            series = replace(series, files=files)
        inputs = [replace(spec, path=absolute(spec.path)) for spec in self.inputs]
        return replace(self, inputs=inputs, series=series)

    @property
    def burned_bytes(self) -> int:
        """Bytes of the shapes that each worker has."""
        specs = self.vectors if self.area is None else (*self.vectors, self.area)
        return sum(spec.shapes.nbytes for spec in specs)


class InputDatasets:
    """All inputs, open for reading in one worker.

    GDAL datasets must not be used by two threads at once or after a fork, so
    every worker opens its own, unshared datasets.

    Attributes
    ----------
    absent : ndarray of bool, or None
        (rows, cols): pixels of the last window where an input is nodata or
        masked; None if there are none, or without ``records_absent``.
    outside : ndarray of bool, or None
        (rows, cols): pixels of the last window outside the area of interest;
        None without one.
    scenes : list of Scene
        Scenes of the last window, if inputs are a series.
    """

    absent: np.ndarray[Any, Any] | None = None
    outside: np.ndarray[Any, Any] | None = None

    def __init__(self, reading: ReadSpec) -> None:
        self._reading = reading
        self.scenes: list[Scene] = []
        self.burned: list[tuple[int, BurnedReader]] = []
        self._area: Area | None = None
        self._inputs = self._open()
        try:
            if reading.vectors or reading.area is not None:
                from rio_mucho_cli.inputs.burned import open_burned

                grid = reading.grid or Grid.of(self._inputs.get(0).src)
                self.burned, self._area = open_burned(reading.vectors, reading.area, grid)
        except BaseException:
            self.close()
            raise

    def _open(self) -> OpenInputs:
        """Return the inputs, of which as many as the system allows are open."""
        reading = self._reading
        inputs = OpenInputs(reading.inputs, reading.grid, as_datasets=reading.mode == "manual_read")
        try:
            for number in range(len(reading.inputs)):
                if inputs.are_full:
                    break
                inputs.get(number)
        except BaseException:
            inputs.close()
            raise
        return inputs

    def read(self, window: Any) -> Any:
        """Return the function's first argument for a window.

        Returns
        -------
        list of ndarray, ndarray, list of datasets, or None
            simple_read: one (count, rows, cols) array for each input; of a vector
            input, (1, rows, cols).
            array_read: one (sum of counts, rows, cols) array; of a series,
            (scenes, count, rows, cols).
            manual_read: the open datasets.
            None if the window is skipped: all pixels are outside the area of
            interest, or masked, or no scene of a series touches it.

        Raises
        ------
        InputError
            If a block cannot be read.
        GridError
            If arrays for array_read differ in rows or columns.
        """
        reading = self._reading
        if self._area is not None:
            self.outside = self._area.outside(window)
            if self.outside.all():
                return None
        if reading.mode == "manual_read":
            numbers = range(len(reading.inputs))
            return [self._inputs.get(number).reader.dataset for number in numbers]
        inputs = self._read_inputs(window) if reading.reads_rasters else []
        if reading.series is not None and not inputs:
            return None
        if self._area is not None:
            outside = self._area.outside(window, reading.overlap)
            for pixels in inputs:
                pixels.hide(outside)
        if reading.skips_masked and inputs and all(pixels.are_masked for pixels in inputs):
            return None
        if reading.records_absent:
            self.absent = self._find_absent(inputs)
        arrays = [pixels.array for pixels in inputs]
        if not reading.masked:
            arrays = [fill_masked(array, reading.fill) for array in arrays]
        for position, burned in self.burned:
            array = burned.read_with_overlap(window, reading.overlap)
            arrays.insert(position, np.ma.array(array) if reading.masked else array)
        return self._stack(arrays) if reading.mode == "array_read" else arrays

    def _stack(self, arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """Return the array of the mode array_read."""
        return stack(arrays)

    def _read_inputs(self, window: Any) -> list[PixelsOfInput]:
        """Return the pixels of all inputs; those that are open are read first."""
        numbers = range(len(self._reading.inputs))
        read = {
            number: self._read(number, window)
            for number in sorted(numbers, key=lambda number: number not in self._inputs)
        }
        return [read[number] for number in numbers]

    def _find_absent(self, inputs: Sequence[PixelsOfInput]) -> Any:
        """Return where an input with the first one's shape is nodata or masked."""
        absent: Any = None
        for array, nodatavals, _ in inputs:
            if array.shape[1:] == inputs[0].array.shape[1:]:
                mask = find_absent(array, nodatavals, self._reading.overlap)
                absent = mask if absent is None else absent if mask is None else absent | mask
        if absent is not None and self.outside is not None and absent.shape == self.outside.shape:
            absent &= ~self.outside
        return absent

    @property
    def rasters(self) -> Sequence[tuple[InputSpec, Callable[[], Any]]]:
        """Each raster with a function that returns its dataset, as it is in the file."""
        if not self._reading.reads_rasters or self._reading.series is not None:
            return []
        return [(spec, partial(self._src, n)) for n, spec in enumerate(self._reading.inputs)]

    def _src(self, number: int) -> Any:
        return self._inputs.get(number).src

    def first_vector(self) -> BurnedReader:
        """Return the reader of the first vector input, or raise InfoError."""
        return self.burned[0][1] if self.burned else no_vector()

    def close(self) -> None:
        """Close all datasets."""
        self._inputs.close()

    def _read(self, number: int, window: Any) -> PixelsOfInput:
        opened = self._inputs.get(number)
        return read_pixels(opened, self._inputs.specs[number], window, self._reading)


def read_pixels(
    opened: OpenInput, spec: InputSpec, window: Any, reading: ReadSpec
) -> PixelsOfInput:
    """Return the pixels of one input in a window.

    Raises
    ------
    InputError
        If there is no memory for them, or a block cannot be read.
    """
    bands = opened.reader.bands
    masked = reading.masked or reading.skips_masked or reading.fill is not None
    masked = masked or (reading.records_absent and bands.have_unread_mask)
    try:
        if reading.overlap:
            grid = reading.grid or Grid.of(opened.src)
            array = read_padded(
                opened.reader, window, grid, reading.overlap, spec.boundary, masked=masked
            )
        else:
            array = opened.reader.read(window, masked=masked)
    except MemoryError as exc:
        raise InputError(
            f"there is no memory for {redact(spec.path)} at {format_window(window)} "
            f"({one_line(exc)}): smaller windows, less overlap or fewer jobs need less"
        ) from None
    except MuchoError:
        raise
    except Exception as exc:
        message = one_line(exc).rstrip(".")
        if not lacks_open_files(message):
            message += "; the file may be truncated or damaged, which gdalinfo -checksum finds out"
        if unsigned(spec.path) != spec.path:
            message += "; or its signature has expired"
        raise InputError(
            f"{redact(spec.path)} cannot be read at {format_window(window)}: {redact(message)}"
        ) from None
    return PixelsOfInput(array, bands.nodatavals, bands.are_alpha)


def no_vector() -> NoReturn:
    """Raise InfoError: there is no vector input."""
    raise InfoError("info.features needs a vector input: give a file such as fields.geojson")
