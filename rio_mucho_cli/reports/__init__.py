"""Reports of runs, as JSON or as an HTML page.

events ─▶ Recorder ─▶ document ─▶ JSON or page
                         └── advice

Public names are loaded on first use: most runs write no report.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rio_mucho_cli.reports.entries import SCHEMA as SCHEMA, document as document
    from rio_mucho_cli.reports.file import recorded as recorded, write_report as write_report
    from rio_mucho_cli.reports.recorder import Recorder as Recorder

_HOMES = {
    "SCHEMA": "entries", "Recorder": "recorder", "document": "entries", "recorded": "file",
    "write_report": "file",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
