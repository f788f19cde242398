"""Encode arrays as GeoTIFF blocks, with GDAL and in memory."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import rasterio
from rasterio.io import MemoryFile

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.geotiff.block_table import EncodedBlocks, split_blocks
from rio_mucho_cli.geotiff.gdal_io import internal_masks, needs_exact_nodata, write_array
from rio_mucho_cli.geotiff.ifd import IFD
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan
from rio_mucho_cli.geotiff.overviews import (
    build_in_memory,
    check_overviews,
    overview_profile,
    read_level,
)

# Options of the whole file, which do not affect how a block is encoded.
_WHOLE_FILE = {
    "crs", "transform", "gcps", "rpcs", "bigtiff", "num_threads", "tfw", "worldfile", "rpb",
    "rpctxt",
}  # fmt: skip


class Encoder:
    """Encodes arrays one after the other, in one thread.

    It reuses one in-memory file to keep its buffer: the buffer of a new file
    grows, and is copied, with every block written.
    """

    def __init__(self) -> None:
        self._memory = MemoryFile(ext=".tif")

    def encode(
        self,
        array: np.ndarray[Any, Any],
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        overview_plan: OverviewPlan | None = None,
    ) -> EncodedBlocks:
        """Return an array's blocks, encoded as in a file with this profile.

        Parameters
        ----------
        array : ndarray
            (count, rows, cols): whole blocks, except at the right and lower
            edges of the raster.
        profile : Mapping
            Profile of the output; its size and georeferencing are ignored.
            Values are cast, and masked ones filled, as by ``dst.write``.
        masked : bool
            Encode the mask as well, for a file with an internal mask.
        overview_plan : OverviewPlan or None
            Overviews; the levels within windows are encoded as well.

        Raises
        ------
        OutputError
            If GDAL cannot encode the array.

        Notes
        -----
        A block has the same bytes whether GDAL writes a part or the whole
        raster: blocks are encoded one by one with the same options, and
        padded the same way beyond an edge.
        """
        profile = _block_profile(profile)
        try:
            encoded = self._encode(array, profile, masked)
            if overview_plan is None or not overview_plan.in_windows:
                return encoded
            check_overviews(profile)
            factors = overview_plan.factors[: overview_plan.in_windows]
            levels = build_in_memory(
                self._memory,
                array,
                profile,
                factors,
                overview_plan.resampling,
                block=overview_plan.block,
                masked=masked,
            )
            level = overview_plan.source_level
            source_level = levels[level - 1] if level else None
            tiles = overview_profile(profile, overview_plan.block)
            overviews = [
                self._encode(pixels, tiles, masked, filled=False)
                for pixels in levels[: overview_plan.encoded]
            ]
            return replace(encoded, overviews=tuple(overviews), source_level=source_level)
        except OutputError:
            raise
        except Exception as exc:
            raise OutputError(f"the result cannot be encoded: {one_line(exc)}") from None

    def as_stored(
        self, array: np.ndarray[Any, Any], profile: Mapping[str, Any], *, masked: bool
    ) -> np.ndarray[Any, Any]:
        """Return an array as read back after lossy encoding with a profile."""
        self.encode(array, profile, masked=masked)
        stored: np.ndarray[Any, Any] = read_level(self._memory.name, 0, masked=masked)
        return stored

    def encode_overview(
        self, array: np.ndarray[Any, Any], profile: Mapping[str, Any], *, masked: bool
    ) -> EncodedBlocks:
        """Return an overview's encoded blocks; masked pixels keep their values."""
        try:
            return self._encode(array, _block_profile(profile), masked, filled=False)
        except Exception as exc:
            raise OutputError(f"an overview cannot be encoded: {one_line(exc)}") from None

    def _encode(
        self,
        array: np.ndarray[Any, Any],
        profile: Mapping[str, Any],
        masked: bool,
        *,
        filled: bool = True,
    ) -> EncodedBlocks:
        size = {"width": array.shape[2], "height": array.shape[1]}
        if needs_exact_nodata(profile):
            # Without nodata, GDAL leaves out blocks of 0; but the real nodata is not 0.
            dense = {key: profile[key] for key in profile if key != "sparse_ok"}
            profile = {**dense, "nodata": None}
        # The main process got GDAL's messages about options when it wrote the header.
        with captured_messages(), internal_masks(masked):
            with rasterio.open(self._memory.name, "w", **{**profile, **size}) as dst:
                write_array(dst, array, masked=masked, filled=filled)
            data = self._memory.getbuffer()
            parts = [
                EncodedBlocks(*split_blocks(data, ifd), ifd.decoding(data))
                for ifd in IFD.read_all(data)
            ]
            return replace(parts[0], mask=parts[1]) if masked else parts[0]

    def close(self) -> None:
        """Free the memory."""
        self._memory.close()


def _block_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a profile that affects how blocks are encoded."""
    return {key: value for key, value in profile.items() if key not in _WHOLE_FILE}


def encode(
    array: np.ndarray[Any, Any], profile: Mapping[str, Any], *, masked: bool = False
) -> EncodedBlocks:
    """Return one array's encoded blocks; see `Encoder.encode`."""
    with closing(Encoder()) as encoder:
        return encoder.encode(array, profile, masked=masked)
