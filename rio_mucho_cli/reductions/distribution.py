"""How often each value occurs: exactly, or in bins that are as fine as memory allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

LIMIT = 65536
"""Most bins of a distribution: all 16-bit integers have one each."""

# Pixels counted at once: `numpy.bincount` makes them int64, which then fit in the CPU
# cache.
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Distribution:
    """Number of pixels in each occupied bin.

    A value's key is an unsigned integer of as many bits that has the order of the
    values: for floats, their bits, inverted if they are negative. A bin has the
    keys that differ in their last `shift` bits only. Halves of bins make a bin, so
    the finest bins of which no more than `LIMIT` are occupied are the same for all
    windows, in any order.

    Attributes
    ----------
    keys : ndarray
        Keys without their last `shift` bits, ascending.
    counts : ndarray of int64
        Number of pixels in each bin, at least 1.
    shift : int
        0 if each value has its own bin.
    dtype : str
        Dtype of the values.
    """

    keys: Array
    counts: Array
    shift: int
    dtype: str

    @classmethod
    def of(cls, values: Array) -> Distribution:
        """Return the distribution of integers or floats, given as (pixels,)."""
        keys, dtype = _to_keys(values), values.dtype.name
        if keys.dtype.itemsize > 2:
            return cls._of_sorted(np.sort(keys), None, 0, dtype)
        counts = np.bincount(keys[:_CHUNK])
        for start in range(_CHUNK, keys.size, _CHUNK):
            more = np.bincount(keys[start : start + _CHUNK], minlength=counts.size)
            more[: counts.size] += counts
            counts = more
        (found,) = np.nonzero(counts)
        return cls(found.astype(keys.dtype), counts[found], 0, dtype)

    @classmethod
    def _of_sorted(cls, keys: Array, counts: Array | None, shift: int, dtype: str) -> Distribution:
        """Return the distribution of ascending keys; counts are 1 for None."""
        if not keys.size:
            return cls(keys, np.zeros(0, np.int64), shift, dtype)
        differ = keys[1:] ^ keys[:-1]
        low, high = 0, 8 * keys.itemsize
        if np.count_nonzero(differ) < LIMIT:
            high = 0
        while low < high:
            middle = (low + high) // 2
            is_enough = np.count_nonzero(differ >= keys.dtype.type(1 << middle)) < LIMIT
            low, high = (low, middle) if is_enough else (middle + 1, high)
        borders = np.flatnonzero(differ >= keys.dtype.type(1 << low)) + 1
        starts = np.concatenate([[0], borders])
        if counts is None:
            sums = np.diff(starts, append=keys.size)
        else:
            sums = np.add.reduceat(counts, starts)
        return cls(keys[starts] >> keys.dtype.type(low), sums, shift + low, dtype)

    def merge(self, other: Distribution) -> Distribution:
        """Return the distribution of the pixels of both."""
        if self.shift == other.shift and np.array_equal(self.keys, other.keys):
            return Distribution(self.keys, self.counts + other.counts, self.shift, self.dtype)
        shift = max(self.shift, other.shift)
        kind = self.keys.dtype.type
        keys, added = (each.keys >> kind(shift - each.shift) for each in (self, other))
        if self.shift == other.shift and 4 * added.size < keys.size:
            return self._with_few(other)
        keys = np.concatenate([keys, added])
        counts = np.concatenate([self.counts, other.counts])
        order = np.argsort(keys, kind="stable")  # merges two ascending runs
        return self._of_sorted(keys[order], counts[order], shift, self.dtype)

    def _with_few(self, other: Distribution) -> Distribution:
        """Return what `merge` does, faster: of a few bins, with the same shift."""
        places = np.searchsorted(self.keys, other.keys)
        are_new = self.keys[np.minimum(places, self.keys.size - 1)] != other.keys
        counts = self.counts.copy()
        counts[places[~are_new]] += other.counts[~are_new]
        if not are_new.any():
            return Distribution(self.keys, counts, self.shift, self.dtype)
        keys = np.insert(self.keys, places[are_new], other.keys[are_new])
        counts = np.insert(counts, places[are_new], other.counts[are_new])
        if keys.size <= LIMIT:
            return Distribution(keys, counts, self.shift, self.dtype)
        return self._of_sorted(keys, counts, self.shift, self.dtype)

    def as_value(self) -> dict[str, Any]:
        """Return the entries of a window's value."""
        fits = not self.counts.size or self.counts.max() < 2**32
        counts = self.counts.astype(np.uint32) if fits else self.counts
        return {"keys": self.keys, "counts": counts, "shift": self.shift}

    @classmethod
    def from_value(cls, value: dict[str, Any]) -> Distribution:
        """Return the distribution with these entries and the entry `dtype`."""
        # Bins are compared and shifted as unsigned integers of the dtype's size.
        keys = np.asarray(value["keys"], f"u{np.dtype(value['dtype']).itemsize}")
        counts = np.asarray(value["counts"], np.int64)
        return cls(keys, counts, int(value["shift"]), value["dtype"])

    @property
    def values(self) -> Array:
        """The values, if each has its own bin."""
        return _to_values(self.keys, self.dtype)

    def percentiles(
        self, ranks: list[float], lowest: float, highest: float
    ) -> tuple[list[float], float]:
        """Return percentiles with linear interpolation, and the bound of their error.

        Parameters
        ----------
        ranks : list of float
            From 0 to 100.
        lowest, highest : int or float
            Smallest and largest value.

        Returns
        -------
        list of float
            As from `numpy.percentile` if each value has its own bin.
        float
            No percentile is farther than this from that of `numpy.percentile`.
        """
        ends = np.cumsum(self.counts)
        found, bound = [], 0.0
        for rank in ranks:
            position = (int(ends[-1]) - 1) * (rank / 100)
            before = min(math.floor(position), int(ends[-1]) - 1)
            after = min(before + 1, int(ends[-1]) - 1)
            (a, error), (b, other) = (
                self._ranked(number, ends, lowest, highest) for number in (before, after)
            )
            bound = max(bound, error, other)
            found.append(_interpolate(a, b, position - before))
        return found, bound

    def _ranked(self, rank: int, ends: Array, lowest: float, highest: float) -> tuple[float, float]:
        """Return the value at a rank, from 0, and the bound of its error."""
        number = int(np.searchsorted(ends, rank, side="right"))
        key, width = int(self.keys[number]), 1 << self.shift
        kind = self.keys.dtype
        edges = np.array([key * width, key * width + width - 1], dtype=kind)
        first, last = (edge.item() for edge in _to_values(edges, self.dtype))
        # The outermost bins of floats begin and end with NaN.
        first = lowest if math.isnan(first) else max(first, lowest)
        last = highest if math.isnan(last) else min(last, highest)
        if first == last or rank == 0:
            return first, 0.0
        if rank == int(ends[-1]) - 1:
            return highest, 0.0
        count = int(self.counts[number])
        share = (rank - (int(ends[number]) - count) + 0.5) / count
        return first + (last - first) * share, float(last - first)


