"""Run contenders in turn, round after round."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.contenders import CONTENDERS, LIMIT, Contender
from benchmarks.folders import Folders
from benchmarks.measure import Command, Measurement, measure
from benchmarks.pixels import difference
from benchmarks.task import Task
from benchmarks.workloads import Workload


@dataclass
class Result:
    """Runs of one contender, in all rounds.

    Attributes
    ----------
    contender : Contender
    runs : list of Measurement
    failed : Measurement or None
        The failed run, which is the last one.
    bytes : int
        Size of the last output; 0 until it is written.
    difference : float or None
        Largest difference from the pixels of the limit; None if not
        compared.
    """

    contender: Contender
    runs: list[Measurement] = field(default_factory=list)
    failed: Measurement | None = None
    bytes: int = 0
    difference: float | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it failed, or is ours and differs from the limit."""
        return self.failed is not None or (self.contender.is_ours and bool(self.difference))


@dataclass
class Competition:
    """Results of one workload at one size, and contenders that did not run.

    Attributes
    ----------
    workload : Workload
    size : int
    jobs : int
    results : dict
        Results by contender name; the limit is first.
    absent : list of (title, reason)
    """

    workload: Workload
    size: int
    jobs: int
    results: dict[str, Result] = field(default_factory=dict)
    absent: list[tuple[str, str]] = field(default_factory=list)

    def limits(self) -> list[float]:
        """Return the plain loop's CPU time over the jobs, for every round."""
        return [run.cpu / self.jobs for run in self.results[LIMIT].runs]

    def ratio(self, one: str, other: str) -> float | None:
        """Return the median of the rounds' ratios of two contenders' wall times."""
        if not all(name in self.results and self.results[name].runs for name in (one, other)):
            return None
        pairs = zip(self.results[one].runs, self.results[other].runs, strict=False)
        return median(a.wall / b.wall for a, b in pairs)


def compete(
    workload: Workload, size: int, jobs: int, rounds: int, names: Sequence[str], folders: Folders
) -> Competition:
    """Run each contender once in each round.

    Parameters
    ----------
    workload : Workload
    size : int
        Rows and columns of the rasters.
    jobs : int
    rounds : int
    names : sequence of str
        Names of the contenders besides the limit.
    folders : Folders
    """
    inputs = folders.inputs(workload, size)
    competition = Competition(workload, size, jobs)
    commands: dict[str, Command] = {}
    for name, contender in CONTENDERS.items():
        suits = contender.only_for is None or workload.name in contender.only_for
        if name != LIMIT and not (name in names and suits):
            continue
        output = str(folders.output(name))
        command = contender.missing() or contender.command(Task(workload, jobs, output, inputs))
        if isinstance(command, str):
            competition.absent.append((contender.title, command))
        else:
            competition.results[name] = Result(contender)
            commands[name] = command
    for number in range(1, rounds + 1):
        for name, result in competition.results.items():
            if result.failed is None:
                _run(result, commands[name], folders, is_last=number == rounds)
                _print_progress(f"{workload.name} {size}, round {number}/{rounds}: {name}", result)
    folders.output(LIMIT).unlink(missing_ok=True)
    return competition


def _run(result: Result, command: Command, folders: Folders, *, is_last: bool) -> None:
    """Measure one run; compare its output if it is the last one."""
    output = folders.output(result.contender.name)
    reference = folders.output(LIMIT)
    output.unlink(missing_ok=True)
    measurement = measure(command)
    if measurement.status != 0 or not output.exists():
        result.failed = measurement
    else:
        result.runs.append(measurement)
        if is_last:
            result.bytes = output.stat().st_size
            if reference.exists():
                result.difference = difference(output, reference)
    if output != reference:
        output.unlink(missing_ok=True)


def _print_progress(run: str, result: Result) -> None:
    seconds = "failed" if result.failed else f"{result.runs[-1].wall:.2f} s"
    print(f"{run}: {seconds}", file=sys.stderr, flush=True)
