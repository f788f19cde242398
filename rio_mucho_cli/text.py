"""How messages, reports and reprs write options, numbers, names and secrets."""

from __future__ import annotations

import ast
import os
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, fields
from html import escape
from pathlib import Path
from typing import Any

_for_command_line: ContextVar[bool] = ContextVar("for_command_line", default=False)

# Options that take no value, and the value that switches them on in Python.
_FLAGS = {
    "masked": True, "metadata": False, "overwrite": True, "plain": True, "resume": True,
    "skip_masked": True, "stats": True,
}  # fmt: skip
# What the command line calls otherwise.
_COMMAND_LINE = {"function": "func", "metadata": "no-metadata", "creation_options": "co"}


def option(name: str, value: object = None) -> str:
    """Return an option as the user of the run writes it.

    Parameters
    ----------
    name : str
        Its name in Python, as `Job` has it.
    value : object
        A value to give it; None if only the option is named. A creation
        option is a pair (name, value).

    Returns
    -------
    str
        ``--nodata 0`` on the command line, ``nodata=0`` in Python; without a
        value ``--nodata`` and ``nodata``; of what is on or off ``--overwrite``
        and ``overwrite=True``.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if _for_command_line.get():
        dashed = "--" + _COMMAND_LINE.get(name, name).replace("_", "-")
        if isinstance(value, tuple):
            value = "=".join(map(str, value))
        return dashed if value is None else f"{dashed} {value}"
    if isinstance(value, tuple):
        value = {value[0]: value[1]}
    elif value is None:
        value = _FLAGS.get(name)
    elif isinstance(value, float) and value != value:
        return f'{name}=float("nan")'
    return name if value is None else f"{name}={value!r}"


@contextmanager
def for_command_line(yes: bool = True) -> Iterator[None]:
    """Name options as the command line does, or not, in this thread and context."""
    token = _for_command_line.set(yes)
    try:
        yield
    finally:
        _for_command_line.reset(token)


def is_for_command_line() -> bool:
    """Return whether options are named as the command line does."""
    return _for_command_line.get()


_UNITS = {10**12: "T", 10**9: "G", 10**6: "M", 10**3: "k"}


def format_rate(pixels_per_second: float) -> str:
    """Write pixels per second with a unit that keeps the number short."""
    return f"{_scaled(pixels_per_second)}px/s"


def format_bytes(nbytes: float) -> str:
    """Write a size in decimal units, as drives and networks have them."""
    return f"{_scaled(nbytes)}B"


def format_seconds(seconds: float) -> str:
    """Write a duration with two or three digits: 12 ms, 3.10 s, 2 min 05 s, 1 h 02 min."""
    if seconds < 0.0095:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 0.995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def format_count(number: int, noun: str) -> str:
    """Write a number of things: 1 window, 2 windows."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def truncate(text: str, longest: int) -> str:
    """Return a text of at most so many characters, with dots for what was cut off its end."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _scaled(value: float) -> str:
    for size, unit in _UNITS.items():
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} "


MB = 10**6
"""The unit of --mem-limit and of every size that is shown: 10^6 bytes, as drives have it."""


# Names of so few letters are like many others.
_SHORT = 2
# Of a name's letters, one in so many may be wrong.
_PER_ERROR = 3
# What lies beside rasters, and is none.
_NO_RASTERS = {".py", ".pyc", ".txt", ".md", ".json", ".geojson", ".html", ".xml", ".log", ".mucho"}


def did_you_mean(name: str, others: Iterable[str]) -> str:
    """Return ": did you mean 'NAME'?" with the nearest other name, or nothing."""
    other = closest(name, others)
    return "" if other is None else f": did you mean {other!r}?"


def closest(name: str, others: Iterable[str], bare: Callable[[str], str] = str) -> str | None:
    """Return the other name that was most likely meant; None if none is near.

    Parameters
    ----------
    name : str
    others : iterable of str
    bare : callable
        Returns what of a name is compared: without what all of them have.
    """
    wanted = bare(name).lower()
    limit = max(1, len(wanted) // _PER_ERROR) if len(wanted) > _SHORT else 0
    near = [
        # Of two, the one with the same letters is meant, else the longer one: letters change
        # places, or are left out, more often than they are added.
        (
            _distance(wanted, bare(other).lower()),
            sorted(wanted) != sorted(bare(other).lower()),
            -len(other),
            other,
        )
        for other in dict.fromkeys(others)
        if other != name and abs(len(bare(other)) - len(wanted)) <= limit
    ]
    least, *_, found = min(near, key=lambda each: each[:3], default=(limit + 1, True, 0, None))
    return found if least <= limit else None


def _distance(one: str, other: str) -> int:
    """Count what it takes to make one word of another.

    Letters that are left out, added, or others, and neighbours that have
    changed places, each count once (Damerau and Levenshtein's distance, of
    optimal string alignment).
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        oldest, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and (a, one[i - 2]) == (other[j - 2], b):
                best = min(best, oldest[j - 2] + 1)
            row.append(best)
    return row[-1]


