"""Statistics of groups of values: the pixels of many features at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from rio_mucho_cli.reductions import exact

Array: TypeAlias = np.ndarray[Any, Any]
Part: TypeAlias = dict[str, Any]

PERCENTILE = "p"
"""Statistics that begin with this letter and a number are percentiles."""
STATISTICS = (
    "count", "sum", "mean", "min", "max", "std", "median", "majority", "variety",
)  # fmt: skip

# Runs of at most _SHORT values are merged always, longer ones if more than _WORTH of about
# _SAMPLE values are in both.
_SHORT, _SAMPLE, _WORTH = 65536, 1000, 0.25

_SUMS = {"sum", "mean", "std"}
_RANGE = {"min", "max"}


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be known of values for some statistics.

    Attributes
    ----------
    sums, squares, ends, ordered : bool
        Sums of values and of their squares, smallest and largest value, and all
        values in ascending order.
    """

    sums: bool
    squares: bool
    ends: bool
    ordered: bool

    @classmethod
    def of(cls, names: Sequence[str], *, ordered: bool = False) -> Needs:
        """Return what these statistics need."""
        found = set(names)
        rest = found - _SUMS - _RANGE - {"count"}
        return cls(bool(found & _SUMS), "std" in found, bool(found & _RANGE), ordered or bool(rest))


@dataclass(frozen=True, slots=True)
class Ordered:
    """Different values of each group in ascending order, and how often they occur.

    Attributes
    ----------
    values : ndarray
        Group by group.
    times : ndarray
        Number of pixels with each value.
    sizes : ndarray
        Number of values of each group.
    """

    values: Array
    times: Array
    sizes: Array

    @classmethod
    def of(cls, values: Array, sizes: Array) -> Ordered:
        """Return the values of groups; `values` are sorted in place."""
        ends = np.cumsum(sizes)
        starts = ends - sizes
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            values[start:end].sort()
        is_new = np.ones(values.size, bool)
        np.not_equal(values[1:], values[:-1], out=is_new[1:])
        is_new[starts[sizes > 0]] = True
        first = np.flatnonzero(is_new)
        before = np.concatenate([[0], np.cumsum(is_new)])
        return cls(values[first], np.diff(first, append=values.size), before[ends] - before[starts])

    def runs(self) -> Iterator[list[Array]]:
        """Yield values and numbers of pixels of each group, in the smallest dtype."""
        ends = np.cumsum(self.sizes)
        for start, end in zip((ends - self.sizes).tolist(), ends.tolist(), strict=True):
            times = self.times[start:end]
            yield [self.values[start:end], times.astype(np.min_scalar_type(times.max(initial=0)))]

    @classmethod
    def join(cls, groups: Sequence[Sequence[Sequence[Array]]]) -> Ordered:
        """Return groups, each given as runs, in one."""
        merged = [_merged(runs) for runs in groups]
        return cls(
            np.concatenate([values for values, _ in merged]),
            np.concatenate([times for _, times in merged]).astype(np.int64),
            np.array([len(values) for values, _ in merged]),
        )

    def groups(self) -> Iterator[Array]:
        """Yield all values of each group, in ascending order."""
        ends = np.cumsum(self.sizes)
        for start, end in zip((ends - self.sizes).tolist(), ends.tolist(), strict=True):
            yield np.repeat(self.values[start:end], self.times[start:end])

    def majority(self) -> Array:
        """Return the most frequent value of each group, the smallest of several."""
        starts = np.cumsum(self.sizes) - self.sizes
        most = np.repeat(np.maximum.reduceat(self.times, starts), self.sizes)
        (candidates,) = np.nonzero(self.times == most)
        found: Array = self.values[candidates[np.searchsorted(candidates, starts)]]
        return found

    def percentile(self, rank: float) -> Array:
        """Return a percentile of each group, interpolated linearly."""
        ends = np.cumsum(self.times)
        last = np.cumsum(self.sizes) - 1
        counts = np.diff(ends[last], prepend=0)
        first = ends[last] - counts
        position = (counts - 1) * (rank / 100)
        before = np.minimum(np.floor(position).astype(np.int64), counts - 1)
        after = np.minimum(before + 1, counts - 1)
        a, b = (
            self.values[np.searchsorted(ends, first + number, side="right")].astype(np.float64)
            for number in (before, after)
        )
        share = position - before
        with np.errstate(invalid="ignore"):
            between = np.where(share >= 0.5, b - (b - a) * (1 - share), a + (b - a) * share)
        found: Array = np.where((a == b) | (share == 0), a, between)
        return found


