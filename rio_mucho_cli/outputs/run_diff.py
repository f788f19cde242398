"""Describe how a run differs from the run it should resume."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.text import option, truncate

_ABSENT = object()
_LONGEST = 200
_MOST = 5


def describe_changes(old: Any, new: Any) -> str:
    """Return the first five differences between two fingerprints.

    Parameters
    ----------
    old, new : object
        JSON values. The old one is read from a file and may be any value.

    Returns
    -------
    str
        One printable line, such as ``options.nodata was 0 and is nan``; empty
        if the runs are the same.
    """
    try:
        changes = list(_changes("", old, new))
    except RecursionError:
        return "the record of the earlier run is nested too deeply"
    more = len(changes) - _MOST
    return "; ".join(changes[:_MOST]) + (f"; and {more} more" if more > 0 else "")


def different_run_error(folder: Path | str, changes: str) -> UsageError:
    """Return the error for a partial result of a different run."""
    return UsageError(
        f"{folder} is from a different run ({changes}): pass {option('overwrite')} to start over, "
        "or run it as before"
    )


def _changes(name: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = {key: (old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {*old, *new}}
        changed = sorted(key for key, (was, now) in pairs.items() if was != now)
        if len(changed) > 1 and "sha256" in changed:
            changed.remove("sha256")  # the other entries are more specific
        for key in changed:
            if key == "sha256":
                yield f"{truncate(name, _LONGEST)} changed"
            else:
                yield from _changes(f"{name}.{_text(key)}" if name else _text(key), *pairs[key])
    elif _has_entries(old) and _has_entries(new):
        for number, (was, now) in enumerate(zip_longest(old, new, fillvalue=_ABSENT), 1):
            yield from _changes(f"{name}.{number}", was, now)
    else:
        was, now = _text(old), _text(new)
        change = "changed" if was == now else f"was {was} and is {now}"
        yield f"{truncate(name, _LONGEST)} {change}"


def _has_entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _text(value: Any) -> str:
    """Return a value as ASCII, without terminal control characters."""
    if value is _ABSENT or value is None:
        return "none" if value is None else "absent"
    match value:
        case {"float": str(name)}:
            value = name
    text = json.dumps(value)
    return truncate(text[1:-1] if isinstance(value, str) else text, _LONGEST)
