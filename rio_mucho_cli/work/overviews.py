"""Overviews that are made after the last window, in workers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.geotiff.block_table import EncodedBlocks
from rio_mucho_cli.geotiff.encode import Encoder
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan, PendingOverviews
from rio_mucho_cli.geotiff.overviews import build, overview_profile, read_level
from rio_mucho_cli.workers.window import in_environment


def make_overviews(key: str, unmade: PendingOverviews, pyramid: OverviewPlan) -> MuchoError | None:
    """Have GDAL make overviews in a file, or beside it.

    Parameters
    ----------
    key : str
        The name of the run.
    unmade : PendingOverviews
    pyramid : OverviewPlan
    """
    try:
        with in_environment(key):
            build(
                unmade.path,
                unmade.factors,
                pyramid.resampling,
                block=pyramid.block,
                beside=unmade.beside,
            )
    except MuchoError as exc:
        return exc
    return None


def encode_overview(
    key: str,
    path: str,
    level: int,
    window: Window,
    profile: Mapping[str, Any],
    block: int,
    masked: bool,
) -> EncodedBlocks | MuchoError:
    """Encode a window of a level of a file.

    Parameters
    ----------
    key : str
        The name of the run.
    path : str
    level : int
        From 1; 0 is the raster itself.
    window : Window
    profile : Mapping
        Of the output.
    block : int
        The side of tiles.
    masked : bool
        The output has an internal mask.
    """
    try:
        with in_environment(key), closing(Encoder()) as encoder:
            array = read_level(path, level, window, masked=masked)
            return encoder.encode_overview(array, overview_profile(profile, block), masked=masked)
    except MuchoError as exc:
        return exc
