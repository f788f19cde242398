"""Format options, numbers, names and secrets for messages, reports and reprs."""

from __future__ import annotations

import ast
import json
import os
import re
import reprlib
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, fields
from html import escape
from pathlib import Path
from typing import Any

_for_command_line: ContextVar[bool] = ContextVar("for_command_line", default=False)

# Options without a value on the command line, and their values in Python.
_FLAGS = {
    "masked": True, "metadata": False, "overwrite": True, "plain": True, "resume": True,
    "skip_masked": True, "stats": True,
}  # fmt: skip
# Options with another name on the command line.
_COMMAND_LINE = {"function": "func", "metadata": "no-metadata", "creation_options": "co"}


def option(name: str, value: object = None) -> str:
    """Return an option as it is written on the command line or in Python.

    Parameters
    ----------
    name : str
        Name in Python, as in `Job`.
    value : object
        Value of the option; None to name only the option. A creation option is a
        pair (name, value).

    Returns
    -------
    str
        ``--nodata 0`` on the command line, ``nodata=0`` in Python; without a
        value ``--nodata`` and ``nodata``; for flags ``--overwrite`` and
        ``overwrite=True``.
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


def argument(name: str, value: object) -> str:
    """Return an argument of a function, as it is written on the command line or in Python.

    That is ``--arg fields='["code"]'`` and ``fields=["code"]``.
    """
    text = json.dumps(value)
    if not _for_command_line.get():
        return f"{name}={text}"
    return f"--arg {name}={value if isinstance(value, str) else shlex.quote(text)}"


@contextmanager
def for_command_line(yes: bool = True) -> Iterator[None]:
    """Name options as on the command line, or as in Python, in this context."""
    token = _for_command_line.set(yes)
    try:
        yield
    finally:
        _for_command_line.reset(token)


def is_for_command_line() -> bool:
    """Return whether options are named as on the command line."""
    return _for_command_line.get()


_UNITS = {10**12: "T", 10**9: "G", 10**6: "M", 10**3: "k"}


def format_rate(pixels_per_second: float) -> str:
    """Return pixels per second with a suitable unit."""
    return f"{_scaled(pixels_per_second)}px/s"


def format_bytes(nbytes: float) -> str:
    """Return a size in decimal units, as for drives and networks."""
    return f"{_scaled(nbytes)}B"


def format_seconds(seconds: float) -> str:
    """Return a duration with two or three digits.

    For example 12 ms, 3.10 s, 2 min 05 s, 1 h 02 min.
    """
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
    """Return a number of things: 1 window, 2 windows."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def truncate(text: str, longest: int) -> str:
    """Return at most this many characters of a text, with dots if it was cut."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _scaled(value: float) -> str:
    for size, unit in _UNITS.items():
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} "


MB = 10**6
"""Unit of --mem-limit and of sizes in messages: 10^6 bytes, as for drives."""


# Names of at most this many letters resemble too many others.
_SHORT = 2
# Letters of a name for each allowed difference.
_PER_ERROR = 3
# Suffixes of files that are not rasters.
_NO_RASTERS = {".py", ".pyc", ".txt", ".md", ".json", ".geojson", ".html", ".xml", ".log", ".mucho"}


def did_you_mean(name: str, others: Iterable[str]) -> str:
    """Return ": did you mean 'NAME'?" with the most similar name, or nothing."""
    other = closest(name, others)
    return "" if other is None else f": did you mean {other!r}?"


def closest(name: str, others: Iterable[str], bare: Callable[[str], str] = str) -> str | None:
    """Return the most similar name, or the only one that begins so; otherwise None.

    Parameters
    ----------
    name : str
    others : iterable of str
    bare : callable
        Returns the part of a name to compare, such as its stem.
    """
    word, others = bare(name).lower(), [other for other in dict.fromkeys(others) if other != name]
    limit = max(1, len(word) // _PER_ERROR) if len(word) > _SHORT else 0
    similar = [
        # Prefer the one with the same letters, then the longer one: letters are swapped or
        # left out more often than added.
        (
            _distance(word, bare(other).lower()),
            sorted(word) != sorted(bare(other).lower()),
            -len(other),
            other,
        )
        for other in others
        if abs(len(bare(other)) - len(word)) <= limit
    ]
    nothing = (limit + 1, True, 0, None)
    distance, *_, best = min(similar, key=lambda candidate: candidate[:3], default=nothing)
    if distance <= limit:
        return best
    longer = [other for other in others if limit and bare(other).lower().startswith(word)]
    return longer[0] if len(longer) == 1 else None


def _distance(one: str, other: str) -> int:
    """Return the edit distance of two words.

    Damerau and Levenshtein's, as optimal string alignment: letters left out,
    added or replaced, and swapped neighbours, count one each.
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
    """Return ": did you mean 'PATH'?" with a similar raster's path, or nothing."""
    missing = Path(path)
    try:
        names = [entry.name for entry in missing.parent.iterdir() if entry.is_file()]
    except (OSError, ValueError):
        return ""
    names = [name for name in names if Path(name).suffix.lower() not in _NO_RASTERS]
    same = [name for name in names if Path(name).stem == missing.stem and name != missing.name]
    close = same[0] if same else closest(missing.name, names, lambda name: Path(name).stem)
    return "" if close is None else f": did you mean {str(missing.parent / close)!r}?"


