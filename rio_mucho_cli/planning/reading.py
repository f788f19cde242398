"""Plan the reading of inputs: bands, grid, resampling, boundary and fill."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from numbers import Integral
from shlex import quote
from typing import TYPE_CHECKING, TypeVar

from rio_mucho_cli.dtypes import fills_with_nan, nodata_fits, number_text
from rio_mucho_cli.errors import GridError, InputError, NodataError, UsageError
from rio_mucho_cli.inputs.bands import GivenNodata
from rio_mucho_cli.inputs.coverage import coverage
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.grid import Grid, common_grid, parse_crs, require_crs, require_one_grid
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.overlap import Boundary
from rio_mucho_cli.inputs.readers import check_resampling
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.job import Job
from rio_mucho_cli.text import format_count, option

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.vectors import Features

log = logging.getLogger(__name__)

T = TypeVar("T")


def parse_bidx(value: str | int | Sequence[int], source: DatasetInfo) -> tuple[int, ...]:
    """Return band numbers, checked against an input.

    Parameters
    ----------
    value : str, int or sequence of int
        Bands from 1. Text is ``1``, ``3,1`` or a range: ``1..3``, ``2..``,
        ``..2``.
    source : DatasetInfo

    Raises
    ------
    UsageError
        If `value` is invalid or selects no band.
    InputError
        If there is no such band.
    """
    count = int(source.profile["count"])
    indexes: list[int] = []
    try:
        if isinstance(value, str):
            for part in value.split(","):
                first, dots, last = part.strip().partition("..")
                start, stop = int(first or 1 if dots else first), int(last or count)
                stop = stop if dots else start
                # One missing band is enough for the error.
                indexes += range(
                    start, min(stop, max(start, count + 1)) + 1 if stop >= start else 0
                )
        else:
            indexes = [value] if isinstance(value, int) else [int(index) for index in value]
    except (TypeError, ValueError):
        raise UsageError(f"bidx is {value!r}: expected bands such as 1, 3,1 or 1..3") from None
    for index in indexes:
        if not 1 <= index <= count:
            bands = format_count(count, "band")
            raise InputError(f"{source.path} has {bands}: there is no band {index}")
    if not indexes:
        raise UsageError(f"bidx {value!r} selects no band: expected bands such as 1, 3,1 or 1..3")
    return tuple(indexes)


def per_input(value: T | Mapping[int, T] | None, default: T, inputs: int, name: str) -> list[T]:
    """Return one value for each input.

    Parameters
    ----------
    value : object, Mapping of int to object, or None
        Value for all inputs; or values by number of the input, from 1, with
        0 for all others.
    default : object
        Value of inputs that have none.
    inputs : int
    name : str
        Name of the value in messages.

    Raises
    ------
    UsageError
        If there is no such input.
    """
    if value is None:
        return [default] * inputs
    if not isinstance(value, Mapping):
        return [value] * inputs
    for number in value:
        if not isinstance(number, int) or not 0 <= number <= inputs:
            count = "is 1 input" if inputs == 1 else f"are {inputs} inputs"
            raise UsageError(f"{name} is given for input {number!r}: there {count}")
    others = value.get(0, default)
    return [value.get(number, others) for number in range(1, inputs + 1)]


def given_nodata(job: Job) -> list[GivenNodata | None]:
    """Return the nodata that a job gives to each input; None for the input's own."""
    values = per_input(job.src_nodata, None, len(job.inputs), "src_nodata")
    return [value if value is None else _python_number(value) for value in values]


def _python_number(value: GivenNodata) -> GivenNodata:
    """Return a number as GDAL has it: an int only where a float may not be exact."""
    if isinstance(value, str):
        return value
    return int(value) if isinstance(value, Integral) and abs(value) >= 2**53 else float(value)


