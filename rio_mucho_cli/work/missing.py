"""Missing pixels of a result: NaN that was masked in an input, and nodata that is not masked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rio_mucho_cli.dtypes import nodata_fits
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.outputs.profile import ProfileTemplate
from rio_mucho_cli.outputs.value_loss import ValueLoss, taken_for_nodata
from rio_mucho_cli.work.order import Wanted


def with_nan_masked(array: np.ndarray[Any, Any], wanted: Wanted) -> np.ndarray[Any, Any]:
    """Return a result in which NaN is masked, unless it is the output's nodata anyway."""
    recipe = wanted.recipe
    nodata = None if recipe is None else recipe.nodata_of(wanted.dtype or array.dtype.name)
    if nodata is not None and math.isnan(nodata):
        return array
    masked: np.ndarray[Any, Any] = np.ma.array(array, mask=np.isnan(np.ma.getdata(array)))
    return masked


def count_nodata(
    array: np.ndarray[Any, Any],
    recipe: ProfileTemplate,
    absent: np.ndarray[Any, Any] | None,
    reading: ReadSpec,
) -> ValueLoss:
    """Count results that equal nodata, or still have the first input's.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols), in the output's dtype.
    recipe : ProfileTemplate
    absent : ndarray of bool, or None
        (rows, cols): where an input has no value, and the function got numbers.
    reading : ReadSpec
    """
    dtype, inherited = array.dtype.name, recipe.inherited
    if inherited is not None and not nodata_fits(inherited, dtype):
        inherited = None
    # No result of a calculation is -9999.0 by chance.
    is_chosen = reading.notes_absent and not recipe.keep_nodata and array.dtype.kind in "fc"
    return taken_for_nodata(
        array,
        recipe.nodata_of(dtype),
        inherited=inherited,
        absent=absent,
        is_chosen=is_chosen or reading.mode == "manual_read",
    )
