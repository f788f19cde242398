"""The settings of a run on its page: plan, options, GDAL options, machine and versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rio_mucho_cli.reports import preview_text
from rio_mucho_cli.text import MB, escaped, format_bytes

_MOST_FILES = 100
# Names of libraries that the report has in lower case.
_NAMES = {"python": "Python", "gdal": "GDAL"}


def settings_section(document: Mapping[str, Any]) -> str:
    """Return a section with the settings, each group folded."""
    groups = (
        ("Plan", _plan(document["plan"])),
        ("Options", _options(document)),
        ("GDAL options", _gdal_options(document["job"])),
        ("Machine and versions", _machine(document)),
    )
    lists = "".join(
        f"<details><summary>{title}</summary>{_list(facts)}</details>" for title, facts in groups
    )
    return f'<section><div class="head"><h2>Settings</h2></div>{lists}</section>'


def _plan(plan: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield what a dry run prints of a plan."""
    if plan is None:
        yield "plan", "none: the run failed while it was planned"
        return
    exists = (False,) * (len(plan["outputs"]) + len(plan["values"]))
    earlier = {"windows": 0, "parts": False, "complete": False}
    preview: dict[str, Any] = {"plan": plan, "exists": exists, "earlier": earlier}
    preview |= {"probe": None, "estimate": None, "notes": ()}
    yield from preview_text.facts(preview, _MOST_FILES, _MOST_FILES)


def _options(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the options that the plan does not show and that are not the defaults."""
    job, plan = document["job"], document["plan"] or {}
    yield "function", job["function"]
    for name, value in (
        ("mode", None if job.get("mode") == "simple_read" else job.get("mode")),
        ("inputs", None if plan else ", ".join(job["inputs"])),
        ("outputs", None if plan else ", ".join(job["outputs"])),
        ("global args", ", ".join(job.get("global_args") or ())),
        ("masked inputs", "yes" if job.get("masked") else None),
        ("grid like", job.get("like")),
        ("extent", job.get("extent")),
        ("bounds", " ".join(f"{bound:.10g}" for bound in job.get("bounds") or ())),
        ("area of interest", job.get("aoi")),
        ("memory limit", _megabytes(job.get("mem_limit_mb"))),
        ("resumable", "yes" if plan.get("resume") else None),
        ("failed windows", "become nodata" if plan.get("on_error") == "nodata" else None),
        ("retries of a window", plan.get("retries")),
        ("timeout of a window", f"{plan['timeout']:g} s" if plan.get("timeout") else None),
    ):
        if value not in (None, ""):
            yield name, str(value)
    for name, value in job["thread_variables"].items():
        yield name, value


def _megabytes(number: int | None) -> str | None:
    return None if number is None else format_bytes(number * MB)


def _gdal_options(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not job["gdal_options"]:
        yield "options", "none"
    for name, value in job["gdal_options"].items():
        yield name, "hidden" if value is None else value


def _machine(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    machine = document["machine"]
    yield "system", machine["platform"]
    yield "CPUs", f"{machine['usable_cpus']} usable of {machine['cpus']}"
    yield "memory", format_bytes(machine["memory_bytes"])
    for name, number in document["versions"].items():
        yield _NAMES.get(name, name), number


def _list(facts: Iterable[tuple[str, str]]) -> str:
    """Return names and texts as a list; texts without a name belong to the name before."""
    lines = "".join(
        (f"<dt>{escaped(name)}</dt>" if name else "") + f"<dd>{escaped(text)}</dd>"
        for name, text in facts
    )
    return f"<dl>{lines}</dl>"
