"""Statistics of the pixels in each polygon."""

from __future__ import annotations

import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar, TypeAlias

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.errors import FunctionNotFoundError, ResultError, UsageError
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.outputs.values import ValueNotSupportedError, plain_value
from rio_mucho_cli.reductions.bands import Array, Value, bands_of, invalid_pixels, name_of
from rio_mucho_cli.reductions.features import NUMBER, Descriptions, is_vector
from rio_mucho_cli.reductions.groups import (
    PERCENTILE,
    STATISTICS,
    Measures,
    Needs,
    merge_parts,
)
from rio_mucho_cli.reductions.zones import WindowZones, Zones
from rio_mucho_cli.text import argument, did_you_mean

log = logging.getLogger(__name__)

# Pixels of a band, and which of them are valid; None if all are.
_Pixels: TypeAlias = tuple[Array, Array | None]


class Zonal:
    """Statistics of the pixels in each feature of a vector input.

    A pixel belongs to each polygon that contains its centre: overlapping polygons
    count in full. Masked pixels, nodata and NaN are left out.

    Lines and points have the pixels that `rasterio.features.rasterize` burns.

    The result is a list with a dict for each feature, in the order of their numbers:

    - ``feature``: number of the feature, from 1;
    - the properties of the feature;
    - a statistic of each band. With one band their names are ``mean`` and so on,
      otherwise ``band_2_mean``; with several rasters ``ndvi_mean`` or
      ``s2_band_2_mean``, after their files.

    A feature without valid pixels has ``count`` 0, and None for the rest.

    Parameters
    ----------
    stats : sequence of str, default: ("count", "min", "max", "mean")
        Of ``count``, ``sum``, ``mean``, ``min``, ``max``, ``std`` (of the population,
        as numpy's), ``median``, ``majority`` (the smallest of several), ``variety``
        (number of different values), and percentiles such as ``p90`` or ``p2.5``,
        interpolated linearly as in `numpy.percentile`.
    function : str or callable, optional
        Statistic of your own: ``module:name``, ``path/to/file.py:name``, or in Python
        a callable. It gets all valid pixels of a feature in one band, in ascending
        order, as an array (pixels,), and returns a number, text, a list or a dict.
        The column has its name. It is not called for features without pixels.
    all_touched : bool, default: False
        Count all pixels that a polygon touches.
    fields : sequence of str, optional
        Properties to have in the result. Default: all.
    prefix : str, default: ""
        Prefix of the names of statistics.
    geometry : bool, default: False
        Return GeoJSON features with geometries in longitude and latitude, for an
        output that ends in .geojsonl.

    Notes
    -----
    Sums are exact: results do not depend on the windows or on the number of jobs,
    down to the last bit.

    The worker finishes a feature that lies in one window. The sums of other features
    wait in the calling process until their last window has come: a few hundred bytes
    for each feature. Percentiles, median, majority, variety and functions need the
    values: then each different value of an unfinished feature takes 2 to 12 bytes,
    according to its dtype. A feature waits until all windows that intersect its
    bounding box have come; if one of them is left out, until the end.

    Features that intersect no window are not in the result.
    """

    output: ClassVar[Mapping[str, Any]] = {"masked": True}

    def __init__(
        self,
        stats: Sequence[str] = ("count", "min", "max", "mean"),
        function: str | Callable[[Array], Any] | None = None,
        *,
        all_touched: bool = False,
        fields: Sequence[str] | None = None,
        prefix: str = "",
        geometry: bool = False,
    ) -> None:
        self._stats = _checked_stats(stats)
        self._function = _load(function) if isinstance(function, str) else function
        for name, flag in (("all_touched", all_touched), ("geometry", geometry)):
            if not isinstance(flag, bool):
                raise UsageError(f"{name} is {flag!r}, expected true or false")
        if not isinstance(prefix, str):
            raise UsageError(f"prefix is {prefix!r}, expected text")
        self._fields = None if fields is None else _listed(fields)
        if fields is not None and self._fields is None:
            raise UsageError(
                f"fields is {fields!r}, expected a list of properties: pass "
                f"{argument('fields', ['code'])}"
            )
        self._all_touched = all_touched
        self._prefix = prefix
        self._geometry = geometry
        self._needs = Needs.of(self._stats, ordered=self._function is not None)

    def __call__(self, data: Any, window: Any, ij: Any, global_args: Any, *, info: Any) -> Value:
        """Return statistics of features in the window, and of parts of those beyond it.

        Parameters
        ----------
        data : list of ndarray or MaskedArray
            Arrays (count, rows, cols), one per input. Those of vector inputs are not
            used.
        window, ij, global_args
            As for every function; not used.
        info : WindowInfo
        """
        bands = [
            (number, index, band)
            for number, index, band in bands_of(data, info)
            if not is_vector(info.inputs[number])
        ]
        has_features = any(map(is_vector, info.inputs))
        if not bands or not has_features:
            raise UsageError(
                f"Zonal has no {'raster' if has_features else 'features'}: its inputs are rasters "
                "and a vector file, as in rio mucho ndvi.tif fields.gpkg zonal.csv"
            )
        names = _names_of([(number, index) for number, index, _ in bands], info)
        value: Value = {
            "bands": [
                {"name": name, "integer": band.dtype.kind != "f"}
                for name, (_, _, band) in zip(names, bands, strict=True)
            ],
            "closed": [],
            "empty": {},
            "open": {},
        }
        features = list(info.features)
        described = Descriptions(self._fields, self._columns(value), self._geometry, info)
        for feature in info.features_outside if info.index == 0 else ():
            described_feature = described.of(feature)
            value["empty"][described_feature["number"]] = described_feature
        if not features:
            return value
        rows, cols = info.shape
        window = WindowZones(
            [feature["geometry"] for feature in features],
            Grid(info.crs, info.grid_transform, cols, rows),
            _window_of(info, bands[0][2].shape),
            all_touched=self._all_touched,
        )
        of, seen = window.extents, window.seen
        for index in np.flatnonzero(of == 0).tolist():
            feature = described.of(features[index])
            value["empty"][feature["number"]] = feature
        pixels = [_flat(band, info.inputs[number].nodata[index]) for number, index, band in bands]
        for zones in window.zones():
            is_whole = seen[zones.features] == of[zones.features]
            whole, rest = zones.split(int(np.count_nonzero(is_whole)))
            if whole.features.size:
                found = [described.of(features[index]) for index in whole.features.tolist()]
                self._close(value, found, self._measure(whole, pixels))
            parts = [list(measure.parts()) for measure in self._measure(rest, pixels)]
            for position, index in enumerate(rest.features.tolist()):
                feature = described.of(features[index])
                value["open"][feature["number"]] = {
                    "feature": feature,
                    "seen": int(seen[index]),
                    "of": int(of[index]),
                    "bands": [of_band[position] for of_band in parts],
                }
        return value

    def merge(self, total: Value, value: Value) -> Value:
        """Return the running total with the value of another window."""
        total["closed"] += value["closed"]
        total["empty"] |= value["empty"]
        complete = []
        for number, part in value["open"].items():
            part = _joined(total["open"].pop(number, None), part)
            if part["seen"] < part["of"]:
                total["open"][number] = part
            else:
                complete.append(part)
        self._close_parts(total, complete)
        return total

    def finish(self, total: Value | None) -> list[Value]:
        """Return a dict for each feature, or a GeoJSON feature with `geometry`."""
        if total is None:
            return []
        self._close_parts(total, list(total["open"].values()))
        total["open"] = {}
        columns = self._columns(total)
        nothing = [0 if is_count else None for is_count in columns.values()]
        found: list[tuple[Value, Sequence[Any]]]
        found = [(feature, nothing) for feature in total["empty"].values()]
        for block in total["closed"]:
            found += zip(block["features"], zip(*block["cells"], strict=True), strict=True)
        if len(found) == len(total["empty"]) > 0:
            log.warning(
                "no feature has a valid pixel: compare the bounds and the CRS of the rasters with "
                "those of the features"
            )
        found.sort(key=lambda entry: entry[0]["number"])
        for (feature, _), (other, _) in itertools.pairwise(found):
            if feature["number"] == other["number"]:
                raise _overlap_error(feature)
        fields = dict.fromkeys(name for feature, _ in found for name in feature["properties"])
        return [self._row(feature, fields, dict(zip(columns, cells, strict=True)))
                for feature, cells in found]  # fmt: skip

    def _row(self, feature: Value, fields: Mapping[str, Any], statistics: Value) -> Value:
        properties = {name: feature["properties"].get(name) for name in fields} | statistics
        if not self._geometry:
            return {NUMBER: feature["number"]} | properties
        return {
            "type": "Feature",
            "id": feature["number"],
            "properties": properties,
            "geometry": feature["geometry"],
        }

    def _columns(self, value: Value) -> dict[str, bool]:
        """Return the names of all statistics of all bands, and whether they are counts."""
        names = [
            *self._stats,
            *([] if self._function is None else [_function_name(self._function)]),
        ]
        return {
            f"{self._prefix}{band['name']}{name}": name == "count"
            for band in value["bands"]
            for name in names
        }

    def _measure(
        self, zones: Zones, pixels: Sequence[tuple[Array, Array | None]]
    ) -> list[Measures]:
        """Return the measures of zones, for each band."""
        measures = []
        for flat, valid in pixels:
            values, sizes = flat[zones.pixels], zones.sizes
            if valid is not None:
                keep = valid[zones.pixels]
                before = np.concatenate([[0], np.cumsum(keep)])
                ends = np.cumsum(sizes)
                sizes = before[ends] - before[ends - sizes]
                values = values[keep]
            measures.append(Measures.of(values, sizes, self._needs))
        return measures

    def _close_parts(self, total: Value, parts: Sequence[Value]) -> None:
        """Finish features from their parts."""
        if not parts:
            return
        measures = [
            Measures.join([part["bands"][number] for part in parts], is_integer=band["integer"])
            for number, band in enumerate(total["bands"])
        ]
        self._close(total, [part["feature"] for part in parts], measures)

    def _close(self, value: Value, features: list[Value], measures: Sequence[Measures]) -> None:
        """Add the statistics of finished features."""
        cells = []
        for measure in measures:
            cells += [measure.statistic(name) for name in self._stats]
            if self._function is not None:
                cells.append(self._call(self._function, features, measure))
        value["closed"].append({"features": features, "cells": cells})

    def _call(
        self, function: Callable[[Array], Any], features: list[Value], measure: Measures
    ) -> list[Any]:
        """Return what a function of the user's returns for each feature."""
        groups = iter(()) if measure.ordered is None else measure.ordered.groups()
        found: list[Any] = []
        for feature, count in zip(features, measure.counts, strict=True):
            try:
                found.append(plain_value(function(next(groups))) if count else None)
            except ValueNotSupportedError as exc:
                raise ResultError(
                    f"{_function_name(function)} returned {exc} (feature {feature['number']})"
                ) from None
            except Exception as exc:
                exc.add_note(f"This is feature {feature['number']}, with {count} pixels.")
                raise
        return found


