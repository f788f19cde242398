"""What a result says of a feature: number, properties and geometry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rasterio.warp import transform_geom

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.reductions.bands import Value
from rio_mucho_cli.text import argument, did_you_mean

NUMBER = "feature"
"""Column of the number of a feature."""

_WGS84 = "EPSG:4326"


class Descriptions:
    """Numbers, properties and geometries of features, as plain values.

    Parameters
    ----------
    fields : list of str or None
        Properties; None for all.
    columns : collection of str
        Names of statistics, which properties must not have.
    geometry : bool
        Whether geometries are wanted.
    info : WindowInfo
    """

    def __init__(
        self, fields: list[str] | None, columns: Mapping[str, Any], geometry: bool, info: Any
    ) -> None:
        self._fields = fields
        self._taken = columns.keys() | (set() if geometry else {NUMBER})
        self._geometry = geometry
        self._crs = info.crs

    def of(self, feature: Mapping[str, Any]) -> Value:
        """Return those of a feature."""
        number = feature_number(feature)
        properties = feature["properties"] or {}
        if self._fields is not None:
            for name in self._fields:
                if name not in properties:
                    raise UsageError(
                        f"feature {number} has no property {name!r}{did_you_mean(name, properties)}"
                    )
            properties = {name: properties[name] for name in self._fields}
        if taken := self._taken & properties.keys():
            rename = "" if NUMBER in taken else f"pass {argument('prefix', 'zonal_')}, or "
            raise UsageError(
                f"feature {number} has a property {min(taken)!r}, which is also the name of "
                f"another column: {rename}choose properties without it, as in "
                f"{argument('fields', ['code'])}"
            )
        found: Value = {
            "number": number,
            "properties": {name: _plain(item) for name, item in properties.items()},
        }
        if self._geometry:
            geometry = feature["geometry"]
            if geometry is not None and self._crs is not None:
                geometry = transform_geom(self._crs, _WGS84, geometry)
            found["geometry"] = geometry
        return found


def feature_number(feature: Mapping[str, Any]) -> int:
    """Return the number of a feature, from 1 in the order of the file."""
    number = feature.get("number")
    return int(feature["id"] if number is None else number)


def is_vector(source: Any) -> bool:
    """Return whether an input, as `info.inputs` has it, is a vector file."""
    return bool(getattr(source, "is_vector", False))


def _plain(value: Any) -> Any:
    """Return a property as JSON can hold it; dates as ISO 8601."""
    if value is None or isinstance(value, bool | int | float | str | list | tuple | dict):
        return value
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
