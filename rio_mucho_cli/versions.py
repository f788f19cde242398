"""The versions of what pixels and speed depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import rasterio


def versions_of(*names: str) -> dict[str, str]:
    """Return the versions that this process has; "none" of what is not installed.

    Parameters
    ----------
    *names : str
        Of packages as pip has them, Python, and GDAL, which is rasterio's.
    """
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    if name == "Python":
        return platform.python_version()
    if name == "GDAL":
        return str(rasterio.__gdal_version__)
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
