"""The inputs: what is known of them, and how a window of them is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError, RasterioIOError

from rio_mucho_cli.errors import GridError, InputError, one_line
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.windows import Size, describe

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
    has_alpha : bool
        Whether one of the bands is opacity.
    """

    path: str
    grid: Grid
    profile: dict[str, Any]
    block: Size
    has_alpha: bool = False

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
        with _open(path) as src:
            if not src.count:
                raise InputError(f"{path} has no bands: give one of its subdatasets instead")
            rows, cols = src.block_shapes[0]
            has_alpha = ColorInterp.alpha in src.colorinterp
            return cls(path, Grid.of(src), dict(src.profile), Size(cols, rows), has_alpha)


class Sources:
    """The inputs, open for reading in one worker.

    GDAL's datasets must not be used by two threads at once nor cross a fork,
    so every worker opens its own, and shares none of them.
    """

    def __init__(self, paths: Sequence[str], mode: Mode) -> None:
        self._paths = paths
        self._mode = mode
        self._datasets = [_open(path) for path in paths]

    def read(self, window: Any) -> Any:
        """Return what the function gets as its first argument.

        Returns
        -------
        list of ndarray, ndarray, or list of datasets
            simple_read: one (count, rows, cols) array for each input.
            array_read: one (sum of counts, rows, cols) array.
            manual_read: the open datasets.

        Raises
        ------
        InputError
            If a block cannot be read.
        GridError
            If in array_read the arrays differ in rows or columns.
        """
        if self._mode == "manual_read":
            return list(self._datasets)
        arrays = [
            self._read(path, src, window)
            for path, src in zip(self._paths, self._datasets, strict=True)
        ]
        return stack(arrays) if self._mode == "array_read" else arrays

    def close(self) -> None:
        """Close all datasets."""
        for src in self._datasets:
            src.close()

    @staticmethod
    def _read(path: str, src: Any, window: Any) -> np.ndarray[Any, Any]:
        try:
            data: np.ndarray[Any, Any] = src.read(window=window)
        except Exception as exc:
            raise InputError(
                f"{path} cannot be read at {describe(window)}: {one_line(exc).rstrip('.')}; "
                "the file may be truncated or damaged, which gdalinfo -checksum finds out"
            ) from None
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
        (sum of counts, rows, cols), in the smallest dtype that holds all.

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
    return np.concatenate(arrays)


def _open(path: str) -> Any:
    try:
        return rasterio.open(path, sharing=False)
    except RasterioIOError as exc:
        text = one_line(exc)
        raise InputError(text if path in text else f"{path}: {text}") from None
    except (RasterioError, OSError, TypeError, ValueError) as exc:
        raise InputError(f"{path} cannot be opened: {one_line(exc)}") from None
