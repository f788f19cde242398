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
    if values.dtype.itemsize <= 4:  # squares of 24 digits fit in float64
        products = [numbers * numbers]
    else:
        scaled = numbers * _SPLIT
        high = scaled - (scaled - numbers)
        low = numbers - high
        products = [high * high]
        if low.any():
            products += [2 * high * low, low * low]
    squares = ZERO
    for product in products:
        squares = add(squares, _sum(product))
    return total, (squares[0], squares[1] + 2 * scale)


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
