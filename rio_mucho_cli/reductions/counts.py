"""Histograms, and counts of every value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rio_mucho_cli.errors import ResultError, UsageError
from rio_mucho_cli.reductions.bands import Array, BandReduction, Value
from rio_mucho_cli.reductions.distribution import LIMIT, Distribution
from rio_mucho_cli.text import argument

_BINS = 256


class Histogram(BandReduction):
    """Histogram of every band, equal to `numpy.histogram` of the whole raster.

    Masked pixels, nodata and NaN are left out. The result is a dict with the list
    ``bands``, which has a dict for each band of every input:

    - ``input``, ``band``, ``description``: name of the file, band index and
      description;
    - ``counts``: number of pixels in each bin;
    - ``edges``: edges of the bins, one more than there are bins;
    - ``below``, ``above``: number of valid pixels outside the range.

    Parameters
    ----------
    bins : int, optional
        Number of bins of equal width. Default: 256; or one for each integer from
        minimum to maximum, in bands of 8 and 16 bits without a range.
    range : (float, float), optional
        Lower and upper end. Values outside are not in a bin. Bands of 8 and 16 bits
        have a default, minimum and maximum; other bands need a range.
    """

    def __init__(
        self,
        bins: int | None = None,
        range: Sequence[float] | None = None,  # noqa: A002  # numpy's name
    ) -> None:
        if bins is not None and (not isinstance(bins, int) or not 1 <= bins <= 2**24):
            raise UsageError(f"bins is {bins!r}, expected a number of bins, as in bins=256")
        if range is not None and not _is_range(range):
            raise UsageError(
                f"range is {range!r}, expected two numbers in ascending order, as in [0, 4000]"
            )
        self._bins = bins
        self._range = None if range is None else (range[0], range[1])

    def _measure(self, values: Array, info: Any) -> Value:
        if values.dtype.itemsize <= 2:
            return Distribution.of(values).as_value()
        if self._range is None:
            raise UsageError(
                f"a histogram of {values.dtype} needs a range: pass {argument('range', [0, 1])}, "
                "with its ends; Statistics finds minimum and maximum"
            )
        low, high = self._range
        with np.errstate(invalid="ignore"):  # infinities are outside the range
            counts, _ = np.histogram(values, self._bins or _BINS, self._range)
        outside = [int(np.count_nonzero(values < low)), int(np.count_nonzero(values > high))]
        return {"counts": counts, "outside": outside}

    def _merge(self, entry: Value, other: Value) -> Value:
        if "keys" in entry:
            both = Distribution.from_value(entry).merge(Distribution.from_value(other))
            return both.as_value()
        return {
            "counts": entry["counts"] + other["counts"],
            "outside": [a + b for a, b in zip(entry["outside"], other["outside"], strict=True)],
        }

    def _finish(self, entry: Value) -> Value:
        if "keys" in entry:
            counts, edges, outside = self._of_integers(Distribution.from_value(entry))
        else:
            counts, outside = entry["counts"], entry["outside"]
            nothing = np.zeros(0, entry["dtype"])  # edges of float32 are float32
            edges = np.histogram_bin_edges(nothing, self._bins or _BINS, self._range)
        return {
            "counts": np.asarray(counts).tolist(),
            "edges": edges.tolist(),
            "below": outside[0],
            "above": outside[1],
        }

    def _of_integers(self, found: Distribution) -> tuple[Array, Array, list[int]]:
        """Return counts, edges and pixels outside of a band of 8 or 16 bits."""
        values, counts = found.values, found.counts
        if not values.size and self._range is None:
            return np.zeros(0, np.int64), np.zeros(0), [0, 0]
        if self._range is None and self._bins is None:
            bins: Any = np.arange(int(values[0]), int(values[-1]) + 2)
        else:
            bins = self._bins or _BINS
        sums, edges = np.histogram(values, bins, self._range, weights=counts)
        low, high = (-math.inf, math.inf) if self._range is None else self._range
        outside = [int(counts[values < low].sum()), int(counts[values > high].sum())]
        return sums, edges, outside


class Counts(BandReduction):
    """Number of pixels, and area, of every value of every band.

    Masked pixels, nodata and NaN are left out. The result is a dict:

    - ``crs``: CRS of the output's grid;
    - ``pixel_area``, ``area_unit``: area of a pixel, and its unit, such as "square
      metre". Both are None for a geographic CRS, where pixels differ in area;
    - ``bands``: list with a dict for each band of every input: ``input``, ``band``,
      ``description``, and ``values``, a list of dicts with ``value``, ``count``
      and ``area``, in ascending order.

    Integers that are stored as floats are fine. More than 65536 values in a band
    are an error: use `Histogram` for continuous data.
    """

    def __init__(self) -> None:
        """Take no arguments, so that misspelt ones are an error."""

    def _measure_window(self, info: Any) -> Value:
        crs = info.crs
        area: float | None = abs(float(info.grid_transform.determinant))
        unit = None
        if crs is not None and crs.is_geographic:
            area = None
        elif crs is not None:
            unit = f"square {crs.linear_units}"
        return {
            "crs": None if crs is None else crs.to_string(),
            "pixel_area": area,
            "area_unit": unit,
        }

    def _measure(self, values: Array, info: Any) -> Value:
        return _few_values(Distribution.of(values)).as_value()

    def _merge(self, entry: Value, other: Value) -> Value:
        both = Distribution.from_value(entry).merge(Distribution.from_value(other))
        return _few_values(both, entry).as_value()

    def finish(self, total: Value | None) -> Value:
        """Return the result; without any window, one that has no bands."""
        result = super().finish(total)
        area = result.get("pixel_area")
        for band in result["bands"]:
            for row in band["values"]:
                row["area"] = None if area is None else row["count"] * area
        return result

    def _finish(self, entry: Value) -> Value:
        found = Distribution.from_value(entry)
        rows = zip(found.values.tolist(), found.counts.tolist(), strict=True)
        return {
            "values": [
                {"value": int(value) if float(value).is_integer() else value, "count": count}
                for value, count in rows
            ]
        }


def _few_values(found: Distribution, entry: Value | None = None) -> Distribution:
    """Return a distribution; raise ResultError if values have no bins of their own."""
    if found.shift:
        where = "" if entry is None else f"band {entry['band']} of {entry['input']} has "
        raise ResultError(
            f"{where or 'there are '}more than {LIMIT} values of {found.dtype}, too many to count "
            "each: use rio_mucho_cli.reductions:Histogram with a range"
        )
    return found


def _is_range(ends: Any) -> bool:
    """Return whether a value is two finite numbers in ascending order."""
    return (
        isinstance(ends, list | tuple)
        and len(ends) == 2
        and all(isinstance(end, int | float) and math.isfinite(end) for end in ends)
        and ends[0] < ends[1]
    )
