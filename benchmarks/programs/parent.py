"""Run the index, and print what the calling process itself took, as JSON."""

from __future__ import annotations

import json
import os
import resource
import time
from typing import Any

from benchmarks.task import Task
from rio_mucho_cli import Job, run
from rio_mucho_cli.engine.events import RunStarted
from rio_mucho_cli.windows import Size


def main() -> None:
    """Print seconds of CPU time: its own after start-up, and all workers'."""
    # Workers that are children of this process: the system adds up what they take.
    os.environ["MUCHO_START_METHOD"] = "spawn"
    task = Task.of_arguments()
    started = 0.0

    def listen(event: Any) -> None:
        nonlocal started
        if isinstance(event, RunStarted):
            started = time.process_time()

    report = run(
        Job(
            inputs=list(task.inputs),
            output=task.output,
            function=task.workload.function,
            windows=Size(task.workload.side, task.workload.side),
            jobs=task.jobs,
            executor="processes",
        ),
        listen,
    )
    own = time.process_time() - started
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    measured = {
        "own": own,
        "workers": workers.ru_utime + workers.ru_stime,
        "windows": report.windows,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
