"""A directive, `command`, that puts a click command's own help on a page.

    .. command:: package.module:command
       :prog: what users call it

Help texts are plain text, and are shown as they are: what looks like markup in
them (``func(*arrays, **args)``) is none. Options stand under the headings that
the command's help gives them.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from importlib import import_module

import click
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Recorder(click.HelpFormatter):
    """Keeps what a command writes as its help, heading by heading."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[tuple[str, list[tuple[str, str]]]] = []

    def write_heading(self, heading: str) -> None:
        """Begin a section."""
        self.sections.append((heading, []))

    def write_dl(self, rows: object, *_: object, **__: object) -> None:
        """Take the section's rows of options and what they mean."""
        self.sections[-1][1].extend(rows)  # type: ignore[arg-type]


class CommandDirective(SphinxDirective):
    """Usage, description and options of a command."""

    required_arguments = 1
    option_spec = {"prog": directives.unchanged_required}  # noqa: RUF012 (docutils' own way)

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        module, _, name = self.arguments[0].partition(":")
        command = getattr(import_module(module), name)
        ctx = click.Context(command, info_name=self.options["prog"])
        recorder = Recorder()
        command.format_options(ctx, recorder)
        usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
        return [
            literal(usage),
            *description(command.help or ""),
            *(self.section(heading, rows) for heading, rows in recorder.sections if rows),
        ]

    def section(self, heading: str, rows: list[tuple[str, str]]) -> nodes.Node:
        """Return a heading, and under it a list of options."""
        items = [
            nodes.definition_list_item(
                "",
                nodes.term("", "", nodes.literal(text=option)),
                nodes.definition("", nodes.paragraph(text=meaning)),
            )
            for option, meaning in rows
        ]
        section = nodes.section("", nodes.title(text=heading), nodes.definition_list("", *items))
        section["ids"] = [nodes.make_id(heading)]
        section["classes"] = ["command-options"]
        return section


def description(text: str) -> Iterator[nodes.Node]:
    """Yield the paragraphs of a help text; those after click's mark are code."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        first, *rest = paragraph.split("\n")
        if first == "\b":
            code = "\n".join("" if line == "\b" else line for line in rest)
            yield literal(textwrap.dedent(code))
        else:
            yield nodes.paragraph(text=" ".join(paragraph.split()))


def literal(text: str) -> nodes.Node:
    """Return a block of code that is not highlighted."""
    return nodes.literal_block(text, text, language="text")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("command", CommandDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
