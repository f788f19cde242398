"""Write the options of `rio mucho` into docs/reference/command.md.

    python docs/_tools/options_table.py

The page can also be read without Sphinx; a test compares it with the options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from rio_mucho_cli.cli.options import GROUPS

PAGE = Path(__file__).resolve().parents[1] / "reference" / "command.md"

_DEFAULT = re.compile(r"\s*\[default: (.*)\]$")
_TABLES = re.compile(r"(<!-- options -->\n).*?(\n<!-- end of options -->)", re.DOTALL)


def tables() -> Iterator[str]:
    """Yield the lines of a section with a table for each group of options."""
    for title, options in GROUPS.items():
        yield from ["", f"### {title}", "", "| option | meaning | default |", "|---|---|---|"]
        for option in options:
            yield f"| {_names(option)} | {_meaning(option)} | {_default(option)} |"


def with_tables(page: str) -> str:
    """Return the text of the page with new tables."""
    text = "\n".join(tables())
    return _TABLES.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page)


def _names(option: click.Option) -> str:
    (names, _) = option.get_help_record(click.Context(click.Command("mucho"))) or ("", "")
    return f"`{names}`".replace("|", r"\|")


def _meaning(option: click.Option) -> str:
    help_text = _DEFAULT.sub("", option.help or "")
    escaped = re.sub(r"[*|]", r"\\\g<0>", help_text)
    return f"{escaped} {option.details}"  # type: ignore[attr-defined]


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    if match := _DEFAULT.search(option.help or ""):
        return match[1]
    return f"`{option.default}`" if option.show_default else ""


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
