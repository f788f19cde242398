"""Plan a series: what its scenes are, where they lie, and how they are read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from rasterio.windows import Window

from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.inputs.bands import GivenNodata
from rio_mucho_cli.inputs.datasets import DatasetInfo, in_this_env
from rio_mucho_cli.inputs.footprints import EVERYWHERE, Footprint, Footprints
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.scenes import Asset, Scene, SeriesSpec
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.job import Job
from rio_mucho_cli.paths import is_on_network
from rio_mucho_cli.planning.reading import check_bands, check_way, given_nodata, make_reading
from rio_mucho_cli.text import format_count, option

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.vectors import Features

log = logging.getLogger(__name__)

# Files on servers to read at once, in each worker, and to open at once in planning.
_THREADS = 8
# Pixels by which all items may be mistaken where the first one is: some catalogues give the
# centre of the first pixel.
_CLAIM_MARGIN = 1


@dataclass(frozen=True, slots=True)
class Series:
    """Scenes, and what is known of their files before windows are read.

    Attributes
    ----------
    scenes : sequence of Scene
    files : sequence of sequence of DatasetInfo
        Files of each scene. Those of the first one were opened; of others, only
        those whose grid their item does not say.
    are_claimed : sequence of bool
        Whether no file of a scene was opened.
    """

    scenes: Sequence[Scene]
    files: Sequence[Sequence[DatasetInfo]]
    are_claimed: Sequence[bool]

    def sources(self, number: int, nodata: Sequence[GivenNodata | None]) -> list[DatasetInfo]:
        """Return the files of a scene, with the nodata that is given to them.

        Parameters
        ----------
        number : int
            Number of the scene, from 0.
        nodata : sequence of float, "none" or None
            What the job gives to each file. What the item says counts for files
            that have none of their own.
        """
        assets = self.scenes[number].assets
        return [
            file.with_nodata(asset.nodata if given is None and not any_nodata(file) else given)
            for file, asset, given in zip(self.files[number], assets, nodata, strict=True)
        ]


def any_nodata(file: DatasetInfo) -> bool:
    """Return whether a file has nodata of its own."""
    return any(value is not None for value in file.nodatavals)


def job_of_first(job: Job) -> Job:
    """Return a job that reads the files of the first scene of a series."""
    assets = job.inputs[0].assets
    bands = {number: asset.band for number, asset in enumerate(assets, 1) if asset.band}
    if bands and job.bidx is not None:
        named = assets[next(iter(bands)) - 1]
        raise UsageError(
            f"{option('assets')} chooses band {named.band} of {named.path} by its name "
            f"{named.name}, and {option('bidx')} bands by number: use one of them"
        )
    return replace(job, inputs=[asset.path for asset in assets], bidx=bands or job.bidx)


def describe_scenes(scenes: Sequence[Scene]) -> Series:
    """Return what is known of the files of scenes; open as few as possible.

    Raises
    ------
    InputError
        If a file cannot be opened.
    """
    first = [DatasetInfo.of(asset.path) for asset in scenes[0].assets]
    to_open = [
        asset.path
        for scene in scenes[1:]
        if any(asset.grid is None for asset in scene.assets)
        for asset in scene.assets
    ]
    opened = iter(_open_all(to_open))
    files, are_claimed = [first], [False]
    for scene in scenes[1:]:
        is_claimed = all(asset.grid is not None for asset in scene.assets)
        are_claimed.append(is_claimed)
        files.append(
            [
                _described(asset, model) if is_claimed else next(opened)
                for asset, model in zip(scene.assets, first, strict=True)
            ]
        )
    return Series(scenes, files, are_claimed)


def _open_all(paths: Sequence[str]) -> list[DatasetInfo]:
    """Return the descriptions of files, those on servers several at once."""
    if len(paths) < 2 or not any(map(is_on_network, paths)):
        return list(map(DatasetInfo.of, paths))
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(in_this_env(DatasetInfo.of), paths))


def _described(asset: Asset, model: DatasetInfo) -> DatasetInfo:
    """Return what an item says of a file; for the rest, it is like that of the first scene."""
    assert asset.grid is not None
    dtypes = asset.dtypes
    if asset.band or len(dtypes) != len(model.dtypes):
        dtypes = model.dtypes
    nodatavals = model.nodatavals if asset.nodata is None else (asset.nodata,) * len(dtypes)
    return replace(model, path=asset.path, grid=asset.grid, dtypes=dtypes, nodatavals=nodatavals)


def read_series(whole: Job, area: Features | None) -> tuple[Job, Sequence[DatasetInfo], ReadSpec]:
    """Return how a job reads a series.

    Parameters
    ----------
    whole : Job
    area : Features or None
        Area of interest.

    Returns
    -------
    Job
        The job, as if its inputs were the files of the first scene.
    sequence of DatasetInfo
        These files.
    ReadSpec

    Raises
    ------
    MuchoError
        As `make_reading`; also InputError if scenes have different numbers of bands.
    """
    series = describe_scenes(whole.inputs)
    job = job_of_first(whole)
    nodata = given_nodata(job)
    sources = series.sources(0, nodata)
    reading = make_reading(job, sources, nodata, area, list(chain(*series.files[1:])))
    grid = reading.grid or sources[0].grid
    counts = [
        len(spec.indexes) or len(file.dtypes)
        for spec, file in zip(reading.inputs, sources, strict=True)
    ]
    files: list[InputSpec] = []
    for number, scene in enumerate(series.scenes):
        described = series.sources(number, nodata)
        of_scene = zip(described, reading.inputs, scene.assets, counts, strict=True)
        for file, like, asset, count in of_scene:
            indexes = (asset.band,) if asset.band else like.indexes
            if not series.are_claimed[number]:
                _check_count(file, indexes, count, reading)
            if file.why_gcps_or_rpcs_unusable or not (file.grid.crs and grid.crs):
                check_way(file, grid, job)
            boundary = check_bands(job, file, indexes, like.nodata)
            files.append(
                replace(
                    like,
                    path=file.path,
                    indexes=indexes,
                    boundary=boundary,
                    default_nodata=asset.nodata,
                )
            )
    footprints = _footprints(series, grid, [spec.resampling for spec in reading.inputs])
    if not footprints.touching(Window(0, 0, grid.width, grid.height)):
        log.warning(
            "no scene touches the output, which becomes nodata: compare its CRS and bounds with "
            "those of a scene"
        )
    spec = SeriesSpec(
        [_for_workers(scene, counts) for scene in series.scenes],
        files,
        counts,
        [
            frozenset(chain.from_iterable(file.dtypes for file in of_asset))
            for of_asset in zip(*series.files, strict=True)
        ],
        footprints,
        series.are_claimed,
        _THREADS if any(is_on_network(file.path) for file in files) else 1,
    )
    return job, sources, replace(reading, grid=grid, series=spec)


def _check_count(file: DatasetInfo, indexes: Sequence[int], count: int, reading: ReadSpec) -> None:
    """Raise InputError unless a file has as many bands as that of the first scene."""
    found = len(indexes) or len(file.dtypes)
    missing = [index for index in indexes if index > len(file.dtypes)]
    if found != count or missing:
        raise InputError(
            f"{file.path} has {format_count(len(file.dtypes), 'band')}, and "
            f"{reading.inputs[0].path} {count}: scenes need the same bands, which "
            f"{option('bidx')} can choose"
        )


def _footprints(series: Series, grid: Grid, resamplings: Sequence[str]) -> Footprints:
    """Return where scenes lie, whose files are resampled so; many of them have the same grid."""
    first = zip(series.scenes[0].assets, series.files[0], strict=True)
    is_true = all(
        asset.grid is not None and asset.grid.difference(file.grid) is None for asset, file in first
    )
    keys: list[list[Any]] = []
    grids: dict[Any, Grid] = {}
    for files, is_claimed in zip(series.files, series.are_claimed, strict=True):
        margin = _CLAIM_MARGIN * (is_claimed and not is_true)
        keys.append([])
        for file, resampling in zip(files, resamplings, strict=True):
            own = file.grid
            key = id(own.crs), own.transform, own.width, own.height, margin, resampling
            keys[-1].append(None if file.has_gcps_or_rpcs else key)
            if keys[-1][-1] is not None and key not in grids:
                grids[key] = own.crop((-margin, own.width + margin), (-margin, own.height + margin))
    known: dict[Any, Footprint] = {None: Footprint(EVERYWHERE)}
    how = [key[-1] for key in grids]
    known |= zip(grids, Footprint.of_all(list(grids.values()), grid, how), strict=True)
    scenes = (Footprint.union([known[key] for key in of_scene]) for of_scene in keys)
    return Footprints(scenes, grid)


def _for_workers(scene: Scene, counts: Sequence[int]) -> Scene:
    """Return a scene without grids, and with a scale and an offset for each band."""
    assets = tuple(
        replace(
            asset,
            grid=None,
            scales=asset.scales if len(asset.scales) == count else (1.0,) * count,
            offsets=asset.offsets if len(asset.offsets) == count else (0.0,) * count,
        )
        for asset, count in zip(scene.assets, counts, strict=True)
    )
    return replace(scene, assets=assets)
