"""The machine that a benchmark runs on."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy
import rasterio

_PACKAGES = ("rio-mucho-cli", "rio-mucho", "rioxarray", "dask", "distributed")


def describe() -> str:
    """Return lines of markdown: the machine, versions, date, and command."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    packages = []
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages.append(f"{package} {version(package)}")
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    return "\n".join(
        [
            f"- machine: {_processor()}, {cores} cores usable, {memory:.0f} GiB, "
            f"{platform.system()} {platform.machine()}",
            f"- Python {platform.python_version()}, rasterio {rasterio.__version__}, "
            f"GDAL {rasterio.__gdal_version__}, numpy {numpy.__version__}",
            f"- {', '.join(packages)}",
            f"- {date.today().isoformat()}, `{command}`",
        ]
    )


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
