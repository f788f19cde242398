"""Means of many polygons, beside rasterstats and exactextract."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio

from benchmarks.folders import Folders
from benchmarks.measure import Command, Measurement, measure
from benchmarks.modes import FailedError
from benchmarks.peers import rio
from benchmarks.rasters import SEED, raster
from benchmarks.report import failure, number, table

FIELD = 82
"""Side of a polygon, in pixels: 10,000 of them cover 8192 x 8192 pixels."""

_OURS = "`rio mucho`"
_GAP = 0.97  # what is left of a polygon beside the paths around it
_POINTS = 3  # points of each side


def zonal(size: int, jobs: int, rounds: int, folders: Folders) -> str:
    """Return a table of the time that counts and means of fields take.

    Raises
    ------
    FailedError
        If a run fails, or pixels by their centres are not those of rasterstats.
    """
    path = str(raster(folders.rasters, "nir", size))
    features = fields(folders.rasters, path, size)
    output = folders.output("zonal").with_suffix(".csv")
    ours = [rio(), "mucho", path, str(features), str(output), "-q", "--overwrite"]
    ours += ["--func", "rio_mucho_cli.reductions:Zonal", "--arg", 'stats=["count","mean"]']
    commands, absent = {}, []
    for number_of_jobs in sorted({1, jobs}):
        commands[_OURS, number_of_jobs] = Command([*ours, "--jobs", str(number_of_jobs)])
        for peer in ("exactextract", "rasterstats"):
            try:
                title = f"{peer} {version(peer)}"
            except PackageNotFoundError:
                absent.append(f"- not run: {peer}: it is not installed: `pip install {peer}`")
                continue
            program = [sys.executable, "-m", "benchmarks.programs.zonal"]
            commands[title, number_of_jobs] = Command(
                [*program, peer, path, str(features), str(number_of_jobs)]
            )
    runs: dict[tuple[str, int], list[Measurement]] = {name: [] for name in commands}
    means: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            run = measure(command)
            if run.status != 0:
                raise FailedError(f"{name[0]} at {size} {failure(run)}")
            runs[name].append(run)
            means[name[0]] = _rows_of(output if name[0] == _OURS else run.output)
    _check(means)
    rows = []
    for (title, number_of_jobs), measured in runs.items():
        ratios = [
            run.wall / other.wall
            for run, other in zip(measured, runs[_OURS, number_of_jobs], strict=True)
        ]
        rows.append(
            [
                title,
                str(number_of_jobs),
                number(median(run.wall for run in measured)),
                "" if title == _OURS else number(median(ratios)),
                number(median(run.cpu for run in measured)),
                number(median(run.pss or 0 for run in measured), 0),
            ]
        )
    head = ["", "jobs", "seconds", "/ `rio mucho`", "CPU seconds", "peak PSS, MiB"]
    text = f"## Counts and means of {len(means[_OURS])} fields, {size} x {size}"
    return "\n\n".join([text, table(head, rows), *sorted(set(absent))])


def fields(folder: Path, raster_path: str, size: int) -> Path:
    """Return the path of a GeoJSON file of fields; make it if it does not exist.

    They are quadrangles of about FIELD x FIELD pixels, side by side with narrow paths
    between them, in the CRS of the raster.
    """
    path = folder / f"fields_{size}.geojson"
    if path.exists():
        return path
    with rasterio.open(raster_path) as src:
        origin, steps, crs = (src.transform.c, src.transform.f), src.res, src.crs
    many = max(1, round(size / FIELD))
    random = np.random.default_rng(SEED)
    corners = np.stack(np.meshgrid(*[np.arange(many + 1.0)] * 2), axis=-1)
    corners[1:-1, 1:-1] += random.uniform(-0.2, 0.2, corners[1:-1, 1:-1].shape)
    along = np.arange(_POINTS)[:, np.newaxis] / _POINTS
    features: list[dict[str, Any]] = []
    for row in range(many):
        for col in range(many):
            ring = [corners[row + i, col + j] for i, j in ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0))]
            sides = [a + (b - a) * along for a, b in itertools.pairwise(ring)]
            points = np.concatenate([*sides, ring[:1]])
            centre = points[:-1].mean(axis=0)
            pixels = (centre + (points - centre) * _GAP) * size / many
            xy = np.array(origin) + pixels * (steps[0], -steps[1])
            features.append(
                {
                    "type": "Feature",
                    "properties": {"code": len(features) + 1},
                    "geometry": {
                        "type": "Polygon",
                        "coordinates": [xy.tolist()],
                    },
                }
            )
    name = {"name": f"urn:ogc:def:crs:EPSG::{crs.to_epsg()}"}
    collection = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": name},
        "features": features,
    }
    path.write_text(json.dumps(collection))
    return path


def _rows_of(source: Path | str) -> list[tuple[float, float]]:
    """Return count and mean of each feature."""
    if isinstance(source, Path):
        with source.open(newline="") as file:
            return [(float(row["count"]), float(row["mean"])) for row in csv.DictReader(file)]
    return [
        (float(count), float(mean))
        for count, mean in (line.split(",") for line in source.splitlines())
    ]


def _check(means: dict[str, list[tuple[float, float]]]) -> None:
    """Raise FailedError if rows of ours are not those of rasterstats, where it took part."""
    ours = np.array(means[_OURS])
    for title, rows in means.items():
        if title.startswith("rasterstats") and not np.allclose(ours, rows, rtol=1e-9, atol=0):
            raise FailedError(f"{_OURS} found other counts or means than {title}")
