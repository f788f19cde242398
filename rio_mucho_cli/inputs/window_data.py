"""Read a window of all inputs: bands, masks, fill values, and one array or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from rio_mucho_cli.dtypes import filled_dtype
from rio_mucho_cli.errors import GridError, InputError, MuchoError, one_line
from rio_mucho_cli.inputs.datasets import open_dataset
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.overlap import Boundary
from rio_mucho_cli.inputs.readers import Reader, open_reader, read_padded
from rio_mucho_cli.system import lacks_open_files
from rio_mucho_cli.windows import format_window, normalize

Mode: TypeAlias = Literal["simple_read", "array_read", "manual_read"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input, and what is read of it.

    Attributes
    ----------
    path : str
    indexes : sequence of int
        Bands, from 1; empty for all.
    resampling : str
        rasterio's name of it, where pixels are not those of the output's grid.
    boundary : Boundary or None
        What pixels beyond the raster are; None: nodata if it has one, else
        the nearest pixels.
    """

    path: str
    indexes: tuple[int, ...] = ()
    resampling: str = "nearest"
    boundary: Boundary | None = None


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """How windows are read.

    Attributes
    ----------
    inputs : sequence of InputSpec
    mode : str
    grid : Grid or None
        The output's; None if inputs are taken as they are.
    overlap : int
        How many more pixels are read on each side.
    masked : bool
        The function gets masked arrays.
    skips_masked : bool
        Windows in which all pixels are masked are of no interest.
    fill : float or None
        The function gets plain arrays, with this number where pixels are
        masked.
    notes_absent : bool
        Find out where inputs have no value, and the function gets numbers.
    """

    inputs: Sequence[InputSpec]
    mode: Mode = "simple_read"
    grid: Grid | None = None
    overlap: int = 0
    masked: bool = False
    skips_masked: bool = False
    fill: float | None = None
    notes_absent: bool = False


class InputDatasets:
    """The inputs, open for reading in one worker.

    GDAL's datasets must not be used by two threads at once nor cross a fork,
    so every worker opens its own, and shares none of them.

    Attributes
    ----------
    absent : ndarray of bool, or None
        (rows, cols): where an input has no value in the window that was read
        last; None if there are no such pixels, or that is not to be noted.
    """

    absent: np.ndarray[Any, Any] | None = None

    def __init__(self, reading: ReadSpec) -> None:
        self._reading = reading
        self._datasets: list[Any] = []
        self._readers: list[Reader] = []
        try:
            for each in reading.inputs:
                self._open(each)
        except BaseException:
            self.close()
            raise

    def _open(self, each: InputSpec) -> None:
        """Open an input, and its mask, before the next one."""
        src = open_dataset(each.path)
        self._datasets.append(src)
        reader = open_reader(
            src,
            each.indexes or src.indexes,
            self._reading.grid,
            each.resampling,
            as_dataset=self._reading.mode == "manual_read",
        )
        self._readers.append(reader)

    def read(self, window: Any) -> Any:
        """Return what the function gets as its first argument.

        Returns
        -------
        list of ndarray, ndarray, list of datasets, or None
            simple_read: one (count, rows, cols) array for each input.
            array_read: one (sum of counts, rows, cols) array.
            manual_read: the open datasets.
            None if all is masked and such windows are to be skipped.

        Raises
        ------
        InputError
            If a block cannot be read.
        GridError
            If in array_read the arrays differ in rows or columns.
        """
        reading = self._reading
        if reading.mode == "manual_read":
            return [reader.dataset for reader in self._readers]
        arrays = [self._read(number, window) for number in range(len(self._readers))]
        if reading.skips_masked and all(map(_is_masked, arrays, self._readers)):
            return None
        if reading.notes_absent:
            self.absent = self._find_absent(arrays)
        if not reading.masked:
            arrays = [_filled(array, reading.fill) for array in arrays]
        return stack(arrays) if reading.mode == "array_read" else arrays

    def _find_absent(self, arrays: Sequence[np.ndarray[Any, Any]]) -> Any:
        """Return where an input has no value, of those that are as large as the first one."""
        found: Any = None
        for array, reader in zip(arrays, self._readers, strict=True):
            if array.shape[1:] == arrays[0].shape[1:]:
                absent = find_absent(array, reader.bands.nodatavals, self._reading.overlap)
                found = absent if found is None else found if absent is None else found | absent
        return found

    def close(self) -> None:
        """Close all datasets."""
        for opened in (*self._readers, *self._datasets):
            opened.close()

    def _read(self, number: int, window: Any) -> Any:
        reading, reader = self._reading, self._readers[number]
        masked = reading.masked or reading.skips_masked or reading.fill is not None
        masked = masked or (reading.notes_absent and reader.bands.have_unread_mask)
        try:
            if not reading.overlap:
                return reader.read(window, masked=masked)
            boundary = reading.inputs[number].boundary
            grid = reading.grid or Grid.of(self._datasets[number])
            whole = normalize(window, grid.width, grid.height)
            return read_padded(reader, whole, grid, reading.overlap, boundary, masked=masked)
        except MemoryError as exc:
            raise InputError(
                f"there is no memory for {reading.inputs[number].path} at {format_window(window)} "
                f"({one_line(exc)}): smaller windows, less overlap or fewer jobs need less"
            ) from None
        except MuchoError:
            raise
        except Exception as exc:
            said = one_line(exc).rstrip(".")
            if not lacks_open_files(said):
                said += "; the file may be truncated or damaged, which gdalinfo -checksum finds out"
            path = reading.inputs[number].path
            raise InputError(f"{path} cannot be read at {format_window(window)}: {said}") from None


def _is_masked(array: Any, reader: Reader) -> bool:
    """Whether nothing of what was read can be seen. Opacity itself is never masked."""
    seen = ~reader.bands.are_alpha
    return bool(seen.any() and np.ma.getmaskarray(array)[seen].all())


def _filled(array: np.ndarray[Any, Any], fill: float | None) -> np.ndarray[Any, Any]:
    """Return a plain array, with a number where pixels are masked."""
    data = np.ma.getdata(array)
    if fill is None:
        return data
    data = data.astype(filled_dtype(data.dtype, fill), copy=False)
    np.copyto(data, data.dtype.type(fill), where=np.ma.getmaskarray(array))
    return data


def stack(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Put the bands of several arrays into one.

    Parameters
    ----------
    arrays : sequence of ndarray
        Each (count, rows, cols), with the same rows and columns.

    Returns
    -------
    ndarray
        (sum of counts, rows, cols), in the smallest dtype that holds all;
        masked if one of them is.

    Raises
    ------
    GridError
        If rows or columns differ. It is a ValueError, too.
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
    """Return where a band of an array has no value.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows + 2 * overlap, cols + 2 * overlap).
    nodata : sequence of float or None
        Of each band; NaN is no ordinary number, and is not looked for.
    overlap : int

    Returns
    -------
    ndarray of bool, or None
        (rows, cols), without the overlap; None if there are no such pixels.
    """
    core = array[:, overlap : array.shape[1] - overlap, overlap : array.shape[2] - overlap]
    data = np.ma.getdata(core).real  # as GDAL compares complex numbers
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
