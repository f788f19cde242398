"""The commands of other programs, each used as its experts would.

Those that compress in one process use GDAL's threads for it, one for each job.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import functions
from benchmarks.measure import Command
from benchmarks.task import CREATION_OPTIONS, Task

_PIP = "python -m pip install -r benchmarks/requirements.txt"
_NO_FUNCTION = "it takes an expression, not a Python function"


def rio_mucho(task: Task) -> Command:
    """Run a program that uses the class RioMucho, as its documentation shows."""
    return _program("rio_mucho", task)


def rio_mucho_threads(task: Task) -> Command:
    """Run the same with GDAL's threads, with which its main process compresses."""
    return _program("rio_mucho", task, GDAL_NUM_THREADS=str(task.jobs))


def missing_rio_mucho() -> str | None:
    """Return why rio-mucho 1.0 is missing, or None."""
    return _not_installed(["rio-mucho"])


def missing_cogeo() -> str | None:
    """Return why rio-cogeo is missing, or None."""
    return _not_installed(["rio-cogeo"])


def dask_threads(task: Task) -> Command:
    """Run a program that uses dask's threads."""
    return _program("dask_threads", task, GDAL_NUM_THREADS=str(task.jobs))


def missing_dask() -> str | None:
    """Return why dask with rioxarray is missing, or None."""
    return _not_installed(["dask", "rioxarray"])


def dask_processes(task: Task) -> Command:
    """Run a program that uses dask.distributed's processes."""
    return _program("dask_processes", task, GDAL_NUM_THREADS=str(task.jobs))


def missing_distributed() -> str | None:
    """Return why dask.distributed with rioxarray is missing, or None."""
    return _not_installed(["distributed", "rioxarray"])


def rios(task: Task) -> Command:
    """Run a program that uses RIOS with threads, and GDAL's threads in its writer."""
    return _program("rios_threads", task)


def missing_rios() -> str | None:
    """Return why RIOS is missing, or None."""
    return _not_installed(["rios", "gdal-wheel"])


def rio_calc(task: Task) -> Command | str:
    """Run `rio calc`, in windows that it chooses."""
    expressions = {
        functions.index: (
            "(/ (- (read 1 1 'float32') (read 2 1 'float32'))"
            " (+ (read 1 1 'float32') (read 2 1 'float32')))"
        ),
        functions.copy: "(read 1)",
    }
    reason = _no_expression(task, expressions)
    if reason:
        return reason
    argv = [rio(), "calc", expressions[task.workload.function], *task.inputs, task.output]
    argv += ["--not-masked", "--dtype", task.workload.dtype]
    return Command(argv + _creation_options(task))


def gdal_calc(task: Task) -> Command | str:
    """Run `gdal_calc.py`, in windows that it chooses."""
    a = "A.astype(numpy.float32)"
    b = "B.astype(numpy.float32)"
    expressions = {functions.index: f"({a} - {b}) / ({a} + {b})", functions.copy: "A"}
    reason = _no_expression(task, expressions)
    if reason:
        return reason
    argv = ["gdal_calc.py", f"--calc={expressions[task.workload.function]}"]
    for letter, path in zip("AB", task.inputs, strict=False):
        argv += [f"-{letter}", path]
    if task.workload.bands > 1:
        argv += ["--allBands=A"]
    types = {"float32": "Float32", "uint8": "Byte"}
    argv += [f"--outfile={task.output}", f"--type={types[task.workload.dtype]}", "--quiet"]
    return Command([*argv, "--hideNoData", *_creation_options(task)])


def missing_gdal_calc() -> str | None:
    """Return why `gdal_calc.py` is missing, or None."""
    return _not_on_path("gdal_calc.py", "it comes with GDAL's Python bindings")


def otb(task: Task) -> Command | str:
    """Run Orfeo ToolBox's `otbcli_BandMath`, in windows that it chooses."""
    if task.workload.function is functions.copy:
        return "it writes one band"
    expressions = {functions.index: "(im1b1 - im2b1) / (im1b1 + im2b1)"}
    reason = _no_expression(task, expressions)
    if reason:
        return reason
    options = {**CREATION_OPTIONS, "num_threads": str(task.jobs)}
    suffix = "".join(f"&gdal:co:{name.upper()}={value}" for name, value in options.items())
    argv = ["otbcli_BandMath", "-il", *task.inputs, "-out", f"{task.output}?{suffix}", "float"]
    argv += ["-exp", expressions[task.workload.function], "-progress", "false"]
    return Command(argv, {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(task.jobs)})


def missing_otb() -> str | None:
    """Return why `otbcli_BandMath` is missing, or None."""
    return _not_on_path("otbcli_BandMath", "it comes with Orfeo ToolBox")


def rio() -> str:
    """Return the path of the `rio` that belongs to this Python."""
    return str(Path(sysconfig.get_path("scripts"), "rio"))


def _program(name: str, task: Task, **variables: str) -> Command:
    argv = [sys.executable, "-m", f"benchmarks.programs.{name}", *task.arguments()]
    return Command(argv, variables)


def _creation_options(task: Task) -> list[str]:
    options = {**CREATION_OPTIONS, "num_threads": str(task.jobs)}
    if task.workload.bands > 1:
        options["interleave"] = "pixel"
    return [part for name, value in options.items() for part in ("--co", f"{name}={value}")]


def _no_expression(task: Task, expressions: Mapping[Any, str]) -> str | None:
    if task.workload.function not in expressions:
        return _NO_FUNCTION
    if task.workload.side == 256:
        return "it chooses its own windows"
    return None


def _not_installed(packages: Sequence[str]) -> str | None:
    for package in packages:
        try:
            version(package)
        except PackageNotFoundError:
            return f"{package} is not installed: `{_PIP}`"
    return None


def _not_on_path(program: str, source: str) -> str | None:
    return None if shutil.which(program) else f"it is not on the PATH ({source})"
