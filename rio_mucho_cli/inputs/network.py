"""Inputs on servers: which they are, and how they are opened with few requests."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from rio_mucho_cli.env import gdal_config, unset_only
from rio_mucho_cli.paths import SERVERS, vsi_path

OPENING = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""GDAL's options while such an input is opened, as far as the user has set none of them.

Without it GDAL asks a plain HTTP server for some forty files that might lie
beside a raster. Others that are said to help were tried: VSI_CACHE,
GDAL_INGESTED_BYTES_AT_OPEN and CPL_VSIL_CURL_USE_HEAD made no difference to a
COG that is read window by window, and what merges ranges is on by default.
"""


def is_listed(path: str | os.PathLike[str]) -> bool:
    """Whether GDAL asks a server for what lies beside a dataset: not of those in an archive."""
    return re.match(rf"/{SERVERS}", vsi_path(path)) is not None


@contextmanager
def opening(path: str | os.PathLike[str], *, looks_beside: bool = False) -> Iterator[None]:
    """Set GDAL's options for opening an input, in this thread alone.

    They hold for whatever GDAL will read of it later. Local inputs are opened
    as ever: what lies beside them is found.

    Parameters
    ----------
    path : str or Path
    looks_beside : bool
        Look for files that lie beside it all the same.
    """
    if looks_beside or not is_listed(path):
        yield
        return
    with gdal_config(unset_only(OPENING)):
        yield