def did_you_mean_file(path: str) -> str:
    """Return ": did you mean 'PATH'?" with a raster of a similar name beside it, or nothing."""
    wanted = Path(path)
    try:
        names = [entry.name for entry in wanted.parent.iterdir() if entry.is_file()]
    except (OSError, ValueError):
        return ""
    names = [name for name in names if Path(name).suffix.lower() not in _NO_RASTERS]
    same = [name for name in names if Path(name).stem == wanted.stem and name != wanted.name]
    close = same[0] if same else closest(wanted.name, names, lambda name: Path(name).stem)
    return "" if close is None else f": did you mean {str(wanted.parent / close)!r}?"


def functions_in(path: Path) -> list[str]:
    """Return the functions and classes that a Python file defines, without importing it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    return [name for name in names if not name.startswith("_")]


# GDAL's pages on configuration options and on network file systems name them.
_SECRETS = re.compile(
    "SECRET|TOKEN|PASS|PWD|CREDENTIAL|ACCESS_KEY|_KEY$|_SAS|BEARER|COOKIE|HEADER|CONNECTION_STRING"
)
# In an address, with a scheme or without: user:password@host.
_PASSWORD = re.compile("://[^/]*@|^[^/@]*:[^/@]*@")
# The same within a text; what follows a path's question mark; and fields of connection strings.
_SAID = (
    (re.compile(r"(?<=://)[^/@\s]*@|^[^/@\s]*:[^/@\s]*@"), "***@"),
    (re.compile(r"((?:\w+://|/vsi)[^\s?'\"]*\?)[^\s'\"]+"), r"\1***"),
    (
        re.compile(
            r"(?i)\b(\w*(?:password|passwd|pwd|secret|token|_key|apikey)\w*\s*[=:]\s*)"
            r"(?:'[^']*'|\"[^\"]*\"|[^\s,;&'\"]+)"
        ),
        r"\1***",
    ),
)
_FOR_SERVERS = re.compile("(GDAL_HTTP|CPL_VSIL|VSI|AWS|GS|AZURE|OSS|SWIFT)_|GDAL_DISABLE_READDIR")
# Of this machine, and of no other: what they name are its files and what runs on it.
_OF_MACHINE = re.compile("_FILE|_PROFILE$|AWS_CONTAINER_|AWS_(EXECUTION_ENV|LAMBDA)|_DIR$|_PATH$")


def secrets_in_variables() -> dict[str, str]:
    """Return GDAL's options about servers that are environment variables here."""
    return {
        name: value
        for name, value in os.environ.items()
        if _FOR_SERVERS.match(name) and not _OF_MACHINE.search(name)
    }


def secret_names(options: Mapping[str, Any]) -> list[str]:
    """Return the names of options that must not be read by others, sorted.

    A proxy or a URL with a password is one, too.
    """
    return sorted(
        name
        for name, value in options.items()
        if _SECRETS.search(name.upper()) or _PASSWORD.search(str(value))
    )


def redact(text: str) -> str:
    """Return a text in which stars stand for passwords, and for what signs an address."""
    for pattern, instead in _SAID:
        text = pattern.sub(instead, text)
    return text


def redact_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as text, with stars for the values of those that are secrets."""
    secrets = secret_names(options)
    return {str(key): "***" if key in secrets else str(options[key]) for key in options}


_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 120
_brief.maxlist = _brief.maxtuple = _brief.maxdict = 6


class ReprMixin:
    """Base of dataclasses that show what differs from their defaults."""

    __slots__ = ()

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={text}" for name, text in given_fields(self).items())
        return f"{type(self).__name__}({given})"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, given_fields(self))


def given_fields(value: Any) -> dict[str, str]:
    """Return the fields of a dataclass that differ from their defaults, as text."""
    found = {}
    for each in fields(value):
        made = each.default_factory
        default = each.default if made is MISSING else made()
        present = getattr(value, each.name)
        if not is_default(present, default):
            found[each.name] = short_repr(present)
    return found


def short_repr(value: Any) -> str:
    """Return a value as short text; a function is its name."""
    name = getattr(value, "__qualname__", None)
    if callable(value) and name is not None:
        return f"{getattr(value, '__module__', None) or type(value).__name__}:{name}"
    return _brief.repr(dict(value) if isinstance(value, Mapping) else value)


def html_table(title: str, rows: Mapping[str, str], more: Iterable[Iterable[str]] = ()) -> str:
    """Return a table of names and texts, and rows of several cells after them, as HTML."""
    lines = [
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows.items()
    ]
    for cells in more:
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def is_default(value: Any, default: Any) -> bool:
    """Whether a value is the default, or as empty as that."""
    try:
        if isinstance(value, Collection) and isinstance(default, Collection) and not len(default):
            return not len(value)
        return type(value) is type(default) and bool(value == default)
    except Exception:  # arrays, and whatever others compare like
        return False


def escaped(value: Any) -> str:
    """Return what may stand anywhere in a page, attributes included."""
    return escape(str(value), quote=True)


def format_number(value: float) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def format_percent(value: float | None) -> str:
    """Return a part of one in per cent."""
    return "–" if value is None else f"{100 * value:.0f} %"


def format_ij(ij: Any) -> str:
    """Return an ij as a user writes it."""
    return f"({ij[0]}, {ij[1]})" if isinstance(ij, list) else str(ij)
