"""Outputs that are no GeoTIFF: a GeoTIFF first, which GDAL converts at the end.

Most other formats cannot be written window by window, and none by several
workers. The GeoTIFF lies in the folder in which the output grows, and is
compressed quickly: it is read once.
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

from rio_mucho_cli import environment
from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.exact import for_rasterio
from rio_mucho_cli.outputs.made_of import MadeOfGeotiff
from rio_mucho_cli.outputs.metadata import Metadata
from rio_mucho_cli.outputs.overviews import run_aside
from rio_mucho_cli.outputs.profile import PROFILE_KEYS
from rio_mucho_cli.outputs.target import Target

INTERMEDIATE = {"compress": "deflate", "zlevel": "1"}
"""Creation options of the GeoTIFF that is converted."""

_NAME = "intermediate.tif"
_SAMPLE_SIDE = 64


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the output is converted to.

    Attributes
    ----------
    driver : str
    options : Mapping
        Its creation options.
    """

    driver: str
    options: Mapping[str, Any]

    @classmethod
    def of_profile(cls, profile: Mapping[str, Any]) -> Conversion:
        """Take driver and creation options out of a whole profile."""
        options = {name: value for name, value in profile.items() if name not in PROFILE_KEYS}
        return cls(str(profile["driver"]), options)


class ConvertingWriter(MadeOfGeotiff):
    """Has another writer make a GeoTIFF, and converts it.

    Parameters
    ----------
    target : Target
        Of the output.
    conversion : Conversion
    asked : Mapping
        The creation options that the user gave.
    make_writer : callable
        Makes the writer for the GeoTIFF, from its Target.
    """

    def __init__(
        self, target: Target, conversion: Conversion, asked: Mapping[str, str], make_writer: Any
    ) -> None:
        inner = target.within(_NAME)
        super().__init__(target, inner, make_writer(inner))
        self._conversion = conversion
        self._asked = asked

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Begin the GeoTIFF, and see now, on a sample, whether it can be converted."""
        super().begin(profile, masked=masked, metadata=metadata)
        folder = self._place.with_name("sample")
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir()
        sample = folder / _NAME
        side = {name: min(_SAMPLE_SIDE, int(profile[name])) for name in ("width", "height")}
        kept = {name: value for name, value in profile.items() if name in PROFILE_KEYS}
        with rasterio.open(sample, "w", **for_rasterio({**kept, **side})) as dst:
            dst.write(np.zeros((dst.count, dst.height, dst.width), numpy_dtype(dst.dtypes[0])))
        self._convert(sample, folder / self.target.temporary.name)
        self.target.check_others(path for path in folder.iterdir() if path != sample)
        shutil.rmtree(folder)

    def finish(self) -> None:
        """Finish the GeoTIFF, and convert it."""
        self._writer.finish()
        output = self.target.temporary
        run_aside(partial(self._convert, self._place, output, environment.capture()))
        if not output.exists() or (output.is_file() and not output.stat().st_size):
            raise OutputError(f"{self.target.path} is empty: is the disk full?")
        for path in self._place.parent.glob(f"{_NAME}*"):
            path.unlink()

    def _convert(self, source: Path, path: Path, env: Mapping[str, Any] | None = None) -> None:
        """Convert a GeoTIFF, or raise OutputError."""
        name, driver = self.target.path, self._conversion.driver
        if driver.upper() == "NETCDF":
            # GDAL asks HDF5 what an old file is, and HDF5 prints to the terminal, in every thread
            # but netCDF's first, that there is none.
            path.touch()
        with environment.entered(env or environment.capture()), gdal.heard() as said:
            try:
                rasterio.shutil.copy(source, path, driver=driver, **self._conversion.options)
            except Exception as exc:
                raise OutputError(f"{name} cannot be made: {one_line(exc)}") from None
        gdal.judge(said, name, driver, self._asked)
