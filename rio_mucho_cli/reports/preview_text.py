"""A preview as text: less than 40 lines of at most 80 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from rasterio.crs import CRS

from rio_mucho_cli.dtypes import number_text
from rio_mucho_cli.text import format_bytes, format_count, format_seconds, option

_WIDTH = 80
_LABEL = 11
_MOST_LINES = 39
# Numbers of inputs and outputs in the text; JSON has all.
_MOST_INPUTS, _MOST_OUTPUTS = 4, 3


def lines(preview: Mapping[str, Any]) -> list[str]:
    """Return the lines of a preview.

    Parameters
    ----------
    preview : Mapping
        A preview as `Preview.as_dict` returns it.
    """
    result = [f"Dry run of {preview['plan']['function']}: nothing is written."]
    for label, text in facts(preview):
        result += _wrap(label, text)
    if len(result) > _MOST_LINES:
        result = [*result[: _MOST_LINES - 1], f"{'':{_LABEL}}... and more, in the JSON report"]
    return result


def facts(
    preview: Mapping[str, Any], most_inputs: int = _MOST_INPUTS, most_outputs: int = _MOST_OUTPUTS
) -> Iterator[tuple[str, str]]:
    """Yield the facts of a preview as pairs of a label and a text.

    Parameters
    ----------
    preview : Mapping
    most_inputs, most_outputs : int
        Numbers of inputs and outputs to describe; the others are counted.

    Yields
    ------
    tuple of str
        The label is empty where a text continues the one before.
    """
    plan = preview["plan"]
    for number, source in enumerate(plan["inputs"][:most_inputs], 1):
        yield f"input {number}", f"{source['path']}: {', '.join(_input(source))}"
    yield from _more("input", len(plan["inputs"]) - most_inputs)
    if plan["series"] is not None:
        scenes, most = plan["series"]["scenes"], plan["series"]["most"]
        text = f"{format_count(scenes, 'scene')}, at most {most} in a window"
        yield "series", f"{text}; the inputs above are those of the first one"
    for vector in plan["vectors"][:most_inputs]:
        yield f"input {vector['position'] + 1}", f"{vector['path']}: {_vector(vector)}"
    if plan["area"] is not None:
        features = format_count(plan["area"]["features"], "feature")
        yield "area", f"{plan['area']['path']}: {plan['area']['driver']}, {features}"
    for index, output in enumerate(plan["outputs"][:most_outputs]):
        yield "output", f"{output['path']}: {', '.join(_output(output))}"
        for text in _output_details(preview, index):
            yield "", text
    yield from _more("output", len(plan["outputs"]) - most_outputs)
    for index, value in enumerate(plan["values"][:most_outputs]):
        yield "value", f"{value['path']}: {_value(value)}"
        if preview["exists"][len(plan["outputs"]) + index]:
            yield "", "already exists, and would be replaced"
    yield from _work(preview)


def _wrap(label: str, text: str) -> list[str]:
    indent = " " * _LABEL
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"{label:{_LABEL}}", subsequent_indent=indent,
        break_on_hyphens=False,
    )  # fmt: skip


def _vector(vector: Mapping[str, Any]) -> str:
    """Return the format and the number of features of a vector input, and what is burned."""
    burned = vector["attribute"] or "numbers"
    touched = ", all touched" if vector["all_touched"] else ""
    features = format_count(vector["features"], "feature")
    return f"{vector['driver']}, {features}, burns {burned} as {vector['dtype']}{touched}"


def _more(noun: str, number: int) -> Iterator[tuple[str, str]]:
    if number > 0:
        yield "", f"and {format_count(number, f'more {noun}')}"


def _input(source: dict[str, Any]) -> Iterator[str]:
    yield source["driver"]
    yield from _grid(source["grid"])
    bands = source["bands"]
    number = "" if bands is None else f"bands {', '.join(map(str, bands))} of "
    yield f"{number}{source['count']} x {'/'.join(source['dtypes'])}"
    yield from _layout(source)
    if source["reading"] == "shifted":
        yield "shifted by whole pixels to the output's grid"
    elif source["reading"] == "warped":
        yield f"warped to the output's grid ({source['resampling']})"
    # An input that is read as it is has the grid of the output: it covers all of it.
    coverage = source["coverage"]
    if coverage is not None and (source["reading"], coverage) != ("as it is", 1):
        yield f"covers {_percent(coverage)} of the output"


def _percent(share: float) -> str:
    """Return a percentage; "nothing" and "all" only if they are exact."""
    if share in {0, 1}:
        return "nothing" if share == 0 else "all"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"


def _output(output: dict[str, Any]) -> Iterator[str]:
    parts = output["part_size"]
    driver = output["driver"]
    yield f"VRT over parts of {parts[0]} x {parts[1]} ({driver})" if parts else driver
    if output["grid"] is not None:
        yield from _grid(output["grid"])
    if output["dtype"] is None or output["count"] is None:
        yield "bands and dtype as the function returns them"
    else:
        yield f"{output['count']} x {output['dtype']}"
    yield from _layout(output)
    yield from (f"{name}={value}" for name, value in output["creation_options"].items())


def _value(value: dict[str, Any]) -> str:
    if value["streamed"]:
        return f"{value['format']}, written line by line"
    if value["merge"] == "list":
        return f"{value['format']}, collected in a list"
    is_own = value["merge"] == "the function's own"
    return f"{value['format']}, merged by {value['merge']}{' merge' if is_own else ''}"


def _grid(grid: dict[str, Any]) -> Iterator[str]:
    yield f"{grid['width']} x {grid['height']}"
    yield "no CRS" if grid["crs"] is None else _crs_name(grid["crs"])
    width, height = abs(grid["transform"][0]), abs(grid["transform"][4])
    yield f"pixels {width:.6g}" if width == height else f"pixels {width:.6g} x {height:.6g}"


def _crs_name(text: str) -> str:
    if len(text) <= 20:
        return text
    name = CRS.from_string(text).to_dict(projjson=True).get("name", "custom CRS")
    return str(name)


def _layout(raster: dict[str, Any]) -> Iterator[str]:
    nodata, given = raster["nodata"], raster.get("src_nodata") is not None
    if nodata is not None or given:
        text = number_text(nodata) if isinstance(nodata, float) else str(nodata).lower()
        yield f"nodata {text} ({option('src_nodata')})" if given else f"nodata {text}"
    if raster["block"] is not None:
        yield f"blocks {raster['block'][0]} x {raster['block'][1]}"
    if raster["compress"]:
        yield str(raster["compress"])


def _output_details(preview: Mapping[str, Any], index: int) -> Iterator[str]:
    output = preview["plan"]["outputs"][index]
    size = f"{format_bytes(output['uncompressed_bytes'])} uncompressed"
    if output["dtype"] is None:
        size += ", with the first input's bands and dtype"
    estimate = preview["estimate"] or {"encoded_bytes": []}
    encoded = dict(enumerate(estimate["encoded_bytes"])).get(index)
    if encoded is not None:
        size += f"; about {format_bytes(encoded)} in the file (estimate)"
    yield size
    overviews = output["overviews"]
    if overviews is not None:
        factors = ", ".join(map(str, overviews["factors"]))
        yield f"overviews {factors} ({overviews['resampling']}), built by {overviews['by']}"
    if output["declared"]:
        yield f"declared by the function: {', '.join(output['declared'])}"
    if output["written"]["by"] == "caller":
        yield f"GDAL writes in the main process, because {output['written']['why']}"
    if preview["earlier"]["complete"]:
        yield "already exists, and comes from this run"
    elif preview["exists"][index]:
        yield "already exists, and would be replaced"


def _work(preview: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    plan, windows, earlier = preview["plan"], preview["plan"]["windows"], preview["earlier"]
    width, height = windows["size"]
    in_parts = f" in {format_count(plan['parts'], 'part')}" if plan["parts"] else ""
    yield "windows", f"{windows['number']} of {width} x {height}{in_parts}: {windows['why']}"
    if windows["overlap"]:
        read = (width + 2 * windows["overlap"]) * (height + 2 * windows["overlap"])
        times = read / (width * height)
        yield "", f"overlap {windows['overlap']}: each pixel is read {times:.2f} times"
    if plan["declared"]:
        yield "", f"declared by the function: {', '.join(plan['declared'])}"
    tasks = format_count(plan["in_flight"], "task")
    most = "" if plan["timeout"] is None else f", at most {plan['timeout']:g} s a window"
    yield "jobs", f"{plan['jobs']} ({plan['executor']}), {tasks} in flight{most}"
    memory = plan["memory"]
    limit = f", limit {format_bytes(memory['limit'])}" if memory["asked_for"] else ""
    yield "memory", f"about {format_bytes(memory['estimate'])} (estimate){limit}"
    if earlier["complete"]:
        yield "resume", "nothing to do"
    elif earlier["windows"]:
        number = f"{earlier['windows']} of {windows['number']} windows"
        yield "resume", f"{number} done by an earlier run, according to its journal"
    elif earlier["parts"]:
        yield "resume", "complete parts of an earlier run are kept"
    yield from _probe(preview)
    for note in preview["notes"]:
        yield "note", note


def _probe(preview: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    probe = preview["probe"]
    if probe is None:
        return
    col_off, row_off, width, height = map(number_text, probe["window"])
    at = f"window of {width} x {height} at column {col_off}, row {row_off}"
    if probe["failure"]:
        yield "probe", f"{at}: the function raised; the window would be nodata"
    if probe["results"]:
        results = (f"{result['count']} x {result['dtype']}" for result in probe["results"])
        yield "probe", f"{at}: {' and '.join(results)}"
    elif probe["values"]:
        yield "probe", f"{at}:"
    if probe["results"] or probe["values"]:
        for value in probe["values"]:
            yield "", value
        names = {"read": "reading", "function": "function", "encode": "encoding"}
        stages = [f"{names[name]} {time:.3f} s" for name, time in probe["seconds"].items()]
        yield "", ", ".join(stages)
    seconds = preview["estimate"]["seconds"]
    if seconds is not None:
        duration = format_seconds(seconds["whole"])
        yield "duration", f"about {duration} (estimate from this one window)"
