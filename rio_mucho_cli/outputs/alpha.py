"""Alpha bands of outputs, and how they relate to masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rio_mucho_cli.errors import ResultError
from rio_mucho_cli.geotiff.metadata import COLOUR_CODECS
from rio_mucho_cli.geotiff.options import is_yes
from rio_mucho_cli.outputs.profile import ProfileTemplate
from rio_mucho_cli.text import option


def alpha_of(recipe: ProfileTemplate, count: int) -> int:
    """Return the alpha band inherited from the first input, from 1; else 0."""
    first = recipe.first
    if recipe.given is not None or first is None or not first.alpha:
        return 0
    return first.alpha if 1 < count == first.profile["count"] else 0


def hides_by_alpha(recipe: ProfileTemplate, profile: Mapping[str, Any]) -> bool:
    """Return whether GDAL derives the output's mask from its alpha band.

    It does for 2 or 4 bands of uint8 or uint16 without nodata, where the last
    band is alpha.
    """
    count = int(profile["count"])
    if count not in {2, 4} or profile["dtype"] not in {"uint8", "uint16"}:
        return False
    if profile.get("nodata") is not None:
        return False
    has_colours = str(profile.get("compress", "")).upper() not in COLOUR_CODECS
    as_described = recipe.described and has_colours and alpha_of(recipe, count) == count
    return as_described or is_yes(profile.get("alpha"))


def made_transparent(array: Any, alpha: int) -> Any:
    """Return a masked result with the same mask in all bands, and 0 under it.

    Parameters
    ----------
    array : MaskedArray
        (count, rows, cols). Pixels masked in the colour bands or in the alpha
        band become transparent.
    alpha : int
        1-based index of the alpha band.

    Raises
    ------
    ResultError
        If the masks of the colour bands differ.
    """
    mask = np.ma.getmaskarray(array)
    colours = np.delete(mask, alpha - 1, axis=0)
    check_is_one_mask(colours)
    hidden = np.broadcast_to(colours[0] | mask[alpha - 1], array.shape)
    return np.ma.array(np.where(hidden, array.dtype.type(0), np.ma.getdata(array)), mask=hidden)


def check_is_one_mask(mask: np.ndarray[Any, Any]) -> None:
    """Raise ResultError if the masks of the bands differ."""
    if (mask != mask[:1]).any():
        raise ResultError(
            "the function masked other pixels in one band than in another, and the output has no "
            f"nodata to mark them: give it one with {option('nodata')}, or mask the same in all "
            "bands"
        )
