"""Small files that GDAL writes for their tags, which are like those of a large one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.metadata import Metadata, write_band_tags
from rio_mucho_cli.outputs.overviews import build
from rio_mucho_cli.outputs.tiff import METADATA, Directory
from rio_mucho_cli.windows import Size

# Pixels of a side.
_SMALL = 64


def overview_template(
    profile: Mapping[str, Any], metadata: Metadata | None, block: int, *, masked: bool
) -> tuple[bytes, Size]:
    """Return a small GeoTIFF with one overview.

    Returns
    -------
    bytes
        The file.
    Size
        Of its overview, in pixels.
    """
    with small_file(profile, metadata) as (memory, dst):
        if masked:
            with gdal.internal_masks(True):
                dst.write_mask(np.ones((1, 1), bool), window=Window(0, 0, 1, 1))
        dst.close()
        build(memory.name, [2], "nearest", block=block)
        return bytes(memory.getbuffer()), Size(_SMALL // 2, _SMALL // 2)


def metadata_text(
    profile: Mapping[str, Any], metadata: Metadata | None, tags: Sequence[Mapping[str, str]]
) -> bytes:
    """Return the text in which a GeoTIFF has its tags, with others for its bands."""
    with small_file(profile, metadata) as (memory, dst):
        write_band_tags(dst, tags)
        dst.close()
        data = memory.getbuffer()
        field = Directory.read(data).fields[METADATA]
        return bytes(data[field.offset : field.offset + field.size])


@contextmanager
def small_file(
    profile: Mapping[str, Any], metadata: Metadata | None, name: str = ""
) -> Iterator[tuple[MemoryFile, Any]]:
    """Yield a small file in memory like one with a profile, and the dataset that is open for it."""
    small = {**profile, "width": _SMALL, "height": _SMALL, "sparse_ok": "YES"}
    with MemoryFile(ext=".tif") as memory:
        with captured_messages():
            dst = gdal.create(memory.name, name or memory.name, small, {}, metadata)
        yield memory, dst
