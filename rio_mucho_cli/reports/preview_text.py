"""A preview as text: less than 40 lines of at most 80 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from rasterio.crs import CRS

from rio_mucho_cli.dtypes import number_text
from rio_mucho_cli.text import format_bytes, format_count

_WIDTH = 80
_LABEL = 11
_MOST_LINES = 39
# Numbers of inputs and outputs in the text; JSON has all.
_MOST_INPUTS, _MOST_OUTPUTS = 4, 3


def lines(preview: dict[str, Any]) -> list[str]:
    """Return the lines of a preview.

    Parameters
    ----------
    preview : dict
        A preview as `Preview.as_dict` returns it.
    """
    plan = preview["plan"]
    made = [f"Dry run of {plan['function']}: nothing is written."]
    for index, each in enumerate(plan["inputs"][:_MOST_INPUTS], 1):
        made += _entry(f"input {index}", f"{each['path']}: {', '.join(_input(each))}")
    made += _more("input", len(plan["inputs"]) - _MOST_INPUTS)
    for index, each in enumerate(plan["outputs"][:_MOST_OUTPUTS]):
        made += _entry("output", f"{each['path']}: {', '.join(_output(each))}")
        for text in _about_output(preview, index):
            made += _entry("", text)
    made += _more("output", len(plan["outputs"]) - _MOST_OUTPUTS)
    for label, text in _work(preview):
        made += _entry(label, text)
    if len(made) > _MOST_LINES:
        made = [*made[: _MOST_LINES - 1], f"{'':{_LABEL}}... and more, which JSON has"]
    return made


def _entry(label: str, text: str) -> list[str]:
    indent = " " * _LABEL
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"{label:{_LABEL}}", subsequent_indent=indent,
        break_on_hyphens=False,
    )  # fmt: skip


def _more(what: str, number: int) -> list[str]:
    return _entry("", f"and {number} more {what}{'s' if number > 1 else ''}") if number > 0 else []


def _input(each: dict[str, Any]) -> Iterator[str]:
    yield each["driver"]
    yield from _place(each["grid"])
    bands = each["bands"]
    number = "" if bands is None else f"bands {', '.join(map(str, bands))} of "
    yield f"{number}{each['count']} x {'/'.join(each['dtypes'])}"
    yield from _layout(each)
    if each["reading"] == "shifted":
        yield "shifted by whole pixels to the output's grid"
    elif each["reading"] == "warped":
        yield f"warped to the output's grid ({each['resampling']})"
    # An input that is read as it is has the grid of the output: it covers all of it.
    if each["coverage"] is not None and (each["reading"], each["coverage"]) != ("as it is", 1):
        yield f"covers {_percent(each['coverage'])} of the output"


def _percent(part: float) -> str:
    """Return a percentage, with 0 and 100 only if they are exact."""
    if part in {0, 1}:
        return "nothing" if part == 0 else "all"
    return f"{min(max(100 * part, 0.1), 99.9):.1f} %"


def _output(each: dict[str, Any]) -> Iterator[str]:
    parts = each["part_size"]
    driver = each["driver"]
    yield f"VRT over parts of {parts[0]} x {parts[1]} ({driver})" if parts else driver
    if each["grid"] is not None:
        yield from _place(each["grid"])
    if each["dtype"] is None or each["count"] is None:
        yield "bands and dtype as the function returns them"
    else:
        yield f"{each['count']} x {each['dtype']}"
    yield from _layout(each)
    yield from (f"{name}={value}" for name, value in each["creation_options"].items())


def _place(grid: dict[str, Any]) -> Iterator[str]:
    yield f"{grid['width']} x {grid['height']}"
    yield "no CRS" if grid["crs"] is None else _crs_name(grid["crs"])
    across, down = abs(grid["transform"][0]), abs(grid["transform"][4])
    yield f"pixels {across:.6g}" if across == down else f"pixels {across:.6g} x {down:.6g}"


def _crs_name(text: str) -> str:
    if len(text) <= 20:
        return text
    name = CRS.from_string(text).to_dict(projjson=True).get("name", "its own CRS")
    return str(name)


def _layout(each: dict[str, Any]) -> Iterator[str]:
    if each["nodata"] is not None:
        yield (
            f"nodata {number_text(each['nodata'])}"
            if isinstance(each["nodata"], float)
            else (f"nodata {each['nodata']}")
        )
    if each["block"] is not None:
        yield f"blocks {each['block'][0]} x {each['block'][1]}"
    if each["compress"]:
        yield str(each["compress"])


def _about_output(preview: dict[str, Any], index: int) -> Iterator[str]:
    each = preview["plan"]["outputs"][index]
    size = f"{format_bytes(each['uncompressed_bytes'])} uncompressed"
    if each["dtype"] is None:
        size += ", if it is like the first input"
    estimate = preview["estimate"] or {"encoded_bytes": []}
    encoded = dict(enumerate(estimate["encoded_bytes"])).get(index)
    if encoded is not None:
        size += f"; about {format_bytes(encoded)} in the file (estimate)"
    yield size
    overviews = each["overviews"]
    if overviews is not None:
        factors = ", ".join(map(str, overviews["factors"]))
        yield f"overviews {factors} ({overviews['resampling']}), made by {overviews['by']}"
    if each["written"]["by"] == "caller":
        yield f"GDAL writes in the main process, because {each['written']['why']}"
    if preview["earlier"]["complete"]:
        yield "is there, and of this very run"
    elif preview["exists"][index]:
        yield "exists, and would be replaced"


def _work(preview: dict[str, Any]) -> Iterator[tuple[str, str]]:
    plan, windows, earlier = preview["plan"], preview["plan"]["windows"], preview["earlier"]
    width, height = windows["size"]
    in_parts = f" in {format_count(plan['parts'], 'part')}" if plan["parts"] else ""
    yield "windows", f"{windows['number']} of {width} x {height}{in_parts}: {windows['why']}"
    if windows["overlap"]:
        read = (width + 2 * windows["overlap"]) * (height + 2 * windows["overlap"])
        times = read / (width * height)
        yield "", f"overlap {windows['overlap']}: each pixel is read {times:.2f} times"
    flight = plan["in_flight"]
    tasks = f"{format_count(flight, 'task')} in flight"
    yield "jobs", f"{plan['jobs']} ({plan['executor']}), {tasks}"
    memory = plan["memory"]
    limit = f", limit {format_bytes(memory['limit'])}" if memory["asked_for"] else ""
    yield "memory", f"about {format_bytes(memory['estimate'])} (estimate){limit}"
    if earlier["complete"]:
        yield "resume", "nothing to do"
    elif earlier["windows"]:
        number = f"{earlier['windows']} of {windows['number']} windows"
        yield "resume", f"an earlier run has done {number}, by its journal"
    elif earlier["parts"]:
        yield "resume", "an earlier run has left parts: those that are complete are kept"
    yield from _probe(preview)
    for note in preview["notes"]:
        yield "note", note


def _probe(preview: dict[str, Any]) -> Iterator[tuple[str, str]]:
    probe = preview["probe"]
    if probe is None:
        return
    col_off, row_off, width, height = (f"{value:g}" for value in probe["window"])
    at = f"window of {width} x {height} at column {col_off}, row {row_off}"
    if probe["failure"]:
        yield "probe", f"{at}: the function raised, and the window would be nodata"
    if probe["results"]:
        forms = (f"{each['count']} x {each['dtype']}" for each in probe["results"])
        yield "probe", f"{at}: {' and '.join(forms)}"
        names = {"read": "reading", "function": "function", "encode": "encoding"}
        stages = [f"{names[name]} {took:.3f} s" for name, took in probe["seconds"].items()]
        yield "", ", ".join(stages)
    seconds = preview["estimate"]["seconds"]
    if seconds is not None:
        yield "duration", f"about {_duration(seconds['whole'])} (estimate, by this one window)"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
