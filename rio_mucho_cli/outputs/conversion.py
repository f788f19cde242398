"""Outputs that are no GeoTIFF: a GeoTIFF first, which GDAL converts at the end.

Most other formats cannot be written window by window, and none by several
workers. The GeoTIFF lies in the folder in which the output grows, and is
compressed quickly: it is read once.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil

from rio_mucho_cli import environment
from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.inputs.windows import PlannedWindow
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.metadata import Metadata
from rio_mucho_cli.outputs.overviews import run_aside
from rio_mucho_cli.outputs.profile import PROFILE_KEYS
from rio_mucho_cli.outputs.pyramid import Unmade
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


class ConvertingWriter:
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
        self.target: Target = target
        self._conversion = conversion
        self._asked = asked
        inner = target.within(_NAME)
        self._place = inner.temporary
        self._writer = make_writer(inner)

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Begin the GeoTIFF, and see now, on a sample, whether it can be converted."""
        self._writer.begin(profile, masked=masked, metadata=metadata)
        folder = self._place.with_name("sample")
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir()
        sample = folder / _NAME
        side = {name: min(_SAMPLE_SIDE, int(profile[name])) for name in ("width", "height")}
        kept = {name: value for name, value in profile.items() if name in PROFILE_KEYS}
        with rasterio.open(sample, "w", **{**kept, **side}) as dst:
            dst.write(np.zeros((dst.count, dst.height, dst.width), dst.dtypes[0]))
        self._convert(sample, folder / self.target.temporary.name)
        self.target.check_others({path.name for path in folder.iterdir()} - {_NAME})
        shutil.rmtree(folder)

    def append(self, window: Any, data: Any) -> None:
        """Write one window."""
        self._writer.append(window, data)

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Open the journal of the GeoTIFF."""
        done: int = self._writer.open_log(fingerprint, windows, overwrite=overwrite)
        return done

    def restrict(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Take up so many windows of an earlier run."""
        states: Sequence[Mapping[str, Any]] = self._writer.restrict(windows)
        return states

    def note(self, number: int, state: Mapping[str, Any]) -> bool:
        """Write down that all windows up to a number are written."""
        noted: bool = self._writer.note(number, state)
        return noted

    def unmade_overviews(self) -> Sequence[Unmade]:
        """Return nothing: the format has none, or GDAL makes them."""
        return ()

    def append_overview(self, level: int, window: Any, data: Any) -> None:
        """Refuse: nobody has been asked for it."""
        raise NotImplementedError

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Take the statistics of all bands, as tags."""
        self._writer.set_statistics(tags)

    def finish(self) -> None:
        """Finish the GeoTIFF, and convert it."""
        self._writer.finish()
        output = self.target.temporary
        run_aside(partial(self._convert, self._place, output, environment.capture()))
        if not output.exists() or (output.is_file() and not output.stat().st_size):
            raise OutputError(f"{self.target.path} is empty: is the disk full?")
        for path in self._place.parent.glob(f"{_NAME}*"):
            path.unlink()

    def discard(self) -> None:
        """Remove what there is."""
        self._writer.discard()
        self.target.discard()

    def _convert(self, source: Path, path: Path, env: Mapping[str, Any] | None = None) -> None:
        """Convert a GeoTIFF, or raise OutputError."""
        name, driver = self.target.path, self._conversion.driver
        with environment.entered(env or environment.capture()), gdal.heard() as said:
            try:
                rasterio.shutil.copy(source, path, driver=driver, **self._conversion.options)
            except Exception as exc:
                raise OutputError(f"{name} cannot be made: {one_line(exc)}") from None
        gdal.judge(said, name, driver, self._asked)
