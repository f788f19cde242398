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
    """Write a duration with two or three digits: 12 ms, 3.10 s, 2 min 05 s, 1 h 02 min."""
    if seconds < 0.0095:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 0.995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


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
