"""Tags that say how an output was made.

They hold no folders, no passwords and no time of their own: a file may be given
to others, and the same command makes the same bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from rio_mucho_cli.job import Job
from rio_mucho_cli.paths import input_name, is_in_memory
from rio_mucho_cli.planning.fingerprint import reference_to
from rio_mucho_cli.system import source_date, versions_of
from rio_mucho_cli.text import redact, secret_names, truncate
from rio_mucho_cli.workers.functions import FunctionRef, name_of
from rio_mucho_cli.workers.reloading import current_code

# Most characters of a tag, of one global arg, and of a name.
_MOST, _MOST_OF_ONE, _MOST_OF_NAME = 1000, 200, 100
# Most entries of a list, and levels of lists in lists.
_MOST_ENTRIES, _MOST_LEVELS = 20, 4
# The folders of a path, up to a name; and a scheme or a drive before them.
_FOLDERS = re.compile(r"""(?:\w+:(?=//)|\b[A-Za-z]:(?=[/\\]))?[^:'"]*[/\\]""")


def provenance_of(job: Job) -> dict[str, str]:
    """Return the tags for the outputs of a job.

    Returns
    -------
    dict
        VERSION of this package; FUNCTION as it was given, or its qualified name;
        FUNCTION_SHA256 of the function's file and of those that it imports, for
        a function by name that is not installed, and with `resume`; GLOBAL_ARGS
        and INPUTS, names without folders, as JSON; TIME, if SOURCE_DATE_EPOCH
        is set.

    Raises
    ------
    UsageError
        If SOURCE_DATE_EPOCH is not a number of seconds.
    """
    tags = {
        "VERSION": versions_of("rio-mucho-cli")["rio-mucho-cli"],
        "FUNCTION": file_name(name_of(job.function)),
        "FUNCTION_SHA256": _digest(job),
        "GLOBAL_ARGS": _arguments(job.global_args),
        "INPUTS": _in_brief([_input_name(input_name(source), job) for source in job.inputs]),
        "TIME": source_date(),
    }
    return {name: text for name, text in tags.items() if text}


def _digest(job: Job) -> str:
    """Return the digest of a function's files; empty if it has none that is not installed.

    Those of an object, with all that they import, are read only for `resume`,
    which reads them anyway: it takes seconds for large packages.
    """
    function = job.function
    if not isinstance(function, FunctionRef):
        if not job.resume:
            return ""
        function = reference_to(function)
    code = function.code or current_code(function)
    return "" if code is None else code.digest


def _input_name(path: str, job: Job) -> str:
    """Return the name of an input; a resumed run may give it another one."""
    if is_in_memory(path):
        return "(in memory)"
    if job.resume:
        with suppress(OSError):
            path = str(Path(path).resolve()) if Path(path).exists() else path
    return file_name(path)


def file_name(path: str) -> str:
    """Return a path without folders and secrets; GDAL's names may hold several paths."""
    if path.lstrip().startswith("<"):
        return "(XML)"
    path = redact(path).rstrip("/\\").partition("?***")[0]
    return truncate(_FOLDERS.sub("", path) or path, _MOST_OF_NAME)


def _arguments(global_args: Any) -> str:
    """Return global args as JSON without secrets; empty if there are none."""
    if global_args is None or (isinstance(global_args, Mapping) and not global_args):
        return ""
    value = _plain(global_args, _MOST_LEVELS)
    if not isinstance(value, dict):
        return _in_brief(value if isinstance(value, list) else [value])
    texts = {name: json.dumps(item, sort_keys=True) for name, item in sorted(value.items())}
    brief = {
        name: value[name] if len(text) <= _MOST_OF_ONE else truncate(text, _MOST_OF_ONE)
        for name, text in texts.items()
    }
    kept = dict(brief)
    while len(text := json.dumps(kept)) > _MOST and len(kept) > 1:
        kept = dict(list(kept.items())[: len(kept) * 3 // 4])
        kept["..."] = f"{len(brief) - len(kept)} more"
    return text


def _in_brief(values: Sequence[Any]) -> str:
    """Return a list as JSON, only its beginning if it is long."""
    kept = list(values)
    while len(text := json.dumps(kept)) > _MOST and len(kept) > 1:
        kept = list(values[: (len(kept) - 1) * 3 // 4])
        kept.append(f"... {len(values) - len(kept)} more")
    return text if len(text) <= _MOST else json.dumps([truncate(text, _MOST_OF_ONE)])


def _plain(value: Any, levels: int) -> Any:
    """Return a value as JSON in brief, without secrets and folders."""
    match value:
        case None:
            return None
        case bool() | np.bool_():
            return bool(value)
        case Integral():
            return int(value)
        case Real():
            number = float(value)
            return number if math.isfinite(number) else str(number)
        case str():
            return _plain_text(value)
        case PurePath():
            return file_name(str(value))
        case np.ndarray():
            return f"(array of {value.dtype}, {' x '.join(map(str, value.shape))})"
        case Mapping() if levels:
            names = sorted(value, key=str)
            plain = {
                redact(str(name)): "***"
                if _is_secret(str(name))
                else _plain(value[name], levels - 1)
                for name in names[:_MOST_ENTRIES]
            }
            more = len(names) - _MOST_ENTRIES
            return {**plain, "...": f"{more} more"} if more > 0 else plain
        case list() | tuple() if levels:
            plain_list = [_plain(item, levels - 1) for item in value[:_MOST_ENTRIES]]
            more = len(value) - _MOST_ENTRIES
            return [*plain_list, f"... {more} more"] if more > 0 else plain_list
        case set() | frozenset() if levels and len(value) <= _MOST_ENTRIES:
            return sorted((_plain(item, levels - 1) for item in value), key=json.dumps)
    return f"({type(value).__name__})"


def _is_secret(name: str) -> bool:
    """Return whether the value of a global arg is a secret, by its name."""
    return bool(secret_names({name: ""})) or redact(f"{name}=value") != f"{name}=value"


def _plain_text(text: str) -> str:
    """Return a text in brief, without secrets and folders."""
    text = redact(text[: 10 * _MOST])
    if _is_absolute(text):
        return file_name(text)
    words = re.split(r"(\s+)", text)
    named = (file_name(word) if _is_path(word) else word for word in words)
    return truncate("".join(named), _MOST_OF_ONE)


def _is_absolute(text: str) -> bool:
    return text.startswith(("/", "\\", "~")) or text[1:3] in {":/", ":\\"}


def _is_path(word: str) -> bool:
    """Return whether a word looks like a path, not like m/s."""
    if not set(word) & {"/", "\\"}:
        return False
    last = re.split(r"[/\\]", word)[-1]
    return _is_absolute(word) or word.startswith(".") or "://" in word or "." in last
