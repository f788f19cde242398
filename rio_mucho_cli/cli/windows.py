"""Parser for --windows: blocks, a size, or GeoJSON features of `rio blocks`."""

from __future__ import annotations

import json
import os
import sys
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cligj.features import iter_features
from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.job import Windows
from rio_mucho_cli.windows import WindowPair, parse_size


def windows_from_features(features: Iterable[Mapping[str, Any]]) -> list[WindowPair]:
    """Return windows from GeoJSON features as ``rio blocks`` writes them.

    Each feature has a property ``window``, with col_off, row_off, width and
    height in pixels, and may have a property ``block``, which becomes ij.
    Both may be JSON text. Without ``block``, ij is the position of the window
    among the distinct row and column offsets.

    Raises
    ------
    WindowsError
        If a feature has no window of whole pixels.
    """
    windows = []
    blocks = []
    for number, feature in enumerate(features, start=1):
        properties = feature.get("properties") if isinstance(feature, Mapping) else None
        properties = properties if isinstance(properties, Mapping) else {}
        windows.append(_feature_window(_decode_json(properties.get("window")), number))
        blocks.append(_feature_block(_decode_json(properties.get("block"))))
    row_offs = sorted({window.row_off for window in windows})
    col_offs = sorted({window.col_off for window in windows})
    return [
        (
            window,
            block or (bisect_left(row_offs, window.row_off), bisect_left(col_offs, window.col_off)),
        )
        for window, block in zip(windows, blocks, strict=True)
    ]


def _decode_json(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def _feature_window(value: Any, number: int) -> Window:
    try:
        numbers = [value[name] for name in ("col_off", "row_off", "width", "height")]
        integers = [int(number) for number in numbers]
        if any(isinstance(number, bool | str) for number in numbers) or integers != numbers:
            raise ValueError
        return Window(*integers)  # raises for negative sizes
    except (KeyError, TypeError, ValueError, OverflowError):
        raise WindowsError(
            f"feature {number} has no window of whole pixels in its properties: "
            "expected col_off, row_off, width and height, as rio blocks writes them"
        ) from None


def _feature_block(value: Any) -> tuple[int, int] | None:
    match value:
        case [int(row), int(col)]:
            return row, col
    return None


def read_windows(text: str | None) -> Windows:
    """Return the `windows` of a Job from the value of --windows.

    Raises
    ------
    WindowsError
        If it is not a keyword, a size, or readable GeoJSON with windows.
    """
    if text is None:
        return None
    if text == "blocks":
        return "blocks"
    size = parse_size(text)
    if size is not None:
        return size
    # os.path, unlike Path, returns False for a name that is too long.
    if text != "-" and not os.path.isfile(text):  # noqa: PTH113
        raise WindowsError(
            f"--windows {text} is not a file: expected 'blocks', a size such as 512 or 1024x512, "
            "a file of GeoJSON features, or - for standard input"
        )
    try:
        source = sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8")
        lines = [line for line in source.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].startswith("{") and lines[0].endswith("}"):
            # cligj would treat a line that does not parse as a continuation of the first.
            for line in lines:
                json.loads(line)
        return windows_from_features(iter_features(iter(lines)) if lines else [])
    except WindowsError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise WindowsError(
            f"--windows {text} is not GeoJSON ({type(exc).__name__}: {exc}): expected a "
            "FeatureCollection, or one Feature on each line, as rio blocks --sequence and jq -c "
            "write them"
        ) from None
