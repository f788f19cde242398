"""Statistics of every band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.reductions import exact
from rio_mucho_cli.reductions.bands import Array, BandReduction, Value
from rio_mucho_cli.reductions.distribution import Distribution
from rio_mucho_cli.text import argument


class Statistics(BandReduction):
    """Count, minimum, maximum, mean, standard deviation, sum and percentiles.

    Masked pixels, nodata and NaN are left out. The result is a dict with the list
    ``bands``, which has a dict for each band of every input:

    - ``input``, ``band``, ``description``: name of the file, band index and
      description;
    - ``count``, ``valid_percent``: number of valid pixels, and their share of all;
    - ``min``, ``max``, ``mean``, ``std`` (of the population, as numpy's and
      GDAL's), ``sum``: None without valid pixels;
    - ``percentile_2`` and so on, interpolated linearly as in `numpy.percentile`;
    - ``percentile_error``: the percentiles are at most this far from numpy's.

    Parameters
    ----------
    percentiles : sequence of float, default: (2, 50, 98)
        Numbers from 0 to 100. An empty list saves time.

    Notes
    -----
    All but percentiles are computed from exact sums: they are right to the last
    digit or two, and the same for all windows and numbers of jobs.

    Percentiles are exact for integers of 8 and 16 bits, and wherever a band has no
    more than 65536 different values. Otherwise they come from 65536 bins, each of
    which counts values with the same leading bits: bins of floats are narrower
    near zero. A float32 band with all values between 250 and 320 has bins of about
    0.002. ``percentile_error`` is the width of the widest bin that was used.

    Sums of infinite values are infinite or NaN, as in numpy.
    """

    def __init__(self, percentiles: Sequence[float] = (2, 50, 98)) -> None:
        numbers: list[Any] = (
            list(percentiles) if isinstance(percentiles, list | tuple) else [percentiles]
        )
        if not all(isinstance(rank, int | float) and 0 <= rank <= 100 for rank in numbers):
            raise UsageError(
                f"percentiles are {percentiles!r}, expected a list of numbers from 0 to 100: "
                f"pass {argument('percentiles', [2, 50, 98])}"
            )
        self._ranks: list[float] = numbers

    def _measure(self, values: Array, info: Any) -> Value:
        pixels = math.prod(int(length) for length in info.shape[-2:])
        entry: Value = {"pixels": pixels, "count": values.size}
        is_narrow = values.dtype.itemsize <= 2
        if is_narrow or self._ranks:
            entry |= Distribution.of(values).as_value()
        return entry if is_narrow else entry | _measure_wide(values)

    def _merge(self, entry: Value, other: Value) -> Value:
        merged: Value = {"count": entry["count"] + other["count"]}
        if "keys" in entry:
            both = Distribution.from_value(entry).merge(Distribution.from_value(other))
            merged |= both.as_value()
        if "sum" not in entry:
            return merged
        for name in ("sum", "squares"):
            merged[name] = list(exact.shortened(exact.add(entry[name], other[name])))
        merged["infinite"] = np.add(entry["infinite"], other["infinite"]).tolist()
        for name, choose in (("min", min), ("max", max)):
            ends = [each[name] for each in (entry, other) if each[name] is not None]
            merged[name] = choose(ends, default=None)
        return merged

    def _finish(self, entry: Value) -> Value:
        count, names = entry["count"], [f"percentile_{rank:.15g}" for rank in self._ranks]
        result: Value = {"count": count, "valid_percent": 100 * count / entry["pixels"]}
        if not count:
            return result | dict.fromkeys(["min", "max", "mean", "std", "sum", *names])
        if "sum" in entry:
            low, high = entry["min"], entry["max"]
            total, squares = tuple(entry["sum"]), tuple(entry["squares"])
            below, above = entry["infinite"]
        else:
            bins, below, above = Distribution.from_value(entry), 0, 0
            values = bins.values
            low, high = values[0].item(), values[-1].item()
            total, squares = exact.moments_of_counts(values, bins.counts)
        result |= {"min": low, "max": high}
        if below or above:
            infinity = math.inf * ((above > 0) - (below > 0))  # NaN if there are both
            result |= {"mean": infinity, "std": math.nan, "sum": infinity}
        else:
            is_integer = isinstance(low, int)
            result |= {
                "mean": exact.quotient(total, count),
                "std": exact.deviation(count, total, squares),
                "sum": total[0] << total[1] if is_integer else exact.quotient(total, 1),
            }
        if not names:
            return result
        found, error = Distribution.from_value(entry).percentiles(self._ranks, low, high)
        return result | dict(zip(names, found, strict=True)) | {"percentile_error": error}


def _measure_wide(values: Array) -> Value:
    """Return range and exact sums of pixels of more than 16 bits."""
    ends: list[Any] = [None, None]
    infinite = [0, 0]
    if values.size:
        ends = [values.min().item(), values.max().item()]
    if values.size and values.dtype.kind == "f" and not all(map(math.isfinite, ends)):
        infinite = [int(np.count_nonzero(values == end)) for end in (-np.inf, np.inf)]
        values = values[np.isfinite(values)]
    total, squares = exact.moments(values)
    return {
        "min": ends[0],
        "max": ends[1],
        "infinite": infinite,
        "sum": list(total),
        "squares": list(squares),
    }