def make_reading(
    job: Job,
    sources: Sequence[DatasetInfo],
    nodata: Sequence[GivenNodata | None] = (),
    area: Features | None = None,
    others: Sequence[DatasetInfo] = (),
) -> ReadSpec:
    """Return how a job reads its inputs.

    Parameters
    ----------
    job : Job
    sources : sequence of DatasetInfo
        Inputs, with the nodata that is given to them.
    nodata : sequence of float, "none" or None
        What `given_nodata` returns.
    area : Features or None
        Area of interest.
    others : sequence of DatasetInfo
        More datasets, which count for the output's grid alone.

    Raises
    ------
    GridError
        If inputs are on different grids without `like` or `extent`, or an
        input cannot be warped onto the output's grid.
    InputError
        If there is no such band.
    NodataError
        If an input's dtype cannot hold a number that is given for it.
    UsageError
        If a resampling, a band or a boundary is invalid.
    """
    count = len(sources)
    resamplings = per_input(job.resampling, "nearest", count, "resampling")
    for name in resamplings:
        check_resampling(name)
    bidx = per_input(job.bidx, None, count, "bidx")
    grid = _choose_grid(job, [*sources, *others], area)
    inputs = []
    nodata = nodata or [None] * count
    for source, resampling, value, given in zip(sources, resamplings, bidx, nodata, strict=True):
        if grid is not None:
            check_way(source, grid, job)
            if not others and coverage_of(source, grid) == 0:
                log.warning(
                    "%s covers nothing of the output, where it is read as nodata: compare the CRS "
                    "and bounds of both with rio info",
                    source.path,
                )
        indexes = () if value is None else parse_bidx(value, source)
        boundary = check_bands(job, source, indexes, given)
        inputs.append(InputSpec(source.path, indexes, resampling, boundary, given))
    return ReadSpec(
        inputs,
        job.mode,
        grid,
        job.overlap or 0,
        bool(job.masked),
        job.skip_masked,
        job.fill,
        records_absent=_records_absent(job),
    )


def check_bands(
    job: Job, source: DatasetInfo, indexes: Sequence[int], nodata: GivenNodata | None
) -> Boundary | None:
    """Return the boundary of an input, whose bands can hold all numbers that are given for it.

    Raises
    ------
    NodataError
        If they cannot.
    UsageError
        If the boundary is nodata, and a band has none.
    """
    _check_nodata(nodata, source, indexes)
    boundary = _boundary(job, source, indexes)
    _check_fill(job, source, indexes)
    return boundary


def _records_absent(job: Job) -> bool:
    """Return whether to record that the function gets nodata as ordinary numbers."""
    # With NaN, masked pixels stay NaN and are masked again.
    if job.masked or job.mode == "manual_read" or fills_with_nan(job.fill):
        return False
    return job.plain or any(output.profile is None for output in job.rasters)


def _choose_grid(
    job: Job, sources: Sequence[DatasetInfo], area: Features | None = None
) -> Grid | None:
    """Return the output's grid, or None for that of the first input."""
    grids = [source.grid for source in sources]
    paths = [source.path for source in sources]
    if job.like is not None:
        like = _open_like(job.like, paths)
        if like.has_gcps_or_rpcs:
            raise GridError(
                f"{job.like} has GCPs or RPCs instead of a grid: give a raster with a transform"
            )
        grid = like.grid
    elif job.extent is not None:
        for source in sources:
            _require_transform(source)
        grid = common_grid(paths, grids, job.extent)
    else:
        if job.strict and job.mode != "manual_read":
            require_one_grid(paths, grids)
        if job.bounds is None and area is None:
            return None
        _require_transform(sources[0])
        grid = grids[0]
    if job.bounds is not None:
        return grid.crop_to_bounds(job.bounds)
    return grid if area is None else area.crop(grid)


def coverage_of(source: DatasetInfo, grid: Grid | None) -> float | None:
    """Return the fraction of the output that an input covers, or None if unknown.

    Parameters
    ----------
    source : DatasetInfo
    grid : Grid or None
        Grid of the output; None if inputs are read on their own grids.
    """
    if grid is None:
        return 1.0
    return None if source.has_gcps_or_rpcs else coverage(source.grid, grid)


