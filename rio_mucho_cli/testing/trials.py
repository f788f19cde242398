"""Runs of a function over given windows, with inputs and output in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeAlias

import cloudpickle
import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.dtypes import check_dtype
from rasterio.enums import MaskFlags
from rasterio.errors import CRSError
from rasterio.io import MemoryFile
from rasterio.transform import guard_transform

from rio_mucho_cli.dtypes import nodata_fits
from rio_mucho_cli.engine.run import run_job
from rio_mucho_cli.env import without_georeferencing_warnings
from rio_mucho_cli.errors import UsageError, one_line
from rio_mucho_cli.geotiff.gdal_io import internal_masks, is_inexact_in_gdal
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.scenes import Scene
from rio_mucho_cli.job_options import Function, find_function, make_job
from rio_mucho_cli.testing.comparison import Array
from rio_mucho_cli.windows import Size, WindowPair
from rio_mucho_cli.workers.declared import declaration_of
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction, make_callable
from rio_mucho_cli.workers.info import WindowInfo
from rio_mucho_cli.workers.parameters import takes_info
from rio_mucho_cli.workers.pickling import dumps


@contextmanager
def rasters_from_arrays(
    arrays: Any, options: Mapping[str, Any], *, transform: Any = None, crs: Any = None
) -> Iterator[list[Any]]:
    """Write arrays to rasters in memory; yield the paths of all inputs, or a series as it is.

    Arrays get the grid of the first path, if there is one, else the transform
    and the CRS.

    Raises
    ------
    UsageError
        If a raster cannot hold an array, if arrays differ in size, or if there
        is a path beside a transform or a CRS.
    """
    sources = _to_list(arrays)
    if sources and all(isinstance(source, Scene) for source in sources):
        yield sources
        return
    with ExitStack() as stack, without_georeferencing_warnings():
        inputs = [
            os.fspath(source)
            if isinstance(source, str | os.PathLike)
            else _to_bands(source, number)
            for number, source in enumerate(sources, start=1)
        ]
        if options.get("mode") != "manual_read" and not options.get("extent"):
            _check_raster_sizes(inputs)
        georeferencing = _georeferencing(inputs, transform, crs)
        paths = []
        for number, source in enumerate(inputs, start=1):
            if isinstance(source, str):
                paths.append(source)
                continue
            memory = stack.enter_context(MemoryFile(filename=f"array{number}.tif"))
            _write_raster(memory.name, source, options.get("nodata"), georeferencing)
            paths.append(memory.name)
        yield paths


def _check_raster_sizes(inputs: Sequence[str | Array]) -> None:
    sizes = {
        number: f"{source.shape[2]} x {source.shape[1]}"
        for number, source in enumerate(inputs, start=1)
        if not isinstance(source, str)
    }
    first = next(iter(sizes), 0)
    for number, size in sizes.items():
        if size != sizes[first]:
            raise UsageError(
                f"array {number} is {size} pixels, array {first} is {sizes[first]}: pass arrays of "
                "the same size, or georeferenced rasters"
            )


def _georeferencing(inputs: Sequence[str | Array], transform: Any, crs: Any) -> dict[str, Any]:
    """Return the CRS and transform of the first path, or else those that are given."""
    path = next((source for source in inputs if isinstance(source, str)), None)
    if path is None:
        return _given_georeferencing(transform, crs)
    if transform is not None or crs is not None:
        raise UsageError(
            f"transform and crs are for arrays, which take those of {path}: leave them out"
        )
    grid = DatasetInfo.of(path).grid
    return {"crs": grid.crs, "transform": grid.transform}


def _given_georeferencing(transform: Any, crs: Any) -> dict[str, Any]:
    """Return a CRS and a transform, as far as they are given."""
    georeferencing: dict[str, Any] = {}
    if transform is not None:
        try:
            georeferencing["transform"] = guard_transform(transform)
        except (TypeError, ValueError, LookupError, AttributeError):
            raise UsageError(f"transform is {transform!r}: expected an Affine") from None
    if crs is not None:
        try:
            georeferencing["crs"] = CRS.from_user_input(crs)
        except CRSError as exc:
            raise UsageError(
                f"crs is {crs!r} ({one_line(exc)}): expected one such as EPSG:32633"
            ) from None
    return georeferencing


def _to_list(arrays: Any) -> list[Any]:
    if isinstance(arrays, str | os.PathLike) or hasattr(arrays, "__array__"):
        return [arrays]
    try:
        return list(arrays)
    except TypeError:
        raise UsageError(
            f"arrays are {arrays!r}: expected an array, a path, or a sequence of these"
        ) from None


def _to_bands(value: Any, number: int) -> Array:
    """Return an array as (count, rows, cols), with a dtype that GDAL supports."""
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
            f"array {number} has the dtype {array.dtype}, which GDAL does not support: convert it"
        )
    return array


def _write_raster(
    path: str, array: Array, nodata: float | None, georeferencing: Mapping[str, Any]
) -> None:
    """Write a raster; masked pixels become nodata, or else a mask."""
    count, height, width = array.shape
    dtype = array.dtype.name
    fits = nodata is not None and nodata_fits(nodata, dtype)
    fits = fits and not is_inexact_in_gdal(nodata, dtype)
    mask = np.ma.getmaskarray(array)
    has_mask = np.ma.isMaskedArray(array) and not fits
    if has_mask and (mask != mask[0]).any():
        raise UsageError(
            "the bands of an array have different masks: pass nodata, or mask the same pixels in "
            "all bands"
        )
    with (
        internal_masks(True),
        rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=dtype,
            nodata=nodata if fits else None, **georeferencing,
        ) as dst,
    ):  # fmt: skip
        dst.write(np.ma.filled(array, nodata) if fits else np.ma.getdata(array))
        if has_mask:
            dst.write_mask(~mask[0])


# What a function declares about an output that affects its pixels.
_OF_PIXELS = {"dtype", "count", "nodata"}

Move: TypeAlias = Callable[[Any], Any]

WHOLE = Size(2**31 - 1, 2**31 - 1)
"""A window size larger than any raster, for one window over all of it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A function and its inputs.

    Attributes
    ----------
    inputs : list of str or Scene
    options : Mapping
        Options of the job.
    pickled : bytes
        The function and its global args, pickled. Each run loads its own copy,
        as each worker does, so that no state is left from earlier runs.
    name : object
        Name of the array to check, if the function returns a dict; None to
        check what it returns.
    takes_info : bool
        Whether the function gets a WindowInfo.
    names : dict
        Names in the dicts that the function returned, as keys; filled by runs.
    """

    inputs: list[Any]
    options: Mapping[str, Any]
    pickled: bytes
    name: Any = None
    takes_info: bool = False
    names: dict[Any, None] = field(default_factory=dict)

    @classmethod
    def of(cls, function: Function, inputs: list[Any], options: Mapping[str, Any]) -> Trial:
        """Return a trial of a function that can be sent to worker processes.

        Raises
        ------
        UsageError
            If the function or its global args cannot be pickled.
        """
        rest = dict(options)
        global_args = rest.pop("global_args", {})
        function = find_function(function)
        dumps(function, "the function")
        dumps(global_args, "global_args")
        loaded = function.load() if isinstance(function, FunctionRef) else function
        called = loaded.__call__ if isinstance(loaded, type) else loaded
        pickled = _pickle(function, global_args)
        return cls(inputs, rest, pickled, takes_info=takes_info(called))

    def with_options(self, **options: Any) -> Trial:
        """Return a copy with changed options."""
        return replace(self, options={**self.options, **options})

    def for_array(self, name: Any) -> Trial:
        """Return a copy that checks one of the arrays that the function returns."""
        return replace(self, name=name)

    def run(
        self,
        windows: Size | list[WindowPair],
        move: Move | None = None,
        *,
        hides_index: bool = False,
    ) -> Array:
        """Return the result of the function for some windows.

        Parameters
        ----------
        windows : Size or list of (window, ij)
        move : callable, optional
            Returns the window to pass to the function in place of its own.
        hides_index : bool
            Whether the function is told that its window is the only one.

        Returns
        -------
        ndarray
            (count, rows, cols), masked if the output has a mask of its own.
        """
        function, global_args = cloudpickle.loads(self.pickled)
        declared = self._declared(function)
        function = wrap_call(function, self._array_of, _as_only_one if hides_index else None)
        called: Any = function if move is None else _WithMovedWindow(function, move)
        called.output = declared
        with MemoryFile(ext=".tif") as memory, without_georeferencing_warnings():
            job = make_job(
                self.inputs,
                memory.name,
                called,
                **self.options,
                windows=windows,
                global_args=global_args,
                driver="GTiff",
                creation_options={"compress": "none"},
                metadata=False,
                overwrite=True,
                executor="serial",
                jobs=1,
            )
            run_job(job)
            with rasterio.open(memory.name) as src:
                has_mask = [MaskFlags.per_dataset] in src.mask_flag_enums
                array: Array = src.read(masked=has_mask)
                return array

    def _declared(self, function: Any) -> dict[str, Any]:
        """Return what a function declares and what can change pixels, for one array."""
        declared = declaration_of(function) or {}
        run = {name: declared[name] for name in ("overlap", "masked") if name in declared}
        if self.name is not None:
            declared = declared.get("also", {}).get(self.name, {})
        return {**run, **{name: declared[name] for name in _OF_PIXELS & declared.keys()}}

    def _array_of(self, returned: Any) -> Any:
        """Return the array to check from what the function returned."""
        if isinstance(returned, dict):
            self.names.update(dict.fromkeys(returned))
        if self.name is None:
            return returned
        if not isinstance(returned, dict) or self.name not in returned:
            raise LookupError(f"the function returned no array {self.name!r}")
        return returned[self.name]


def wrap_call(
    function: Any,
    change: Callable[[Any], Any],
    change_info: Callable[[WindowInfo], WindowInfo] | None = None,
) -> Any:
    """Return a wrapped function or class.

    Parameters
    ----------
    function : callable or FunctionRef
    change : callable
        Changes what it returns.
    change_info : callable, optional
        Changes the WindowInfo that it gets.
    """
    function = function.load() if isinstance(function, FunctionRef) else function

    def changed(call: Any, *args: Any, **kwargs: Any) -> Any:
        if change_info is not None:
            kwargs["info"] = change_info(kwargs["info"])
        return change(call(*args, **kwargs))

    if not isinstance(function, type):

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return changed(function, *args, **kwargs)

        return wrapper
    if not any("__call__" in vars(base) for base in function.__mro__):
        return function  # the run raises for it

    @wraps(function.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return changed(function.__call__, self, *args, **kwargs)

    names = {"__call__": call, "__module__": function.__module__, "__doc__": function.__doc__}
    return type(function.__name__, (function,), names)


def _as_only_one(info: WindowInfo) -> WindowInfo:
    """Return what a function is told of a window that is the only one."""
    return replace(info, index=0, total=1)


class _WithMovedWindow:
    """A function that gets another window than its own."""

    def __init__(self, function: UserFunction, move: Move) -> None:
        self._function, self._move = function, move
        self._call: UserFunction | None = None

    def __call__(self, data: Any, window: Any, ij: Any, global_args: Any, *, info: Any) -> Any:
        if self._call is None:
            self._call = make_callable(self._function, global_args)
        if not takes_info(self._call):
            return self._call(data, self._move(window), ij, global_args)
        return self._call(data, self._move(window), ij, global_args, info=info)


def _pickle(function: UserFunction | FunctionRef, global_args: Any) -> bytes:
    """Return a pickled function, by value if possible: copies have own globals."""
    loaded = function.load() if isinstance(function, FunctionRef) else function
    try:
        return dumps((loaded, global_args), "the function", by_value=True)
    except UsageError:
        return dumps((function, global_args), "the function")
