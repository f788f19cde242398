"""The tasks of the contenders, and their windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rasterio.windows import Window

from benchmarks import functions
from benchmarks.rasters import BLOCK

WINDOW_PIXELS = 1024 * 1024


@dataclass(frozen=True)
class Workload:
    """A function on some rasters.

    Attributes
    ----------
    name : str
    about : str
        One line for the report.
    function : callable
        One of `benchmarks.functions`.
    inputs : tuple of str
        Kinds of rasters (`benchmarks.rasters.KINDS`).
    dtype : str
        Data type of the output.
    side : int
        Side of a window, in pixels.
    whole_rows : bool
        Whether windows are as wide as the raster, with about as many pixels.
    """

    name: str
    about: str
    function: Callable[..., Any]
    inputs: tuple[str, ...] = ("nir", "red")
    dtype: str = "float32"
    side: int = 1024
    whole_rows: bool = False

    @property
    def bands(self) -> int:
        """Number of bands of the output."""
        return 3 if self.inputs == ("rgb",) else 1

    def window_shape(self, width: int) -> tuple[int, int]:
        """Return (rows, cols) of a window for the width of a raster."""
        if not self.whole_rows:
            return self.side, self.side
        return max(1, WINDOW_PIXELS // width // BLOCK) * BLOCK, width

    def windows(self, width: int, height: int) -> list[Window]:
        """Cover a raster with windows, row by row."""
        rows, cols = self.window_shape(width)
        return [
            Window(col, row, min(cols, width - col), min(rows, height - row))
            for row in range(0, height, rows)
            for col in range(0, width, cols)
        ]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "index",
            "normalised difference of two uint16 bands, to float32",
            functions.index,
        ),
        Workload(
            "python",
            "a loop in plain Python over every eighth row and column, which holds the GIL",
            functions.collatz,
            inputs=("nir",),
            dtype="uint16",
        ),
        Workload(
            "copy",
            "three bands of uint8, pixel-interleaved, as they are",
            functions.copy,
            inputs=("rgb",),
            dtype="uint8",
        ),
        Workload(
            "strips",
            "the index of inputs in strips of one row, to tiles",
            functions.index,
            inputs=("nir_strips", "red_strips"),
            whole_rows=True,
        ),
        Workload(
            "small",
            "the index in windows of 256 x 256 pixels",
            functions.index,
            side=256,
        ),
        Workload(
            "heavy",
            "transcendental functions in float64, four times over, to float32",
            functions.heavy,
        ),
    )
}
