"""Run a function over some windows, as `rio mucho` does, and read what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cloudpickle
import numpy as np
import rasterio
from rasterio.dtypes import check_dtype
from rasterio.enums import MaskFlags
from rasterio.io import MemoryFile

from rio_mucho_cli import engine
from rio_mucho_cli.calling import Function, find_function, make_job
from rio_mucho_cli.environment import without_georeferencing_warnings
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.inputs.sources import Source
from rio_mucho_cli.inputs.windows import PlannedWindow, Size
from rio_mucho_cli.outputs.profile import nodata_fits
from rio_mucho_cli.work.functions import FunctionRef, UserFunction, make_callable
from rio_mucho_cli.work.pickling import home_of, pack

Array: TypeAlias = np.ndarray[Any, Any]
Move: TypeAlias = Callable[[Any], Any]

WHOLE = Size(2**31 - 1, 2**31 - 1)
"""One window, whatever the raster."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A function and its inputs.

    Attributes
    ----------
    inputs : list of str
    options : Mapping
        Of the job.
    packed : bytes
        The function and its global args. Each run gets a copy, as each worker
        does: what an earlier one has left in it is not there.
    """

    inputs: list[str]
    options: Mapping[str, Any]
    packed: bytes

    @classmethod
    def of(cls, function: Function, inputs: list[str], options: Mapping[str, Any]) -> Trial:
        """Make a trial of a function that can be sent to worker processes.

        Raises
        ------
        UsageError
            If it, or its global args, cannot be sent.
        """
        rest = dict(options)
        global_args = rest.pop("global_args", {})
        found = find_function(function)
        pack(found, "the function")
        pack(global_args, "global_args")
        return cls(inputs, rest, _packed(found, global_args))

    def changed(self, **options: Any) -> Trial:
        """Return the same with other options."""
        return replace(self, options={**self.options, **options})

    def run(self, windows: Size | list[PlannedWindow], move: Move | None = None) -> Array:
        """Apply the function to some windows.

        Parameters
        ----------
        windows : Size or list of (window, ij)
        move : callable, optional
            Returns the window that the function is shown instead of its own.

        Returns
        -------
        ndarray
            (count, rows, cols), masked if the output has a mask of its own.
        """
        function, global_args = cloudpickle.loads(self.packed)
        with MemoryFile(ext=".tif") as memory, without_georeferencing_warnings():
            job = make_job(
                self.inputs,
                memory.name,
                function if move is None else _Moved(function, move),
                **self.options,
                global_args=global_args,
                driver="GTiff",
                creation_options={"compress": "none"},
                metadata=False,
                overwrite=True,
                executor="serial",
                jobs=1,
            )
            engine.run(replace(job, windows=windows))
            with rasterio.open(memory.name) as src:
                has_mask = [MaskFlags.per_dataset] in src.mask_flag_enums
                array: Array = src.read(masked=has_mask)
                return array


class _Moved:
    """A function that is shown other windows than its own."""

    def __init__(self, function: UserFunction, move: Move) -> None:
        self._function, self._move = function, move
        self._call: UserFunction | None = None

    def __call__(self, data: Any, window: Any, ij: Any, global_args: Any) -> Any:
        if self._call is None:
            self._call = make_callable(self._function, global_args)
        return self._call(data, self._move(window), ij, global_args)


def _packed(function: UserFunction | FunctionRef, global_args: Any) -> bytes:
    """Pickle a function with the modules beside it, so that a copy has their globals anew."""
    loaded = function.load() if isinstance(function, FunctionRef) else function
    name = getattr(loaded, "__module__", None) or type(loaded).__module__
    near = home_of(sys.modules[name]) if name in sys.modules else None
    try:
        return pack((loaded, global_args), "the function", near)
    except UsageError:
        return pack((function, global_args), "the function")


@contextmanager
def rasters(arrays: Any, nodata: float | None) -> Iterator[list[str]]:
    """Make rasters of arrays, in memory; yield their paths, and those of what are paths.

    Arrays lie on the grid of the first path, if there is one.

    Raises
    ------
    UsageError
        If an array is none that a raster can hold.
    """
    with ExitStack() as stack, without_georeferencing_warnings():
        inputs = [
            os.fspath(each) if isinstance(each, str | os.PathLike) else _checked(each, number)
            for number, each in enumerate(_several(arrays), start=1)
        ]
        place = _place(inputs)
        paths = []
        for number, each in enumerate(inputs, start=1):
            if isinstance(each, str):
                paths.append(each)
                continue
            memory = stack.enter_context(MemoryFile(filename=f"array{number}.tif"))
            _write(memory.name, each, nodata, place)
            paths.append(memory.name)
        yield paths


def _place(inputs: Sequence[str | Array]) -> dict[str, Any]:
    """Return the CRS and the transform of the first path."""
    path = next((each for each in inputs if isinstance(each, str)), None)
    if path is None:
        return {}
    grid = Source.of(path).grid
    return {"crs": grid.crs, "transform": grid.transform}


def _several(arrays: Any) -> list[Any]:
    if isinstance(arrays, str | os.PathLike) or hasattr(arrays, "__array__"):
        return [arrays]
    try:
        return list(arrays)
    except TypeError:
        raise UsageError(f"arrays are {arrays!r}: expected an array, a path, or several") from None


def _checked(value: Any, number: int) -> Array:
    """Return an array as (count, rows, cols), of a dtype that GDAL has."""
    array: Array = np.asanyarray(value)
    array = array[np.newaxis] if array.ndim == 2 else array
    array = array.astype(np.uint8) if array.dtype == bool else array
    if array.ndim != 3 or not array.size:
        raise UsageError(
            f"array {number} has the shape {array.shape}: expected (rows, cols) or "
            "(count, rows, cols)"
        )
    if not check_dtype(array.dtype.name):
        raise UsageError(
            f"array {number} is of dtype {array.dtype}, which rasters cannot be: convert it"
        )
    return array


def _write(path: str, array: Array, nodata: float | None, place: Mapping[str, Any]) -> None:
    """Write a raster; what is masked becomes nodata, or a mask if there is none."""
    count, height, width = array.shape
    dtype = array.dtype.name
    fits = nodata is not None and nodata_fits(nodata, dtype)
    mask = np.ma.getmaskarray(array)
    has_mask = np.ma.isMaskedArray(array) and not fits
    if has_mask and (mask != mask[0]).any():
        raise UsageError(
            "an array has other pixels masked in one band than in another: give nodata, which "
            "marks them, or mask the same in all bands"
        )
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=dtype,
            nodata=nodata if fits else None, **place,
        ) as dst,
    ):  # fmt: skip
        dst.write(np.ma.filled(array, nodata) if fits else np.ma.getdata(array))
        if has_mask:
            dst.write_mask(~mask[0])
