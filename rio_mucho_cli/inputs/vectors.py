"""Read features: GeoJSON with what is installed anyway, other formats with pyogrio."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS

from rio_mucho_cli.env import GDAL_ERRORS, captured_messages
from rio_mucho_cli.errors import GridError, InputError, one_line
from rio_mucho_cli.inputs.geometries import Array, Geometries, GeometryBuilder
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.reprojection import reproject
from rio_mucho_cli.inputs.shapes import to_pixels
from rio_mucho_cli.paths import is_virtual, local_file
from rio_mucho_cli.text import ReprMixin, did_you_mean, did_you_mean_file, format_count, truncate

log = logging.getLogger(__name__)

_GEOJSON_ENDINGS = (".geojson", ".geojsonl", ".geojsons", ".json")
_WGS84 = "EPSG:4326"
_MOST_NAMES = 10


@dataclass(frozen=True, repr=False)
class Features(ReprMixin):
    """Features of a vector input, or of an area of interest.

    Attributes
    ----------
    name : str
        Path; "-" for standard input, and "features" for objects.
    driver : str
        GDAL's name of the format, or "object".
    crs : rasterio.crs.CRS or None
    geometries : Geometries
    properties : sequence of Mapping
        Properties of each feature.
    ids : sequence
        Id of each feature, or None.
    """

    name: str
    driver: str
    crs: Any
    geometries: Geometries = field(repr=False)
    properties: Sequence[Mapping[str, Any]] = field(repr=False)
    ids: Sequence[Any] = field(repr=False)

    def __len__(self) -> int:
        return len(self.properties)

    def on_grid(self, grid: Grid) -> Geometries:
        """Return the geometries in the CRS of a grid.

        Raises
        ------
        GridError
            If one of them has no CRS.
        """
        if not grid.crs or self.crs == grid.crs:
            return self.geometries
        if not self.crs:
            raise GridError(
                f"{self.name} has no CRS, and without one it cannot be matched with the raster: "
                "give it one, with ogr2ogr -a_srs or set_crs()"
            )
        pixels = np.linalg.inv(np.array(tuple(grid.transform)[:6]).reshape(2, 3)[:, :2])
        moved = reproject(self.geometries, self.crs, grid.crs, pixels)
        lost = len(np.unique(self.geometries.owners)) - len(np.unique(moved.owners))
        if lost:
            log.warning(
                "%s of %s have no place in %s, the CRS of the raster, and are left out",
                *(format_count(lost, "feature"), self.name, grid.crs.to_string()),
            )
        return moved

    def crop(self, grid: Grid) -> Grid:
        """Return the part of a grid that the features reach, in whole pixels.

        Raises
        ------
        GridError
            If they do not touch the grid, or have no CRS.
        """
        geometries = self.on_grid(grid)
        low, high = replace(
            geometries, points=to_pixels(geometries.points, grid.transform)
        ).part_bounds()
        size = (grid.width, grid.height)
        near = np.all(high >= 0, axis=1) & np.all(low <= size, axis=1)
        if not near.any():
            own = " ".join(f"{value:.10g}" for value in grid.bounds())
            place = f" in {grid.crs.to_string()}" if grid.crs else ""
            found = "has no geometries"
            if len(low):
                bounds = [*geometries.points.min(axis=0), *geometries.points.max(axis=0)]
                found = f"is at {' '.join(f'{value:.10g}' for value in bounds)}{place}"
            raise GridError(
                f"{self.name} {found}, and the raster at {own}: give an area that the raster "
                "covers, and the CRS that it is in"
            )
        # As bounds are snapped: an area reaches into a pixel from a hundredth of it.
        first = np.floor(low[near].min(axis=0) + 0.01).clip(0, np.subtract(size, 1)).astype(int)
        last = np.ceil(high[near].max(axis=0) - 0.01).clip(first + 1, size).astype(int)
        (left, top), (right, bottom) = first.tolist(), last.tolist()
        return grid.crop((left, right), (top, bottom))

    def numbers(self, attribute: str) -> tuple[Array, Array]:
        """Return the values of a numeric attribute, and which features have one.

        Returns
        -------
        ndarray, ndarray
            (features,): int32 if all are whole numbers in its range, else int64,
            else float64; 0 where there is none. Then bool.

        Raises
        ------
        InputError
            If no feature has the attribute, or a value is not a number.
        """
        values = [of_feature.get(attribute) for of_feature in self.properties]
        if len(self) and all(value is None for value in values):
            names = list(dict.fromkeys(name for each in self.properties for name in each))
            if attribute not in names:
                listed = ", ".join(names[:_MOST_NAMES]) or "none"
                raise InputError(
                    f"features of {self.name} have no attribute {attribute!r}, but {listed}"
                    f"{did_you_mean(attribute, names)}"
                )
        for number, value in enumerate(values, 1):
            if value is not None and not isinstance(value, bool | int | float):
                raise InputError(
                    f"attribute {attribute!r} of feature {number} of {self.name} is "
                    f"{truncate(repr(value), 40)}: expected numbers"
                )
        has_value = np.array([value is not None for value in values], bool)
        filled = [0 if value is None else value for value in values]
        if any(isinstance(value, float) for value in filled):
            return np.array(filled, np.float64), has_value
        try:
            wide = np.array(filled, np.int64)
        except OverflowError:
            return np.array(filled, np.float64), has_value
        narrow = wide.astype(np.int32)
        return (narrow if (narrow == wide).all() else wide), has_value

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the features say, in hex."""
        total = hashlib.sha256()
        for name in Geometries.__slots__:
            total.update(np.ascontiguousarray(getattr(self.geometries, name)).tobytes())
        about = [self.crs and self.crs.to_wkt(), list(self.properties), list(self.ids)]
        total.update(json.dumps(about, sort_keys=True, default=str).encode())
        return total.hexdigest()


