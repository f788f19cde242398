"""Functions of `riomucho.utils`, for programs written for rio-mucho."""

from __future__ import annotations

from typing import Any

import rasterio

from rio_mucho_cli.inputs.bands import exact_nodatavals
from rio_mucho_cli.inputs.datasets import few_requests
from rio_mucho_cli.inputs.pixels import stack as array_stack

__all__ = ["array_stack", "getOptions", "getWindows"]


def getOptions(input: Any) -> Any:  # noqa: A002, N802 (the name that programs use)
    """Return the profile of the dataset at a path."""
    with few_requests(input), rasterio.open(input) as src:
        profile = src.profile
        profile["nodata"] = exact_nodatavals(src)[0]
        return profile


def getWindows(input: Any) -> list[list[Any]]:  # noqa: A002, N802
    """Return the block windows of the dataset at a path as [window, ij] pairs."""
    with few_requests(input), rasterio.open(input) as src:
        return [[window, ij] for ij, window in src.block_windows()]
