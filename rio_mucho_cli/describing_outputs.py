"""What an output of a plan comes to, as what JSON can say."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.outputs.profile import PROFILE_KEYS
from rio_mucho_cli.planning.outputs import OutputPlan
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.text import redact, redact_options
from rio_mucho_cli.windows import Size

Form: TypeAlias = "tuple[int, str, bool]"

_LAYOUT = {"tiled", "blockxsize", "blockysize", "compress", "interleave", "bigtiff"}


def describe_output(plan: Plan, index: int, form: Form | None) -> dict[str, Any]:
    """Say what one output is like.

    Parameters
    ----------
    plan : Plan
    index : int
        Of the output.
    form : (count, dtype, masked), or None
        Of a result, if that is known.

    Returns
    -------
    dict
        path : str
        name : str or None
            Of its array in the dict that the function returns.
        driver : str
        cog : bool
        grid : dict or None
            crs, transform (six numbers, as rasterio has them), width, height,
            bounds; None if it is an open dataset.
        count, dtype, nodata
            None while they depend on the first result.
        block : list or None
            Width and height.
        tiled, compress, interleave
            None if it is the driver's affair.
        creation_options : dict
        uncompressed_bytes : int
            Of all bands, without overviews; assumed to be like the first
            input's where the result's form is not known.
        overviews : dict or None
            factors, resampling, and by: ``workers`` or ``GDAL``.
        part_size : list or None
            Width and height of the parts, if it is a mosaic.
        written : dict
            by: ``workers`` (they encode its blocks), or ``caller``, and why.
    """
    whole = plan.outputs[index]
    # What is said of a mosaic is said of its parts.
    one = plan.parts[0].outputs[index] if plan.parts else whole
    known = form or _known(whole)
    bands = sum(len(each.indexes) for each in plan.reading.inputs[:1])
    count, dtype, _ = known or whole.form_of_nothing(bands)
    profile = _profile(one, count, dtype)
    conversion = one.format.conversion
    options = (
        conversion.options
        if conversion is not None
        else {key: profile[key] for key in profile if key.lower() not in PROFILE_KEYS | _LAYOUT}
    )
    is_gdals = conversion is not None
    layout = one.blocks or one.recipe.layout
    parts = plan.parts[0].window if plan.parts else None
    driver = conversion.driver if conversion is not None else one.format.driver
    return {
        "path": whole.output.shown_path,
        "name": whole.output.name,
        "driver": "COG" if one.format.cog else driver,
        "cog": one.format.cog or driver.upper() == "COG",
        "grid": _grid(whole),
        "count": int(count) if known else whole.wanted.count,
        "dtype": dtype if known else whole.wanted.dtype,
        "nodata": number(profile.get("nodata")) if known else None,
        "block": None if layout is None or is_gdals else size_of(layout.block),
        "tiled": None if layout is None or is_gdals else layout.tiled,
        "compress": None if is_gdals else _text(profile.get("compress")),
        "interleave": None if is_gdals else _text(profile.get("interleave")),
        "creation_options": redact_options(options),
        "uncompressed_bytes": whole.size.width
        * whole.size.height
        * count
        * np.dtype(dtype).itemsize,
        "overviews": _overviews(one),
        "part_size": None if parts is None else [int(parts.width), int(parts.height)],
        "written": {
            "by": "workers" if plan.parts or one.blocks is not None else "caller",
            "why": "" if plan.parts else one.by_gdal,
        },
    }


def grid_of(grid: Grid) -> dict[str, Any]:
    """Describe a grid."""
    return {
        "crs": None if grid.crs is None else redact(grid.crs.to_string()),
        "transform": [float(value) for value in tuple(grid.transform)[:6]],
        "width": grid.width,
        "height": grid.height,
        "bounds": [float(value) for value in grid.bounds()],
    }


def size_of(size: Size) -> list[int]:
    """Return width and height."""
    return [int(size.width), int(size.height)]


def number(value: float | None) -> float | str | None:
    """Return a number, or the name of one that JSON does not have."""
    if value is None:
        return None
    if not math.isfinite(value):
        return str(float(value))
    # Large whole numbers are those of 64-bit integers, and not all of them are floats.
    return value if isinstance(value, int) and abs(value) > 2**53 else float(value)


def _text(value: Any) -> str | None:
    """Return an option as text; profiles may have rasterio's enumerations."""
    return None if value is None else str(getattr(value, "value", value))


def _known(plan: OutputPlan) -> Form | None:
    """Return the form of results if the job settles it."""
    count, dtype = plan.wanted.count, plan.wanted.dtype
    return None if count is None or dtype is None else (count, dtype, False)


def _profile(plan: OutputPlan, count: int, dtype: str) -> dict[str, Any]:
    if plan.output.local_path is None:
        # A run closes it at its end, and of a closed one rasterio knows no more.
        return dict(plan.output.path.meta)
    try:
        return plan.recipe.profile(count, dtype)
    except MuchoError:
        # The form is assumed, and nodata does not fit it.
        return plan.recipe.profile(count, "float64")


def _grid(plan: OutputPlan) -> dict[str, Any] | None:
    recipe = plan.recipe
    if recipe.given is not None and {"crs", "transform"} <= recipe.given.keys():
        return grid_of(Grid(recipe.given["crs"], recipe.given["transform"], *plan.size))
    if recipe.given is None and recipe.first is not None and plan.output.local_path is not None:
        return grid_of(recipe.first.grid)
    return None


def _overviews(plan: OutputPlan) -> dict[str, Any] | None:
    chosen = plan.format
    if not chosen.factors:
        return None
    by_workers = plan.pyramid is not None and plan.pyramid.is_local
    return {
        "factors": list(chosen.factors),
        "resampling": chosen.resampling,
        "by": "workers" if by_workers else "GDAL",
    }
