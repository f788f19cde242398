"""Plan vector inputs: tell them from rasters, and bring their features onto the output's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.job import Job
from rio_mucho_cli.paths import input_name, is_vector
from rio_mucho_cli.planning.reading import per_input
from rio_mucho_cli.text import option

if TYPE_CHECKING:
    from rio_mucho_cli.inputs.burned import VectorSpec
    from rio_mucho_cli.inputs.vectors import Features

# Options with a value for each raster.
_OF_RASTERS = ("bidx", "resampling", "src_nodata")
_ALL_TOUCHED = "all_touched"


@dataclass(frozen=True, slots=True)
class VectorInput:
    """A vector input of a job.

    Attributes
    ----------
    position : int
        Position among all inputs, from 0.
    source : object
        Path, or object with features.
    attribute : str
        Attribute to burn; empty for the number of the feature.
    all_touched : bool
    """

    position: int
    source: Any
    attribute: str = ""
    all_touched: bool = False


def split_inputs(job: Job) -> tuple[Job, list[VectorInput]]:
    """Return a job with its rasters alone, and its vector inputs.

    Without a raster, the job reads the one of `like`, whose pixels are not used.

    Raises
    ------
    UsageError
        If an option is given for an input of the other kind, or there is neither
        a raster nor `like`.
    """
    found = [number for number, source in enumerate(job.inputs) if is_vector(source)]
    if not found:
        if job.burn is not None:
            raise UsageError(
                f"{option('burn')} is for vector inputs, and there is none: give a file such as "
                "fields.geojson as an input"
            )
        return job, []
    name = input_name(job.inputs[found[0]])
    if job.mode == "manual_read":
        raise UsageError(
            f"{name} is a vector input, which manual_read cannot pass as a dataset: let the "
            "function open it, or use another mode"
        )
    rasters = [number for number in range(len(job.inputs)) if number not in found]
    if not rasters and (job.like is None or job.extent is not None):
        raise UsageError(
            f"{name} is a vector input, and there is no raster: give one as an input, or its grid "
            f"with {option('like', 'RASTER')}"
        )
    burns = per_input(job.burn, "", len(job.inputs), "burn")
    _check_kind(job, "burn", rasters, "raster")
    changes: dict[str, Any] = {"inputs": [job.inputs[number] for number in rasters], "burn": None}
    for attribute in _OF_RASTERS:
        value = getattr(job, attribute)
        per_input(value, None, len(job.inputs), attribute)
        _check_kind(job, attribute, found, "vector input")
        if isinstance(value, Mapping):
            kept = {new: value[old + 1] for new, old in enumerate(rasters, 1) if old + 1 in value}
            changes[attribute] = {**kept, **({0: value[0]} if 0 in value else {})}
    if not rasters:
        changes |= {"inputs": [job.like], "src_nodata": "none"}
    return replace(job, **changes), [_vector(number, job, burns[number]) for number in found]


def _vector(number: int, job: Job, burn: str) -> VectorInput:
    attribute, comma, last = burn.rpartition(",")
    if last.strip() == _ALL_TOUCHED and (comma or not attribute):
        return VectorInput(number, job.inputs[number], attribute, all_touched=True)
    return VectorInput(number, job.inputs[number], burn)


def _check_kind(job: Job, name: str, wrong: Sequence[int], kind: str) -> None:
    """Raise UsageError if an option is given for an input of the other kind."""
    value = getattr(job, name)
    for number in value if isinstance(value, Mapping) else ():
        if number - 1 in wrong:
            path = input_name(job.inputs[number - 1])
            raise UsageError(f"{option(name)} is given for input {number}, {path}, a {kind}")


def add_vectors(
    reading: ReadSpec,
    grid: Grid,
    vectors: Sequence[VectorInput],
    area: Features | None,
    *,
    reads_rasters: bool,
    has_table: bool = False,
) -> ReadSpec:
    """Return how a job reads its inputs, with vector inputs and the area of interest.

    Parameters
    ----------
    reading : ReadSpec
        How it reads rasters.
    grid : Grid
        Grid of the output.
    vectors : sequence of VectorInput
    area : Features or None
    reads_rasters : bool
        Whether the function gets the rasters.
    has_table : bool
        Whether the function may ask for the features themselves.

    Raises
    ------
    InputError
        If features cannot be read, or have no such attribute.
    GridError
        If features have no CRS, or the area misses the grid.
    """
    import numpy as np

    from rio_mucho_cli.inputs.vectors import read_features

    specs = tuple(
        _burned(read_features(vector.source), grid, vector, reading, has_table)
        for vector in vectors
    )
    reading = replace(reading, vectors=specs, reads_rasters=reads_rasters)
    if area is None:
        return reading
    area.crop(grid)  # with bounds, it may miss them
    burned = _burned(area, grid, VectorInput(-1, area), reading)
    shapes = replace(burned.shapes, values=np.ones(len(area), np.uint8))
    return replace(reading, area=replace(burned, shapes=shapes))


def _burned(
    features: Features,
    grid: Grid,
    given: VectorInput,
    reading: ReadSpec,
    has_table: bool = False,
) -> VectorSpec:
    """Return what is burned of the features of an input."""
    import numpy as np

    from rio_mucho_cli.inputs.burned import FeatureTable, VectorSpec
    from rio_mucho_cli.inputs.shapes import Shapes

    geometries, values = features.on_grid(grid), None
    table = FeatureTable(geometries, features.properties, features.ids) if has_table else None
    if given.attribute:
        values, has_value = features.numbers(given.attribute)
        geometries = geometries.select_parts(np.asarray(has_value[geometries.owners]))
    boundary = reading.inputs[0].boundary
    return VectorSpec(
        features.name,
        features.driver,
        given.position,
        len(features),
        given.attribute,
        Shapes.on_grid(geometries, grid, values, all_touched=given.all_touched),
        None if boundary is None or boundary.is_filled else boundary,
        table,
    )