def _joined(part: Value | None, other: Value) -> Value:
    """Return both parts of a feature together."""
    if part is None:
        return other
    seen = part["seen"] + other["seen"]
    if seen > part["of"]:
        raise _overlap_error(part["feature"])
    pairs = zip(part["bands"], other["bands"], strict=True)
    return part | {"seen": seen, "bands": [merge_parts(*pair) for pair in pairs]}


def _window_of(info: Any, shape: tuple[int, ...]) -> Window:
    """Return the window of an array without overlap, in whole pixels."""
    rows, cols = shape
    return Window(int(info.window.col_off), int(info.window.row_off), cols, rows)


def _overlap_error(feature: Value) -> ResultError:
    return ResultError(
        f"feature {feature['number']} has pixels in several windows that overlap: use windows "
        "that do not overlap"
    )


def _flat(band: Array, nodata: float | None) -> _Pixels:
    invalid = invalid_pixels(band, nodata)
    return np.ma.getdata(band).reshape(-1), None if invalid is None else ~invalid.reshape(-1)


def _names_of(bands: Sequence[tuple[int, int]], info: Any) -> list[str]:
    """Return the prefixes of columns: no more than is needed to tell bands apart."""
    numbers = list(dict.fromkeys(number for number, _ in bands))
    stems = {number: PurePath(name_of(info.inputs[number].path)).stem for number in numbers}
    if len(set(stems.values())) < len(stems):
        stems = {number: f"input_{position}" for position, number in enumerate(numbers, 1)}
    counts = Counter(number for number, _ in bands)
    names = []
    for number, index in bands:
        name = f"{stems[number]}_" if len(numbers) > 1 else ""
        if counts[number] > 1:
            name += f"band_{info.inputs[number].indexes[index]}_"
        names.append(name)
    return names


