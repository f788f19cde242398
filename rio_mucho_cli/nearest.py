"""What may have been meant by a name that does not exist."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from pathlib import Path

# Names of so few letters are like many others.
_SHORT = 2
# Of a name's letters, one in so many may be wrong.
_PER_ERROR = 3
# What lies beside rasters, and is none.
_NO_RASTERS = {".py", ".pyc", ".txt", ".md", ".json", ".geojson", ".html", ".xml", ".log", ".mucho"}


def nearest(name: str, others: Iterable[str]) -> str:
    """Return ": did you mean 'NAME'?" with the nearest other name, or nothing."""
    other = closest(name, others)
    return "" if other is None else f": did you mean {other!r}?"


def closest(name: str, others: Iterable[str], bare: Callable[[str], str] = str) -> str | None:
    """Return the other name that was most likely meant; None if none is near.

    Parameters
    ----------
    name : str
    others : iterable of str
    bare : callable
        Returns what of a name is compared: without what all of them have.
    """
    wanted = bare(name).lower()
    limit = max(1, len(wanted) // _PER_ERROR) if len(wanted) > _SHORT else 0
    near = [
        # Of two, the one with the same letters is meant, else the longer one: letters change
        # places, or are left out, more often than they are added.
        (
            _distance(wanted, bare(other).lower()),
            sorted(wanted) != sorted(bare(other).lower()),
            -len(other),
            other,
        )
        for other in dict.fromkeys(others)
        if other != name and abs(len(bare(other)) - len(wanted)) <= limit
    ]
    least, *_, found = min(near, key=lambda each: each[:3], default=(limit + 1, True, 0, None))
    return found if least <= limit else None


def _distance(one: str, other: str) -> int:
    """Count what it takes to make one word of another.

    Letters that are left out, added, or others, and neighbours that have
    changed places, each count once (Damerau and Levenshtein's distance, of
    optimal string alignment).
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        oldest, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and (a, one[i - 2]) == (other[j - 2], b):
                best = min(best, oldest[j - 2] + 1)
            row.append(best)
    return row[-1]


def nearest_file(path: str) -> str:
    """Return ": did you mean 'PATH'?" with a raster of a similar name beside it, or nothing."""
    wanted = Path(path)
    try:
        names = [entry.name for entry in wanted.parent.iterdir() if entry.is_file()]
    except (OSError, ValueError):
        return ""
    names = [name for name in names if Path(name).suffix.lower() not in _NO_RASTERS]
    same = [name for name in names if Path(name).stem == wanted.stem and name != wanted.name]
    close = same[0] if same else closest(wanted.name, names, lambda name: Path(name).stem)
    return "" if close is None else f": did you mean {str(wanted.parent / close)!r}?"


def functions_in(path: Path) -> list[str]:
    """Return the functions and classes that a Python file defines, without importing it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    return [name for name in names if not name.startswith("_")]
