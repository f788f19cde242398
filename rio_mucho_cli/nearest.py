"""What may have been meant by a name that does not exist."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from pathlib import Path

# Names of so few letters are like many others.
_SHORT = 2


def nearest(name: str, others: Iterable[str]) -> str:
    """Return ": did you mean 'NAME'?" with the nearest other name, or nothing."""
    by_lower = {other.lower(): other for other in others if other != name}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f": did you mean {by_lower[close[0]]!r}?" if close else ""


def nearest_file(path: str) -> str:
    """Return ": did you mean 'PATH'?" with a file of a similar name beside it, or nothing."""
    wanted = Path(path)
    try:
        names = [entry.name for entry in wanted.parent.iterdir() if entry.is_file()]
    except (OSError, ValueError):
        return ""
    stem = wanted.stem
    by_stem = {Path(name).stem: name for name in names if name != wanted.name}
    close = [stem] if stem in by_stem else []
    if not close and len(stem) > _SHORT:
        close = difflib.get_close_matches(stem, by_stem, n=1)
    return f": did you mean {str(wanted.parent / by_stem[close[0]])!r}?" if close else ""


def functions_in(path: Path) -> list[str]:
    """Return the functions and classes that a Python file defines, without importing it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    return [name for name in names if not name.startswith("_")]