def read_features(source: Any, name: str = "features") -> Features:
    """Return the features of a vector input.

    Parameters
    ----------
    source : str, Mapping, Features or object with ``__geo_interface__``
        Path, which may end in ``,layer=NAME``; or a GeoJSON-like dict.
    name : str
        Name of an object in messages.

    Raises
    ------
    InputError
        If it cannot be read, or has no features.
    """
    if isinstance(source, Features):
        return source
    if not isinstance(source, str):
        return _from_object(source, name)
    path, _, layer = source.partition(",layer=")
    if is_virtual(path) or not path.lower().endswith(_GEOJSON_ENDINGS) or layer:
        return _read_with_pyogrio(source, path, layer or None)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: No such file or directory{did_you_mean_file(path)}") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} cannot be read: {one_line(exc)}") from None
    return parse_geojson(text, path)


def features_digest(source: Any) -> str:
    """Return a digest of the content of a vector input, for resuming."""
    path = source.partition(",layer=")[0] if isinstance(source, str) else ""
    file = local_file(path) if path else None
    if file is None or not file.is_file():
        return read_features(source).digest
    total = hashlib.sha256()
    of_shapefile = sorted(file.parent.glob(f"{file.stem}.*")) if file.suffix == ".shp" else [file]
    for each in of_shapefile:
        with each.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()


def parse_geojson(text: str, name: str) -> Features:
    """Return the features of a text: GeoJSON, or a sequence with a feature on each line.

    Raises
    ------
    InputError
        If it is not GeoJSON.
    """
    try:
        try:
            objects = [json.loads(text)]
        except ValueError:
            records = text.split("\x1e") if "\x1e" in text else text.splitlines()
            objects = [json.loads(record) for record in records if record.strip()]
        if not objects:
            raise ValueError("it is empty")
        return _from_geojson(objects, name, "GeoJSON")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as exc:
        what = one_line(exc) if type(exc) is ValueError else f"{type(exc).__name__}: {exc}"
        raise InputError(
            f"{name} is not GeoJSON ({what}): expected a FeatureCollection, a Feature, a geometry, "
            "or one feature on each line"
        ) from None


def _from_object(source: Any, name: str) -> Features:
    """Return the features of a GeoJSON-like dict or an object with ``__geo_interface__``."""
    crs = getattr(source, "crs", None)
    interface = getattr(source, "__geo_interface__", source)
    try:
        features = _from_geojson([interface], name, "object")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as exc:
        raise InputError(
            f"an input of type {type(source).__name__} is not GeoJSON-like ({one_line(exc)}): "
            "expected a path, a mapping with a type, or an object with __geo_interface__"
        ) from None
    if hasattr(source, "crs"):  # a GeoDataFrame
        known = None if crs is None else CRS.from_wkt(crs.to_wkt())
        return replace(features, crs=known)
    return features


def _from_geojson(objects: Sequence[Any], name: str, driver: str) -> Features:
    """Return the features of GeoJSON-like mappings."""
    builder, skipped, crs = GeometryBuilder(), [], None
    properties: list[Mapping[str, Any]] = []
    ids: list[Any] = []
    for each in objects:
        crs = crs or _old_crs(each)
        for feature in _features_of(each):
            number = len(properties) + 1
            try:
                if not builder.add(feature.get("geometry")):
                    skipped.append(number)
            except (ValueError, TypeError, KeyError, IndexError) as exc:
                raise ValueError(f"feature {number}: {one_line(exc)}") from None
            properties.append(feature.get("properties") or {})
            ids.append(feature.get("id"))
    return _features(
        name, driver, crs or CRS.from_string(_WGS84), builder, properties, ids, skipped
    )


