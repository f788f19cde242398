"""What the site needs of Sphinx: attributes of a Job in groups, and anchors such as #--nodata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from rio_mucho_cli import Job, Output

REFERENCE = "reference/command"  # the page whose headings are options
JOB = "rio_mucho_cli.Job"


class JobAttributes(SphinxDirective):
    """``.. job-attributes:: NAME NAME ...``: attributes of a Job, from its docstring."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the descriptions of the attributes."""
        lines = [line for name in self.arguments[0].split() for line in self._lines(name)]
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(StringList(lines, self.get_source_info()[0]), 0, node)
        return node.children

    def _lines(self, name: str) -> Iterator[str]:
        kind, description = ATTRIBUTES[name]
        module, _, cls = JOB.rpartition(".")
        yield f".. py:attribute:: {cls}.{name}"
        yield from [f"   :module: {module}", f"   :type: {kind}"]
        default = DEFAULTS[name]
        if default is not MISSING:
            yield f"   :value: {default!r}"
        yield from ["", *(f"   {line}" for line in description), ""]


def _attributes() -> dict[str, tuple[str, list[str]]]:
    """Return type and description of each attribute of a Job."""

    def documented(cls: type) -> dict[str, tuple[str, list[str]]]:
        entries = NumpyDocString(cls.__doc__)["Attributes"]
        return {
            name: (entry.type, entry.desc) for entry in entries for name in entry.name.split(", ")
        }

    outputs = documented(Output)
    return {
        name: outputs[name] if "as for `Output`" in " ".join(entry[1]) else entry
        for name, entry in documented(Job).items()
    }


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


ATTRIBUTES = _attributes()
DEFAULTS = {field.name: _default(field) for field in fields(Job)}


def leave_out_attributes(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Remove the attributes from the docstring of Job: `job-attributes` shows them."""
    if name == JOB and "Attributes" in lines:
        start = lines.index("Attributes")
        end = lines.index("Raises") if "Raises" in lines[start:] else len(lines)
        del lines[start:end]


def name_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Give each option's section its name as an anchor."""
    if app.env.docname != REFERENCE:
        return
    for section in doctree.findall(nodes.section):
        title = section[0].astext()
        if title.startswith("-") and title not in section["ids"]:
            section["ids"].insert(0, title)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect everything to Sphinx."""
    app.add_directive("job-attributes", JobAttributes)
    # Before numpydoc rewrites docstrings, which it does with the default priority of 500.
    app.connect("autodoc-process-docstring", leave_out_attributes, priority=400)
    app.connect("doctree-read", name_anchors, priority=400)
    return {"parallel_read_safe": True}
