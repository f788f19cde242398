"""How jobs and reports show themselves: one line as text, a plain table in notebooks."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, fields
from html import escape
from typing import Any

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 120
_brief.maxlist = _brief.maxtuple = _brief.maxdict = 6


class Shown:
    """Base of dataclasses that show what differs from their defaults."""

    __slots__ = ()

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={text}" for name, text in given_fields(self).items())
        return f"{type(self).__name__}({given})"

    def _repr_html_(self) -> str:
        return table(type(self).__name__, given_fields(self))


def given_fields(value: Any) -> dict[str, str]:
    """Return the fields of a dataclass that differ from their defaults, as text."""
    found = {}
    for each in fields(value):
        made = each.default_factory
        default = each.default if made is MISSING else made()
        present = getattr(value, each.name)
        if not same(present, default):
            found[each.name] = brief(present)
    return found


def brief(value: Any) -> str:
    """Return a value as short text; a function is its name."""
    name = getattr(value, "__qualname__", None)
    if callable(value) and name is not None:
        return f"{getattr(value, '__module__', None) or type(value).__name__}:{name}"
    return _brief.repr(dict(value) if isinstance(value, Mapping) else value)


def table(title: str, rows: Mapping[str, str], more: Iterable[Iterable[str]] = ()) -> str:
    """Return a table of names and texts, and rows of several cells after them, as HTML."""
    lines = [
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows.items()
    ]
    for cells in more:
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def same(value: Any, default: Any) -> bool:
    """Whether a value is the default, or as empty as that."""
    try:
        if isinstance(value, Collection) and isinstance(default, Collection) and not len(default):
            return not len(value)
        return type(value) is type(default) and bool(value == default)
    except Exception:  # arrays, and whatever others compare like
        return False
