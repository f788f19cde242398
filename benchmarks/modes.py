"""Other benchmarks: memory, the main process, overlap, finished outputs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.folders import Folders
from benchmarks.measure import Command, Measurement, measure
from benchmarks.peers import missing_cogeo, missing_rio_mucho, rio, rio_mucho
from benchmarks.rasters import raster
from benchmarks.report import failure, number, table
from benchmarks.task import Task
from benchmarks.workloads import WORKLOADS

_PLAIN = "`rio mucho`"


class FailedError(Exception):
    """A measured run failed."""


def memory(sizes: Sequence[int], jobs: int, folders: Folders) -> str:
    """Return a table of `rio mucho`'s peak memory, for the index at several sizes."""
    rows = []
    for size in sizes:
        task = _task("index", size, jobs, folders)
        command = CONTENDERS[OURS].command(task)
        assert isinstance(command, Command)
        run = measure(command)
        Path(task.output).unlink(missing_ok=True)
        if run.status != 0:
            raise FailedError(f"{OURS} at {size} {failure(run)}")
        inputs = len(task.inputs) * size * size * 2 / 1024**2
        rows.append(
            [
                f"{size} x {size}",
                number(inputs, 0),
                number(run.wall),
                number(run.rss, 0),
                number(run.pss, 0),
            ]
        )
    head = ["raster", "inputs in memory would be, MiB", "seconds", "peak RSS, MiB", "peak PSS, MiB"]
    return f"## Memory of `rio mucho`, `index`, {jobs} jobs\n\n{table(head, rows)}"


def parent(sizes: Sequence[int], jobs: int, rounds: int, folders: Folders) -> str:
    """Return a table of the CPU time of the main process itself."""
    rows = []
    for size in sizes:
        for name in ("index", "small"):
            task = _task(name, size, jobs, folders)
            argv = [sys.executable, "-m", "benchmarks.programs.parent", *task.arguments()]
            shares, costs = [], []
            for _ in range(rounds):
                Path(task.output).unlink(missing_ok=True)
                run = measure(Command(argv))
                if run.status != 0:
                    raise FailedError(f"the program at {size} {failure(run)}")
                times = json.loads(run.output)
                shares.append(100 * times["own"] / (times["own"] + times["workers"]))
                costs.append(1000 * times["own"] / times["windows"])
            Path(task.output).unlink(missing_ok=True)
            side = task.workload.side
            rows.append(
                [
                    f"{size} x {size}",
                    f"{side} x {side}",
                    str(times["windows"]),
                    number(median(shares), 1),
                    number(median(costs), 3),
                ]
            )
    head = ["raster", "window", "windows", "share of all CPU time, %", "ms for each window"]
    return f"## The calling process after start-up, `index`, {jobs} jobs\n\n{table(head, rows)}"


def overlap(sizes: Sequence[int], jobs: int, rounds: int, folders: Folders) -> str:
    """Return a table of the cost of one pixel of overlap to a 3 x 3 focal mean."""
    rows = []
    for size in sizes:
        dem = str(raster(folders.rasters, "dem", size))
        output = folders.output(OURS)
        argv = [rio(), "mucho", dem, str(output), "-q", "--jobs", str(jobs)]
        argv += ["--func", "benchmarks/functions.py:focal_mean"]
        seconds: dict[int, list[float]] = {0: [], 1: []}
        for _ in range(rounds):
            for pixels, walls in seconds.items():
                output.unlink(missing_ok=True)
                run = measure(Command([*argv, "--overlap", str(pixels)]))
                if run.status != 0:
                    raise FailedError(f"{OURS} at {size} {failure(run)}")
                walls.append(run.wall)
        output.unlink(missing_ok=True)
        ratios = [
            with_overlap / without for without, with_overlap in zip(*seconds.values(), strict=True)
        ]
        medians = [number(median(walls)) for walls in seconds.values()]
        rows.append([f"{size} x {size}", *medians, number(median(ratios))])
    head = ["raster", "seconds without overlap", "with overlap 1", "ratio"]
    return f"## A 3 x 3 focal mean of an elevation model, {jobs} jobs\n\n{table(head, rows)}"