def _interpolate(a: float, b: float, share: float) -> float:
    """Return a number between two, rounded as `numpy.percentile` does."""
    if a == b or share == 0:
        return float(a)
    return float(b - (b - a) * (1 - share) if share >= 0.5 else a + (b - a) * share)


def _to_keys(values: Array) -> Array:
    """Return unsigned integers in the order of the values; -0 becomes 0."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    unsigned = np.dtype(f"u{size}")
    sign = unsigned.type(1 << (8 * size - 1))
    if kind == "u":
        return values
    if kind == "i":
        keys: Array = values.view(unsigned) ^ sign
        return keys
    bits: Array = (values + values.dtype.type(0)).view(unsigned)
    # All ones for negative numbers, which are inverted; the sign bit for the others.
    flip = (bits.view(f"i{size}") >> (8 * size - 1)).view(unsigned)
    flip |= sign
    bits ^= flip
    return bits


def _to_values(keys: Array, dtype: str) -> Array:
    """Return the values that have these keys."""
    kind, size = np.dtype(dtype).kind, np.dtype(dtype).itemsize
    sign = keys.dtype.type(1 << (8 * size - 1))
    bits: Array = keys
    if kind == "i":
        bits = keys ^ sign
    elif kind == "f":
        bits = np.where(keys & sign, keys ^ sign, ~keys)
    return bits.view(dtype)
