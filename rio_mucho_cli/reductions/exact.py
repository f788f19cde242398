"""Exact sums of numbers and of their squares.

Sums are integers times a power of two, (mantissa, exponent). They do not depend on
the order of the numbers, and neither does what is computed from them.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
Exact: TypeAlias = tuple[int, int]

ZERO: Exact = (0, 0)
# Numbers summed at once: they fit in the CPU cache. A float64 holds the sum of 2**16
# numbers of 36 bits exactly.
_CHUNK = 32768
_COUNT_BITS = 16
_FRACTION = 52  # bits of a float64 after the first
_DIGIT = 16  # bits: float64 holds the sum of 2**16 products of two such digits
_SPLIT = 2.0**27 + 1  # halves the digits of a float64 (T. J. Dekker, 1971)
_FAR = 400  # squares of 2.0 ** this are far from overflow, and from underflow


def add(a: Exact, b: Exact) -> Exact:
    """Return the sum of two exact numbers."""
    exponent = min(a[1], b[1])
    return (a[0] << (a[1] - exponent)) + (b[0] << (b[1] - exponent)), exponent


def shortened(number: Exact) -> Exact:
    """Return the same number with the smallest mantissa."""
    mantissa, exponent = number
    if not mantissa:
        return ZERO
    zeros = (mantissa & -mantissa).bit_length() - 1
    return mantissa >> zeros, exponent + zeros


def moments(values: Array) -> tuple[Exact, Exact]:
    """Return the exact sum of finite numbers, and of their squares.

    Parameters
    ----------
    values : ndarray
        (pixels,), integers or floats of at most 64 bits.

    Notes
    -----
    Squares of float64 may lose digits that are 2**-200 times the largest number of
    32768, and smaller.
    """
    total, squares = ZERO, ZERO
    of_chunk = _of_floats if values.dtype.kind == "f" else _of_integers
    for start in range(0, values.size, _CHUNK):
        first, second = of_chunk(values[start : start + _CHUNK])
        total, squares = add(total, first), add(squares, second)
    return shortened(total), shortened(squares)


def moments_of_counts(values: Array, counts: Array) -> tuple[Exact, Exact]:
    """Return both sums of integers that occur several times."""
    total = squares = 0
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        total += value * count
        squares += value * value * count
    return (total, 0), (squares, 0)


def _of_integers(values: Array) -> tuple[Exact, Exact]:
    """Return both sums, by 16-bit digits of the distances from the smallest number.

    Unlike `numpy.dot`, `numpy.einsum` starts no threads.
    """
    lowest, size = int(values.min()), max(4, values.dtype.itemsize)
    unsigned = values.astype(f"{values.dtype.kind}{size}", copy=False).view(f"u{size}")
    kind = unsigned.dtype.type
    apart = unsigned - kind(lowest % 2 ** (8 * size))  # wraps around, as two's complement does
    length = max(1, -(-int(apart.max()).bit_length() // _DIGIT))
    digits = [
        ((apart >> kind(_DIGIT * n)) & kind(2**_DIGIT - 1)).astype(float) for n in range(length)
    ]
    above = sum(int(digit.sum()) << (_DIGIT * n) for n, digit in enumerate(digits))
    squares = sum(
        int(np.einsum("i,i", digits[i], digits[j])) << (_DIGIT * (i + j) + (i != j))
        for i in range(length)
        for j in range(i + 1)
    )
    count = values.size
    return (above + count * lowest, 0), (squares + 2 * lowest * above + count * lowest**2, 0)


def _of_floats(values: Array) -> tuple[Exact, Exact]:
    numbers = values.astype(np.float64)
    total, scale = _sum(numbers), _exponent(numbers)
    if abs(scale) > _FAR:
        numbers = np.ldexp(numbers, -scale)
    else:
        scale = 0
    squares = ZERO
    for product in _squares(numbers, values.dtype.itemsize):
        squares = add(squares, _sum(product))
    return total, (squares[0], squares[1] + 2 * scale)


def _squares(numbers: Array, size: int) -> list[Array]:
    """Return arrays whose sum is that of the squares of float64 that had `size` bytes."""
    if size <= 4:  # squares of 24 digits fit in float64
        return [numbers * numbers]
    scaled = numbers * _SPLIT
    high = scaled - (scaled - numbers)
    low = numbers - high
    return [high * high, 2 * high * low, low * low] if low.any() else [high * high]


def _sum(numbers: Array) -> Exact:
    """Return the exact sum of a chunk of float64.

    Notes
    -----
    Adding and subtracting a large number rounds all numbers to multiples of one
    unit, which numpy sums without error in any order. The remainders, which are
    exact, follow in the same way; mostly there is one round of them, or none. See
    J. Demmel and H. D. Nguyen: "Parallel Reproducible Summation", IEEE Transactions
    on Computers 64 (2015).
    """
    exponent = _exponent(numbers)
    if exponent > _FAR:  # rounding could overflow
        are_large = np.abs(numbers) >= 1
        mantissa, power = _sum(np.ldexp(numbers[are_large], -2 * _FAR))
        return add((mantissa, power + 2 * _FAR), _sum(numbers[~are_large]))
    total, rest = ZERO, numbers
    while rest.any():
        # The unit is at least 2**-1074, of which every float64 is a multiple.
        power = max(exponent + _COUNT_BITS, -1022)
        unit = power - _FRACTION
        large = math.ldexp(1.5, power)
        rounded = rest + large
        rounded -= large
        total = add(total, (int(math.ldexp(float(rounded.sum()), -unit)), unit))
        rest = rest - rounded
        exponent = unit
    return total


def _exponent(numbers: Array) -> int:
    """Return the smallest e with |x| < 2**e for all numbers; 0 if all are zero."""
    return math.frexp(max(-float(numbers.min(initial=0)), float(numbers.max(initial=0))))[1]


def quotient(number: Exact, divisor: int) -> float:
    """Return the float nearest to the number divided by a positive integer.

    It is infinite where there is no such float.
    """
    mantissa, exponent = number
    try:
        return (mantissa << max(exponent, 0)) / (divisor << max(-exponent, 0))
    except OverflowError:
        return math.inf if mantissa > 0 else -math.inf


def deviation(count: int, total: Exact, squares: Exact) -> float:
    """Return the population standard deviation, from exact sums.

    It is accurate to the last digit or the one before, however large the mean is.
    """
    mantissa, exponent = add((count * squares[0], squares[1]), (-(total[0] ** 2), 2 * total[1]))
    if mantissa <= 0:
        return 0.0
    more = max(0, 130 - mantissa.bit_length())
    more += (exponent - more) % 2
    root = math.isqrt(mantissa << more)
    return quotient((root, (exponent - more) // 2), count)


def grouped_moments(
    values: Array, starts: Array, *, squares: bool = True
) -> tuple[list[Exact], list[Exact]]:
    """Return the exact sum of each group of finite numbers, and of their squares.

    Parameters
    ----------
    values : ndarray
        (pixels,), integers or floats of at most 64 bits, group by group.
    starts : ndarray
        Index of the first number of each group; no group is empty.
    squares : bool
        Whether the second list is wanted; otherwise it is empty.
    """
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind != "f" and size <= 4:
        return _groups_of_integers(values, starts, squares=squares)
    if kind == "f":
        numbers = values.astype(np.float64)
        exponent = _exponent(numbers)
        if abs(exponent) <= _FAR:
            products = _squares(numbers, values.dtype.itemsize) if squares else []
            return (
                _group_sums([numbers], starts, exponent),
                _group_sums(products, starts, 2 * exponent) if squares else [],
            )
    pairs = [moments(group) for group in np.split(values, starts[1:])]
    return [total for total, _ in pairs], [square for _, square in pairs] if squares else []


def _groups_of_integers(
    values: Array, starts: Array, *, squares: bool
) -> tuple[list[Exact], list[Exact]]:
    numbers = values.astype(np.int64)
    totals = [(total, 0) for total in np.add.reduceat(numbers, starts).tolist()]
    if not squares:
        return totals, []
    if values.dtype.itemsize <= 2:
        return totals, [(total, 0) for total in np.add.reduceat(numbers**2, starts).tolist()]
    high, low = numbers >> _DIGIT, numbers & (2**_DIGIT - 1)
    digits = [
        np.add.reduceat(product, starts).tolist()
        for product in (high * high, high * low, low * low)
    ]
    return totals, [
        ((a << 2 * _DIGIT) + (b << _DIGIT + 1) + c, 0) for a, b, c in zip(*digits, strict=True)
    ]


def _group_sums(terms: list[Array], starts: Array, exponent: int) -> list[Exact]:
    """Return the exact sums of groups of float64, all smaller than 2**exponent; see `_sum`."""
    longest = int(np.diff(starts, append=terms[0].size).max())
    count_bits = longest.bit_length() + 1
    sums: list[Exact] = [ZERO] * starts.size
    for term in terms:
        rest, above = term, exponent
        while rest.any():
            power = max(above + count_bits, -1022)
            unit = power - _FRACTION
            large = math.ldexp(1.5, power)
            rounded = rest + large
            rounded -= large
            found = np.ldexp(np.add.reduceat(rounded, starts), -unit).astype(np.int64)
            sums = [
                add(total, (number, unit)) if number else total
                for total, number in zip(sums, found.tolist(), strict=True)
            ]
            rest = rest - rounded
            above = unit
    return [shortened(number) for number in sums]
