"""Let contenders do a workload in turn, round after round."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.contenders import CONTENDERS, LIMIT, Contender
from benchmarks.folders import Folders
from benchmarks.measure import Command, Measured, measure
from benchmarks.pixels import difference
from benchmarks.task import Task
from benchmarks.workloads import Workload


@dataclass
class Result:
    """What one contender took, in every round.

    Attributes
    ----------
    contender : Contender
    runs : list of Measured
    failed : Measured or None
        The run that failed; it is the last one then.
    bytes : int
        Of the last output; 0 until then.
    difference : float or None
        The largest one of its pixels from the limit's; None if there was
        nothing to compare.
    """

    contender: Contender
    runs: list[Measured] = field(default_factory=list)
    failed: Measured | None = None
    bytes: int = 0
    difference: float | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it failed, or is ours and has not the limit's pixels."""
        return self.failed is not None or (self.contender.is_ours and bool(self.difference))


@dataclass
class Competition:
    """One workload at one size, with all who took part, and all who did not.

    Attributes
    ----------
    workload : Workload
    size : int
    jobs : int
    results : dict
        By the contender's name; the limit is the first.
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
    """Run every contender once in each round, whatever came before.

    Parameters
    ----------
    workload : Workload
    size : int
        Rows and columns of the rasters.
    jobs : int
    rounds : int
    names : sequence of str
        Of the contenders beside the limit.
    folders : Folders
    """
    inputs = folders.inputs(workload, size)
    competition = Competition(workload, size, jobs)
    commands: dict[str, Command] = {}
    for name, contender in CONTENDERS.items():
        is_wanted = contender.only_for is None or workload.name in contender.only_for
        if name != LIMIT and not (name in names and is_wanted):
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
                _say(f"{workload.name} {size}, round {number}/{rounds}: {name}", result)
    folders.output(LIMIT).unlink(missing_ok=True)
    return competition


def _run(result: Result, command: Command, folders: Folders, *, is_last: bool) -> None:
    """Measure one run; look at its output if it is the last one."""
    output = folders.output(result.contender.name)
    reference = folders.output(LIMIT)
    output.unlink(missing_ok=True)
    measured = measure(command)
    if measured.status != 0 or not output.exists():
        result.failed = measured
    else:
        result.runs.append(measured)
        if is_last:
            result.bytes = output.stat().st_size
            if reference.exists():
                result.difference = difference(output, reference)
    if output != reference:
        output.unlink(missing_ok=True)


def _say(what: str, result: Result) -> None:
    seconds = "failed" if result.failed else f"{result.runs[-1].wall:.2f} s"
    print(f"{what}: {seconds}", file=sys.stderr, flush=True)
