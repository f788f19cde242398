"""What a job comes to: its windows, its output's blocks and profile, its workers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import rasterio

from rio_mucho_cli.errors import OutputError, WindowsError
from rio_mucho_cli.executors import ExecutorName
from rio_mucho_cli.inputs import windows as windowing
from rio_mucho_cli.inputs.sources import Reading, Source, open_dataset
from rio_mucho_cli.inputs.windows import PlannedWindow, Size
from rio_mucho_cli.job import Job
from rio_mucho_cli.memory import CACHE
from rio_mucho_cli.outputs import profile as profiles
from rio_mucho_cli.outputs.conversion import INTERMEDIATE, Conversion
from rio_mucho_cli.outputs.metadata import Metadata
from rio_mucho_cli.outputs.profile import PROFILE_KEYS, Layout, Recipe, layout_of
from rio_mucho_cli.outputs.target import is_remote
from rio_mucho_cli.reading import make_reading
from rio_mucho_cli.tasks import dtype_name, fitted, largest, make_budget
from rio_mucho_cli.work.worker import Order

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known before the first window is read.

    Attributes
    ----------
    windows : sequence of (window, ij)
    reading : Reading
    recipe : Recipe
        For the profile of the output, or of the GeoTIFF that it is made from.
    blocks : Layout or None
        Its blocks, if workers encode them.
    conversion : Conversion or None
        What the GeoTIFF is converted to.
    metadata : Metadata or None
        What is carried over.
    executor : str
    jobs : int
        1 if there is one window only.
    in_flight : int
        How many tasks are handed out at once.
    cache : int
        What GDAL's block cache may take in the calling process, in bytes.
    """

    windows: Sequence[PlannedWindow]
    reading: Reading
    recipe: Recipe
    blocks: Layout | None
    conversion: Conversion | None
    metadata: Metadata | None
    executor: ExecutorName
    jobs: int
    in_flight: int
    cache: int


def make_plan(job: Job) -> Plan:
    """Look at the inputs, and choose windows, blocks and workers.

    Raises
    ------
    InputError
        If an input is missing or no raster.
    GridError
        If inputs differ in their grid and the job wants one.
    WindowsError
        If windows are none, overlap or leave the raster.
    OutputError
        If there is no such driver.
    """
    sources = [Source.of(path) for path in job.inputs]
    first = sources[0] if sources else None
    reading = make_reading(job, sources)
    grid = reading.grid
    if first is not None and grid is not None:
        first = replace(first, grid=grid)
    driver = _choose_driver(job, first)
    conversion = _conversion(job, driver)
    executor = job.executor if job.jobs > 1 else "serial"
    if executor == "processes" and any(path.startswith("/vsimem/") for path in job.inputs):
        log.info("threads instead of processes: inputs in this process's memory")
        executor = "threads"
    budget = make_budget(job, reading, sources, executor)
    options, given = job.creation_options, _given_profile(job, reading, conversion)
    if conversion is not None:
        driver, options = "GTiff", INTERMEDIATE
    most = budget.window_pixels()
    windows, layout = _plan_windows(job, first, options, most, is_gtiff=driver == "GTiff")
    recipe = Recipe(
        first=first,
        driver=driver,
        layout=layout,
        nodata=job.nodata,
        keep_nodata=job.keep_nodata,
        options=options,
        given=given,
    )
    blocks = _encodable(job, recipe, windows)
    size = largest(windows, *_size(recipe))
    jobs, in_flight = fitted(job, budget, size)
    if min(jobs, len(windows)) <= 1:
        executor, jobs, in_flight = "serial", 1, 1
    jobs = min(jobs, len(windows))
    cache = CACHE * (1 if executor == "processes" else jobs)
    if blocks is None:
        # Blocks that several windows write to must stay until they are full.
        cache = max(4 * CACHE, 2 * budget.result_bytes * _size(recipe).width * size.height)
    in_flight = min(in_flight, 2 * jobs)
    metadata = _metadata(job, reading)
    return Plan(
        windows, reading, recipe, blocks, conversion, metadata, executor, jobs, in_flight, cache
    )


def _metadata(job: Job, reading: Reading) -> Metadata | None:
    if not job.metadata or job.output_path is None or not reading.inputs:
        return None
    first = reading.inputs[0]
    with open_dataset(first.path) as src:
        return Metadata.of(src, first.indexes or src.indexes, same_grid=reading.grid is None)


def _given_profile(
    job: Job, reading: Reading, conversion: Conversion | None
) -> Mapping[str, Any] | None:
    """Return the profile by hand, on the output's grid, and of the GeoTIFF that comes first."""
    given, grid = job.profile, reading.grid
    if given is None:
        return None
    if grid is not None:
        place = {"crs": grid.crs, "transform": grid.transform}
        given = {**given, "width": grid.width, "height": grid.height, **place}
    if conversion is not None:
        kept = {name: given[name] for name in PROFILE_KEYS & given.keys()}
        tiles = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256}
        given = {**kept, **INTERMEDIATE, **tiles}
    return given


def _choose_driver(job: Job, first: Source | None) -> str:
    driver = "GTiff"
    if job.profile is not None:
        driver = str(job.profile.get("driver", driver))
    elif job.output_path is not None:
        profiles.check_options(job.creation_options)
        driver = profiles.choose_driver(job.driver, job.output_path, cast("Source", first))
        _check_driver(driver)
    return "GTiff" if driver.upper() == "GTIFF" else driver


