"""The contenders, and the command with which each does a workload."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import peers
from benchmarks.measure import Command
from benchmarks.task import Task

LIMIT, OURS, ONE_JOB = "limit", "mucho", "mucho-1"


@dataclass(frozen=True)
class Contender:
    """One way to do the workloads.

    Attributes
    ----------
    name : str
        For --only.
    title : str
        For the report.
    command : callable
        Takes a Task; returns a Command, or why there is none.
    missing : callable
        Returns why it cannot run on this machine, or None.
    is_ours : bool
        Whether its pixels must equal those of the limit.
    only_for : tuple of str, or None
        Workloads to run it on; None for all.
    """

    name: str
    title: str
    command: Callable[[Task], Command | str]
    missing: Callable[[], str | None] = lambda: None
    is_ours: bool = False
    only_for: tuple[str, ...] | None = None


def _limit(task: Task) -> Command:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return Command(
        [sys.executable, "-m", "benchmarks.programs.limit", *task.arguments()], one_thread
    )


def _mucho(executor: str, task: Task) -> Command:
    function = Path("benchmarks", "functions.py")
    argv = [peers.rio(), "mucho", *task.inputs, task.output, "-q"]
    argv += ["--func", f"{function}:{task.workload.function.__name__}"]
    argv += ["--jobs", str(task.jobs), "--executor", executor]
    if task.workload.side == 256:
        argv += ["--windows", "256"]
    return Command(argv)


def _one_job(task: Task) -> Command:
    single = Task(task.workload, 1, task.output, task.inputs)
    return _mucho("serial", single)


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(LIMIT, "one plain loop", _limit),
        Contender(OURS, "`rio mucho`", partial(_mucho, "processes"), is_ours=True),
        Contender(
            "mucho-threads",
            "`rio mucho --executor threads`",
            partial(_mucho, "threads"),
            is_ours=True,
        ),
        Contender(
            ONE_JOB, "`rio mucho --jobs 1`", _one_job, is_ours=True, only_for=("python", "heavy")
        ),
        Contender("rio-mucho", "rio-mucho 1.0", peers.rio_mucho, peers.missing_rio_mucho),
        Contender(
            "rio-mucho-threads",
            "rio-mucho 1.0, `GDAL_NUM_THREADS`",
            peers.rio_mucho_threads,
            peers.missing_rio_mucho,
        ),
        Contender("rios", "RIOS, threads", peers.rios, peers.missing_rios),
        Contender("rio-calc", "`rio calc`", peers.rio_calc),
        Contender("dask", "dask + rioxarray, threads", peers.dask_threads, peers.missing_dask),
        Contender(
            "dask-processes",
            "dask + rioxarray, processes",
            peers.dask_processes,
            peers.missing_distributed,
        ),
        Contender("gdal-calc", "`gdal_calc.py`", peers.gdal_calc, peers.missing_gdal_calc),
        Contender("otb", "`otbcli_BandMath`", peers.otb, peers.missing_otb),
    )
}
"""By name, in the order in which they run. The limit is measured in every round."""
