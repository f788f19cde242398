"""Geometries of many features in a few arrays: built, and given back as GeoJSON.

    feature ─▶ parts (points, lines, polygons) ─▶ rings ─▶ points (x, y)

A part of a MultiPolygon is a polygon, with its holes; a point or a line has one ring.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

POINT, LINE, POLYGON = range(3)

_TYPES = (
    "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
_COLLECTION = 6
_LEAST_POINTS = {POINT: 1, LINE: 2, POLYGON: 4}


@dataclass(frozen=True, slots=True)
class Geometries:
    """Geometries of features, in arrays.

    Attributes
    ----------
    points : ndarray
        (points, 2): x and y.
    rings : ndarray
        (rings + 1,): index of the first point of each ring, then the number of
        points.
    parts : ndarray
        (parts + 1,): index of the first ring of each part, then the number of
        rings.
    kinds : ndarray
        (parts,): POINT, LINE or POLYGON.
    owners : ndarray
        (parts,): index of the feature, in ascending order.
    types : ndarray
        (features,): type of the geometry; -1 for a feature without one.
    """

    points: Array
    rings: Array
    parts: Array
    kinds: Array
    owners: Array
    types: Array

    @property
    def first_points(self) -> Array:
        """(parts + 1,): index of the first point of each part, then the number of points."""
        first: Array = self.rings[self.parts]
        return first

    @property
    def nbytes(self) -> int:
        """Size of the arrays, in bytes."""
        return sum(getattr(self, name).nbytes for name in self.__slots__)

    def part_bounds(self) -> tuple[Array, Array]:
        """Return least and greatest x and y of each part: two arrays (parts, 2)."""
        if not len(self.kinds):
            return np.empty((0, 2)), np.empty((0, 2))
        first = self.first_points[:-1]
        return (
            np.minimum.reduceat(self.points, first, axis=0),
            np.maximum.reduceat(self.points, first, axis=0),
        )

    def bounds(self) -> Array:
        """Return (features, 4): left, bottom, right and top; NaN without a geometry."""
        bounds = np.full((len(self.types), 4), np.nan)
        low, high = self.part_bounds()
        np.fmin.at(bounds[:, :2], self.owners, low)
        np.fmax.at(bounds[:, 2:], self.owners, high)
        return bounds

    def select_parts(self, keep: Array) -> Geometries:
        """Return the geometries with some of their parts; features keep their indexes.

        Parameters
        ----------
        keep : ndarray of bool
            (parts,).
        """
        if keep.all():
            return self
        rings = np.repeat(keep, np.diff(self.parts))
        points = np.repeat(rings, np.diff(self.rings))
        return replace(
            self,
            points=self.points[points],
            rings=_starts(np.diff(self.rings)[rings]),
            parts=_starts(np.diff(self.parts)[keep]),
            kinds=self.kinds[keep],
            owners=self.owners[keep],
        )

    def geometry(self, feature: int) -> dict[str, Any] | None:
        """Return the geometry of a feature as a GeoJSON-like dict, or None."""
        kind = int(self.types[feature])
        first, last = np.searchsorted(self.owners, [feature, feature + 1])
        if kind < 0 or first == last:
            return None
        coordinates = [self._coordinates(part) for part in range(first, last)]
        if kind == _COLLECTION:
            members = [
                {"type": _TYPES[self.kinds[part]], "coordinates": of_part}
                for part, of_part in zip(range(first, last), coordinates, strict=True)
            ]
            return {"type": _TYPES[kind], "geometries": members}
        many = kind > POLYGON
        return {"type": _TYPES[kind], "coordinates": coordinates if many else coordinates[0]}

    def _coordinates(self, part: int) -> Any:
        first, last = self.parts[part], self.parts[part + 1]
        rings = [
            [tuple(point) for point in self.points[self.rings[k] : self.rings[k + 1]].tolist()]
            for k in range(first, last)
        ]
        match self.kinds[part]:
            case 0:
                return rings[0][0]
            case 1:
                return rings[0]
        return rings


def join(copies: Sequence[Geometries]) -> Geometries:
    """Return the parts of several geometries of the same features together."""
    owners = np.concatenate([each.owners for each in copies])
    order = np.argsort(owners, kind="stable")
    counts = np.concatenate([np.diff(each.parts) for each in copies])
    lengths = np.concatenate([np.diff(each.rings) for each in copies])
    ring_order, _ = ranges(_starts(counts)[:-1][order], _starts(counts)[1:][order])
    starts = _starts(lengths)
    point_order, _ = ranges(starts[:-1][ring_order], starts[1:][ring_order])
    return Geometries(
        np.concatenate([each.points for each in copies])[point_order],
        _starts(lengths[ring_order]),
        _starts(counts[order]),
        np.concatenate([each.kinds for each in copies])[order],
        owners[order],
        copies[0].types,
    )


def ranges(first: Array, last: Array) -> tuple[Array, Array]:
    """Return all numbers of several ranges, one range after another, and the range of each."""
    counts = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return np.arange(len(which)) + (first - before)[which], which


def _starts(counts: Array) -> Array:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class GeometryBuilder:
    """Collects geometries, feature by feature."""

    def __init__(self) -> None:
        self._chunks: list[Array] = []
        self._lengths: list[int] = []
        self._counts: list[int] = []
        self._kinds: list[int] = []
        self._owners: list[int] = []
        self._types: list[int] = []

    def add(self, geometry: Mapping[str, Any] | None) -> bool:
        """Add the geometry of the next feature: a GeoJSON-like dict.

        Returns
        -------
        bool
            Whether there is something to burn: not for None, an empty geometry,
            a line of one point, or a ring of fewer than four.

        Raises
        ------
        ValueError
            If it is not a geometry.
        """
        parts = [] if geometry is None else list(_parts_of(geometry))
        return self._add(-1 if geometry is None else _TYPES.index(geometry["type"]), parts)

    def add_wkb(self, wkb: bytes | None) -> bool:
        """Add the geometry of the next feature in ISO or extended WKB; see `add`."""
        if wkb is None:
            return self._add(-1, [])
        kind, parts, _ = _read_wkb(wkb, 0)
        return self._add(kind, parts)

    def _add(self, kind: int, parts: list[tuple[int, list[Array]]]) -> bool:
        feature = len(self._types)
        good = [part for part in map(_checked, parts) if part is not None]
        self._types.append(kind if good else -1)
        for part_kind, rings in good:
            self._chunks += rings
            self._lengths += map(len, rings)
            self._counts.append(len(rings))
            self._kinds.append(part_kind)
            self._owners.append(feature)
        return bool(good)

    def build(self) -> Geometries:
        """Return all geometries."""
        points = np.concatenate(self._chunks) if self._chunks else np.empty((0, 2))
        return Geometries(
            points,
            _starts(np.array(self._lengths, np.int64)),
            _starts(np.array(self._counts, np.int64)),
            np.array(self._kinds, np.uint8),
            np.array(self._owners, np.int64),
            np.array(self._types, np.int8),
        )


def _checked(part: tuple[int, list[Array]]) -> tuple[int, list[Array]] | None:
    """Return a part with closed rings, or None if it has too few points."""
    kind, rings = part
    least = _LEAST_POINTS[kind]
    if not rings or len(rings[0]) < least:
        return None
    if kind == POLYGON:
        # GDAL closes rings, too, and ignores those of holes that have no area.
        rings = [_closed(ring) for ring in rings if len(ring) >= least]
    for ring in rings:
        if not np.isfinite(ring).all():
            raise ValueError("a coordinate is not a finite number")
    return kind, rings


def _closed(ring: Array) -> Array:
    return ring if (ring[0] == ring[-1]).all() else np.concatenate([ring, ring[:1]])


def _parts_of(geometry: Mapping[str, Any]) -> Iterator[tuple[int, list[Array]]]:
    """Yield kind and rings of each part of a GeoJSON-like geometry."""
    kind = geometry["type"] if isinstance(geometry, Mapping) else None
    if kind == "GeometryCollection":
        for member in geometry["geometries"]:
            yield from _parts_of(member)
        return
    if kind not in _TYPES:
        raise ValueError(f"its geometry is of type {kind!r}")
    index = _TYPES.index(kind)
    coordinates = geometry["coordinates"]
    for part in coordinates if index > POLYGON else [coordinates]:
        match index % 3:
            case 0:
                yield POINT, [_as_points([part])] if len(part) else []
            case 1:
                yield LINE, [_as_points(part)]
            case 2:
                yield POLYGON, [_as_points(ring) for ring in part]


def _as_points(coordinates: Sequence[Any]) -> Array:
    """Return coordinates as an array (points, 2), without Z."""
    if not len(coordinates):
        return np.empty((0, 2))
    try:
        points = np.array(coordinates, np.float64)
    except ValueError:  # some have Z, and some have not
        points = np.array([tuple(point)[:2] for point in coordinates], np.float64)
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError("its coordinates are not pairs of numbers")
    return points[:, :2]


_WKB_KINDS = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 6}


def _read_wkb(data: bytes, at: int) -> tuple[int, list[tuple[int, list[Array]]], int]:
    """Return type, parts and end of the WKB geometry at an offset."""
    order = "<" if data[at] else ">"
    (code,) = struct.unpack_from(f"{order}I", data, at + 1)
    at += 9 if code & 0x20000000 else 5
    dimensions = 2 + bool(code & 0x80000000) + bool(code & 0x40000000)
    thousands, base = divmod(code & 0x0FFFFFFF, 1000)
    dimensions += (0, 1, 1, 2)[thousands]
    if base not in _WKB_KINDS:
        raise ValueError(f"its geometry is of a type with curves or surfaces (WKB {code})")
    kind = _WKB_KINDS[base]
    dtype = np.dtype(f"{order}f8")

    def take(count: int) -> Array:
        nonlocal at
        flat = np.frombuffer(data, dtype, count * dimensions, at)
        at += count * dimensions * 8
        return flat.reshape(count, dimensions)[:, :2].astype(np.float64)

    def number() -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"{order}I", data, at)
        at += 4
        return int(value)

    parts: list[tuple[int, list[Array]]] = []
    if kind == POINT:
        point = take(1)
        parts.append((POINT, [] if np.isnan(point).all() else [point]))
    elif kind == LINE:
        parts.append((LINE, [take(number())]))
    elif kind == POLYGON:
        parts.append((POLYGON, [take(number()) for _ in range(number())]))
    else:
        for _ in range(number()):
            _, members, at = _read_wkb(data, at)
            parts += members
    return kind, parts, at
