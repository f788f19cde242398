"""The report as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

from rio_mucho_cli.reports.charts import STAGES, draw_map, draw_timeline, format_rows
from rio_mucho_cli.reports.settings import settings_section
from rio_mucho_cli.text import (
    escaped,
    format_bytes,
    format_ij,
    format_number,
    format_percent,
    format_rate,
    format_seconds,
)

_MOST_WORKERS = 200
# Names of inputs in the heading.
_MOST_INPUTS = 20


def workers_table(document: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Return a table of the workers: windows, time and memory."""
    rows = [
        [
            (
                f"{escaped(labels[worker['name']])}<br>"
                f'<span class="faint mono">{escaped(worker["name"])}</span>',
                "",
            ),
            (format_number(worker["windows"]), "n"),
            (format_percent(worker["busy_share"]), "n"),
            (
                f"{escaped(format_seconds(worker['busy_seconds']))}{_stages_bar(worker['stages'])}",
                "",
            ),
            (escaped(format_bytes(worker["peak_bytes"]) if worker["peak_bytes"] else "–"), "n"),
        ]
        for worker in sorted(document["workers"], key=lambda worker: str(worker["name"]))
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


def slowest_table(document: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Return a table of the windows that took longest."""
    rows = [
        [
            (escaped(format_ij(slow["ij"])), "short"),
            (escaped(format_rows(slow["window"])), "short"),
            (escaped(format_seconds(slow["seconds"])), "n"),
            (_stages_bar(slow["stages"]), ""),
            (escaped(labels.get(slow["worker"], slow["worker"])), "short"),
        ]
        for slow in document["slowest"]
    ]
    columns = (("ij", ""), ("window", ""), ("time", "n"), ("stages", ""), ("worker", ""))
    return _section("Slowest windows", columns, rows)


def failures_table(document: Mapping[str, Any]) -> str:
    """Return a table of the windows whose function raised."""
    rows = [
        [
            (escaped(format_ij(failure["ij"])), "short"),
            (escaped(format_rows(failure["window"])), "short"),
            (escaped(failure["message"]), "text"),
        ]
        for failure in document["failures"]
    ]
    rest = document["result"]["windows_failed"] - len(rows)
    more = f'<p class="faint">and {rest} more</p>' if rest > 0 else ""
    columns = (("ij", ""), ("window", ""), ("error", ""))
    return _section("Failed windows", columns, rows, more)


def _section(
    title: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[tuple[str, str]]],
    more: str = "",
) -> str:
    """Return a section with a table, whose cells are HTML; empty without rows.

    On a narrow screen each row is a block, and each cell a line with the name of its
    column; roles keep the table one for screen readers.
    """
    if not rows:
        return ""
    head = "".join(
        f'<th role="columnheader" scope="col" class="{css_class}">{name}</th>'
        for name, css_class in columns
    )
    body = "".join(
        '<tr role="row">'
        + "".join(
            f'<td role="cell" class="{css_class}" data-name="{name}"><div>{cell}</div></td>'
            for (cell, css_class), (name, _) in zip(row, columns, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<section><div class="head"><h2>{title}</h2></div>'
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">'
        f'<table role="table" aria-label="{title}"><thead role="rowgroup"><tr role="row">{head}'
        f'</tr></thead><tbody role="rowgroup">{body}</tbody></table></div>{more}</section>'
    )


def _stages_bar(stages: Mapping[str, Any]) -> str:
    """Return a bar with the shares of the stages."""
    total = sum(stages[name]["seconds"] for name in STAGES) or 1.0
    shown = [(name, stages[name]["seconds"]) for name in STAGES if stages[name]["seconds"]]
    words = ", ".join(f"{name} {format_seconds(seconds)}" for name, seconds in shown)
    parts = "".join(
        f'<i style="width:{100 * seconds / total:.1f}%;background:var(--{name})"></i>'
        for name, seconds in shown
    )
    words = escaped(words or "no time measured")
    return f'<div class="mini" role="img" aria-label="{words}" title="{words}">{parts}</div>'


_PHASES = (("starting", "q2"), ("working", "q5"), ("finishing", "q7"))


def page(document: Mapping[str, Any]) -> str:
    """Return a report, as `document` returns it, as an HTML page."""
    static = files("rio_mucho_cli.reports") / "static"
    html, css, js = (
        (static / f"page.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "css", "js")
    )
    outputs = ", ".join(document["job"]["outputs"])
    return Template(html).substitute(
        title=escaped(f"{outputs} – rio mucho"),
        style=css,
        script=js,
        body="\n".join(filter(None, _sections(document))),
    )


def _sections(document: Mapping[str, Any]) -> list[str]:
    labels = worker_labels(document)
    pictures = [picture for picture in (_map(document), _stages(document)) if picture]
    return [
        _header(document),
        _message(document),
        _figures(document),
        failures_table(document),
        _advice(document),
        _timeline(document, labels),
        f'<div class="two">{"".join(pictures)}</div>' if len(pictures) == 2 else "".join(pictures),
        workers_table(document, labels),
        slowest_table(document, labels),
        settings_section(document),
    ]


def worker_labels(document: Mapping[str, Any]) -> dict[str, str]:
    """Return labels for charts and tables by worker name."""
    names = sorted(worker["name"] for worker in document["workers"])
    return {name: f"worker {number}" for number, name in enumerate(names, start=1)}


def _header(document: Mapping[str, Any]) -> str:
    job, failed = document["job"], document["outcome"] != "done"
    started = document["started"].replace("T", " ").replace("+00:00", " UTC")
    inputs, more = ", ".join(job["inputs"][:_MOST_INPUTS]), len(job["inputs"]) - _MOST_INPUTS
    inputs += f" and {more} more" if more > 0 else ""
    return (
        f'<header><div><h1><span class="badge{" failed" if failed else ""}">'
        f"{escaped(document['outcome'])}</span>{escaped(', '.join(job['outputs']))}</h1>"
        f'<p class="faint"><code>{escaped(job["function"])}</code> of '
        f'{escaped(inputs)}</p><p class="faint">{escaped(started)}</p>'
        '</div><button id="theme" type="button">Theme: auto</button></header>'
    )


def _message(document: Mapping[str, Any]) -> str:
    """Return the error that ended the run, its window, and the function's traceback."""
    if document["message"] is None:
        return ""
    failure = document["failure"]
    message = f"<p>{escaped(document['message'])}</p>"
    if failure is not None and failure["traceback"]:
        message += f"<pre>{escaped(failure['traceback'].rstrip())}</pre>"
    return f'<section class="message"><h2>Error</h2>{message}</section>'


def _figures(document: Mapping[str, Any]) -> str:
    result, plan, memory = document["result"], document["plan"], document["memory"]
    figures = [(format_seconds(document["seconds"]), "total time")]
    if plan is not None:
        windows = (
            f"{format_number(result['windows'])} of {format_number(plan['windows']['number'])}"
        )
        if result["windows"] == plan["windows"]["number"]:
            windows = format_number(plan["windows"]["number"])
        figures += [(windows, f"windows, {plan['jobs']} × {plan['executor']}")]
    if result["pixels_per_second"]:
        figures.append((format_rate(result["pixels_per_second"]), "average speed"))
    busy = sum(worker["busy_seconds"] for worker in document["workers"])
    available = busy + document["waiting"]["workers_idle_seconds"]
    if available > 0:
        figures.append((format_percent(busy / available), "of the workers' time busy"))
    peak = memory["caller_peak_bytes"] + memory["workers_peak_bytes"]
    figures.append((format_bytes(peak), "peak memory, all processes"))
    outputs = [] if plan is None else plan["outputs"]
    written = [output["file"]["bytes"] or 0 for output in outputs if output["file"]]
    if document["outcome"] == "done" and sum(written):
        figures.append((format_bytes(sum(written)), "written"))
    if result["windows_failed"]:
        figures.append((format_number(result["windows_failed"]), "windows failed"))
    if result["windows_retried"]:
        figures.append((format_number(result["windows_retried"]), "windows retried"))
    for name, label in (
        ("outside_pixels", "pixels out of the dtype's range"),
        ("nan_pixels", "NaN pixels that count as valid"),
        ("nodata_pixels", "unmasked pixels that equal nodata"),
        ("passed_nodata_pixels", "valid pixels that equal the input's nodata"),
    ):
        pixels = sum(loss[name] for loss in result["value_loss"])
        if pixels:
            figures.append((format_number(pixels), label))
    boxes = "".join(
        f'<div class="figure"><b>{escaped(value)}</b><span>{escaped(label)}</span></div>'
        for value, label in figures
    )
    return f'<div class="figures">{boxes}</div>'


def _advice(document: Mapping[str, Any]) -> str:
    if not document["advice"]:
        return ""
    lines = "".join(f"<li>{escaped(advice['text'])}</li>" for advice in document["advice"])
    return f'<section class="advice"><h2>Advice</h2><ul>{lines}</ul></section>'


def _timeline(document: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if not document["timeline"]["rows"]:
        return ""
    legend = "".join(
        f'<button type="button" aria-pressed="true" data-stage="{name}">'
        f'<span class="swatch" style="background:var(--{name})"></span>{name}</button>'
        for name in STAGES
    )
    return (
        '<section><div class="head"><h2>Timeline</h2>'
        f'<div class="legend" role="group" aria-label="Stages">{legend}</div></div>'
        f"{draw_timeline(document, labels)}</section>"
    )


def _map(document: Mapping[str, Any]) -> str:
    if not document["map"]:
        return ""
    return f'<section><div class="head"><h2>Windows</h2></div>{draw_map(document)}</section>'


def _stages(document: Mapping[str, Any]) -> str:
    """Return a chart of the time of each stage, and of the phases of the run."""
    stages = document["stages"]
    longest = max((stage["seconds"] for stage in stages.values()), default=0)
    if longest <= 0:
        return ""
    lines = []
    for name, stage in stages.items():
        wall, cpu = stage["seconds"], stage["cpu_seconds"]
        cpu_text = f"{format_seconds(cpu)} CPU" if name != "transfer" else "CPU unknown"
        lines.append(
            f'<span class="name">{name}</span><div class="pair">'
            f"{_bar('bar', name, wall / longest)}{_bar('bar cpu', name, cpu / longest)}</div>"
            f'<span class="number">{escaped(format_seconds(wall))}<br>'
            f'<span class="faint">{escaped(cpu_text)}</span></span>'
        )
    waiting = document["waiting"]
    return (
        '<section><div class="head"><h2>Stages</h2>'
        '<span class="faint small">wall time, and CPU time below it, of all workers</span></div>'
        f'<div class="bars">{"".join(lines)}</div>{_phases(document)}'
        f'<p class="faint small">Workers were idle for '
        f"{escaped(format_seconds(waiting['workers_idle_seconds']))}; "
        "the main process waited for "
        f"{escaped(format_seconds(waiting['caller_waited_seconds']))}.</p></section>"
    )


def _bar(css_class: str, stage: str, share: float) -> str:
    width = f"{100 * min(1.0, share):.1f}%"
    return f'<div class="{css_class}"><i style="width:{width};background:var(--{stage})"></i></div>'


def _phases(document: Mapping[str, Any]) -> str:
    """Return a bar of the three phases: starting, working and finishing."""
    total = max(document["seconds"], 1e-9)
    phases = [(name, colour, document["phases"][f"{name}_seconds"]) for name, colour in _PHASES]
    bar = "".join(
        f'<i style="width:{100 * value / total:.1f}%;background:var(--{colour})"></i>'
        for _, colour, value in phases
    )
    legend = "".join(
        f'<span><span class="swatch" style="background:var(--{colour})"></span>'
        f"{name} {escaped(format_seconds(value))}</span>"
        for name, colour, value in phases
    )
    return f'<div class="whole">{bar}</div><div class="keys">{legend}</div>'
