"""Read a window of all inputs for the user's function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias, get_args

import numpy as np

from rio_mucho_cli.dtypes import filled_dtype
from rio_mucho_cli.errors import GridError, InfoError, InputError, MuchoError, one_line
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.open_inputs import InputSpec, OpenInputs
from rio_mucho_cli.inputs.overlap import read_padded
from rio_mucho_cli.system import lacks_open_files
from rio_mucho_cli.windows import format_window

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.burned import Area, BurnedReader, VectorSpec

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

    @property
    def arrays(self) -> int:
        """Number of arrays that the function gets, unless all bands are in one."""
        return len(self.inputs) * self.reads_rasters + len(self.vectors)

    @property
    def burned_bytes(self) -> int:
        """Bytes of the shapes that each worker has."""
        specs = self.vectors if self.area is None else (*self.vectors, self.area)
        return sum(spec.shapes.nbytes for spec in specs)


class PixelsOfInput(NamedTuple):
    """Pixels of an input in a window.

    Attributes
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols).
    nodatavals : tuple of float or None
        Nodata value of each band.
    are_alpha : ndarray of bool
        Whether each band is the alpha band.
    """

    array: Any
    nodatavals: tuple[float | None, ...]
    are_alpha: np.ndarray[Any, Any]

    @property
    def are_masked(self) -> bool:
        """Whether all pixels are masked, ignoring the alpha band."""
        seen = ~self.are_alpha
        return bool(seen.any() and np.ma.getmaskarray(self.array)[seen].all())

    def hide(self, outside: np.ndarray[Any, Any]) -> None:
        """Mask pixels outside the area, if the array is a masked one."""
        array = self.array
        if np.ma.isMaskedArray(array) and array.shape[1:] == outside.shape:
            mask = outside & ~self.are_alpha[:, np.newaxis, np.newaxis]
            array.mask = np.ma.getmaskarray(array) | mask


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
    """

    absent: np.ndarray[Any, Any] | None = None
    outside: np.ndarray[Any, Any] | None = None

    def __init__(self, reading: ReadSpec) -> None:
        self._reading = reading
        self._inputs = OpenInputs(
            reading.inputs, reading.grid, as_datasets=reading.mode == "manual_read"
        )
        self.burned: list[tuple[int, BurnedReader]] = []
        self._area: Area | None = None
        try:
            for number in range(len(reading.inputs)):
                if self._inputs.are_full:
                    break
                self._inputs.get(number)
            if reading.vectors or reading.area is not None:
                from rio_mucho_cli.inputs.burned import open_burned

                grid = reading.grid or Grid.of(self._inputs.get(0).src)
                self.burned, self._area = open_burned(reading.vectors, reading.area, grid)
        except BaseException:
            self.close()
            raise

    def read(self, window: Any) -> Any:
        """Return the function's first argument for a window.

        Returns
        -------
        list of ndarray, ndarray, list of datasets, or None
            simple_read: one (count, rows, cols) array for each input; of a vector
            input, (1, rows, cols).
            array_read: one (sum of counts, rows, cols) array.
            manual_read: the open datasets.
            None if the window is skipped: all pixels are outside the area of
            interest, or masked.

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
            arrays = [_fill_masked(array, reading.fill) for array in arrays]
        for position, burned in self.burned:
            array = burned.read_with_overlap(window, reading.overlap)
            arrays.insert(position, np.ma.array(array) if reading.masked else array)
        return stack(arrays) if reading.mode == "array_read" else arrays

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
        if not self._reading.reads_rasters:
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
        reading, spec = self._reading, self._reading.inputs[number]
        opened = self._inputs.get(number)
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
                f"there is no memory for {spec.path} at {format_window(window)} "
                f"({one_line(exc)}): smaller windows, less overlap or fewer jobs need less"
            ) from None
        except MuchoError:
            raise
        except Exception as exc:
            message = one_line(exc).rstrip(".")
            if not lacks_open_files(message):
                message += (
                    "; the file may be truncated or damaged, which gdalinfo -checksum finds out"
                )
            raise InputError(
                f"{spec.path} cannot be read at {format_window(window)}: {message}"
            ) from None
        return PixelsOfInput(array, bands.nodatavals, bands.are_alpha)


def no_vector() -> NoReturn:
    """Raise InfoError: there is no vector input."""
    raise InfoError("info.features needs a vector input: give a file such as fields.geojson")


def _fill_masked(array: np.ndarray[Any, Any], fill: float | None) -> np.ndarray[Any, Any]:
    """Return a plain array, with masked pixels set to the fill value if given."""
    data = np.ma.getdata(array)
    if fill is None:
        return data
    data = data.astype(filled_dtype(data.dtype, fill), copy=False)
    np.copyto(data, data.dtype.type(fill), where=np.ma.getmaskarray(array))
    return data


def stack(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return one array with the bands of several.

    Parameters
    ----------
    arrays : sequence of ndarray
        Arrays (count, rows, cols), with the same rows and columns.

    Returns
    -------
    ndarray
        (sum of counts, rows, cols), in numpy's common dtype; masked if any
        of the arrays is.

    Raises
    ------
    GridError
        If rows or columns differ. A GridError is also a ValueError.
    """
    first = arrays[0].shape
    for array in arrays:
        if array.ndim != 3 or array.shape[1:] != first[1:]:
            raise GridError(
                f"arrays of shapes {first} and {array.shape} cannot be stacked: expected "
                "(count, rows, cols) each, with the same rows and columns"
            )
    concatenate = np.ma.concatenate if any(map(np.ma.isMaskedArray, arrays)) else np.concatenate
    stacked: np.ndarray[Any, Any] = concatenate(arrays)
    return stacked


def find_absent(
    array: np.ndarray[Any, Any], nodata: Sequence[float | None], overlap: int
) -> np.ndarray[Any, Any] | None:
    """Return where any band of an array is nodata or masked.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows + 2 * overlap, cols + 2 * overlap).
    nodata : sequence of float or None
        Nodata value of each band. NaN is ignored: it is not an ordinary number.
    overlap : int

    Returns
    -------
    ndarray of bool, or None
        (rows, cols), without the overlap; None if there are no such pixels.
    """
    core = array[:, overlap : array.shape[1] - overlap, overlap : array.shape[2] - overlap]
    data = np.ma.getdata(core).real  # GDAL compares only the real part
    masks = [
        band == band.dtype.type(value)
        for band, value in zip(data, nodata, strict=True)
        if value is not None and not math.isnan(value)
    ]
    if isinstance(core, np.ma.MaskedArray):
        masks.append(np.ma.getmaskarray(core).any(axis=0))
    if not masks:
        return None
    absent: np.ndarray[Any, Any] = masks[0]
    for mask in masks[1:]:
        absent |= mask
    return absent if absent.any() else None