def _features(
    name: str,
    driver: str,
    crs: Any,
    builder: GeometryBuilder,
    properties: Sequence[Mapping[str, Any]],
    ids: Sequence[Any],
    skipped: Sequence[int],
) -> Features:
    """Return features; log a warning if some of them have nothing to burn."""
    if skipped:
        log.warning(
            "%s of %s without a geometry, or with an empty one: number %s",
            format_count(len(skipped), "feature"),
            name,
            ", ".join(map(str, skipped[:_MOST_NAMES])) + (" ..." if skipped[_MOST_NAMES:] else ""),
        )
    return Features(name, driver, crs, builder.build(), properties, ids)


def _features_of(value: Any) -> Iterable[Mapping[str, Any]]:
    """Return the features of a GeoJSON object, a geometry as a feature without properties."""
    if not isinstance(value, Mapping) or "type" not in value:
        raise ValueError(f"found {truncate(repr(value), 40)}")
    match value["type"]:
        case "FeatureCollection":
            features: Iterable[Mapping[str, Any]] = value["features"]
            return features
        case "Feature":
            return [value]
    return [{"geometry": value}]


def _old_crs(value: Any) -> Any:
    """Return the CRS of the member `crs`, of GeoJSON before RFC 7946; else None."""
    member = value.get("crs") if isinstance(value, Mapping) else None
    if not isinstance(member, Mapping):
        return None
    name = str(member.get("properties", {}).get("name", ""))
    if name.upper().endswith("CRS84"):
        return CRS.from_string(_WGS84)
    try:
        with captured_messages():
            return CRS.from_user_input(name)
    except (*GDAL_ERRORS, ValueError):
        raise ValueError(f"its crs is {truncate(name, 60)!r}, which is not known") from None


def _read_with_pyogrio(source: str, path: str, layer: str | None) -> Features:
    """Return the features of a file in a format of OGR."""
    if not is_virtual(path) and not Path(path).exists():
        raise InputError(f"{path}: No such file or directory{did_you_mean_file(path)}")
    try:
        import pyogrio
        from pyogrio.errors import DataLayerError, DataSourceError
    except ImportError:
        raise InputError(
            f'{source} needs pyogrio: run pip install "rio-mucho-cli[vector]", or convert it to '
            "GeoJSON (ogr2ogr features.geojson ...)"
        ) from None
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if layer is None and len(layers) > 1:
            listed = ", ".join(layers[:_MOST_NAMES])
            raise InputError(
                f"{path} has {len(layers)} layers ({listed}): choose one, such as "
                f"{path},layer={layers[0]}"
            )
        if layer is not None and layer not in layers:
            raise InputError(
                f"{path} has no layer {layer!r}, but {', '.join(layers[:_MOST_NAMES])}"
                f"{did_you_mean(layer, layers)}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, about pyogrio's dates
            meta, ids, wkbs, columns = pyogrio.raw.read(
                path, layer=layer, force_2d=True, return_fids=True
            )
        driver = str(pyogrio.read_info(path, layer=layer)["driver"])
        crs = None if meta["crs"] is None else CRS.from_user_input(meta["crs"])
    except (DataLayerError, DataSourceError, ValueError, *GDAL_ERRORS) as exc:
        raise InputError(f"{source} cannot be read: {one_line(exc)}") from None
    if wkbs is None:
        raise InputError(f"{source} has no geometries: give a layer that has some")
    builder, skipped = GeometryBuilder(), []
    for number, wkb in enumerate(wkbs, 1):
        try:
            if not builder.add_wkb(wkb):
                skipped.append(number)
        except (ValueError, IndexError) as exc:
            raise InputError(f"feature {number} of {source}: {one_line(exc)}") from None
    names = [str(name) for name in meta["fields"]]
    lists = [_plain(column) for column in columns]
    properties = (
        [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]
        if lists
        else [{} for _ in wkbs]
    )
    return _features(source, driver, crs, builder, properties, ids.tolist(), skipped)


def _plain(column: Array) -> list[Any]:
    """Return the values of a field: dates as ISO text, None where there is none."""
    if column.dtype.kind == "M":
        return [None if np.isnat(value) else str(value) for value in column]
    values = column.tolist()
    if column.dtype.kind == "f":
        return [None if value != value else value for value in values]
    return [bytes(value) if isinstance(value, bytearray) else value for value in values]
