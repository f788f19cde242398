"""The pixels of an overview that workers give back: what further ones are made of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.overviews import overview_profile, uncompressed_profile
from rio_mucho_cli.windows import Size

_NAME = "kept.tif"
_BLOCK = 256


class KeptLevel:
    """A level of an output, uncompressed, in a file of its own while a run is under way.

    Parameters
    ----------
    output : Path
        The file lies beside it.
    profile : Mapping
        Of the output.
    size : Size
        Of the level, in pixels.
    masked : bool
        Whether the output has an internal mask.
    """

    def __init__(
        self, output: Path, profile: Mapping[str, Any], size: Size, *, masked: bool
    ) -> None:
        self.path = output.with_name(_NAME)
        self.size = size
        self._masked = masked
        own = overview_profile(uncompressed_profile(profile), _BLOCK)
        own.update(width=size.width, height=size.height, sparse_ok=True, bigtiff="IF_SAFER")
        with gdal.internal_masks(masked), captured_messages():
            self._dst: Any = rasterio.open(self.path, "w", **own)

    def write(self, window: Window, data: Any) -> None:
        """Write the pixels of a window: (count, rows, cols), masked if some are."""
        name = str(self.path)
        gdal.write(self._dst, name, window, np.ma.getdata(data), masked=False)
        if self._masked:
            with gdal.internal_masks(True):
                valid = ~np.ma.getmaskarray(data)[0]
                self._dst.write_mask(valid, window=window)

    def close(self) -> None:
        """Let others read it, or raise OutputError: what GDAL had not written yet may not fit."""
        gdal.close(self._dst, str(self.path))

    def discard(self) -> None:
        """Close it, whatever comes of it."""
        with suppress(Exception), captured_messages():
            self._dst.close()
