"""What an input of a plan comes to, as what JSON can say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

from rio_mucho_cli.describing_outputs import grid_of, number, size_of
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.window_data import InputSpec
from rio_mucho_cli.paths import is_on_network
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.planning.reading import coverage_of
from rio_mucho_cli.text import redact
from rio_mucho_cli.windows import PlannedWindow, Size, normalize

# So many windows tell how windows and blocks lie to each other.
_LOOKED_AT = 2000


def describe_input(source: DatasetInfo, each: InputSpec, plan: Plan) -> dict[str, Any]:
    """Say what one input is like, and how it is read.

    Parameters
    ----------
    source : DatasetInfo
    each : InputSpec
        How it is read.
    plan : Plan

    Returns
    -------
    dict
        path, driver : str
        on_network : bool
        grid : dict
            crs, transform (six numbers, as rasterio has them), width, height,
            bounds.
        pixel : list
            Width and height, in units of the CRS.
        count : int
        bands : list or None
            Those that are read, where it is not all of them.
        dtypes : list
        nodata : float, str or None
            Of the first band that is read.
        block : list
            Width and height.
        striped : bool
        compress : str or None
        reading : str
            ``as it is``, ``shifted`` by whole pixels, or ``warped``.
        resampling : str or None
            If it is warped.
        coverage : float or None
            Which part of the output's pixels lies within its footprint, from
            0 to 1; None if GCPs or RPCs place it, if two CRSs have no way
            between them, or if the function reads datasets as they are.
        block_reads : float or None
            See `block_reads`; None where windows and blocks are of two grids,
            or the function reads for itself.
    """
    grid, target = source.grid, plan.reading.grid
    reading, resampling = "as it is", None
    if target is not None and (source.has_points or grid.offset_on(target) is None):
        reading, resampling = "warped", each.resampling
    elif target is not None and grid.difference(target) is not None:
        reading = "shifted"
    return {
        "path": redact(source.path),
        "driver": source.profile["driver"],
        "on_network": is_on_network(source.path),
        "grid": grid_of(grid),
        "pixel": [abs(grid.transform.a), abs(grid.transform.e)],
        "count": int(source.profile["count"]),
        "bands": list(each.indexes) or None,
        "dtypes": list(dict.fromkeys(source.dtypes)),
        "nodata": number(source.of_bands(each.indexes).profile["nodata"]),
        "block": size_of(source.block),
        "striped": source.is_striped,
        "compress": source.profile.get("compress"),
        "reading": reading,
        "resampling": resampling,
        "coverage": _coverage(source, plan),
        "block_reads": _block_reads(source, plan),
    }


def _coverage(source: DatasetInfo, plan: Plan) -> float | None:
    if plan.reading.mode == "manual_read" and plan.reading.grid is None:
        return None
    found = coverage_of(source, plan.reading.grid)
    # Only nothing is 0.
    return found if found is None else max(round(found, 6), min(found, 1e-6))


def _block_reads(source: DatasetInfo, plan: Plan) -> float | None:
    raster = plan.outputs[0].size
    if plan.reading.mode == "manual_read" or plan.reading.grid is not None:
        return None
    if (source.grid.width, source.grid.height) != raster:
        return None
    return block_reads(plan.windows, source.block, raster, plan.reading.overlap)


def block_reads(
    windows: Sequence[PlannedWindow], block: Size, raster: Size, overlap: int = 0
) -> float:
    """Return how often a block is read, on average, where a worker keeps none of them.

    Windows that are whole blocks read each once: 1.0.

    Parameters
    ----------
    windows : sequence of (window, ij)
    block : Size
        Of the input.
    raster : Size
    overlap : int
        In pixels, on each side.
    """
    wanted = decoded = 0
    for window, _ in islice(windows, _LOOKED_AT):
        whole = normalize(window, *raster)
        sides = []
        for start, length, side, end in (
            (whole.col_off, whole.width, block.width, raster.width),
            (whole.row_off, whole.height, block.height, raster.height),
        ):
            first = max(0, math.floor(start) - overlap) // side * side
            last = math.ceil(min(end, start + length + overlap) / side) * side
            sides.append(min(end, last) - first)
        wanted += round(whole.width * whole.height)
        decoded += sides[0] * sides[1]
    return round(decoded / max(1, wanted), 3)
