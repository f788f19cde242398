"""The user functions of the workloads, for every contender that takes one.

Each is called as func(data, window, ij, global_args), with a list of arrays
(count, rows, cols), and returns one such array, as rio-mucho expects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STEP = 8
"""`collatz` samples every eighth row and column. Windows start at multiples of it."""

Arrays = list[NDArray[Any]]


def index(data: Arrays, window: Any, ij: Any, global_args: Any) -> NDArray[Any]:
    """Return the normalised difference of two bands, as float32."""
    nir, red = (array.astype("float32") for array in data)
    difference: NDArray[Any] = (nir - red) / (nir + red)
    return difference


def copy(data: Arrays, window: Any, ij: Any, global_args: Any) -> NDArray[Any]:
    """Return the first input as it is."""
    return data[0]


def heavy(data: Arrays, window: Any, ij: Any, global_args: Any) -> NDArray[Any]:
    """Iterate some transcendental functions in float64; return float32."""
    x, y = (array.astype("float64") / 10000 for array in data)
    for _ in range(4):
        x, y = np.sin(x) * np.exp(-y) + np.log1p(x * x), np.arctan2(x, 1 + y * y)
    return np.hypot(x, y).astype("float32")


def focal_mean(data: Arrays, window: Any, ij: Any, global_args: Any) -> NDArray[Any]:
    """Return the mean of 3 x 3 pixels; without overlap, windows' edges are repeated."""
    (array,) = data
    if array.shape[1] == window.height:
        array = np.pad(array, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = array[:, :-2] + array[:, 1:-1] + array[:, 2:]
    mean: NDArray[Any] = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(9)
    return mean


def collatz(data: Arrays, window: Any, ij: Any, global_args: Any) -> NDArray[Any]:
    """Count the steps of 3n + 1 from some pixels' squares to 1, in plain Python.

    It never releases the GIL. Each sampled pixel stands for a square of STEP x
    STEP.
    """
    band = data[0][0]
    sample = band[::STEP, ::STEP]
    counts = [_steps(int(value) ** 2) for value in sample.ravel()]
    sampled_counts = np.array(counts, dtype="uint16").reshape(sample.shape)
    all_counts = sampled_counts.repeat(STEP, axis=0).repeat(STEP, axis=1)
    return all_counts[np.newaxis, : band.shape[0], : band.shape[1]]


def median(scenes: NDArray[Any]) -> NDArray[Any]:
    """Return the median of (scenes, rows, cols) without NaN, as float32."""
    ordered = np.sort(scenes, axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0, keepdims=True)
    low = np.take_along_axis(ordered, (count - 1) // 2, axis=0)
    high = np.take_along_axis(ordered, count // 2, axis=0)
    middle: NDArray[Any] = (low[0] + high[0]) / 2
    return middle


def masked_median(scenes: NDArray[Any]) -> NDArray[Any]:
    """Return the median of a masked array, by numpy's own function."""
    middle: NDArray[Any] = np.ma.median(scenes, axis=0).astype("float32")
    return middle


class Extremes:
    """Minimum and maximum."""

    def __call__(self, data: Arrays, window: Any, ij: Any, global_args: Any) -> list[int]:
        """Return those of a window."""
        return [int(data[0].min()), int(data[0].max())]

    @staticmethod
    def merge(a: list[int], b: list[int]) -> list[int]:
        """Return those of both."""
        return [min(a[0], b[0]), max(a[1], b[1])]


def _steps(number: int) -> int:
    steps = 0
    while number > 1:
        number = 3 * number + 1 if number % 2 else number // 2
        steps += 1
    return steps
