"""SVG charts of a page: a timeline of the workers and a map of the windows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rio_mucho_cli.text import escaped, format_ij, format_seconds

STAGES = ("read", "function", "encode", "write")
"""Stages that are drawn: all but transfer, which keeps no process busy."""

MOST_ROWS = 64
LEVELS = 9
_ACROSS = 1000.0
_CHOICES = ("all stages", "read", "function", "encode")


def draw_timeline(said: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Return a timeline of the whole run, with a row for each worker.

    Parameters
    ----------
    said : Mapping
        The report.
    labels : Mapping of str to str
        Labels by worker name.
    """
    span = max(said["seconds"], 1e-6)
    rows = sorted(said["timeline"]["rows"], key=lambda row: row["caller"])
    lines = []
    for row in rows[:MOST_ROWS]:
        label = labels.get(row["worker"], "main process")
        thin = row["worker"] not in labels
        marks = "".join(_stretch(each, span) for each in row["stretches"])
        lines.append(
            f'<span class="label">{escaped(label)}</span>'
            f'<svg viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" '
            f'{"class=thin " if thin else ""}aria-label="{escaped(label)}">{marks}</svg>'
        )
    if len(rows) > MOST_ROWS:
        lines.append(
            f'<span class="label faint">and {len(rows) - MOST_ROWS} more</span><span></span>'
        )
    ticks = "".join(
        f'<span style="left:{100 * at / span:.2f}%">{escaped(_tick(at))}</span>'
        for at in _ticks(span)
    )
    return f'<div class="rows" id="timeline">{"".join(lines)}<div class="axis">{ticks}</div></div>'


def _stretch(stretch: Mapping[str, Any], span: float) -> str:
    """Return an interval as SVG, with its stages one after the other."""
    at, took = stretch["started"], stretch["seconds"]
    marks = []
    for name in STAGES:
        if name in took:
            left, width = _ACROSS * at / span, max(_ACROSS * took[name] / span, 0.05)
            marks.append(
                f'<rect class="{name}" x="{left:.2f}" y="0" width="{width:.2f}" height="10"/>'
            )
            at += took[name]
    return f'<g class="stretch"><title>{escaped(_about(stretch))}</title>{"".join(marks)}</g>'


def _about(stretch: Mapping[str, Any]) -> str:
    windows = stretch["windows"]
    head = f"ij {format_ij(stretch['ij'])}"
    if windows > 1:
        head = f"{windows} windows, from {head}"
    took = [
        f"{name}  {format_seconds(stretch['seconds'][name])}"
        for name in STAGES
        if name in stretch["seconds"]
    ]
    return "\n".join([head, f"after {format_seconds(stretch['started'])}", *took])


def _ticks(span: float) -> Iterator[float]:
    """Yield about five round numbers from 0 to a span."""
    step = 10 ** math.floor(math.log10(span))
    step = next(step * factor for factor in (0.1, 0.2, 0.5, 1, 2) if span / (step * factor) <= 7)
    at = 0
    while at * step <= 0.97 * span:
        yield round(at * step, 9)
        at += 1


def _tick(at: float) -> str:
    return f"{at:g} s" if at < 100 else format_seconds(at)


def draw_map(said: Mapping[str, Any]) -> str:
    """Return a map of the windows, coloured by the time per window."""
    (width, height), cells = said["plan"]["size"], said["map"]
    times = [_times(cell) for cell in cells]
    timed = [each for each in times if each[0]] or times
    scales = [_scale([each[place] for each in timed]) for place in range(len(_CHOICES))]
    marks = "".join(_cell(*each, scales) for each in zip(cells, times, strict=True))
    inputs = "".join(
        f'<label><input type="radio" name="colour" value="{number}" '
        f'data-low="{escaped(format_seconds(low))}" data-high="{escaped(format_seconds(high))}"'
        f"{' checked' if not number else ''}> {name}</label>"
        for number, (name, (low, high)) in enumerate(zip(_CHOICES, scales, strict=True))
    )
    low, high = scales[0]
    return (
        f'<fieldset class="choices" aria-label="Colour by">{inputs}</fieldset>'
        f'<svg class="map" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="Windows by the time they took">'
        f'<rect class="ground" width="{width}" height="{height}"/>{marks}</svg>'
        f'<div class="scale"><span id="low">{escaped(format_seconds(low))}</span><div></div>'
        f'<span id="high">{escaped(format_seconds(high))}</span><span>for a window</span></div>'
    )


def _times(cell: Mapping[str, Any]) -> list[float]:
    """Return the average time per window of a cell, for each of `_CHOICES`."""
    took, windows = cell["seconds"], max(1, cell["windows"])
    return [
        each / windows for each in (sum(took.values()), *(took.get(n, 0.0) for n in _CHOICES[1:]))
    ]


def _scale(times: Sequence[float]) -> tuple[float, float]:
    """Return the times of the first and the last colour, without the slowest 2 %."""
    ordered = sorted(times) or [0.0]
    return ordered[0], ordered[math.ceil(0.98 * (len(ordered) - 1))]


def _cell(
    cell: Mapping[str, Any], times: Sequence[float], scales: Sequence[tuple[float, float]]
) -> str:
    left, top, width, height = cell["window"]
    levels = "".join(str(_level(each, *scale)) for each, scale in zip(times, scales, strict=True))
    if cell["failed"]:
        look, levels_said = "cell bad", ""
    else:
        look, levels_said = f"cell q{levels[0]}", f' data-q="{levels}"'
    return (
        f'<rect class="{look}"{levels_said} x="{left}" y="{top}" width="{width}" height="{height}">'
        f"<title>{escaped(_about_cell(cell, times))}</title></rect>"
    )


def _level(value: float, low: float, high: float) -> int:
    if high <= low:
        return LEVELS // 2
    return min(LEVELS - 1, max(0, int(LEVELS * (value - low) / (high - low))))


def _about_cell(cell: Mapping[str, Any], times: Sequence[float]) -> str:
    left, top, width, height = cell["window"]
    lines = [f"ij {format_ij(cell['ij'])}", f"column {left}, row {top}: {width} × {height}"]
    if cell["windows"] > 1:
        lines[0] = f"{cell['windows']} windows, from {lines[0]}"
        lines.append(f"slowest  {format_seconds(cell['slowest_seconds'])}")
    if cell["failed"]:
        lines.append(f"{cell['failed']} failed")
    if times[0]:
        named = zip(_CHOICES, times, strict=True)
        lines += [f"{name}  {format_seconds(value)}" for name, value in named]
    return "\n".join(lines)
