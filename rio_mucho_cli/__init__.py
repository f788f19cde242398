"""Apply a Python function to every window of some rasters, in parallel.

The names below are loaded when they are first used: `rio` imports this
package at every start, for every one of its commands.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rio_mucho_cli import single_process_pool, testing, utils
    from rio_mucho_cli.calling import run
    from rio_mucho_cli.engine.report import Report
    from rio_mucho_cli.errors import (
        FormatError,
        FunctionNotFoundError,
        GridError,
        InputError,
        MuchoChildError,
        MuchoError,
        NodataError,
        OutputError,
        OutputExistsError,
        ResultError,
        UsageError,
        WindowsError,
        WorkerDiedError,
    )
    from rio_mucho_cli.job import Job, Output
    from rio_mucho_cli.mucho import RioMucho, tb_capture
    from rio_mucho_cli.reports.preview import Preview, describe
    from rio_mucho_cli.single_process_pool import MockTub

    __version__: str

_HOMES = {
    "FormatError": "errors",
    "FunctionNotFoundError": "errors",
    "GridError": "errors",
    "InputError": "errors",
    "Job": "job",
    "MockTub": "single_process_pool",
    "MuchoChildError": "errors",
    "MuchoError": "errors",
    "NodataError": "errors",
    "Output": "output",
    "OutputError": "errors",
    "OutputExistsError": "errors",
    "Preview": "dry_run",
    "Report": "report",
    "ResultError": "errors",
    "RioMucho": "mucho",
    "UsageError": "errors",
    "WindowsError": "errors",
    "WorkerDiedError": "errors",
    "describe": "dry_run",
    "run": "calling",
    "tb_capture": "mucho",
}
_MODULES = {"single_process_pool", "testing", "utils"}

__all__ = [
    "FormatError",
    "FunctionNotFoundError",
    "GridError",
    "InputError",
    "Job",
    "MockTub",
    "MuchoChildError",
    "MuchoError",
    "NodataError",
    "Output",
    "OutputError",
    "OutputExistsError",
    "Preview",
    "Report",
    "ResultError",
    "RioMucho",
    "UsageError",
    "WindowsError",
    "WorkerDiedError",
    "describe",
    "run",
    "single_process_pool",
    "tb_capture",
    "testing",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rio-mucho-cli")
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