def add_run(runs: list[list[Array]], run: Sequence[Array]) -> None:
    """Add a run, (values, times) in ascending order, to those of a group.

    Notes
    -----
    Runs of similar length are merged if they have values in common, which saves
    memory. So the time of all merges stays in proportion to the number of values.
    """
    runs.append([np.asarray(array) for array in run])
    while len(runs) > 1 and len(runs[-2][0]) <= 2 * len(runs[-1][0]) and _overlap(*runs[-2:]):
        runs.append(_merged([runs.pop(), runs.pop()]))


def _overlap(a: list[Array], b: list[Array]) -> bool:
    """Return whether runs are short, or a good part of one's values is in the other."""
    short, long = sorted((a[0], b[0]), key=len)
    if len(long) <= _SHORT:
        return True
    sample = short[:: max(1, len(short) // _SAMPLE)]
    places = np.minimum(np.searchsorted(long, sample), len(long) - 1)
    return bool(np.mean(long[places] == sample) > _WORTH)


def _merged(runs: Sequence[Sequence[Array]]) -> list[Array]:
    """Return one run of several."""
    if len(runs) == 1:
        return [np.asarray(array) for array in runs[0]]
    values = np.concatenate([values for values, _ in runs])
    if not values.size:
        return [values, np.zeros(0, np.uint8)]
    is_once = all(np.max(times, initial=0) <= 1 for _, times in runs)
    if is_once:
        values.sort()  # faster than the order of values
    else:
        times = np.concatenate([times for _, times in runs]).astype(np.int64)
        order = np.argsort(values, kind="stable")
        values, times = values[order], times[order]
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    found = np.diff(first, append=values.size) if is_once else np.add.reduceat(times, first)
    return [values[first], found.astype(np.min_scalar_type(found.max()))]


@dataclass(frozen=True, slots=True)
class Measures:
    """What is known of groups of values; of groups that are not empty, except `counts`.

    Attributes
    ----------
    is_integer : bool
    counts : list of int
        Number of values of each group, with empty groups.
    sums, squares : list of (int, int)
        Exact sums of finite values.
    infinite : list of [int, int]
        Number of values that are minus and plus infinity.
    ends : list of [number, number]
        Smallest and largest value.
    ordered : Ordered or None
    """

    is_integer: bool
    counts: list[int]
    sums: Sequence[exact.Exact]
    squares: Sequence[exact.Exact]
    infinite: Sequence[Sequence[int]]
    ends: Sequence[Sequence[Any]]
    ordered: Ordered | None

    @classmethod
    def of(cls, values: Array, sizes: Array, needs: Needs) -> Measures:
        """Return measures of values.

        Parameters
        ----------
        values : ndarray
            Pixels, group by group; may be changed.
        sizes : ndarray
            Number of pixels of each group.
        needs : Needs
        """
        counts, sizes = sizes.tolist(), sizes[sizes > 0]
        starts = np.cumsum(sizes) - sizes
        is_integer = values.dtype.kind != "f"
        sums: Sequence[exact.Exact] = ()
        squares: Sequence[exact.Exact] = ()
        infinite: Sequence[Sequence[int]] = ()
        ends: Sequence[Sequence[Any]] = ()
        if needs.ends and sizes.size:
            lowest, highest = (f.reduceat(values, starts) for f in (np.minimum, np.maximum))
            ends = list(zip(lowest.tolist(), highest.tolist(), strict=True))
        if needs.sums and sizes.size:
            finite = values
            infinite = () if is_integer else [(0, 0)] * sizes.size
            if not is_integer and not np.isfinite(values).all():
                infinite = _count_infinite(values, starts)
                finite = np.where(np.isfinite(values), values, values.dtype.type(0))
            sums, squares = exact.grouped_moments(finite, starts, squares=needs.squares)
        ordered = None
        if needs.ordered:
            # -0 becomes 0, so that it does not depend on windows which of them is kept.
            ordered = Ordered.of(values if is_integer else values + values.dtype.type(0), sizes)
        return cls(is_integer, counts, sums, squares, infinite, ends, ordered)

    def parts(self) -> Iterator[Part]:
        """Yield the measures of each group, as plain values."""
        columns: dict[str, Iterator[Any]] = {
            name: map(list, getattr(self, name))
            for name in ("sums", "squares", "infinite", "ends")
            if getattr(self, name)
        }
        if self.ordered is not None:
            columns["runs"] = ([run] for run in self.ordered.runs())
        for count in self.counts:
            part: Part = {"count": count}
            if count:
                part |= {name: next(column) for name, column in columns.items()}
            yield part

    @classmethod
    def join(cls, parts: Sequence[Part], *, is_integer: bool) -> Measures:
        """Return the measures of several groups."""
        filled = [part for part in parts if part["count"]]

        def each(name: str) -> list[Any]:
            return [part[name] for part in filled if name in part]

        runs = each("runs")
        return cls(
            is_integer,
            [part["count"] for part in parts],
            sums=list(map(tuple, each("sums"))),
            squares=list(map(tuple, each("squares"))),
            infinite=each("infinite"),
            ends=each("ends"),
            ordered=Ordered.join(runs) if runs else None,
        )

    def expand(self, found: Sequence[Any]) -> list[Any]:
        """Return a list with an item for each group, None for empty ones."""
        if len(found) == len(self.counts):
            return list(found)
        items = iter(found)
        return [next(items) if count else None for count in self.counts]

    def statistic(self, name: str) -> list[Any]:
        """Return a statistic of each group; None for empty ones."""
        if name == "count":
            return self.counts
        return self.expand(self._statistic(name) if any(self.counts) else [])

    def _statistic(self, name: str) -> Sequence[Any]:
        if name in _RANGE:
            return [pair[name == "max"] + 0 for pair in self.ends]  # -0 becomes 0
        if name in _SUMS:
            return self._of_sums(name)
        assert self.ordered is not None
        if name == "majority":
            return _listed(self.ordered.majority())
        if name == "variety":
            return _listed(self.ordered.sizes)
        rank = 50.0 if name == "median" else float(name.removeprefix(PERCENTILE))
        return _listed(self.ordered.percentile(rank))

    def _of_sums(self, name: str) -> list[Any]:
        counts = [count for count in self.counts if count]
        infinite = self.infinite or [(0, 0)] * len(counts)
        found: list[Any]
        match name:
            case "sum" if self.is_integer:
                return [mantissa << exponent for mantissa, exponent in self.sums]
            case "sum":
                found = [exact.quotient(total, 1) for total in self.sums]
            case "mean":
                found = [exact.quotient(*pair) for pair in zip(self.sums, counts, strict=True)]
            case _:
                found = [
                    exact.deviation(*each)
                    for each in zip(counts, self.sums, self.squares, strict=True)
                ]
        return [
            item if not (below or above) else _with_infinities(name, below, above)
            for item, (below, above) in zip(found, infinite, strict=True)
        ]


def merge_parts(part: Part, other: Part) -> Part:
    """Return the measures of both parts of a group."""
    if not part["count"] or not other["count"]:
        return part if part["count"] else other
    merged: Part = {"count": part["count"] + other["count"]}
    for name in ("sums", "squares"):
        if name in part:
            merged[name] = list(exact.shortened(exact.add(part[name], other[name])))
    if "infinite" in part:
        merged["infinite"] = [
            a + b for a, b in zip(part["infinite"], other["infinite"], strict=True)
        ]
    if "ends" in part:
        (low, high), (lower, higher) = part["ends"], other["ends"]
        merged["ends"] = [min(low, lower), max(high, higher)]
    if "runs" in part:
        merged["runs"] = list(part["runs"])
        for run in other["runs"]:
            add_run(merged["runs"], run)
    return merged


def _count_infinite(values: Array, starts: Array) -> list[tuple[int, int]]:
    below, above = (
        np.add.reduceat(values == end, starts, dtype=np.int64).tolist()
        for end in (-math.inf, math.inf)
    )
    return list(zip(below, above, strict=True))


def _with_infinities(name: str, below: int, above: int) -> float:
    """Return the sum, mean or standard deviation of values that are not all finite."""
    return math.nan if name == "std" else math.inf * ((above > 0) - (below > 0))


def _listed(array: Array) -> list[Any]:
    listed: list[Any] = array.tolist()
    return listed
