"""Compare `rio mucho` with its peers, and print tables of markdown."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import cluster, machine, modes, report, series, zonal
from benchmarks.contenders import CONTENDERS, LIMIT
from benchmarks.folders import Folders, folders
from benchmarks.rounds import compete
from benchmarks.workloads import WORKLOADS


def _arguments() -> argparse.Namespace:
    peers = [name for name in CONTENDERS if name != LIMIT]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--size", type=int, nargs="+", default=[8192], help="rows and columns (default: 8192)")
    add("--jobs", type=int, default=2, help="windows at once (default: 2)")
    add("--rounds", type=int, default=5, help="runs of each contender (default: 5)")
    add("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="WORKLOAD",
        help=f"of {', '.join(WORKLOADS)} (default: all)")  # fmt: skip
    add("--only", nargs="+", choices=peers, default=peers, metavar="CONTENDER",
        help=f"of {', '.join(peers)} (default: all)")  # fmt: skip
    add("--folder", type=Path, help="keep the rasters here (default: a temporary folder)")
    add("--memory", action="store_true", help="only: peak memory of `rio mucho` at each size")
    add("--parent", action="store_true", help="only: CPU time of the calling process")
    add("--overlap", action="store_true", help="only: the cost of overlap")
    add(
        "--cluster",
        action="store_true",
        help="only: the cost of a dask cluster to the calling process",
    )
    add("--finished", action="store_true", help="only: the cost of COGs, overviews, "
        "statistics and journals")  # fmt: skip
    add("--values", action="store_true", help="only: values instead of a raster")
    add("--zonal", action="store_true", help="only: means of polygons")
    add("--series", action="store_true", help="only: a median of scenes")
    add("--scenes", type=int, default=60, help="number of scenes (default: 60)")
    return parser.parse_args()


def main() -> int:
    """Run the benchmarks of the command line; return the exit status.

    It is 1 if a contender failed or wrote wrong pixels.
    """
    args = _arguments()
    with folders(args.folder) as paths:
        _show(machine.describe())
        questions = args.memory, args.parent, args.overlap, args.finished, args.cluster
        if any(questions) or args.values or args.zonal or args.series:
            return _show_question(args, paths)
        _show(report.LEGEND)
        is_wrong = False
        for size in args.size:
            for name in args.workloads:
                result = compete(WORKLOADS[name], size, args.jobs, args.rounds, args.only, paths)
                _show(report.competition_section(result))
                is_wrong |= any(contender.is_wrong for contender in result.results.values())
        return int(is_wrong)


def _show_question(args: argparse.Namespace, paths: Folders) -> int:
    try:
        if args.memory:
            _show(modes.memory(args.size, args.jobs, paths))
        if args.parent:
            _show(modes.parent(args.size, args.jobs, args.rounds, paths))
        if args.overlap:
            _show(modes.overlap(args.size, args.jobs, args.rounds, paths))
        if args.cluster:
            _show(cluster.table())
        if args.finished:
            for size in args.size:
                _show(modes.finished(size, args.jobs, args.rounds, paths))
        if args.values:
            for size in args.size:
                _show(modes.values(size, args.jobs, args.rounds, paths))
        if args.zonal:
            for size in args.size:
                _show(zonal.zonal(size, args.jobs, args.rounds, paths))
        if args.series:
            for size in args.size:
                _show(series.series(args.scenes, size, args.jobs, args.rounds, paths))
    except modes.FailedError as exc:
        print(f"ERROR: {exc}", file=sys.stderr)
        return 1
    return 0


def _show(text: str) -> None:
    print(f"{text}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
