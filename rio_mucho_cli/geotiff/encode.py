"""Turn an array into the encoded blocks of a GeoTIFF: GDAL encodes, in memory."""

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
from rio_mucho_cli.geotiff.gdal_io import internal_masks, write_array
from rio_mucho_cli.geotiff.ifd import IFD
from rio_mucho_cli.geotiff.int64 import is_patched
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan
from rio_mucho_cli.geotiff.overviews import check_overviews, overview_profile, read_level, reduce

# What concerns the whole file, and not how a block is encoded.
_WHOLE_FILE = {
    "CRS", "TRANSFORM", "GCPS", "RPCS", "BIGTIFF", "NUM_THREADS", "TFW", "WORLDFILE", "RPB",
    "RPCTXT",
}  # fmt: skip


class Encoder:
    """Encodes arrays, one after the other, in one thread.

    It writes to the same file in memory again and again, because that keeps
    its buffer: a new one grows with every block that is written to it, and is
    copied each time.
    """

    def __init__(self) -> None:
        self._memory = MemoryFile(ext=".tif")

    def encode(
        self,
        array: np.ndarray[Any, Any],
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        pyramid: OverviewPlan | None = None,
    ) -> EncodedBlocks:
        """Encode an array as a file with a profile would have it.

        Parameters
        ----------
        array : ndarray
            (count, rows, cols): a whole number of blocks, or cut off at the
            raster's right and lower edge.
        profile : Mapping
            Of the whole output; size and georeferencing are left aside.
            Results are cast, and masked ones filled, as ``dst.write`` does it.
        masked : bool
            Encode the mask as well, for a file with an internal mask.
        pyramid : OverviewPlan or None
            Make those overviews of it as well that lie in windows.

        Raises
        ------
        OutputError
            If GDAL cannot encode it.

        Notes
        -----
        GDAL gives a part and a whole the same blocks: each is encoded on its
        own, with the same options, and what lies beyond an edge is filled in
        the same way.
        """
        part = {key: value for key, value in profile.items() if key.upper() not in _WHOLE_FILE}
        try:
            encoded = self._encode(array, part, masked)
            if pyramid is None or not pyramid.in_windows:
                return encoded
            check_overviews(profile)
            factors = pyramid.factors[: pyramid.in_windows]
            levels = reduce(
                self._memory,
                array,
                part,
                factors,
                pyramid.resampling,
                block=pyramid.block,
                masked=masked,
            )
            kept = levels[pyramid.kept - 1] if pyramid.kept else None
            tiles = overview_profile(part, pyramid.block)
            overviews = [
                self._encode(level, tiles, masked, filled=False)
                for level in levels[: pyramid.encoded]
            ]
            return replace(encoded, overviews=tuple(overviews), kept=kept)
        except OutputError:
            raise
        except Exception as exc:
            raise OutputError(f"the result cannot be encoded: {one_line(exc)}") from None

    def as_stored(
        self, array: np.ndarray[Any, Any], profile: Mapping[str, Any], *, masked: bool
    ) -> np.ndarray[Any, Any]:
        """Return an array as it is read from a file with a profile, whose codec changes values."""
        self.encode(array, profile, masked=masked)
        stored: np.ndarray[Any, Any] = read_level(self._memory.name, 0, masked=masked)
        return stored

    def encode_overview(
        self, array: np.ndarray[Any, Any], profile: Mapping[str, Any], *, masked: bool
    ) -> EncodedBlocks:
        """Encode a part of an overview, whose pixels are kept under the mask as well."""
        part = {key: value for key, value in profile.items() if key.upper() not in _WHOLE_FILE}
        try:
            return self._encode(array, part, masked, filled=False)
        except Exception as exc:
            raise OutputError(f"an overview cannot be encoded: {one_line(exc)}") from None

    def _encode(
        self,
        array: np.ndarray[Any, Any],
        part: Mapping[str, Any],
        masked: bool,
        *,
        filled: bool = True,
    ) -> EncodedBlocks:
        size = {"width": array.shape[2], "height": array.shape[1]}
        if is_patched(part):
            # Blocks that are 0 are left out where there is no nodata, and it is not 0.
            part = {key: part[key] for key in part if key.lower() != "sparse_ok"} | {"nodata": None}
        # What GDAL says of the options, the parent has heard when it made the header.
        with captured_messages(), internal_masks(masked):
            with rasterio.open(self._memory.name, "w", **{**part, **size}) as dst:
                write_array(dst, array, masked=masked, filled=filled)
            data = self._memory.getbuffer()
            parts = [
                EncodedBlocks(*split_blocks(data, directory), directory.decoding(data))
                for directory in IFD.read_all(data)
            ]
            return replace(parts[0], mask=parts[1]) if masked else parts[0]

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()


def encode(
    array: np.ndarray[Any, Any], profile: Mapping[str, Any], *, masked: bool = False
) -> EncodedBlocks:
    """Encode one array; see `Encoder.encode`."""
    with closing(Encoder()) as encoder:
        return encoder.encode(array, profile, masked=masked)
