"""Bounds of valid data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.reductions.bands import Value, bands_of, invalid_pixels


class Bounds:
    """Bounds of the valid pixels.

    The result is a dict:

    - ``bounds``: left, bottom, right and top in the CRS of the output's grid; of a
      rotated grid, those of the four corners. None if no pixel is valid;
    - ``crs``;
    - ``window``: ``col_off``, ``row_off``, ``width`` and ``height`` in the output's
      grid, or None.

    Parameters
    ----------
    valid : {"any", "all"}, default: "any"
        Bands, of all inputs together, in which a pixel must be valid: neither
        masked, nor nodata, nor NaN.
    """

    output: ClassVar[Mapping[str, Any]] = {"masked": True}

    def __init__(self, valid: str = "any") -> None:
        if valid not in ("any", "all"):
            raise UsageError(f"valid is {valid!r}, expected 'any' or 'all' of the bands")
        self._valid = valid

    def __call__(self, data: Any, window: Any, ij: Any, global_args: Any, *, info: Any) -> Value:
        """Return the rows and columns that have valid pixels, first and last.

        Parameters
        ----------
        data : list of ndarray or MaskedArray
            Arrays (count, rows, cols), one per input.
        window, ij, global_args
            As for every function; not used.
        info : WindowInfo
        """
        value: Value = {
            "crs": None if info.crs is None else info.crs.to_string(),
            "transform": [float(number) for number in tuple(info.grid_transform)[:6]],
            "rows": None,
            "cols": None,
        }
        invalid: Any = None
        for number, index, band in bands_of(data, info):
            found = invalid_pixels(band, info.inputs[number].nodata[index])
            missing = np.zeros(band.shape, bool) if found is None else found
            if invalid is None:
                invalid = missing
            else:
                invalid = invalid & missing if self._valid == "any" else invalid | missing
            if self._valid == "any" and found is None:
                break
        for name, axis, offset in (
            ("rows", 1, info.window.row_off),
            ("cols", 0, info.window.col_off),
        ):
            places = np.flatnonzero(~invalid.all(axis=axis))
            if places.size:
                value[name] = [int(places[0] + offset), int(places[-1] + offset)]
        return value

    def merge(self, total: Value, value: Value) -> Value:
        """Return the running total with the value of another window."""
        for name in ("rows", "cols"):
            ends = [end for each in (total, value) for end in each[name] or ()]
            total[name] = [min(ends), max(ends)] if ends else None
        return total

    def finish(self, total: Value | None) -> Value:
        """Return the result; None for bounds and window without valid pixels."""
        if total is None or total["rows"] is None:
            crs = None if total is None else total["crs"]
            return {"bounds": None, "crs": crs, "window": None}
        (top, bottom), (left, right) = total["rows"], total["cols"]
        a, b, c, d, e, f = total["transform"]
        corners = [(col, row) for col in (left, right + 1) for row in (top, bottom + 1)]
        xs = [a * col + b * row + c for col, row in corners]
        ys = [d * col + e * row + f for col, row in corners]
        return {
            "bounds": [min(xs), min(ys), max(xs), max(ys)],
            "crs": total["crs"],
            "window": {
                "col_off": left,
                "row_off": top,
                "width": right + 1 - left,
                "height": bottom + 1 - top,
            },
        }
