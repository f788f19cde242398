"""The inputs: what is known of them, and how a window of them is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import rasterio
from rasterio.errors import RasterioError, RasterioIOError

from rio_mucho_cli.dtypes import filled_dtype, numpy_dtype
from rio_mucho_cli.env import quiet_if_raised
from rio_mucho_cli.errors import GridError, InputError, MuchoError, one_line, text_of
from rio_mucho_cli.gcps import fault_of_points, has_gcps_or_rpcs
from rio_mucho_cli.inputs.absent import find_absent
from rio_mucho_cli.inputs.bands import alpha_of, common_dtype
from rio_mucho_cli.inputs.exact import exact_nodatavals
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.network import is_listed, opening
from rio_mucho_cli.inputs.overlap import Boundary
from rio_mucho_cli.inputs.readers import Reader, open_reader, read_padded
from rio_mucho_cli.inputs.warping import has_mask
from rio_mucho_cli.signals import check
from rio_mucho_cli.system import check_open_files, lacks_open_files
from rio_mucho_cli.text import did_you_mean_file
from rio_mucho_cli.windows import Size, format_window, normalize

Mode: TypeAlias = Literal["simple_read", "array_read", "manual_read"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Source:
    """What a run needs to know of an input before it starts.

    Attributes
    ----------
    path : str
    grid : Grid
    profile : dict
        As rasterio gives it.
    block : Size
        Of the first band.
    alpha : int
        The band of opacity, from 1; 0 if there is none.
    has_points : bool
        Whether GCPs or RPCs say where its pixels are, and no transform.
    dtypes : tuple of str
        The dtype of each band.
    nodatavals : tuple of float or None
        The nodata value of each band.
    hidden_by : str
        What masks the dataset as a whole: "a mask", in the file or beside it,
        "an alpha band", or "".
    fault_of_points : str
        What those GCPs or RPCs lack to place pixels in a CRS.
    structure : Mapping
        GDAL's tags about the file: COMPRESSION, PREDICTOR, INTERLEAVE.
    """

    path: str
    grid: Grid
    profile: dict[str, Any]
    block: Size
    alpha: int = 0
    has_points: bool = False
    dtypes: tuple[str, ...] = ()
    nodatavals: tuple[float | None, ...] = ()
    hidden_by: str = ""
    fault_of_points: str = ""
    structure: Mapping[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the arrays that are read, which holds the values of all bands."""
        names = self.dtypes or (str(self.profile["dtype"]),)
        found: np.dtype[Any] = np.result_type(*map(numpy_dtype, names))
        return found

    @property
    def is_striped(self) -> bool:
        """Whether blocks are as wide as the raster, and there are several."""
        return self.block.width >= self.grid.width and self.block.height < self.grid.height

    @classmethod
    def of(cls, path: str) -> Source:
        """Open a dataset, look at it, close it.

        Raises
        ------
        InputError
            If it is missing or is no raster.
        """
        with open_dataset(path) as src:
            if not src.count:
                raise InputError(f"{path} has no bands: give one of its subdatasets instead")
            rows, cols = src.block_shapes[0]
            alpha, has_points = alpha_of(src), has_gcps_or_rpcs(src)
            nodatavals = exact_nodatavals(src)
            hidden_by = "a mask" if has_mask(src) else "an alpha band" if alpha else ""
            return cls(
                path,
                Grid.of(src),
                {**src.profile, "nodata": nodatavals[0]},
                Size(cols, rows),
                alpha=alpha,
                has_points=has_points,
                fault_of_points=fault_of_points(src) if has_points else "",
                dtypes=tuple(src.dtypes),
                nodatavals=nodatavals,
                hidden_by=hidden_by,
                structure=src.tags(ns="IMAGE_STRUCTURE"),
            )

    def of_bands(self, indexes: Sequence[int]) -> Source:
        """Return the input as if it had some of its bands only.

        Parameters
        ----------
        indexes : sequence of int
            Bands, from 1, in the order in which they are read; empty for all.

        Returns
        -------
        Source
            Its profile has their count, the dtype in which they are read
            together, and the nodata value of the first of them.
        """
        indexes = tuple(indexes) or tuple(range(1, len(self.dtypes) + 1))
        dtypes = tuple(self.dtypes[index - 1] for index in indexes)
        nodatavals = tuple(self.nodatavals[index - 1] for index in indexes)
        alpha = indexes.index(self.alpha) + 1 if self.alpha in indexes else 0
        profile = {
            **self.profile,
            "count": len(indexes),
            "dtype": common_dtype(dtypes),
            "nodata": nodatavals[0],
        }
        return replace(self, profile=profile, alpha=alpha, dtypes=dtypes, nodatavals=nodatavals)


@dataclass(frozen=True, slots=True)
class Input:
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
class Reading:
    """How windows are read.

    Attributes
    ----------
    inputs : sequence of Input
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

    inputs: Sequence[Input]
    mode: Mode = "simple_read"
    grid: Grid | None = None
    overlap: int = 0
    masked: bool = False
    skips_masked: bool = False
    fill: float | None = None
    notes_absent: bool = False


class Sources:
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

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._datasets: list[Any] = []
        self._readers: list[Reader] = []
        try:
            for each in reading.inputs:
                self._open(each)
        except BaseException:
            self.close()
            raise

    def _open(self, each: Input) -> None:
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


def open_dataset(path: str) -> Any:
    """Open an input, shared with nobody, or raise InputError."""
    try:
        check_open_files()
        with quiet_if_raised():
            src = _open(path)
    except RasterioIOError as exc:
        raise InputError(_why_not(path, one_line(exc))) from None
    except (RasterioError, OSError, TypeError, ValueError) as exc:
        raise InputError(f"{path} cannot be opened: {one_line(exc)}") from None
    check()
    return src


def _why_not(path: str, said: str) -> str:
    """Say more than GDAL does of a path that leads to no raster."""
    said = said if path in said else f"{path}: {said}"
    if os.path.isdir(path):  # noqa: PTH112 (a Path takes no name of a length like any)
        return f"{said.rstrip('.')}: it is a folder, expected a raster"
    if "No such file" in said:
        return f"{said}{did_you_mean_file(path)}"
    return said


def _open(path: str) -> Any:
    try:
        with opening(path):
            return rasterio.open(path, sharing=False)
    except RasterioIOError as exc:
        if not is_listed(path) or "not recognized" not in text_of(exc):
            raise
    # There are formats of several files, each of which means nothing by itself.
    with opening(path, looks_beside=True):
        return rasterio.open(path, sharing=False)
