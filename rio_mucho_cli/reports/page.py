"""The report as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, TypeAlias

from rio_mucho_cli.reports import charts
from rio_mucho_cli.reports.charts import STAGES
from rio_mucho_cli.text import (
    escaped,
    format_bytes,
    format_ij,
    format_number,
    format_percent,
    format_rate,
    format_seconds,
)

Said: TypeAlias = Mapping[str, Any]

_MOST_WORKERS = 200


def workers_table(said: Said, labels: Mapping[str, str]) -> str:
    """Return a table of the workers: windows, time and memory."""
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


def slowest_table(said: Said, labels: Mapping[str, str]) -> str:
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


def failures_table(said: Said) -> str:
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


def settings_table(said: Said) -> str:
    """Return lists of the settings: job, plan, GDAL options, machine and versions."""
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
    """Return a section with a table, whose cells are HTML; empty without rows."""
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
    """Return a bar with the shares of the stages."""
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


_PHASES = (("starting", "q2"), ("working", "q5"), ("finishing", "q7"))


def page(said: Said) -> str:
    """Return a report, as `document` returns it, as an HTML page."""
    look = files("rio_mucho_cli.reports") / "static"
    parts = {name: (look / f"page.{name}").read_text(encoding="utf-8") for name in ("css", "js")}
    frame = Template((look / "page.html").read_text(encoding="utf-8"))
    outputs = ", ".join(said["job"]["outputs"])
    return frame.substitute(
        title=escaped(f"{outputs} – rio mucho"),
        style=parts["css"],
        script=parts["js"],
        body="\n".join(filter(None, _sections(said))),
    )


def _sections(said: Said) -> list[str]:
    labels = worker_labels(said)
    pictures = _map(said), _stages(said)
    both = [each for each in pictures if each]
    return [
        _header(said),
        _message(said),
        _figures(said),
        _advice(said),
        _timeline(said, labels),
        f'<div class="two">{"".join(both)}</div>' if len(both) == 2 else "".join(both),
        workers_table(said, labels),
        slowest_table(said, labels),
        failures_table(said),
        settings_table(said),
    ]


def worker_labels(said: Said) -> dict[str, str]:
    """Return labels for charts and tables by worker name."""
    names = sorted(worker["name"] for worker in said["workers"])
    return {name: f"worker {place}" for place, name in enumerate(names, start=1)}


def _header(said: Said) -> str:
    failed = said["outcome"] != "done"
    inputs = ", ".join(said["job"]["inputs"])
    outputs = ", ".join(said["job"]["outputs"])
    return (
        f'<header><div><h1><span class="badge{" failed" if failed else ""}">'
        f"{escaped(said['outcome'])}</span>{escaped(outputs)}</h1>"
        f'<p class="faint"><code>{escaped(said["job"]["function"])}</code> of {escaped(inputs)}</p>'
        f'<p class="faint">{escaped(said["started"].replace("T", " ").replace("+00:00", " UTC"))}'
        "</p>"
        '</div><button id="theme" type="button">Theme: auto</button></header>'
    )


def _message(said: Said) -> str:
    if said["message"] is None:
        return ""
    said_so = escaped(said["message"])
    return f'<section class="message"><h2>What ended it</h2><pre>{said_so}</pre></section>'


def _figures(said: Said) -> str:
    result, plan, memory = said["result"], said["plan"], said["memory"]
    figures = [(format_seconds(said["seconds"]), "from start to end")]
    if plan is not None:
        windows = (
            f"{format_number(result['windows'])} of {format_number(plan['windows']['number'])}"
        )
        if result["windows"] == plan["windows"]["number"]:
            windows = format_number(plan["windows"]["number"])
        figures += [(windows, f"windows, by {plan['jobs']} × {plan['executor']}")]
    if result["pixels_per_second"]:
        figures.append((format_rate(result["pixels_per_second"]), "on average"))
    busy = sum(worker["busy_seconds"] for worker in said["workers"])
    there = busy + said["waiting"]["workers_idle_seconds"]
    if there > 0:
        figures.append((format_percent(busy / there), "workers were busy"))
    peak = memory["caller_peak_bytes"] + memory["workers_peak_bytes"]
    figures.append((format_bytes(peak), "peak memory, all processes"))
    outputs = [] if plan is None else plan["outputs"]
    written = [each["file"]["bytes"] or 0 for each in outputs if each["file"]]
    if said["outcome"] == "done" and sum(written):
        figures.append((format_bytes(sum(written)), "written"))
    if result["windows_failed"]:
        figures.append((format_number(result["windows_failed"]), "windows failed"))
    if result["windows_retried"]:
        figures.append((format_number(result["windows_retried"]), "times tried again"))
    for name, what in (
        ("outside_pixels", "pixels that did not fit in the dtype"),
        ("nan_pixels", "pixels that are NaN and count as valid"),
        ("nodata_pixels", "pixels that equal nodata and are not masked"),
        ("passed_nodata_pixels", "pixels with the input's nodata that count as valid"),
    ):
        found = sum(each[name] for each in result["value_loss"])
        if found:
            figures.append((format_number(found), what))
    boxes = "".join(
        f'<div class="figure"><b>{escaped(value)}</b><span>{escaped(what)}</span></div>'
        for value, what in figures
    )
    return f'<div class="figures">{boxes}</div>'


def _advice(said: Said) -> str:
    if not said["advice"]:
        return ""
    lines = "".join(f"<li>{escaped(each['text'])}</li>" for each in said["advice"])
    return f'<section class="advice"><h2>Advice</h2><ul>{lines}</ul></section>'


def _timeline(said: Said, labels: Mapping[str, str]) -> str:
    if not said["timeline"]["rows"]:
        return ""
    legend = "".join(
        f'<button type="button" aria-pressed="true" data-stage="{name}">'
        f'<span class="swatch" style="background:var(--{name})"></span>{name}</button>'
        for name in charts.STAGES
    )
    return (
        '<section><div class="head"><h2>Timeline</h2>'
        f'<div class="legend" role="group" aria-label="Stages">{legend}</div></div>'
        f"{charts.draw_timeline(said, labels)}</section>"
    )


def _map(said: Said) -> str:
    if not said["map"]:
        return ""
    return f'<section><div class="head"><h2>Windows</h2></div>{charts.draw_map(said)}</section>'


def _stages(said: Said) -> str:
    """Return a chart of the time of each stage, and of the phases of the run."""
    stages = said["stages"]
    most = max((each["seconds"] for each in stages.values()), default=0)
    if most <= 0:
        return ""
    lines = []
    for name, spent in stages.items():
        wall, cpu = spent["seconds"], spent["cpu_seconds"]
        known = f"{format_seconds(cpu)} CPU" if name != "transfer" else "CPU not known"
        lines.append(
            f'<span class="name">{name}</span><div class="pair">'
            f"{_bar('bar', name, wall / most)}{_bar('bar cpu', name, cpu / most)}</div>"
            f'<span class="number">{escaped(format_seconds(wall))}<br>'
            f'<span class="faint">{escaped(known)}</span></span>'
        )
    waiting = said["waiting"]
    return (
        '<section><div class="head"><h2>Stages</h2>'
        '<span class="faint small">wall time, and CPU time below it; of all workers</span></div>'
        f'<div class="bars">{"".join(lines)}</div>{_phases(said)}'
        f'<p class="faint small">Workers were idle for '
        f"{escaped(format_seconds(waiting['workers_idle_seconds']))}; "
        "the main process waited for "
        f"{escaped(format_seconds(waiting['caller_waited_seconds']))}.</p></section>"
    )


def _bar(look: str, name: str, part: float) -> str:
    width = f"{100 * min(1.0, part):.1f}%"
    return f'<div class="{look}"><i style="width:{width};background:var(--{name})"></i></div>'


def _phases(said: Said) -> str:
    """Return a bar of the three phases: starting, working and finishing."""
    whole = max(said["seconds"], 1e-9)
    took = [(name, colour, said["phases"][f"{name}_seconds"]) for name, colour in _PHASES]
    bar = "".join(
        f'<i style="width:{100 * value / whole:.1f}%;background:var(--{colour})"></i>'
        for _, colour, value in took
    )
    keys = "".join(
        f'<span><span class="swatch" style="background:var(--{colour})"></span>'
        f"{name} {escaped(format_seconds(value))}</span>"
        for name, colour, value in took
    )
    return f'<div class="whole">{bar}</div><div class="keys">{keys}</div>'
