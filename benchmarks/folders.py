"""Where rasters and outputs are."""

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
    """A folder of rasters, which may stay, and one of outputs, which does not."""

    rasters: Path
    outputs: Path

    def inputs(self, workload: Workload, size: int) -> tuple[str, ...]:
        """Return the paths of a workload's inputs, which are made if need be."""
        return tuple(str(raster(self.rasters, kind, size)) for kind in workload.inputs)

    def output(self, name: str) -> Path:
        """Return the path of a contender's output."""
        return self.outputs / f"{name}.tif"


@contextmanager
def folders(given: Path | None) -> Iterator[Folders]:
    """Make the folders, and remove those that are nobody's.

    Parameters
    ----------
    given : Path or None
        For the rasters, which stay there; None: a temporary folder.
    """
    with ExitStack() as stack:
        if given is None:
            given = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        given.mkdir(parents=True, exist_ok=True)
        outputs = stack.enter_context(tempfile.TemporaryDirectory(prefix="outputs-", dir=given))
        yield Folders(given.resolve(), Path(outputs).resolve())
