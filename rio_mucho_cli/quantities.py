"""Format numbers, sizes, rates and durations as people read them, and cut long texts."""

from __future__ import annotations

_UNITS = {10**12: "T", 10**9: "G", 10**6: "M", 10**3: "k"}


def format_rate(pixels_per_second: float) -> str:
    """Write pixels per second with a unit that keeps the number short."""
    return f"{_scaled(pixels_per_second)}px/s"


def format_bytes(nbytes: float) -> str:
    """Write a size in decimal units, as drives and networks have them."""
    return f"{_scaled(nbytes)}B"


def format_seconds(seconds: float) -> str:
    """Write a duration: 3.1 s, 2:05 min, 1:02:05 h."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


def format_count(number: int, noun: str) -> str:
    """Write a number of things: 1 window, 2 windows."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def truncate(text: str, longest: int) -> str:
    """Return a text of at most so many characters, with dots for what was cut off its end."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _scaled(value: float) -> str:
    for size, unit in _UNITS.items():
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} "
