"""The tables of a page: workers, slowest windows, failures, settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from rio_mucho_cli.telling.drawing import STAGES
from rio_mucho_cli.text import (
    escaped,
    format_bytes,
    format_ij,
    format_number,
    format_percent,
    format_seconds,
)

Said: TypeAlias = Mapping[str, Any]

_MOST_WORKERS = 200


def workers(said: Said, labels: Mapping[str, str]) -> str:
    """Return a table of what each worker has done."""
    rows = [
        [
            (
                f"{escaped(labels[each['name']])}<br>"
                f'<span class="faint mono">{escaped(each["name"])}</span>',
                "",
            ),
            (format_number(each["windows"]), "n"),
            (format_percent(each["busy_share"]), "n"),
            (f"{escaped(format_seconds(each['busy_seconds']))}{_mini(each['stages'])}", ""),
            (escaped(format_bytes(each["peak_bytes"]) if each["peak_bytes"] else "–"), "n"),
        ]
        for each in sorted(said["workers"], key=lambda worker: str(worker["name"]))
    ]
    rest = len(rows) - _MOST_WORKERS
    more = f'<p class="faint">and {rest} more</p>' if rest > 0 else ""
    columns = (
        ("worker", ""),
        ("windows", "n"),
        ("busy", "n"),
        ("stages", ""),
        ("peak memory", "n"),
    )
    return _section("Workers", columns, rows[:_MOST_WORKERS], more)


def slowest(said: Said, labels: Mapping[str, str]) -> str:
    """Return a table of the windows that took longest."""
    rows = [
        [
            (escaped(format_ij(each["ij"])), "short"),
            (escaped(_where(each["window"])), ""),
            (escaped(format_seconds(each["seconds"])), "n"),
            (_mini(each["stages"]), ""),
            (escaped(labels.get(each["worker"], each["worker"])), "short"),
        ]
        for each in said["slowest"]
    ]
    columns = (("ij", ""), ("pixels", ""), ("time", "n"), ("stages", ""), ("worker", ""))
    return _section("Slowest windows", columns, rows)


def failures(said: Said) -> str:
    """Return a table of the windows whose function raised."""
    rows = [
        [
            (escaped(format_ij(each["ij"])), "short"),
            (escaped(_where(each["window"])), ""),
            (escaped(each["message"]), "text"),
        ]
        for each in said["failures"]
    ]
    rest = said["result"]["windows_failed"] - len(rows)
    more = f'<p class="faint">and {rest} more</p>' if rest > 0 else ""
    columns = (("ij", ""), ("pixels", ""), ("what was raised", ""))
    return _section("Failed windows", columns, rows, more)


def settings(said: Said) -> str:
    """Return lists of the job, the plan and the machine."""
    job, plan = said["job"], said["plan"] or {}
    blocks = [
        ("Job", {k: v for k, v in job.items() if k not in {"inputs", "outputs", "gdal_options"}}),
        *((f"Input {each['path']}", _but(each, "path")) for each in plan.get("inputs", ())),
        ("Plan", _but(plan, "inputs", "outputs")),
        *((f"Output {each['path']}", _but(each, "path")) for each in plan.get("outputs", ())),
        ("GDAL options", job["gdal_options"]),
        ("Machine and versions", {**said["machine"], **said["versions"]}),
    ]
    lists = "".join(
        f"<details><summary>{escaped(title)}</summary>{_list(entries)}</details>"
        for title, entries in blocks
        if entries
    )
    return f'<section><div class="head"><h2>Settings</h2></div>{lists}</section>'


def _section(
    title: str,
    columns: Iterable[tuple[str, str]],
    rows: Sequence[Iterable[tuple[str, str]]],
    more: str = "",
) -> str:
    """Return a table; cells are HTML already. Without rows there is none."""
    if not rows:
        return ""
    head = "".join(f'<th class="{look}">{name}</th>' for name, look in columns)
    body = "".join(
        "<tr>" + "".join(f'<td class="{look}">{cell}</td>' for cell, look in row) + "</tr>"
        for row in rows
    )
    return (
        f'<section><div class="head"><h2>{title}</h2></div><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}</section>"
    )


def _mini(stages: Said) -> str:
    """Draw how a time divides into stages."""
    whole = sum(stages[name]["seconds"] for name in STAGES) or 1.0
    parts = "".join(
        f'<i style="width:{100 * stages[name]["seconds"] / whole:.1f}%;background:var(--{name})" '
        f'title="{name} {escaped(format_seconds(stages[name]["seconds"]))}"></i>'
        for name in STAGES
        if stages[name]["seconds"]
    )
    return f'<div class="mini">{parts}</div>'


def _where(window: Sequence[float]) -> str:
    col, row, width, height = (f"{value:g}" for value in window)
    return f"column {col}, row {row}: {width} × {height}"


def _but(entries: Said, *names: str) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if name not in names}


def _list(entries: Said) -> str:
    lines = "".join(
        f"<dt>{escaped(str(name).replace('_', ' '))}</dt><dd>{escaped(_plain(name, value))}</dd>"
        for name, value in entries.items()
    )
    return f"<dl>{lines}</dl>"


def _plain(name: str, value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key}={_plain(key, each)}" for key, each in value.items()) or "–"
        case list():
            return ", ".join(_plain(name, each) for each in value) or "–"
        case int() if name.endswith("bytes"):
            return format_bytes(value)
    return str(value)