def values(size: int, jobs: int, rounds: int, folders: Folders) -> str:
    """Return tables of a reduction beside a plain loop, and of many small values."""
    nir = str(raster(folders.rasters, "nir", size))
    program = [sys.executable, "-m", "benchmarks.programs.values"]
    ours = [rio(), "mucho", nir, "-", "-q", "--jobs", str(jobs)]
    ours += ["--func", "benchmarks/functions.py:Extremes"]
    commands = {"limit": Command([*program, "extremes", nir]), "ours": Command(ours)}
    runs: dict[str, list[Measurement]] = {"limit": [], "ours": []}
    for _ in range(rounds):
        for name, command in commands.items():
            run = measure(command)
            if run.status != 0:
                raise FailedError(f"{name} at {size} {failure(run)}")
            runs[name].append(run)
    limit = median(run.cpu for run in runs["limit"]) / jobs
    walls = [run.wall for run in runs["ours"]]
    peak = median(run.pss or 0 for run in runs["ours"])
    row = [f"{size} x {size}", number(limit), number(median(walls)), number(median(walls) / limit)]
    head = ["raster", "limit, seconds", _PLAIN, "/ limit", "peak PSS, MiB"]
    text = f"## Minimum and maximum, {jobs} jobs\n\n{table(head, [[*row, number(peak, 0)]])}"
    rows = []
    for side in (64, 16, 8):
        output = folders.output("lines").with_suffix(".ndjson")
        output.unlink(missing_ok=True)
        run = measure(Command([*program, "lines", nir, str(output), str(side), str(jobs)]))
        output.unlink(missing_ok=True)
        if run.status != 0:
            raise FailedError(f"lines at {size} {failure(run)}")
        found = json.loads(run.output)
        each = number(1000 * found["own"] / found["windows"], 3)
        rows.append([str(found["windows"]), number(run.wall), each, number(found["peak"], 0)])
    head = ["lines", "seconds", "calling process, ms a line", "its peak RSS, MiB"]
    return f"{text}\n\n## A line for each window\n\n{table(head, rows)}"


def finished(size: int, jobs: int, rounds: int, folders: Folders) -> str:
    """Return a table of the cost of outputs that need no second tool."""
    task = _task("index", size, jobs, folders)
    ours = CONTENDERS[OURS].command(task)
    assert isinstance(ours, Command)
    cog = str(folders.output("cog"))
    commands_by_title = {_PLAIN: [ours]}
    for options in (["-f", "COG"], ["--overviews", "auto"], ["--stats"], ["--resume"]):
        commands_by_title[f"`rio mucho {' '.join(options)}`"] = [Command([*ours.argv, *options])]
    create = Command([rio(), "cogeo", "create", task.output, cog, "--quiet"])
    if missing_cogeo() is None:
        commands_by_title["`rio mucho`, then `rio cogeo create`"] = [ours, create]
    if missing_cogeo() is None and missing_rio_mucho() is None:
        commands_by_title["rio-mucho 1.0, then `rio cogeo create`"] = [rio_mucho(task), create]
    seconds: dict[str, list[float]] = {title: [] for title in commands_by_title}
    for _ in range(rounds):
        for title, commands in commands_by_title.items():
            total = 0.0
            for path in (task.output, cog):
                Path(path).unlink(missing_ok=True)
            for command in commands:
                run = measure(command)
                if run.status != 0:
                    raise FailedError(f"{title} at {size} {failure(run)}")
                total += run.wall
            seconds[title].append(total)
    for path in (task.output, cog):
        Path(path).unlink(missing_ok=True)
    rows = []
    for title, walls in seconds.items():
        ratios = [wall / plain for wall, plain in zip(walls, seconds[_PLAIN], strict=True)]
        rows.append([title, number(median(walls)), number(median(ratios))])
    head = ["", "seconds", "/ plain GeoTIFF"]
    return f"## Finished outputs, `index` at {size} x {size}, {jobs} jobs\n\n{table(head, rows)}"


def _task(name: str, size: int, jobs: int, folders: Folders) -> Task:
    workload = WORKLOADS[name]
    return Task(workload, jobs, str(folders.output(OURS)), folders.inputs(workload, size))
