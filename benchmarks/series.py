"""A median of many scenes, beside odc-stac and stackstac with dask."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks.folders import Folders
from benchmarks.measure import Command, Measurement, measure
from benchmarks.modes import FailedError
from benchmarks.peers import rio
from benchmarks.pixels import difference
from benchmarks.report import failure, number, table
from benchmarks.scenes import scenes

_OURS = "`rio mucho`"
_PEERS = ("odc-stac", "stackstac")
_HEAD = [
    "", "seconds", "`rio mucho` / it", "CPU seconds", "its share", "peak RSS, MiB",
    "peak PSS, MiB", "its share",
]  # fmt: skip


def series(count: int, size: int, jobs: int, rounds: int, folders: Folders) -> str:
    """Return a table of the time and memory that a median of scenes takes.

    Raises
    ------
    FailedError
        If a run fails, or pixels of two outputs differ.
    """
    items = str(scenes(folders.rasters, count, size))
    own_median = [rio(), "mucho", "--inputs", items, "--assets", "red", "--plain", "-q"]
    own_median += ["--mode", "array_read", "--overwrite", "--jobs", str(jobs)]
    function = "benchmarks/functions.py:"
    argvs = {_OURS: [*own_median, "--fill", "nan", "--func", f"{function}median"]}
    slow = {
        f"{_OURS}, `np.ma.median`": [*own_median, "--masked", "--func", f"{function}masked_median"]
    }
    absent = []
    program = [sys.executable, "-m", "benchmarks.programs.series"]
    for peer in _PEERS:
        try:
            title = f"{peer} {version(peer)}"
        except PackageNotFoundError:
            absent.append(f"- not run: {peer}: it is not installed: `pip install {peer}`")
            continue
        argvs[title] = [*program, peer, "threads", str(jobs), "function", items]
        slow[f"{title}, its own median"] = [*program, peer, "threads", str(jobs), "own", items]
    runs: dict[str, list[Measurement]] = {title: [] for title in [*argvs, *slow]}
    reference = folders.output("median")
    for number_of_round in range(rounds):
        # Once is enough to see that another function takes several times as long.
        for title, argv in [*argvs.items(), *(slow.items() if not number_of_round else ())]:
            output = reference if title == _OURS else folders.output("other")
            place = argv.index(items) + 1
            run = measure(Command([*argv[:place], str(output), *argv[place:]]))
            if run.status != 0:
                raise FailedError(f"{title} {failure(run)}")
            runs[title].append(run)
            _check(title, output, reference)
    rows = [_row(title, measured, runs[_OURS]) for title, measured in runs.items()]
    text = f"## A median of {count} scenes, {size} x {size}, {jobs} jobs"
    return "\n\n".join([text, table(_HEAD, rows), *absent])


def _check(title: str, output: Path, reference: Path) -> None:
    if output != reference:
        differs = difference(output, reference)
        output.unlink()
        if differs:
            raise FailedError(f"{title}: pixels differ by {differs} from those of {_OURS}")


def _row(title: str, runs: list[Measurement], ours: list[Measurement]) -> list[str]:
    def ratio(name: str) -> str:
        pairs = zip(ours, runs, strict=False)
        values = [(getattr(own, name) or 0) / (getattr(run, name) or 1) for own, run in pairs]
        return "" if title == _OURS else number(median(values))

    return [
        title,
        number(median(run.wall for run in runs)),
        ratio("wall"),
        number(median(run.cpu for run in runs)),
        ratio("cpu"),
        number(median(run.rss or 0 for run in runs), 0),
        number(median(run.pss or 0 for run in runs), 0),
        ratio("pss"),
    ]
