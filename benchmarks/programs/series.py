"""A median of STAC items with odc-stac or stackstac, as their documentation shows.

    python -m benchmarks.programs.series LIBRARY SCHEDULER JOBS MEDIAN ITEMS OUTPUT

MEDIAN is `own` for the one that xarray has, or `function` for ours.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import dask
import rioxarray  # noqa: F401 (the accessor `rio`)
import xarray
from dask.distributed import Client, LocalCluster, Lock

from benchmarks.functions import median
from benchmarks.scenes import BLOCK, EPSG, RESOLUTION

CHUNK = 512
"""Side of a chunk; 1024 takes as long and more memory, 2048 more of both."""


def main() -> None:
    """Compute the median with so many jobs; one at a time writes."""
    library, scheduler, jobs, which, items, output = sys.argv[1:]
    if scheduler == "threads":
        with dask.config.set(scheduler="threads", num_workers=int(jobs)):
            _write(library, which, items, output, threading.Lock())
        return
    with (
        LocalCluster(n_workers=int(jobs), threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        _write(library, which, items, output, Lock("write"))


def _write(library: str, which: str, items: str, output: str, lock: Any) -> None:
    load = {"odc-stac": _odc, "stackstac": _stackstac}[library]
    scenes = load(json.loads(Path(items).read_text())["features"])
    if which == "own":
        composite = scenes.median("time")
    else:
        array = scenes.data.rechunk({0: -1}).map_blocks(median, drop_axis=0, dtype="float32")
        composite = xarray.DataArray(array, {"y": scenes.y, "x": scenes.x}, ("y", "x"))
    composite = composite.astype("float32").rio.write_crs(EPSG)
    composite.rio.to_raster(
        output, lock=lock, tiled=True, blockxsize=BLOCK, blockysize=BLOCK, compress="deflate",
        sparse_ok=True,
    )  # fmt: skip


def _odc(items: list[dict[str, Any]]) -> xarray.DataArray:
    import odc.stac
    import pystac

    parsed = map(pystac.Item.from_dict, items)
    scenes = odc.stac.load(parsed, bands=["red"], chunks={"x": CHUNK, "y": CHUNK})
    return scenes.red.where(scenes.red != 0)


def _stackstac(items: list[dict[str, Any]]) -> xarray.DataArray:
    import numpy as np
    import stackstac

    scenes = stackstac.stack(
        items, assets=["red"], epsg=EPSG, resolution=RESOLUTION, chunksize=CHUNK,
        dtype="float32", fill_value=np.float32("nan"), rescale=False,
    )  # fmt: skip
    return scenes.sel(band="red", drop=True)


if __name__ == "__main__":
    main()
