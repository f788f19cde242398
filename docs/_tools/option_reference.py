"""Write the options of `rio mucho` into docs/reference/command.md.

    python docs/_tools/option_reference.py

Meanings and defaults are those of ``rio_mucho_cli/cli/options.py``. Examples and
wrong commands are in ``option_reference.toml``; the messages on the page are
what these commands print. With ``--check`` nothing is written, and the exit
status is 1 if the page differs.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from rasterio.rio.main import main_group

from rio_mucho_cli import Job
from rio_mucho_cli.cli.options import GROUPS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "reference" / "command.md"
DATA = tomllib.loads((HERE / "option_reference.toml").read_text(encoding="utf-8"))

_ATTRIBUTES = {field.name for field in fields(Job)}
_WIDTH = 76  # of the lines of a command
_DEFAULT = re.compile(r"\s*\[default: (.*)\]$")
_GENERATED = re.compile(r"(<!-- options -->\n).*?(\n<!-- end of options -->)", re.DOTALL)


def with_options(page: str) -> str:
    """Return the text of the page with new sections; the current folder has the example data."""
    text = "\n".join(_groups()).rstrip()
    return _GENERATED.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", page)


def _groups() -> Iterator[str]:
    """Yield the lines of a section for each group of options."""
    for title, options in GROUPS.items():
        yield from [f"## {title}", ""]
        for option in options:
            yield from _section(option, DATA[option.name])


def _section(option: click.Option, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the section of an option."""
    yield from [f"### `{max(option.opts, key=len)}`", ""]
    default = _default(option)
    facts = [_usage(option), f"default: {default}" if default else ""]
    name = entry.get("python")
    if name is None and option.name in _ATTRIBUTES:
        name = f"{{py:attr}}`{option.name} <rio_mucho_cli.Job.{option.name}>`"
    facts.append(f"in Python: {name}" if name else "")
    yield from [" · ".join(filter(None, facts)), ""]
    yield from [_meaning(option), ""]
    if "file" in entry:
        yield from ["```python", entry["file"].strip(), "```", ""]
    if "not_run" in entry:
        yield from [f"<!-- not run: {entry['not_run']} -->", ""]
    yield from [f"    {entry['example']}", ""]
    if entry["errors"]:
        yield from ["Errors:", ""]
        for error in entry["errors"]:
            shown = error["wrong"].removeprefix("rio mucho ")
            message = _escaped(message_of(error["wrong"]))
            action = f". {error['do']}" if "do" in error else ""
            yield f"- `{shown}`\\\n  Error: {message}{action}"
        yield ""


def _wrapped(command: str) -> Iterator[str]:
    """Yield the lines of an indented block with a command, with breaks before options."""
    line = ""
    for part in re.split(r" (?=-)", command):
        if line and len(line) + len(part) > _WIDTH:
            yield f"    {line} \\"
            line = f"    {part}"
        else:
            line = f"{line} {part}" if line else part
    yield f"    {line}"


def message_of(command: str) -> str:
    """Return the error message that a command prints.

    Raises
    ------
    AssertionError
        If it succeeds.
    """
    program, *words = shlex.split(command)
    assert program == "rio", command
    result = CliRunner().invoke(main_group, words)
    messages = re.findall(r"^Error: (.*)", result.output, flags=re.MULTILINE)
    assert messages, f"{command} prints no error: {result.output}"
    return str(messages[-1]).rstrip(".")


def _usage(option: click.Option) -> str:
    (names, _) = option.get_help_record(click.Context(click.Command("mucho"))) or ("", "")
    return f"`{names}`"


def _escaped(text: str) -> str:
    return re.sub(r"[*_<>|\[\]`]", r"\\\g<0>", text)


def _meaning(option: click.Option) -> str:
    help_text = _DEFAULT.sub("", option.help or "")
    return f"{_escaped(help_text)} {option.details}"  # type: ignore[attr-defined]


def _default(option: click.Option) -> str:
    if option.required:
        return "none, it is required"
    if match := _DEFAULT.search(option.help or ""):
        return match[1]
    return f"`{option.default}`" if option.show_default else ""


def main() -> int:
    """Write the page, or compare it."""
    old = PAGE.read_text(encoding="utf-8")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rio_mucho_cli.examples", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        os.chdir(folder)
        new = with_options(old)
        os.chdir(here)
    if "--check" in sys.argv[1:]:
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True)))
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