def _checked_stats(stats: Any) -> list[str]:
    names = _listed(stats)
    unknown = [name for name in names or () if not _is_statistic(name)]
    if names is not None and not unknown:
        return names
    found = f"stats is {stats!r}, "
    if unknown:
        found = f"stats has {unknown[0]!r}{did_you_mean(unknown[0], STATISTICS) or ','} "
    raise UsageError(
        f"{found}expected some of {', '.join(STATISTICS)}, and percentiles such as p90"
    )


def _is_statistic(name: Any) -> bool:
    if name in STATISTICS:
        return True
    rank = re.fullmatch(rf"{PERCENTILE}(\d+(\.\d+)?)", name) if isinstance(name, str) else None
    return rank is not None and float(rank[1]) <= 100


def _listed(names: Any) -> list[str] | None:
    """Return a list of names, also if they are text with commas; None for anything else."""
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return list(dict.fromkeys(names))
    return None


def _load(name: str) -> Callable[[Array], Any]:
    from rio_mucho_cli.workers.functions import FunctionRef

    if not re.search(r".:\w", name):
        raise UsageError(f"function is {name!r}, expected module:name or path/to/file.py:name")
    try:
        return FunctionRef(name, str(Path.cwd())).load()
    except FunctionNotFoundError as exc:
        raise UsageError(f"function {name}: {exc}") from None


def _function_name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
