"""Say in words how a run differs from the one that is to be resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rio_mucho_cli.spelling import is_for_command_line, option

_NO_OPTIONS = {"keep_nodata", "metadata", "profile", "strict"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Compare two fingerprints.

    Parameters
    ----------
    old, new : Mapping
        The old one may come from anywhere: whatever JSON it is, it is
        compared, and what is shown of it is short and printable.

    Returns
    -------
    list of str
        One sentence, without a full stop, for each difference; none if the
        runs are the same.
    """
    try:
        if old == new:
            return []
        found = list(_compared(old, new))
    except RecursionError:
        found = []
    return found or ["what is known of the earlier run makes no sense to this version"]


def _compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name, (was, now) in _changes(old.get("versions"), new.get("versions")):
        yield f"{_text(name)} was {_text(was)} and is {_text(now)}"
    yield from _datasets(old.get("inputs"), new.get("inputs"))
    yield from _files(_first(old.get("like")), _first(new.get("like")))
    yield from _function(_mapping(old.get("function")), _mapping(new.get("function")))
    yield from _arguments(old.get("global_args"), new.get("global_args"))
    yield from _options(dict(_changes(old.get("options"), new.get("options"))))
    yield from _windows(_mapping(old.get("windows")), _mapping(new.get("windows")))


def _datasets(old: Any, new: Any) -> Iterator[str]:
    olds, news = (value if isinstance(value, list) else [] for value in (old, new))
    if len(olds) != len(news):
        yield f"the number of inputs was {len(olds)} and is {len(news)}"
        return
    for number, (was, now) in enumerate(zip(map(_mapping, olds), map(_mapping, news), strict=True)):
        if was.get("path") != now.get("path"):
            paths = _text(was.get("path")), _text(now.get("path"))
            yield f"input {number + 1} was {paths[0]} and is {paths[1]}"
        else:
            yield from _files(was, now)


def _files(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old.get("path") == new.get("path"):
        for name, (was, now) in _changes(old.get("files"), new.get("files")):
            yield f"{_text(name)} has changed: it was {_state(was)}, and is {_state(now)}"


def _function(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old.get("name") != new.get("name"):
        yield f"the function was {_text(old.get('name'))} and is {_text(new.get('name'))}"
    elif old != new:
        yield f"the function {_text(new.get('name'))} has changed, or what it uses"


def _arguments(old: Any, new: Any) -> Iterator[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield _changed("the global args", old, new, "were", "are")
        return
    for name, (was, now) in _changes(old, new):
        yield _changed(f"the global arg {_text(name)}", was, now)


def _options(changes: dict[str, tuple[Any, Any]]) -> Iterator[str]:
    if "nodata" in changes:
        changes.pop("keep_nodata", None)  # it only says whether the other counts
    for name, (old, new) in changes.items():
        is_typed = name not in _NO_OPTIONS and is_for_command_line()
        shown = _text(option(name) if is_typed else name)
        if isinstance(old, dict) and isinstance(new, dict) and "float" not in {*old, *new}:
            for key, (was, now) in _changes(old, new):
                yield _changed(f"{shown} {_text(key)}", was, now)
        else:
            yield _changed(shown, old, new)


def _windows(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old == new:
        return
    was, now = map(_count, (old, new))
    if was == now:
        yield f"the windows are others, though as many: {now}"
    else:
        yield f"windows were {was}, and are {now}"


def _count(windows: Mapping[str, Any]) -> str:
    text = _text(windows.get("number"))
    match windows.get("size"):
        case [int(width), int(height)]:
            text += f", the first of {width} x {height} pixels"
    return text


def _changes(old: Any, new: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield the names that have not the same in both, and what they have."""
    olds, news = _mapping(old), _mapping(new)
    for name in sorted(olds.keys() | news.keys()):
        values = olds.get(name), news.get(name)
        if values[0] != values[1] or (name in olds) != (name in news):
            yield name, values


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(value: Any) -> Mapping[str, Any]:
    return _mapping(value[0]) if isinstance(value, list) and value else {}


def _changed(what: str, old: Any, new: Any, was: str = "was", now: str = "is") -> str:
    texts = _text(old), _text(new)
    if texts[0] == texts[1]:
        return f"{what} {'have' if now == 'are' else 'has'} changed"
    return f"{what} {was} {texts[0]} and {now} {texts[1]}"


def _state(value: Any) -> str:
    match value:
        case None:
            return "not there"
        case [int(size), int(nanoseconds)]:
            return f"{_text(size)} bytes, modified {_when(nanoseconds)}"
        case _:
            return _text(value)


def _when(nanoseconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
        return moment.astimezone().isoformat(" ")
    except (OverflowError, OSError, ValueError):
        return _text(nanoseconds)


def _text(value: Any) -> str:
    """Show a value, on one line and without what a terminal would obey."""
    match value:
        case None:
            return "not given"
        case str():
            text = json.dumps(value)[1:-1]
        case {"float": str(name)}:
            text = json.dumps(name)[1:-1]
        case _:
            text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
