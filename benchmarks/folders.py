"""Folders of rasters and outputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rasters import raster
from benchmarks.workloads import Workload


@dataclass(frozen=True)
class Folders:
    """A folder of rasters, which may be kept, and one of outputs, which is not."""

    rasters: Path
    outputs: Path

    def inputs(self, workload: Workload, size: int) -> tuple[str, ...]:
        """Return the paths of a workload's inputs, which are created if missing."""
        return tuple(str(raster(self.rasters, kind, size)) for kind in workload.inputs)

    def output(self, name: str) -> Path:
        """Return the path of a contender's output."""
        return self.outputs / f"{name}.tif"


@contextmanager
def folders(rasters: Path | None) -> Iterator[Folders]:
    """Create the folders; remove the temporary ones at the end.

    Parameters
    ----------
    rasters : Path or None
        Folder for the rasters, which are kept; None for a temporary one.
    """
    with ExitStack() as stack:
        if rasters is None:
            rasters = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        rasters.mkdir(parents=True, exist_ok=True)
        outputs = stack.enter_context(tempfile.TemporaryDirectory(prefix="outputs-", dir=rasters))
        yield Folders(rasters.resolve(), Path(outputs).resolve())
