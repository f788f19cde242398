"""Inputs of a plan as JSON objects, without secrets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.paths import is_on_network
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.planning.reading import coverage_of
from rio_mucho_cli.text import redact
from rio_mucho_cli.windows import PlannedWindow, Size

# Number of windows that are compared with the blocks of inputs.
_MOST_COMPARED = 2000


def describe_input(source: DatasetInfo, spec: InputSpec, plan: Plan) -> dict[str, Any]:
    """Return facts about one input, and how it is read.

    Parameters
    ----------
    source : DatasetInfo
    spec : InputSpec
    plan : Plan

    Returns
    -------
    dict
        path, driver : str
        on_network : bool
        grid : dict
            crs, transform (six numbers, in rasterio's order), width, height,
            bounds.
        pixel : list
            Pixel width and height, in units of the CRS.
        count : int
        bands : list or None
            Bands that are read; None for all.
        dtypes : list
        nodata : float, str or None
            Nodata of the first band that is read.
        src_nodata : float, str or None
            Nodata that the job gives in place of the file's: a number or
            ``none``; None if it gives none.
        block : list
            Block width and height.
        striped : bool
        compress : str or None
        reading : str
            ``as it is``, ``shifted`` by whole pixels, or ``warped``.
        resampling : str or None
            Resampling if it is warped, else None.
        coverage : float or None
            Share of the output's pixels within the input's footprint, from 0
            to 1; None if the input has GCPs or RPCs, if there is no
            transformation between the CRSs, or if the function reads the
            datasets itself.
        block_reads : float or None
            See `block_reads`; None if windows and blocks are on different
            grids, or if the function reads the datasets itself.
    """
    grid, target = source.grid, plan.reading.grid
    reading, resampling = "as it is", None
    if target is not None and (source.has_gcps_or_rpcs or grid.pixel_offset(target) is None):
        reading, resampling = "warped", spec.resampling
    elif target is not None and grid.difference(target) is not None:
        reading = "shifted"
    return {
        "path": redact(source.path),
        "driver": source.profile["driver"],
        "on_network": is_on_network(source.path),
        "grid": describe_grid(grid),
        "pixel": [abs(grid.transform.a), abs(grid.transform.e)],
        "count": int(source.profile["count"]),
        "bands": list(spec.indexes) or None,
        "dtypes": list(dict.fromkeys(source.dtypes)),
        "nodata": json_number(source.with_bands(spec.indexes).profile["nodata"]),
        "src_nodata": spec.nodata if isinstance(spec.nodata, str) else json_number(spec.nodata),
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
    share = coverage_of(source, plan.reading.grid)
    # 0 only if the input covers no pixel at all.
    return None if share is None else max(round(share, 6), min(share, 1e-6))


def _block_reads(source: DatasetInfo, plan: Plan) -> float | None:
    raster = plan.size
    if plan.reading.mode == "manual_read" or plan.reading.grid is not None:
        return None
    if (source.grid.width, source.grid.height) != raster:
        return None
    return block_reads(plan.windows, source.block, raster, plan.reading.overlap)


def block_reads(
    windows: Sequence[PlannedWindow], block: Size, raster: Size, overlap: int = 0
) -> float:
    """Return how often a block is read on average, if no worker caches blocks.

    It is 1.0 if windows are whole blocks.

    Parameters
    ----------
    windows : sequence of PlannedWindow
    block : Size
        Block size of the input.
    raster : Size
    overlap : int
        Overlap in pixels, on each side.
    """
    needed = decoded = 0
    for planned in islice(windows, _MOST_COMPARED):
        whole = planned.window
        sides = []
        for start, length, side, end in (
            (whole.col_off, whole.width, block.width, raster.width),
            (whole.row_off, whole.height, block.height, raster.height),
        ):
            first = max(0, math.floor(start) - overlap) // side * side
            last = math.ceil(min(end, start + length + overlap) / side) * side
            sides.append(min(end, last) - first)
        needed += round(whole.width * whole.height)
        decoded += sides[0] * sides[1]
    return round(decoded / max(1, needed), 3)


def describe_series(plan: Plan) -> dict[str, int] | None:
    """Return the numbers of scenes and of files, and the most scenes of a window."""
    series = plan.reading.series
    if series is None:
        return None
    return {
        "scenes": len(series.scenes),
        "files": len(series.files),
        "most": series.footprints.most_over(plan.windows, plan.reading.overlap),
    }


def describe_grid(grid: Grid) -> dict[str, Any]:
    """Return a grid as a JSON object."""
    return {
        "crs": None if grid.crs is None else redact(grid.crs.to_string()),
        "transform": [float(value) for value in tuple(grid.transform)[:6]],
        "width": grid.width,
        "height": grid.height,
        "bounds": [float(value) for value in grid.bounds()],
    }


def size_of(size: Size) -> list[int]:
    """Return width and height as a list."""
    return [int(size.width), int(size.height)]


def json_number(value: float | None) -> float | str | None:
    """Return a number for JSON; NaN and infinity as text."""
    if value is None:
        return None
    if not math.isfinite(value):
        return str(float(value))
    # Not every 64-bit integer has an exact float.
    return value if isinstance(value, int) and abs(value) > 2**53 else float(value)
