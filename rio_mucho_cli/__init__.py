"""Apply a Python function to every window of rasters, in parallel.

Public names are loaded on first use, because `rio` imports this package at
every start, whatever its command.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rio_mucho_cli import (
        reductions as reductions,
        single_process_pool as single_process_pool,
        testing as testing,
        utils as utils,
    )
    from rio_mucho_cli.api import reduce as reduce, run as run
    from rio_mucho_cli.engine.events import (
        OverviewDone as OverviewDone,
        PartDone as PartDone,
        RunStarted as RunStarted,
        WindowDone as WindowDone,
    )
    from rio_mucho_cli.engine.report import Failure as Failure, Report as Report
    from rio_mucho_cli.errors import (
        FormatError as FormatError,
        FunctionNotFoundError as FunctionNotFoundError,
        GridError as GridError,
        InfoError as InfoError,
        InputError as InputError,
        MuchoChildError as MuchoChildError,
        MuchoError as MuchoError,
        NodataError as NodataError,
        OutputError as OutputError,
        OutputExistsError as OutputExistsError,
        ResultError as ResultError,
        UsageError as UsageError,
        WindowsError as WindowsError,
        WorkerDiedError as WorkerDiedError,
    )
    from rio_mucho_cli.inputs.scene_lists import read_scenes as read_scenes
    from rio_mucho_cli.inputs.scenes import Scene as Scene
    from rio_mucho_cli.job import Job as Job, Output as Output
    from rio_mucho_cli.reports.preview import Preview as Preview, describe as describe
    from rio_mucho_cli.riomucho import RioMucho as RioMucho, tb_capture as tb_capture
    from rio_mucho_cli.single_process_pool import MockTub as MockTub
    from rio_mucho_cli.windows import Size as Size
    from rio_mucho_cli.workers.declared import output as output
    from rio_mucho_cli.workers.info import WindowInfo as WindowInfo
    from rio_mucho_cli.workers.input_info import InputInfo as InputInfo

    __version__: str

_NAMES = {
    "api": ["reduce", "run"],
    "engine.events": ["OverviewDone", "PartDone", "RunStarted", "WindowDone"],
    "engine.report": ["Failure", "Report"],
    "errors": [
        "FormatError", "FunctionNotFoundError", "GridError", "InfoError", "InputError",
        "MuchoChildError", "MuchoError", "NodataError", "OutputError", "OutputExistsError",
        "ResultError", "UsageError", "WindowsError", "WorkerDiedError",
    ],
    "inputs.scene_lists": ["read_scenes"],
    "inputs.scenes": ["Scene"],
    "job": ["Job", "Output"],
    "reports.preview": ["Preview", "describe"],
    "riomucho": ["RioMucho", "tb_capture"],
    "single_process_pool": ["MockTub"],
    "windows": ["Size"],
    "workers.info": ["WindowInfo"],
    "workers.input_info": ["InputInfo"],
    "workers.declared": ["output"],
}  # fmt: skip
_SUBMODULES = ["reductions", "single_process_pool", "testing", "utils"]
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted([*_HOMES, *_SUBMODULES])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rio-mucho-cli")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
