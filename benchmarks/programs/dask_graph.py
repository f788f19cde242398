"""A workload as rioxarray and dask have it."""

from __future__ import annotations

from functools import partial
from typing import Any

import rioxarray
import xarray

from benchmarks import functions
from benchmarks.task import CREATION_OPTIONS, Task
from benchmarks.workloads import Workload


def write(task: Task, lock: Any) -> None:
    """Compute a workload chunk by chunk, and write it.

    The output is sparse at first: rioxarray makes it whole and then fills it,
    and blocks that are written twice would take their place twice.
    """
    with rioxarray.open_rasterio(task.inputs[0]) as first:
        rows, cols = task.workload.window_shape(first.sizes["x"])
    arrays = [
        rioxarray.open_rasterio(path, chunks={"band": -1, "y": rows, "x": cols}, lock=False)
        for path in task.inputs
    ]
    _computed(task.workload, arrays).rio.to_raster(
        task.output,
        lock=lock,
        dtype=task.workload.dtype,
        interleave="pixel",
        sparse_ok=True,
        **CREATION_OPTIONS,
    )


def _computed(workload: Workload, arrays: list[xarray.DataArray]) -> xarray.DataArray:
    if workload.function is functions.copy:
        return arrays[0]
    if workload.function is functions.index:
        nir, red = (array.astype("float32") for array in arrays)
        return (nir - red) / (nir + red)
    return xarray.apply_ufunc(
        partial(_call, workload.function),
        *arrays,
        dask="parallelized",
        output_dtypes=[workload.dtype],
    )


def _call(function: Any, *data: Any) -> Any:
    return function(list(data), None, None, {})
