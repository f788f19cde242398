"""Scenes of a series: files of one acquisition each, and what a catalogue says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.inputs.footprints import Footprints
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.text import option


@dataclass(frozen=True, slots=True)
class Asset:
    """A file with bands of a scene.

    Attributes
    ----------
    path : str
    name : str
        Key among the assets of an item; empty for a path.
    band : int
        The only band to read, from 1; 0 for all.
    grid : Grid or None
        Grid that the item says it has.
    dtypes : tuple of str
        Dtype of each band that the item says; empty if it says nothing, as for
        those below.
    nodata : float or None
        Nodata that the item says all bands have.
    scales, offsets : tuple of float
        Scale and offset of each band.
    """

    path: str
    name: str = ""
    band: int = 0
    grid: Grid | None = None
    dtypes: tuple[str, ...] = ()
    nodata: float | None = None
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()

    @property
    def title(self) -> str:
        """Name for messages."""
        return f"{self.name}, {self.path}" if self.name else self.path


@dataclass(frozen=True, slots=True, repr=False)
class Scene:
    """A scene of a series, which a function finds in `info.items`.

    Attributes
    ----------
    name : str
        Id of the item; or the path of the file.
    assets : tuple of Asset
        Its files, in the order in which their bands are read.
    datetime : datetime.datetime or None
        Time of the acquisition, or its start. None for a path.
    """

    name: str
    assets: tuple[Asset, ...]
    datetime: datetime | None = None
    _properties: str = "{}"  # as text: there may be thousands of scenes

    def __repr__(self) -> str:
        return f"Scene({self.name!r})"

    @property
    def path(self) -> str:
        """Path of its first file."""
        return self.assets[0].path

    @property
    def properties(self) -> dict[str, Any]:
        """Properties of the item; none for a path."""
        properties: dict[str, Any] = json.loads(self._properties)
        return properties

    @property
    def scales(self) -> tuple[float, ...]:
        """Scale of each band that is read, from the item."""
        return tuple(scale for asset in self.assets for scale in asset.scales)

    @property
    def offsets(self) -> tuple[float, ...]:
        """Offset of each band that is read, from the item."""
        return tuple(offset for asset in self.assets for offset in asset.offsets)


def number_by_asset(values: Any, inputs: Sequence[Any], name: str) -> Any:
    """Return values by input with numbers as keys, in place of names of assets.

    Parameters
    ----------
    values : Mapping of int or str to object, or object
        One value for all inputs is returned as it is.
    inputs : sequence
        Inputs of a job; scenes, if there may be names.
    name : str
        Name of the option in messages.

    Raises
    ------
    UsageError
        If there is no such asset.
    """
    if not isinstance(values, Mapping):
        return values
    first = inputs[0] if inputs else None
    assets = [asset.name for asset in first.assets] if isinstance(first, Scene) else []
    numbered = {}
    for key, value in values.items():
        if isinstance(key, str) and key not in assets:
            known = f", or one of the assets {', '.join(assets)}" if any(assets) else ""
            raise UsageError(
                f"{option(name)} is given for {key!r}: expected the number of an input, from 1"
                f"{known}"
            )
        numbered[assets.index(key) + 1 if isinstance(key, str) else key] = value
    return numbered


@dataclass(frozen=True, slots=True)
class SeriesSpec:
    """How to read the scenes of a series.

    Attributes
    ----------
    scenes : sequence of Scene
    files : sequence of InputSpec
        Files of all scenes, as many for each.
    counts : sequence of int
        Number of bands to read of each file of a scene.
    dtypes : sequence of frozenset of str
        Dtypes that each file of a scene may have.
    footprints : Footprints
        Where scenes are, or may be.
    are_claimed : sequence of bool
        Whether a catalogue says where a scene is, and its files were not opened.
    threads : int
        Files to read at once.
    """

    scenes: Sequence[Scene]
    files: Sequence[InputSpec]
    counts: Sequence[int]
    dtypes: Sequence[frozenset[str]]
    footprints: Footprints
    are_claimed: Sequence[bool]
    threads: int = 1
