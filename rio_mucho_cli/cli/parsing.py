"""Parsers for values of options for which click has no type."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rio_mucho_cli.dtypes import parse_number


def named_values(texts: Sequence[str]) -> dict[str, Any]:
    """Return values by name from ``NAME=VALUE``; a value is JSON, else text.

    Raises
    ------
    ValueError
        If a name is missing.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"{text!r} is not NAME=VALUE")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def by_input(texts: Sequence[str]) -> dict[int | str, str] | None:
    """Return values by input from ``N=VALUE``; ``VALUE``, for all inputs, has key 0.

    N may also be the name of an asset.

    Raises
    ------
    ValueError
        If N is 0 or empty.
    """
    values: dict[int | str, str] = {}
    for text in texts:
        number, equals, value = text.rpartition("=")
        if equals and (not number or (number.isdecimal() and not int(number))):
            raise ValueError(f"{text!r} is not N=VALUE, where N is the number of an input, from 1")
        values[int(number or 0) if number.isdecimal() or not number else number] = value
    return values or None


def nodata_by_input(texts: Sequence[str]) -> dict[int | str, Any] | None:
    """Return nodata by input, as `by_input`: numbers, or ``none`` for its synonyms too.

    Raises
    ------
    ValueError
        If a text has another form.
    """
    values = by_input(texts)
    if values is None:
        return None
    numbers = {key: nodata(text) for key, text in values.items()}
    return {key: "none" if value is None else value for key, value in numbers.items()}


def overview_factors(text: str | None) -> tuple[int, ...] | None:
    """Return factors from ``2,4,8``, ``2^1..3`` or ``auto``, which is ().

    Raises
    ------
    ValueError
        If the text has another form.
    """
    if text is None or text.strip() == "auto":
        return None if text is None else ()
    try:
        base, power, exponents = text.partition("^")
        if power:
            first, last = map(int, exponents.split(".."))
            if not 0 < first <= last < 64:
                raise ValueError
            return tuple(int(base) ** exponent for exponent in range(first, last + 1))
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise ValueError(f"{text!r} is not valid: expected 2,4,8, 2^1..3 or auto") from None


def also(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return parameters of an `Output` from each ``NAME=PATH,OPTION=VALUE,...``.

    Options are dtype, count, nodata, driver and merge; all others are creation options.

    Raises
    ------
    ValueError
        If a text has another form.
    """
    outputs = []
    for text in texts:
        first, *rest = text.split(",")
        name, equals, path = first.partition("=")
        if not equals or not name or not path:
            raise ValueError(f"{text!r} is not NAME=PATH or NAME=PATH,dtype=uint8,nodata=0")
        output: dict[str, Any] = {"name": name, "path": path}
        creation_options: dict[str, str] = {}
        for part in rest:
            key, equals, value = part.partition("=")
            key = key.strip().lower()
            if not equals or not key:
                raise ValueError(f"{part!r}, in {text!r}, is not OPTION=VALUE")
            match key:
                case "dtype":
                    output["dtype"] = value
                case "driver" | "format" | "f":
                    output["driver"] = value
                case "merge":
                    output["merge"] = value
                case "count":
                    output["count"] = _number(
                        int, value, f"count={value}, in {text!r}, is not a whole number"
                    )
                case "nodata":
                    output["keep_nodata"] = False
                    output["nodata"] = _number(
                        nodata, value, f"nodata={value}, in {text!r}, is not a number, nan or none"
                    )
                case _:
                    creation_options[key] = value
        outputs.append({**output, "creation_options": creation_options})
    return outputs


def number(text: str | None) -> float | None:
    """Return the number of a text, which may be ``nan``.

    Raises
    ------
    ValueError
        If the text is not a number.
    """
    if text is None:
        return None
    try:
        return parse_number(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor nan") from None


def nodata(text: str | None) -> float | None:
    """Return the number of a text, or None for ``none`` and its synonyms in `rio`.

    Raises
    ------
    ValueError
        If the text has another form.
    """
    is_none = text is not None and text.lower() in {"none", "null", "nil", "nada"}
    return None if is_none else number(text)


def _number(parse: Callable[[str], Any], value: str, message: str) -> Any:
    try:
        return parse(value)
    except ValueError:
        raise ValueError(message) from None


def bounds(text: str | None) -> tuple[float, ...] | None:
    """Return bounds as in `rio clip`: with spaces, commas, or as JSON.

    Raises
    ------
    ValueError
        If there are not four numbers.
    """
    if text is None:
        return None
    try:
        left, bottom, right, top = map(float, re.split(r"[,\s]+", text.strip(" ,[]")))
    except ValueError:
        raise ValueError(
            f"{text!r} is not four numbers: expected 'left bottom right top', in quotes"
        ) from None
    return left, bottom, right, top


def json_object(value: str | None) -> dict[str, Any]:
    """Return the JSON object of the value of --global-args.

    Raises
    ------
    UsageError
        If it cannot be read, or is not a JSON object.
    """
    from rio_mucho_cli.errors import UsageError
    from rio_mucho_cli.text import truncate

    if value is None:
        return {}
    text = value
    try:
        if value == "-":
            text = sys.stdin.read()
        elif value.startswith("@"):
            text = Path(value[1:]).read_text(encoding="utf-8")
        entries = json.loads(text)
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"--global-args {value} cannot be read: {exc}") from None
    except ValueError as exc:
        hint = f": pass @{value} to read this file" if _is_file(value) else ""
        raise UsageError(f"--global-args is not JSON ({exc}): {truncate(text, 60)}{hint}") from None
    if not isinstance(entries, dict):
        raise UsageError(
            f'--global-args is not a JSON object such as {{"name": 1}}: {truncate(text, 60)}'
        )
    return entries


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # such as a name that is too long
        return False