def functions_in(path: Path) -> list[str]:
    """Return a Python file's public functions and classes, without importing it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    return [name for name in names if not name.startswith("_")]


# Secret options on GDAL's pages on configuration options and network file systems.
_SECRETS = re.compile(
    "SECRET|TOKEN|PASS|PWD|CREDENTIAL|ACCESS_KEY|_KEY$|_SAS|BEARER|COOKIE|HEADER|CONNECTION_STRING"
)
# A password in an address, with or without a scheme: user:password@host.
_PASSWORD = re.compile("://[^/]*@|^[^/@]*:[^/@]*@")
# Passwords within a text, query strings of paths, and fields of connection strings.
_SECRETS_IN_TEXT = (
    (re.compile(r"(?<=://)[^/@\s]*@|^[^/@\s]*:[^/@\s]*@"), "***@"),
    # Punctuation at its end belongs to the text.
    (re.compile(r"((?:\w+://|/vsi)[^\s?'\"]*\?)[^\s'\"]*[^\s'\":;,.)]"), r"\1***"),
    (
        re.compile(
            r"(?i)\b(\w*(?:password|passwd|pwd|secret|token|_key|apikey)\w*\s*[=:]\s*)"
            r"(?:'[^']*'|\"[^\"]*\"|[^\s,;&'\"]+)"
        ),
        r"\1***",
    ),
)
_FOR_SERVERS = re.compile("(GDAL_HTTP|CPL_VSIL|VSI|AWS|GS|AZURE|OSS|SWIFT)_|GDAL_DISABLE_READDIR")
# Options that name files or services of this machine.
_OF_MACHINE = re.compile("_FILE|_PROFILE$|AWS_CONTAINER_|AWS_(EXECUTION_ENV|LAMBDA)|_DIR$|_PATH$")


def secrets_in_variables() -> dict[str, str]:
    """Return the GDAL options for servers that are set as environment variables."""
    return {
        name: value
        for name, value in os.environ.items()
        if _FOR_SERVERS.match(name) and not _OF_MACHINE.search(name)
    }


def secret_names(options: Mapping[str, Any]) -> list[str]:
    """Return the sorted names of options with secret values.

    A proxy or URL with a password counts.
    """
    return sorted(
        name
        for name, value in options.items()
        if _SECRETS.search(name.upper()) or _PASSWORD.search(str(value))
    )


def redact(text: str) -> str:
    """Return a text with passwords and signatures replaced by stars."""
    for pattern, instead in _SECRETS_IN_TEXT:
        text = pattern.sub(instead, text)
    return text


def redact_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as text, with the values of secrets replaced by stars."""
    secrets = secret_names(options)
    return {str(key): "***" if key in secrets else str(options[key]) for key in options}


_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 120
_brief.maxlist = _brief.maxtuple = _brief.maxdict = 6


class ReprMixin:
    """Base of dataclasses whose repr shows what differs from the defaults."""

    __slots__ = ()

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={text}" for name, text in changed_fields(self).items())
        return f"{type(self).__name__}({arguments})"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, changed_fields(self).items())


def changed_fields(value: Any) -> dict[str, str]:
    """Return the fields of a dataclass that differ from their defaults, as text."""
    changed = {}
    for field in fields(value):
        factory = field.default_factory
        default = field.default if factory is MISSING else factory()
        current = getattr(value, field.name)
        if not is_default(current, default):
            changed[field.name] = short_repr(current)
    return changed


def short_repr(value: Any) -> str:
    """Return a value as short text; functions by name."""
    name = getattr(value, "__qualname__", None)
    if callable(value) and name is not None:
        return f"{getattr(value, '__module__', None) or type(value).__name__}:{name}"
    return _brief.repr(dict(value) if isinstance(value, Mapping) else value)


def html_table(
    title: str, rows: Iterable[tuple[str, str]], more: Iterable[Sequence[str]] = ()
) -> str:
    """Return an HTML table of names and texts, followed by rows of several cells."""

    def cells(texts: Iterable[str]) -> str:
        # Notebooks align cells to the right otherwise.
        return "".join(f'<td style="text-align:left">{escape(text)}</td>' for text in texts)

    lines = [f'<tr><th scope="row">{escape(name)}</th>{cells([text])}</tr>' for name, text in rows]
    table = f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"
    lines = [f"<tr>{cells(texts)}</tr>" for texts in more]
    return table + (f"<table>{''.join(lines)}</table>" if lines else "")


def is_default(value: Any, default: Any) -> bool:
    """Return whether a value equals the default or is equally empty."""
    try:
        if isinstance(value, Collection) and isinstance(default, Collection) and not len(default):
            return not len(value)
        return type(value) is type(default) and bool(value == default)
    except Exception:  # arrays and other types whose comparison is not a bool
        return False


def escaped(value: Any) -> str:
    """Return a value as text for HTML, attributes included."""
    return escape(str(value), quote=True)


def format_number(value: float) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def format_percent(value: float | None) -> str:
    """Return a fraction as a percentage."""
    return "–" if value is None else f"{100 * value:.0f} %"


def format_ij(ij: Any) -> str:
    """Return an ij as users write it."""
    return f"({ij[0]}, {ij[1]})" if isinstance(ij, list) else str(ij)


def describe_type(value: Any) -> str:
    """Return the type of a value as messages name it."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"
