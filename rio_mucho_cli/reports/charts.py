"""SVG charts of a page: a timeline of the workers and a map of the windows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rio_mucho_cli.dtypes import number_text
from rio_mucho_cli.text import escaped, format_count, format_ij, format_seconds

STAGES = ("read", "function", "encode", "write")
"""Stages that are drawn: all but transfer, which keeps no process busy."""

MOST_ROWS = 64
LEVELS = 9
_WIDTH = 1000.0
_CHOICES = ("all stages", "read", "function", "encode")


def draw_timeline(document: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Return a timeline of the whole run, with a row for each worker.

    Parameters
    ----------
    document : Mapping
        The report.
    labels : Mapping of str to str
        Labels by worker name.
    """
    span = max(document["seconds"], 1e-6)
    rows = sorted(document["timeline"]["rows"], key=lambda row: row["caller"])
    lines = []
    for row in rows[:MOST_ROWS]:
        label = labels.get(row["worker"], "main process")
        thin = row["worker"] not in labels
        seconds = sum(sum(each["seconds"].values()) for each in row["stretches"])
        name = f"{label}: busy for {format_seconds(seconds)} of {format_seconds(span)}"
        marks = "".join(_draw_interval(interval, span) for interval in row["stretches"])
        lines.append(
            f'<span class="label">{escaped(label)}</span>'
            f'<svg viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" '
            f'{"class=thin " if thin else ""}aria-label="{escaped(name)}">{marks}</svg>'
        )
    if len(rows) > MOST_ROWS:
        lines.append(
            f'<span class="label faint">and {len(rows) - MOST_ROWS} more</span><span></span>'
        )
    ticks = "".join(
        f'<span style="left:{100 * tick / span:.2f}%">{escaped(_format_tick(tick))}</span>'
        for tick in _ticks(span)
    )
    return f'<div class="rows" id="timeline">{"".join(lines)}<div class="axis">{ticks}</div></div>'


def _draw_interval(interval: Mapping[str, Any], span: float) -> str:
    """Return an interval as SVG, with its stages one after the other."""
    start, seconds = interval["started"], interval["seconds"]
    marks = []
    for name in STAGES:
        if name in seconds:
            left, width = _WIDTH * start / span, max(_WIDTH * seconds[name] / span, 0.05)
            marks.append(
                f'<rect class="{name}" x="{left:.2f}" y="0" width="{width:.2f}" height="10"/>'
            )
            start += seconds[name]
    title = escaped(_interval_title(interval))
    return f'<g class="stretch"><title>{title}</title>{"".join(marks)}</g>'


def _interval_title(interval: Mapping[str, Any]) -> str:
    windows, seconds = interval["windows"], interval["seconds"]
    head = f"ij {format_ij(interval['ij'])}"
    if windows > 1:
        head = f"{windows} windows, from {head}"
    stages = [f"{name}  {format_seconds(seconds[name])}" for name in STAGES if name in seconds]
    return "\n".join([head, f"after {format_seconds(interval['started'])}", *stages])


def _ticks(span: float) -> Iterator[float]:
    """Yield about five round numbers from 0 to a span."""
    step = 10 ** math.floor(math.log10(span))
    step = next(step * factor for factor in (0.1, 0.2, 0.5, 1, 2) if span / (step * factor) <= 7)
    number = 0
    while number * step <= 0.97 * span:
        yield round(number * step, 9)
        number += 1


