"""The value of --windows: blocks, a size, or GeoJSON features."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from cligj.features import iter_features

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.inputs.features import from_features
from rio_mucho_cli.job import Windows
from rio_mucho_cli.windows import parse_size


def read_windows(text: str | None) -> Windows:
    """Turn the value of --windows into what a Job takes.

    Raises
    ------
    WindowsError
        If it is none of the four.
    """
    if text is None:
        return None
    if text == "blocks":
        return "blocks"
    size = parse_size(text)
    if size is not None:
        return size
    # os.path, unlike Path, takes a name that is too long for one of no file.
    if text != "-" and not os.path.isfile(text):  # noqa: PTH113
        raise WindowsError(
            f"--windows {text} is no file: expected 'blocks', a size such as 512 or 1024x512, "
            "a file of GeoJSON features, or - for standard input"
        )
    try:
        source = sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8")
        lines = [line for line in source.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].startswith("{") and lines[0].endswith("}"):
            # cligj would take a line that does not parse for the first one's end.
            for line in lines:
                json.loads(line)
        return from_features(iter_features(iter(lines)) if lines else [])
    except WindowsError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise WindowsError(
            f"--windows {text} is not GeoJSON ({type(exc).__name__}: {exc}): expected a "
            "FeatureCollection, or one Feature on each line, as rio blocks --sequence and jq -c "
            "write them"
        ) from None
