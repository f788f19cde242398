"""Make an output from an intermediate GeoTIFF: a COG, or any format of GDAL.

Most formats cannot be written window by window, and none by several workers.
The GeoTIFF is kept in the output's temporary folder. If GDAL converts it, it is
compressed with a fast setting, because it is read only once.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil

from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.env import captured_messages, env_options, gdal_config
from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.geotiff import gdal_io
from rio_mucho_cli.geotiff.cog import write_cog
from rio_mucho_cli.geotiff.gdal_io import creation_profile
from rio_mucho_cli.geotiff.overviews import run_in_thread
from rio_mucho_cli.outputs.profile import PROFILE_KEYS
from rio_mucho_cli.outputs.target import Target

INTERMEDIATE = {"compress": "deflate", "zlevel": "1"}
"""Creation options of an intermediate GeoTIFF that GDAL converts."""

_SAMPLE_SIDE = 64


def finish_cog(source: Path, target: Target, bigtiff: str | None = None) -> None:
    """Write a COG from a GeoTIFF with `write_cog`, and remove the GeoTIFF.

    Raises
    ------
    OutputError
        If the COG cannot be written.
    """
    try:
        write_cog(source, target.temporary, bigtiff)
    except OSError as exc:
        raise OutputError(f"{target.path} cannot be written: {exc.strerror}") from None
    source.unlink()


@dataclass(frozen=True, slots=True)
class Conversion:
    """Driver and creation options for converting a GeoTIFF with GDAL.

    Attributes
    ----------
    driver : str
    options : Mapping
        Creation options of the driver.
    """

    driver: str
    options: Mapping[str, Any]

    @classmethod
    def of_profile(cls, profile: Mapping[str, Any]) -> Conversion:
        """Return the conversion to a profile's driver and creation options."""
        options = {name: value for name, value in profile.items() if name not in PROFILE_KEYS}
        return cls(str(profile["driver"]), options)

    def check(
        self, profile: Mapping[str, Any], target: Target, user_options: Mapping[str, Any]
    ) -> None:
        """Convert a small sample, to find errors before the first window.

        Parameters
        ----------
        profile : Mapping
            Profile of the GeoTIFF.
        target : Target
        user_options : Mapping
            Creation options given by the user.

        Raises
        ------
        OutputError
            If GDAL cannot convert it, or a sidecar file exists already.
        """
        folder = target.temporary.with_name("sample")
        shutil.rmtree(folder, ignore_errors=True)  # from a killed run
        folder.mkdir()
        sample = folder / target.intermediate.name
        side = {name: min(_SAMPLE_SIDE, int(profile[name])) for name in ("width", "height")}
        basic = {name: value for name, value in profile.items() if name in PROFILE_KEYS}
        with rasterio.open(sample, "w", **creation_profile({**basic, **side})) as dst:
            dst.write(np.zeros((dst.count, dst.height, dst.width), numpy_dtype(dst.dtypes[0])))
        output, env = folder / target.temporary.name, env_options()
        self._convert(sample, output, target.path, user_options, env)
        target.check_others(path for path in folder.iterdir() if path != sample)
        shutil.rmtree(folder)

    def finish(self, source: Path, target: Target, user_options: Mapping[str, Any]) -> None:
        """Convert the complete GeoTIFF, and remove it.

        Raises
        ------
        OutputError
            If GDAL cannot convert it.
        """
        output, env = target.temporary, env_options()
        run_in_thread(partial(self._convert, source, output, target.path, user_options, env))
        if not output.exists() or (output.is_file() and not output.stat().st_size):
            raise OutputError(f"{target.path} is empty: is the disk full?")
        for path in source.parent.glob(f"{source.name}*"):
            path.unlink()

    def _convert(
        self,
        source: Path,
        path: Path,
        name: str,
        user_options: Mapping[str, Any],
        env: Mapping[str, Any],
    ) -> None:
        if self.driver.upper() == "NETCDF":
            # GDAL lets HDF5 look for an old file. If there is none, HDF5 prints an error to the
            # terminal, in every thread but netCDF's first.
            path.touch()
        options = {**_namespaces(self.driver, source), **self.options}
        with gdal_config(env), captured_messages(always=True) as messages:
            try:
                rasterio.shutil.copy(source, path, driver=self.driver, **options)
            except Exception as exc:
                raise OutputError(f"{name} cannot be made: {one_line(exc)}") from None
        gdal_io.raise_for_options(messages, name, self.driver, user_options)


def _namespaces(driver: str, source: Path) -> dict[str, str]:
    """Return the option with which a driver copies tags of all namespaces, if it has one.

    Notes
    -----
    GDAL's page on the COG driver: since GDAL 3.8. With it, GDAL 3.10 drops the
    other tags of bands, which are worth more.
    """
    version = tuple(map(int, rasterio.__gdal_version__.split(".")[:2]))
    if driver.upper() != "COG" or version < (3, 8):
        return {}
    with rasterio.open(source) as src:
        return {} if any(map(src.tags, src.indexes)) else {"copy_src_mdd": "YES"}
