"""A program that uses rio-mucho 1.0, in windows like `rio mucho`'s."""

from __future__ import annotations

import riomucho

from benchmarks.task import Task


def main() -> None:
    """Run the function on all windows, in as many processes as there are jobs."""
    task = Task.of_arguments()
    profile = task.profile()
    windows = task.workload.windows(profile["width"], profile["height"])
    with riomucho.RioMucho(
        list(task.inputs),
        task.output,
        task.workload.function,
        windows=[(window, (0, 0)) for window in windows],
        options=profile,
    ) as run:
        run.run(task.jobs)


if __name__ == "__main__":
    main()
