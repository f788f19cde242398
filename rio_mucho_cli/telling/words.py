"""Numbers and texts as a page shows them."""

from __future__ import annotations

from html import escape
from typing import Any


def text(value: Any) -> str:
    """Return what may stand anywhere in a page, attributes included."""
    return escape(str(value), quote=True)


def number(value: float) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def share(value: float | None) -> str:
    """Return a part of one in per cent."""
    return "–" if value is None else f"{100 * value:.0f} %"


def place(ij: Any) -> str:
    """Return an ij as a user writes it."""
    return f"({ij[0]}, {ij[1]})" if isinstance(ij, list) else str(ij)
