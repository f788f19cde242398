"""The task of one of our programs, as its command line has it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import rasterio

from benchmarks.rasters import BLOCK
from benchmarks.workloads import WORKLOADS, Workload


@dataclass(frozen=True)
class Task:
    """A workload, with files and a number of jobs."""

    workload: Workload
    jobs: int
    output: str
    inputs: tuple[str, ...]

    @classmethod
    def of_arguments(cls) -> Task:
        """Read WORKLOAD JOBS OUTPUT INPUTS... from the command line."""
        name, jobs, output, *inputs = sys.argv[1:]
        return cls(WORKLOADS[name], int(jobs), output, tuple(inputs))

    def arguments(self) -> list[str]:
        """Return the arguments that `of_arguments` reads."""
        return [self.workload.name, str(self.jobs), self.output, *self.inputs]

    def profile(self) -> dict[str, Any]:
        """Return the output's profile: the first input's grid, tiles, deflate."""
        with rasterio.open(self.inputs[0]) as source:
            grid = {name: source.profile[name] for name in ("width", "height", "crs", "transform")}
        return {
            **grid,
            **CREATION_OPTIONS,
            "driver": "GTiff",
            "count": self.workload.bands,
            "dtype": self.workload.dtype,
            "interleave": "pixel",
        }


CREATION_OPTIONS = {
    "tiled": "yes",
    "blockxsize": str(BLOCK),
    "blockysize": str(BLOCK),
    "compress": "deflate",
    "bigtiff": "if_safer",
}
"""Creation options of each contender's output."""