def _format_tick(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 100 else format_seconds(seconds)


def draw_map(document: Mapping[str, Any]) -> str:
    """Return a map of the windows, coloured by the time per window."""
    (width, height), cells = document["plan"]["size"], document["map"]
    times = [_times(cell) for cell in cells]
    timed = [cell_times for cell_times in times if cell_times[0]] or times
    scales = [_scale(column) for column in zip(*timed, strict=True)]
    marks = "".join(
        _draw_cell(cell, cell_times, scales) for cell, cell_times in zip(cells, times, strict=True)
    )
    inputs = "".join(
        f'<label><input type="radio" name="colour" value="{number}" '
        f'data-low="{escaped(format_seconds(low))}" data-high="{escaped(format_seconds(high))}"'
        f"{' checked' if not number else ''}> {name}</label>"
        for number, (name, (low, high)) in enumerate(zip(_CHOICES, scales, strict=True))
    )
    low, high = scales[0]
    number, failed = (sum(cell[name] for cell in cells) for name in ("windows", "failed"))
    name = (
        f"Map of {format_count(number, 'window')}: {format_seconds(low)} to "
        f"{format_seconds(high)} per window"
    )
    ended = document["failure"]
    key = '<span class="swatch"></span><span>failed</span>' if ended or failed else ""
    if ended:
        marks += _draw_failure(ended)
        name += ", and the one that ended the run"
    if failed:
        name += f", {failed} failed"
    return (
        f'<fieldset class="choices" aria-label="Colour by">{inputs}</fieldset>'
        f'<svg class="map" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escaped(name)}">'
        f'<rect class="ground" width="{width}" height="{height}"/>{marks}</svg>'
        f'<div class="scale"><span id="low">{escaped(format_seconds(low))}</span><div></div>'
        f'<span id="high">{escaped(format_seconds(high))}</span><span>per window</span>{key}</div>'
    )


def _draw_failure(failure: Mapping[str, Any]) -> str:
    """Return the window that ended the run as SVG."""
    left, top, width, height = failure["window"]
    title = f"ij {format_ij(failure['ij'])}\n{format_rows(failure['window'])}\nended the run"
    return (
        f'<rect class="cell bad" x="{left}" y="{top}" width="{width}" height="{height}">'
        f"<title>{escaped(title)}</title></rect>"
    )


def _times(cell: Mapping[str, Any]) -> list[float]:
    """Return the average time per window of a cell, for each of `_CHOICES`."""
    seconds, windows = cell["seconds"], max(1, cell["windows"])
    times = [sum(seconds.values()), *(seconds.get(name, 0.0) for name in _CHOICES[1:])]
    return [time / windows for time in times]


def _scale(times: Sequence[float]) -> tuple[float, float]:
    """Return the times of the first and the last colour, without the slowest 2 %."""
    ordered = sorted(times) or [0.0]
    return ordered[0], ordered[math.ceil(0.98 * (len(ordered) - 1))]


def _draw_cell(
    cell: Mapping[str, Any], times: Sequence[float], scales: Sequence[tuple[float, float]]
) -> str:
    left, top, width, height = cell["window"]
    levels = "".join(str(_level(time, *scale)) for time, scale in zip(times, scales, strict=True))
    if cell["failed"]:
        css_class, data = "cell bad", ""
    else:
        css_class, data = f"cell q{levels[0]}", f' data-q="{levels}"'
    return (
        f'<rect class="{css_class}"{data} x="{left}" y="{top}" width="{width}" height="{height}">'
        f"<title>{escaped(_cell_title(cell, times))}</title></rect>"
    )


def _level(value: float, low: float, high: float) -> int:
    if high <= low:
        return LEVELS // 2
    return min(LEVELS - 1, max(0, int(LEVELS * (value - low) / (high - low))))


def format_rows(window: Sequence[float]) -> str:
    """Return the rows and columns of a window (ends excluded), as messages do."""
    left, top, width, height = window
    ends = map(number_text, (top, top + height, left, left + width))
    return "rows {}:{}, columns {}:{}".format(*ends)


def _cell_title(cell: Mapping[str, Any], times: Sequence[float]) -> str:
    lines = [f"ij {format_ij(cell['ij'])}", format_rows(cell["window"])]
    if cell["windows"] > 1:
        lines[0] = f"{cell['windows']} windows, from {lines[0]}"
        lines.append(f"slowest  {format_seconds(cell['slowest_seconds'])}")
    if cell["failed"]:
        lines.append(f"{cell['failed']} failed")
    if times[0]:
        by_name = zip(_CHOICES, times, strict=True)
        lines += [f"{name}  {format_seconds(time)}" for name, time in by_name]
    return "\n".join(lines)