def _open_like(like: str, inputs: Sequence[str]) -> DatasetInfo:
    """Return the raster that gives the output's grid.

    Raises
    ------
    GridError
        If `like` is a CRS, which has neither pixels nor an extent.
    """
    try:
        return DatasetInfo.of(like)
    except InputError as exc:
        crs = parse_crs(like)
        if crs is None:
            raise InputError(
                f"{option('like')} expects a raster with the output's grid: {exc}"
            ) from None
    raise GridError(
        f"{option('like')} is {crs}, a CRS: expected a raster with the output's grid, such as "
        f"grid.vrt of gdalwarp -of VRT -t_srs {crs} {quote(inputs[0])} grid.vrt"
    )


def _require_transform(source: DatasetInfo) -> None:
    """Raise GridError if an input has GCPs or RPCs instead of a transform."""
    if source.has_gcps_or_rpcs:
        raise GridError(
            f"{source.path} has GCPs or RPCs instead of a transform: give the output's grid with "
            f"{option('like')}"
        )


def check_way(source: DatasetInfo, grid: Grid, job: Job) -> None:
    """Raise GridError if an input cannot be warped onto a grid."""
    if source.why_gcps_or_rpcs_unusable:
        raise GridError(
            f"{source.path} has {source.why_gcps_or_rpcs_unusable}, and cannot be warped "
            f"onto another grid: {_way_to_place(source)}"
        )
    if source.has_gcps_or_rpcs or source.grid.pixel_offset(grid) is not None:
        return
    if source.grid.crs != grid.crs:
        require_crs(source.path, source.grid, job.like or job.inputs[0], grid)
    log.info("%s is warped onto the output's grid", source.path)


def _way_to_place(source: DatasetInfo) -> str:
    if source.why_gcps_or_rpcs_unusable.startswith("GCPs"):
        return f"name it with gdalwarp -of VRT -s_srs EPSG:CODE {source.path} placed.vrt"
    return "complete them, or give it a transform with rio edit-info --transform"


def _boundary(job: Job, source: DatasetInfo, indexes: Sequence[int]) -> Boundary | None:
    if job.boundary is None:
        return None
    boundary = Boundary.parse(job.boundary)
    read = source.with_bands(indexes)
    if boundary.kind == "nodata" and None in read.nodatavals:
        without = (indexes or range(1, len(read.dtypes) + 1))[read.nodatavals.index(None)]
        of_band = "" if set(read.nodatavals) == {None} else f" for band {without}"
        raise UsageError(
            f"boundary is nodata, and {source.path} has none{of_band}: give it one with "
            f"{option('src_nodata')}, or take edge, reflect, or constant=VALUE"
        )
    for dtype in read.dtypes:
        if boundary.kind == "constant" and not nodata_fits(boundary.value, dtype):
            raise NodataError(
                f"boundary is {job.boundary}, which {dtype} of {source.path} cannot hold"
            )
    return boundary


def _check_nodata(nodata: GivenNodata | None, source: DatasetInfo, indexes: Sequence[int]) -> None:
    if nodata is None or isinstance(nodata, str):
        return
    for dtype in _dtypes(source, indexes):
        if not nodata_fits(nodata, dtype):
            raise NodataError(
                f"src_nodata is {number_text(nodata)}, which {dtype} of {source.path} cannot "
                "hold: give a number that it can, or none"
            )


def _check_fill(job: Job, source: DatasetInfo, indexes: Sequence[int]) -> None:
    if job.fill is None or fills_with_nan(job.fill):
        return
    for dtype in _dtypes(source, indexes):
        if not nodata_fits(job.fill, dtype):
            raise NodataError(
                f"fill is {number_text(job.fill)}, which {dtype} of {source.path} cannot hold: "
                "give a number that it can, or nan"
            )


def _dtypes(source: DatasetInfo, indexes: Sequence[int]) -> Sequence[str]:
    return source.dtypes if not indexes else [source.dtypes[index - 1] for index in indexes]
