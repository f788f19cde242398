"""What the values of options mean, where click has no type for them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def named_values(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE``; a value is JSON, or else text.

    Raises
    ------
    ValueError
        If a name is missing.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"{text!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def by_input(texts: Sequence[str]) -> dict[int, str] | None:
    """Read ``VALUE`` for all inputs, which is 0, and ``N=VALUE`` for one of them.

    Raises
    ------
    ValueError
        If N is no number from 1.
    """
    found: dict[int, str] = {}
    for text in texts:
        number, equals, value = text.rpartition("=")
        if equals and not (number.isdecimal() and int(number)):
            raise ValueError(f"{text!r} is not N=VALUE, with N the number of an input, from 1")
        found[int(number or 0)] = value
    return found or None


def bounds(text: str | None) -> tuple[float, ...] | None:
    """Read bounds as `rio clip` takes them, with spaces, commas, or as JSON.

    Raises
    ------
    ValueError
        If these are not four numbers.
    """
    if text is None:
        return None
    try:
        left, bottom, right, top = map(float, re.split(r"[,\s]+", text.strip(" ,[]")))
    except ValueError:
        raise ValueError(f"{text!r} is not 'left bottom right top'") from None
    return left, bottom, right, top


def json_object(value: str | None) -> dict[str, Any]:
    """Read the value of --global-args.

    Raises
    ------
    UsageError
        If it is no JSON, or no object.
    """
    from rio_mucho_cli.errors import UsageError

    if value is None:
        return {}
    text = value
    try:
        if value == "-":
            text = sys.stdin.read()
        elif value.startswith("@"):
            text = Path(value[1:]).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"--global-args {value} cannot be read: {exc}") from None
    except ValueError as exc:
        raise UsageError(f"--global-args is no JSON ({exc}): {_shortened(text)}") from None
    if not isinstance(found, dict):
        raise UsageError(
            f'--global-args is no JSON object such as {{"name": 1}}: {_shortened(text)}'
        )
    return found


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