def _conversion(job: Job, driver: str) -> Conversion | None:
    """Say what a GeoTIFF is to be converted to, or None."""
    if driver == "GTiff" or job.output_path is None or is_remote(job.output_path):
        return None
    log.info("a GeoTIFF first, which GDAL converts to %s at the end", driver)
    if job.profile is not None:
        return Conversion.of_profile(job.profile)
    return Conversion(driver, job.creation_options)


def _plan_windows(
    job: Job,
    first: Source | None,
    options: Mapping[str, str],
    most_pixels: int,
    *,
    is_gtiff: bool,
) -> tuple[Sequence[PlannedWindow], Layout | None]:
    """Plan windows and the output's blocks: each is made to suit the other."""
    if first is None:
        return cast("Sequence[PlannedWindow]", job.windows), None
    width, height = first.grid.width, first.grid.height
    given: Sequence[PlannedWindow] | None
    match job.windows:
        case None:
            given = None
        case "blocks":
            given = windowing.cover(width, height, first.block)
        case Size():
            given = windowing.cover(width, height, job.windows)
        case _:
            given = job.windows
    if given is not None and job.strict:
        windowing.check(given, width, height)
    if given is not None and (not job.strict or not is_gtiff):
        return given, None
    layout = profiles.choose_layout(first, options, given)
    if given is None:
        whole_rows = first.is_striped or not layout.tiled
        size = windowing.default_size(
            width, height, layout.block, whole_rows=whole_rows, most=most_pixels
        )
        given = windowing.cover(width, height, size)
    return given, layout if is_gtiff else None


def _encodable(job: Job, recipe: Recipe, windows: Sequence[PlannedWindow]) -> Layout | None:
    """Return the output's blocks if workers can encode them, else None, and say why."""
    profile = recipe.given if recipe.given is not None else {"driver": recipe.driver}
    layout = recipe.layout if recipe.given is None else layout_of(recipe.given)
    options = {str(key).upper() for key in (*recipe.options, *profile)}
    reason = ""
    if job.output_path is None:
        reason = "the output is an open dataset"
    elif is_remote(job.output_path):
        reason = "the output is no local file"
    elif str(profile.get("driver", "GTiff")).upper() != "GTIFF":
        reason = f"the driver is {profile.get('driver')}"
    elif dtype_name(profile.get("dtype", "uint8")) is None:
        reason = f"numpy has no {profile['dtype']}"
    elif layout is None:
        reason = "the profile does not say how large the blocks are"
    elif options & _WHOLE_FILE_ONLY:
        reason = f"of {min(options & _WHOLE_FILE_ONLY)}"
    elif not _fit(windows, layout.block, *_size(recipe)):
        reason = "windows are not whole blocks of the output, or overlap"
    if reason:
        log.info("GDAL writes in the calling process, because %s", reason)
        return None
    return layout


# Creation options that order the blocks of a file in their own way.
_WHOLE_FILE_ONLY = {"STREAMABLE_OUTPUT", "COPY_SRC_OVERVIEWS", "APPEND_SUBDATASET"}


def _fit(windows: Sequence[PlannedWindow], block: Size, width: int, height: int) -> bool:
    if not windowing.are_whole_blocks(windows, block, width, height):
        return False
    try:
        windowing.check(windows, width, height)
    except WindowsError:
        return False
    return True


def _size(recipe: Recipe) -> Size:
    if recipe.given is not None:
        return Size(int(recipe.given["width"]), int(recipe.given["height"]))
    grid = cast("Source", recipe.first).grid
    return Size(grid.width, grid.height)


def form_of_nothing(job: Job, plan: Plan) -> tuple[int, str, bool]:
    """Return the form of a result where no window has one."""
    bands = [len(each.indexes) for each in plan.reading.inputs[:1]]
    first = plan.recipe.first
    count = job.count or sum(bands) or (int(first.profile["count"]) if first is not None else 1)
    dtype = dtype_name(job.dtype)
    if dtype is None and first is not None:
        dtype = dtype_name(first.profile["dtype"])
    return count, dtype or "uint8", False


def order_for(job: Job, plan: Plan) -> Order:
    """Say what workers have to know; of the output, as much as is known by now."""
    count, dtype = job.count, job.dtype
    width = height = 0
    first, given = plan.recipe.first, plan.recipe.given
    if first is not None:
        width, height = first.grid.width, first.grid.height
    if given is not None:
        count, dtype = given.get("count"), given.get("dtype")
        width, height = given.get("width", width), given.get("height", height)
    elif job.output_path is None:
        count, dtype = job.output.count, job.output.dtypes[0]
        width, height = job.output.width, job.output.height
    return Order(
        reading=plan.reading,
        function=job.function,
        global_args=job.global_args,
        width=int(width),
        height=int(height),
        count=None if count is None else int(count),
        dtype=dtype_name(dtype),
        recipe=plan.recipe if job.output_path is not None else None,
        encodes=plan.blocks is not None,
    )


def _check_driver(driver: str) -> None:
    with rasterio.Env() as env:
        known = env.drivers()
    if driver.upper() not in {name.upper() for name in known}:
        raise OutputError(
            f"there is no driver {driver!r} in this GDAL: gdalinfo --formats lists what there is"
        )
