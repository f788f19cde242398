"""Values as text: JSON, lines of JSON and GeoJSON, rows of a table, and lines of a journal."""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rio_mucho_cli.outputs.values import ValueFormat, ValueNotSupportedError
from rio_mucho_cli.text import describe_type

_FEATURES = "expected a GeoJSON feature, a geometry, or a list of these"


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of text, for an output that is written line by line.

    Attributes
    ----------
    content : bytes
        Complete lines.
    not_finite : int
        Number of NaN and infinite numbers, which are null in the text.
    columns : tuple of str
        Columns of a table; empty if there are no rows.
    """

    content: bytes
    not_finite: int = 0
    columns: tuple[str, ...] = ()


def json_text(value: Any) -> tuple[str, int]:
    """Return a value as JSON on one line, and how many numbers became null.

    Notes
    -----
    NaN and infinity are no JSON (RFC 8259, section 6); GDAL writes null for them.
    """
    not_finite = [0]
    return json.dumps(_for_json(value, not_finite), allow_nan=False), not_finite[0]


# Longest line on which a list or a dict stays.
_LINE = 88


def pretty_json(value: Any) -> tuple[str, int]:
    """Return a value as JSON for readers; otherwise as `json_text`."""
    not_finite = [0]
    return _pretty(_for_json(value, not_finite), ""), not_finite[0]


def _pretty(value: Any, indent: str) -> str:
    """Return JSON with lists and dicts on several lines, unless they are short or plain lists."""
    line = json.dumps(value, allow_nan=False)
    deeper = f"{indent}  "
    if isinstance(value, dict) and len(indent) + len(line) > _LINE:
        entries = [f"{json.dumps(key)}: {_pretty(item, deeper)}" for key, item in value.items()]
        ends = "{}"
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        if len(indent) + len(line) <= _LINE:
            return line
        entries, ends = [_pretty(item, deeper) for item in value], "[]"
    else:
        return line
    joined = f",\n{deeper}".join(entries)
    return f"{ends[0]}\n{deeper}{joined}\n{indent}{ends[1]}"


def _for_json(value: Any, not_finite: list[int]) -> Any:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        not_finite[0] += 1
        return None
    if isinstance(value, dict):
        entries = {_key_text(key): _for_json(item, not_finite) for key, item in value.items()}
        if len(entries) < len(value):
            raise ValueNotSupportedError(
                f"a dict with keys that are the same as text ({_same_as_text(value)})"
            )
        return entries
    if isinstance(value, list):
        return [_for_json(item, not_finite) for item in value]
    if isinstance(value, np.ndarray):
        listed = value.tolist()
        if value.dtype.kind != "f" or np.isfinite(value).all():
            return listed
        return _for_json(listed, not_finite)
    return value


def _same_as_text(value: dict[Any, Any]) -> str:
    """Return two keys of a dict that have the same text."""
    first: dict[str, Any] = {}
    for key in value:
        if _key_text(key) in first:
            return f"{first[_key_text(key)]!r} and {key!r}"
        first[_key_text(key)] = key
    return ""


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def make_lines(value: Any, form: ValueFormat) -> Lines:
    """Return the lines of a value in a format: none for an empty list.

    Raises
    ------
    ValueNotSupportedError
        If the format cannot hold it.
    """
    if form == "csv":
        return _make_rows(value)
    if form == "geojsonl":
        items: Sequence[Any] = list(_features(value))
    elif form == "ndjson":
        items = value if isinstance(value, list) else [value]
    else:
        items = [value]
    texts = [json_text(item) for item in items]
    content = "".join(f"{text}\n" for text, _ in texts).encode()
    return Lines(content, sum(number for _, number in texts))


def _features(value: Any) -> Iterator[Any]:
    """Yield the features of a value; geometries become features without properties."""
    if isinstance(value, list):
        for item in value:
            yield from _features(item)
        return
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "FeatureCollection":
        yield from _features(value.get("features"))
    elif kind == "Feature" and "geometry" in value:
        yield {"properties": {}, **value}
    elif isinstance(value, dict) and ("coordinates" in value or "geometries" in value):
        yield {"type": "Feature", "properties": {}, "geometry": value}
    else:
        found = f"a dict of type {kind!r}" if isinstance(value, dict) else describe_type(value)
        raise ValueNotSupportedError(f"{found}: {_FEATURES}")


def _make_rows(value: Any) -> Lines:
    rows = value if isinstance(value, list) else [value]
    columns: tuple[str, ...] = ()
    table = _Table()
    for row in rows:
        if not isinstance(row, dict):
            raise ValueNotSupportedError(
                f"{describe_type(row)}, which is not a row of a table: expected a dict, or a list "
                "of dicts"
            )
        own = tuple(map(_key_text, row))
        columns = columns or own
        check_columns(columns, own)
        cells = row if own == columns else dict(zip(own, row.values(), strict=True))
        table.add([_cell(cells[name]) for name in (row if own == columns else columns)])
    header_line(columns)  # raises if it cannot be encoded
    return Lines(table.content(), 0, columns)


class _Table:
    """Rows of a table as text.

    Notes
    -----
    Until Python 3.13 the csv module quotes only those ends of lines that it writes: it
    writes both, and the first is removed.
    """

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._writer = csv.writer(self, lineterminator="\r\n")

    def add(self, cells: Sequence[Any]) -> None:
        self._writer.writerow(cells)

    def write(self, row: str) -> None:
        """Take a row from the csv module."""
        self._rows.append(f"{row[:-2]}\n")

    def content(self) -> bytes:
        try:
            return "".join(self._rows).encode()
        except UnicodeEncodeError as exc:
            text = exc.object[exc.start : exc.end]
            raise ValueNotSupportedError(
                f"text with {text!r}, which UTF-8 cannot hold: replace it"
            ) from None


def _cell(value: Any) -> Any:
    return json_text(value)[0] if isinstance(value, list | dict | np.ndarray) else value


def check_columns(expected: Sequence[str], columns: Sequence[str]) -> None:
    """Raise ValueNotSupportedError unless a row has the columns of the first one."""
    if set(columns) == set(expected):
        return
    missing = [name for name in expected if name not in columns]
    others = [name for name in columns if name not in expected]
    differences = [f"without {', '.join(missing)}"] if missing else []
    differences += [f"with {', '.join(others)}"] if others else []
    raise ValueNotSupportedError(
        f"a row {' and '.join(differences)}, unlike the first row: return the same keys always, "
        "None where there is no value"
    )


def header_line(columns: Sequence[str]) -> bytes:
    """Return the first line of a table."""
    table = _Table()
    table.add(columns)
    return table.content()


def read_columns(lines: Iterable[bytes]) -> tuple[str, ...]:
    """Return the columns of a table from its lines."""
    return tuple(next(csv.reader(line.decode() for line in lines), ()))


def to_journal(value: Any) -> bytes:
    """Return a value as a line of JSON, from which `from_journal` returns the same value."""
    return json.dumps(_tagged(value), separators=(",", ":")).encode() + b"\n"


def _tagged(value: Any) -> Any:
    if isinstance(value, dict):
        return {"dict": [[key, _tagged(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"array": data, "dtype": value.dtype.str, "shape": value.shape}
    if isinstance(value, Lines):
        content = base64.b64encode(value.content).decode("ascii")
        return {"lines": content, "not_finite": value.not_finite, "columns": value.columns}
    return value


def from_journal(line: bytes) -> Any:
    """Return the value of a line of `to_journal`.

    Raises
    ------
    ValueError, TypeError, KeyError, RecursionError
        If the line is damaged.
    """
    return _untagged(json.loads(line))


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _untagged(item) for key, item in value["dict"]}
    if "lines" in value:
        columns = tuple(map(str, value["columns"]))
        return Lines(base64.b64decode(value["lines"]), int(value["not_finite"]), columns)
    dtype = np.dtype(str(value["dtype"]))
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of dtype {dtype}")
    data = bytearray(base64.b64decode(value["array"], validate=True))  # arrays can be changed
    return np.frombuffer(data, dtype).reshape([int(side) for side in value["shape"]])
