"""Read a window of all inputs for the user's function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, get_args

import numpy as np

from rio_mucho_cli.dtypes import filled_dtype
from rio_mucho_cli.errors import GridError, InfoError, InputError, MuchoError, one_line
from rio_mucho_cli.inputs.bands import GivenNodata
from rio_mucho_cli.inputs.datasets import open_dataset
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.overlap import Boundary, read_padded
from rio_mucho_cli.inputs.readers import Reader, open_reader
from rio_mucho_cli.system import lacks_open_files
from rio_mucho_cli.windows import format_window

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.burned import Area, BurnedReader, VectorSpec

Mode: TypeAlias = Literal["simple_read", "array_read", "manual_read"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input, and how to read it.

    Attributes
    ----------
    path : str
    indexes : sequence of int
        Band indexes, from 1; empty for all.
    resampling : str
        rasterio's name of the resampling, for an input on another grid.
    boundary : Boundary or None
        Values of pixels beyond the raster. None: nodata in bands that have
        it, the nearest pixels in others.
    nodata : float, "none" or None
        Nodata in place of the input's own.
    """

    path: str
    indexes: tuple[int, ...] = ()
    resampling: str = "nearest"
    boundary: Boundary | None = None
    nodata: GivenNodata | None = None


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
        self._datasets: list[Any] = []
        self._readers: list[Reader] = []
        self.burned: list[tuple[int, BurnedReader]] = []
        self._area: Area | None = None
        try:
            for spec in reading.inputs:
                self._open(spec)
            if reading.vectors or reading.area is not None:
                from rio_mucho_cli.inputs.burned import open_burned

                grid = reading.grid or Grid.of(self._datasets[0])
                self.burned, self._area = open_burned(reading.vectors, reading.area, grid)
        except BaseException:
            self.close()
            raise

    def _open(self, spec: InputSpec) -> None:
        """Open one input and its reader."""
        src = open_dataset(spec.path)
        self._datasets.append(src)
        reader = open_reader(
            src,
            spec.indexes or src.indexes,
            self._reading.grid,
            spec.resampling,
            as_dataset=self._reading.mode == "manual_read",
            nodata=spec.nodata,
        )
        self._readers.append(reader)

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
            return [reader.dataset for reader in self._readers]
        readers = self._readers if reading.reads_rasters else []
        arrays = [self._read(number, window) for number in range(len(readers))]
        if self._area is not None:
            outside = self._area.outside(window, reading.overlap)
            arrays = [_hide(*each, outside) for each in zip(arrays, readers, strict=True)]
        if reading.skips_masked and arrays and all(map(_is_masked, arrays, readers)):
            return None
        if reading.records_absent:
            self.absent = self._find_absent(arrays)
        if not reading.masked:
            arrays = [_fill_masked(array, reading.fill) for array in arrays]
        for position, burned in self.burned:
            array = burned.read_with_overlap(window, reading.overlap)
            arrays.insert(position, np.ma.array(array) if reading.masked else array)
        return stack(arrays) if reading.mode == "array_read" else arrays

    def _find_absent(self, arrays: Sequence[np.ndarray[Any, Any]]) -> Any:
        """Return where an input with the first one's shape is nodata or masked."""
        absent: Any = None
        for array, reader in zip(arrays, self._readers, strict=False):
            if array.shape[1:] == arrays[0].shape[1:]:
                mask = find_absent(array, reader.bands.nodatavals, self._reading.overlap)
                absent = mask if absent is None else absent if mask is None else absent | mask
        if absent is not None and self.outside is not None and absent.shape == self.outside.shape:
            absent &= ~self.outside
        return absent

    @property
    def opened(self) -> Sequence[tuple[InputSpec, Any]]:
        """Each raster with its open dataset, as it is in the file."""
        if not self._reading.reads_rasters:
            return []
        return list(zip(self._reading.inputs, self._datasets, strict=True))

    def first_vector(self) -> BurnedReader:
        """Return the reader of the first vector input, or raise InfoError."""
        return self.burned[0][1] if self.burned else no_vector()

    def close(self) -> None:
        """Close all datasets."""
        for opened in (*self._readers, *self._datasets):
            opened.close()

    def _read(self, number: int, window: Any) -> Any:
        reading, reader = self._reading, self._readers[number]
        masked = reading.masked or reading.skips_masked or reading.fill is not None
        masked = masked or (reading.records_absent and reader.bands.have_unread_mask)
        try:
            if not reading.overlap:
                return reader.read(window, masked=masked)
            boundary = reading.inputs[number].boundary
            grid = reading.grid or Grid.of(self._datasets[number])
            return read_padded(reader, window, grid, reading.overlap, boundary, masked=masked)
        except MemoryError as exc:
            raise InputError(
                f"there is no memory for {reading.inputs[number].path} at {format_window(window)} "
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
            path = reading.inputs[number].path
            raise InputError(
                f"{path} cannot be read at {format_window(window)}: {message}"
            ) from None


def no_vector() -> NoReturn:
    """Raise InfoError: there is no vector input."""
    raise InfoError("info.features needs a vector input: give a file such as fields.geojson")


def _is_masked(array: Any, reader: Reader) -> bool:
    """Return whether all pixels are masked, ignoring the alpha band."""
    seen = ~reader.bands.are_alpha
    return bool(seen.any() and np.ma.getmaskarray(array)[seen].all())


def _hide(array: Any, reader: Reader, outside: np.ndarray[Any, Any]) -> Any:
    """Return a masked array with pixels outside the area masked; a plain one as it is."""
    if not np.ma.isMaskedArray(array) or array.shape[1:] != outside.shape:
        return array
    mask = outside & ~reader.bands.are_alpha[:, np.newaxis, np.newaxis]
    array.mask = np.ma.getmaskarray(array) | mask
    return array


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
