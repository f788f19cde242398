"""A program that uses RIOS, with threads that read, compute and compress."""

from __future__ import annotations

from typing import Any

from rasterio.windows import Window
from rios import applier

from benchmarks.task import CREATION_OPTIONS, Task


def main() -> None:
    """Run the function on all windows, with as many threads of each kind as there are jobs."""
    task = Task.of_arguments()
    profile = task.profile()
    rows, cols = task.workload.window_shape(profile["width"])

    def compute(info: Any, inputs: Any, outputs: Any) -> None:
        array = next(iter(inputs.data))
        window = Window(0, 0, array.shape[2], array.shape[1])
        outputs.result = task.workload.function(list(inputs.data), window, (0, 0), None)

    inputs, outputs = applier.FilenameAssociations(), applier.FilenameAssociations()
    inputs.data = list(task.inputs)
    outputs.result = task.output
    controls = applier.ApplierControls()
    controls.setOutputDriverName("GTiff")
    options = {**CREATION_OPTIONS, "num_threads": str(task.jobs)}
    if task.workload.bands > 1:
        options["interleave"] = "pixel"
    controls.setCreationOptions([f"{name.upper()}={value}" for name, value in options.items()])
    controls.setWindowSize(cols, rows)
    controls.setCalcStats(False)
    controls.setOmitPyramids(True)
    controls.setConcurrencyStyle(
        applier.ConcurrencyStyle(
            numReadWorkers=task.jobs,
            numComputeWorkers=task.jobs,
            computeWorkerKind=applier.CW_THREADS,
        )
    )
    applier.apply(compute, inputs, outputs, controls=controls)


if __name__ == "__main__":
    main()
