"""Values of creation options, as GDAL and users write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rio_mucho_cli.errors import UsageError


def is_yes(value: Any) -> bool:
    """Whether an option is switched on, in one of the ways that GDAL understands."""
    return str(value).lower() in {"yes", "true", "on", "1"}


def is_no(value: Any) -> bool:
    """Whether an option is switched off, in one of the ways that GDAL understands."""
    return str(value).lower() in {"no", "false", "off", "0"}


def pixels_of(options: Mapping[str, str], name: str) -> int | None:
    """Return the number that an option has, or None; raise UsageError if it is none."""
    value = options.get(name)
    if value is None:
        return None
    if not value.isdigit() or int(value) == 0:
        raise UsageError(f"{name} is {value!r}: expected a whole number from 1")
    return int(value)
