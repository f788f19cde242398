"""Windows as GeoJSON features, as ``rio blocks`` writes them. Arithmetic only."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.windows import PlannedWindow


def from_features(features: Iterable[Mapping[str, Any]]) -> list[PlannedWindow]:
    """Read windows from GeoJSON features as ``rio blocks`` writes them.

    Each feature has a property ``window``, with col_off, row_off, width and
    height in pixels, and may have a property ``block``, which becomes ij.
    Either may be JSON text. Without ``block``, ij is the window's place among
    the row and column offsets that occur.

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
        windows.append(_feature_window(_decoded(properties.get("window")), number))
        blocks.append(_feature_block(_decoded(properties.get("block"))))
    row_offs = sorted({window.row_off for window in windows})
    col_offs = sorted({window.col_off for window in windows})
    return [
        (
            window,
            block or (bisect_left(row_offs, window.row_off), bisect_left(col_offs, window.col_off)),
        )
        for window, block in zip(windows, blocks, strict=True)
    ]


def _decoded(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def _feature_window(value: Any, number: int) -> Window:
    try:
        parts = [value[name] for name in ("col_off", "row_off", "width", "height")]
        whole = [int(part) for part in parts]
        if any(isinstance(part, bool | str) for part in parts) or whole != parts:
            raise ValueError
        return Window(*whole)  # which refuses negative sides
    except (KeyError, TypeError, ValueError, OverflowError):
        raise WindowsError(
            f"feature {number} has no window of whole pixels among its properties: "
            "expected col_off, row_off, width and height, as rio blocks writes them"
        ) from None


def _feature_block(value: Any) -> tuple[int, int] | None:
    match value:
        case [int(row), int(col)]:
            return row, col
    return None
