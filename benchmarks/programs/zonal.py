"""Take counts and means of polygons with rasterstats or exactextract, as CSV lines.

Usage: python -m benchmarks.programs.zonal PEER RASTER FEATURES JOBS. With several jobs,
each process takes as many features as the others, which are neighbours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

Rows: TypeAlias = list[tuple[float, float]]


def rasterstats(raster: str, features: list[Any]) -> Rows:
    """Return counts and means; pixels belong to a polygon by their centres."""
    from rasterstats import zonal_stats

    return [
        (row["count"], row["mean"]) for row in zonal_stats(features, raster, stats="count mean")
    ]


def exactextract(raster: str, features: list[Any]) -> Rows:
    """Return counts and means; pixels count with the part that a polygon covers."""
    from exactextract import exact_extract

    found = [row["properties"] for row in exact_extract(raster, features, ["count", "mean"])]
    return [(row["count"], row["mean"]) for row in found]


PEERS: dict[str, Callable[[str, list[Any]], Rows]] = {
    "rasterstats": rasterstats,
    "exactextract": exactextract,
}


def main() -> None:
    """Print a line for each feature."""
    peer, raster, path, jobs = sys.argv[1:]
    features = json.loads(Path(path).read_text())["features"]
    if jobs == "1":
        rows = PEERS[peer](raster, features)
    else:
        length = -(-len(features) // int(jobs))
        parts = [features[start : start + length] for start in range(0, len(features), length)]
        with ProcessPoolExecutor(int(jobs)) as pool:
            found = pool.map(PEERS[peer], [raster] * len(parts), parts)
            rows = [row for part in found for row in part]
    print("\n".join(f"{count},{mean}" for count, mean in rows))


if __name__ == "__main__":
    main()
