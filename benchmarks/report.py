"""Turn measurements into markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.contenders import LIMIT, ONE_JOB, OURS
from benchmarks.measure import Measurement
from benchmarks.rounds import Competition, Result

_ERROR_LINES = 5

LEGEND = """\
Seconds are medians of wall time, of one new process per run. The limit is the CPU time of one
plain loop in one process, divided by the jobs. Ratios are medians of the rounds' ratios;
"`rio mucho` / it" below 1 means that `rio mucho` is faster. CPU time and memory are those of the
whole process tree; RSS counts what processes share once for each, PSS once. Size is the output's,
against the plain loop's; so are its pixels."""

_HEAD = [
    "", "seconds", "/ limit", "`rio mucho` / it", "CPU s", "peak RSS, MiB", "peak PSS, MiB", "size",
    "pixels",
]  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table; all columns but the first are numbers."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as text, or n/a."""
    return "n/a" if value is None else f"{value:.{digits}f}"


def competition_section(competition: Competition) -> str:
    """Return the section of one workload at one size."""
    workload, size, jobs = competition.workload, competition.size, competition.jobs
    about = workload.about
    parts = [
        f"## `{workload.name}`, {size} x {size}, {jobs} jobs",
        f"{about[0].upper()}{about[1:]}.",
    ]
    if limits := competition.limits():
        limit = median(limits)
        cpu = limit * jobs
        parts.append(f"Limit: {cpu:.2f} s of CPU time / {jobs} jobs = {limit:.2f} s.")
    parts.append(
        table(
            _HEAD,
            [
                _row(competition, name)
                for name, result in competition.results.items()
                if result.runs
            ],
        )
    )
    speed_up = competition.ratio(ONE_JOB, OURS)
    if speed_up is not None:
        parts.append(f"Speed-up of `rio mucho` from 1 job to {jobs}: {speed_up:.2f}.")
    remarks = [f"- not run: {title}: {reason}" for title, reason in competition.absent]
    remarks += [_failure(result) for result in competition.results.values() if result.is_wrong]
    if remarks:
        parts.append("\n".join(remarks))
    return "\n\n".join(parts)


def _row(competition: Competition, name: str) -> list[str]:
    result = competition.results[name]
    limits = competition.limits()
    return [
        result.contender.title,
        number(_median(result, "wall")),
        number(median(run.wall / limit for run, limit in zip(result.runs, limits, strict=False)))
        if limits
        else "n/a",
        "" if name == OURS else number(competition.ratio(OURS, name)),
        number(_median(result, "cpu")),
        number(_median(result, "rss"), 0),
        number(_median(result, "pss"), 0),
        _size(result, competition.results[LIMIT]),
        _pixels(result),
    ]


def _median(result: Result, name: str) -> float | None:
    values = [getattr(run, name) for run in result.runs]
    return None if None in values else median(values)


def _size(result: Result, limit: Result) -> str:
    return number(result.bytes / limit.bytes, 3) if result.bytes and limit.bytes else "n/a"


def _pixels(result: Result) -> str:
    if result.difference is None:
        return "n/a"
    return "identical" if result.difference == 0 else f"differ by {result.difference:.2g}"


def _failure(result: Result) -> str:
    if result.failed is None:
        return f"- ERROR: {result.contender.title}: its pixels are not the plain loop's"
    return f"- ERROR: {result.contender.title} {failure(result.failed)}"


def failure(run: Measurement) -> str:
    """Return the exit status of a run, and the end of its errors, as markdown."""
    lines = run.errors.strip().splitlines()[-_ERROR_LINES:]
    errors = "".join(f"\n      {line}" for line in lines)
    return (
        f"ended with status {run.status}:\n{errors}"
        if errors
        else (f"ended with status {run.status}, without an output")
    )
