"""Reorder a finished GeoTIFF into a cloud-optimised GeoTIFF (COG).

    ┌────────┬───────────────────────┬─────────────────────────┬───────────────┐
    │ header │ all IFDs              │ overviews,              │ blocks of     │
    │        │ with block tables     │ the smallest one first  │ the raster    │
    └────────┴───────────────────────┴─────────────────────────┴───────────────┘

Blocks of the GeoTIFF are in the order of the windows. They are copied into
this order, unchanged.

Notes
-----
GDAL's page on the COG driver describes the layout. Each block is preceded by
its size and followed by a copy of its last four bytes. Each block of a mask
follows its block of the image. A text after the header declares this.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rio_mucho_cli.geotiff.ifd import (
    IFD,
    Entry,
    entries_of,
    fits_classic,
    serialize,
    with_block_table,
)
from rio_mucho_cli.geotiff.options import is_no, is_yes
from rio_mucho_cli.windows import Size

# Bytes of a block's leader and trailer.
_AROUND = 8
_BUFFER = 4 * 1024 * 1024
# A tag, and the bit of its first byte that marks a mask (TIFF 6.0, section 8).
_NEW_SUBFILE_TYPE, _IS_MASK = 254, 4


@dataclass(frozen=True, slots=True)
class _Image:
    """One IFD of the GeoTIFF, with the old and new offsets of its blocks."""

    entries: list[Entry]
    size: Size
    offsets: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]
    new_offsets: np.ndarray[Any, Any]

    @classmethod
    def of(cls, data: Any, ifd: IFD) -> _Image:
        offsets, counts = (ifd.values(data, tag).astype(np.int64) for tag in ifd.table_tags)
        width, height = (int(ifd.values(data, ifd.tags[number])[0]) for number in (256, 257))
        entries = entries_of(data, ifd)
        return cls(entries, Size(width, height), offsets, counts, np.zeros_like(offsets))

    @property
    def is_mask(self) -> bool:
        kinds = [entry.data[0] for entry in self.entries if entry.tag == _NEW_SUBFILE_TYPE]
        return bool(kinds and kinds[0] & _IS_MASK)


def write_cog(source: Path, target: Path, bigtiff: str | None = None) -> None:
    """Copy a GeoTIFF with overviews into the order of a COG.

    Parameters
    ----------
    source, target : Path
        The source is pixel-interleaved.
    bigtiff : str or None
        "YES" or "NO"; any other value means where needed.

    Raises
    ------
    OutputError
        If `bigtiff` is "NO" and a classic TIFF is too small.
    """
    with (
        source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        target.open("xb", buffering=_BUFFER) as out,
    ):
        ifds = IFD.read_all(data)
        byte_order = ifds[0].byte_order
        images = [_Image.of(data, ifd) for ifd in ifds]
        # GDAL puts the masks of overviews after all overviews.
        masks = [image for image in images if image.is_mask]
        levels = [[image] for image in images if not image.is_mask]
        for level, mask in zip(levels, masks, strict=bool(masks)):
            level.append(mask)
        size = sum(_place_blocks(level, 0) for level in levels)
        big = is_yes(bigtiff)
        start = len(_header(levels, byte_order, big=big))
        if not big and not fits_classic(start + size) and not is_no(bigtiff):
            big, start = True, len(_header(levels, byte_order, big=True))
        end = start
        for level in reversed(levels):
            end = _place_blocks(level, end)
        out.write(_header(levels, byte_order, big=big))
        with memoryview(data) as view:
            for level in reversed(levels):
                for offset, count in _blocks(level):
                    block = view[offset : offset + count]
                    out.write(struct.pack("<I", count))
                    out.write(block)
                    out.write(bytes(block[-4:]).rjust(4, b"\0"))
                    block.release()


def _place_blocks(level: Sequence[_Image], start: int) -> int:
    """Set the new offsets of a level's blocks; return the offset of their end."""
    # A row for each image, a column for each block: blocks of the mask alternate.
    counts = np.stack([image.counts for image in level])
    room = np.where(counts > 0, counts + _AROUND, 0)
    ends = start + room.T.cumsum().reshape(room.shape[::-1]).T
    for image, end, size in zip(level, ends, room, strict=True):
        image.new_offsets[:] = np.where(size > 0, end - size + _AROUND // 2, 0)
    return int(ends[-1, -1])


def _blocks(level: Sequence[_Image]) -> Iterator[tuple[int, int]]:
    """Return the old offsets and byte counts of blocks, in their new order."""
    offsets = np.stack([image.offsets for image in level]).T.ravel().tolist()
    counts = np.stack([image.counts for image in level]).T.ravel().tolist()
    return ((offset, count) for offset, count in zip(offsets, counts, strict=True) if count)


def _header(levels: Sequence[Sequence[_Image]], byte_order: str, *, big: bool) -> bytes:
    """Return everything that comes before the first block."""
    declared = [
        "LAYOUT=IFDS_BEFORE_DATA",
        "BLOCK_ORDER=ROW_MAJOR",
        "BLOCK_LEADER=SIZE_AS_UINT4",
        "BLOCK_TRAILER=LAST_4_BYTES_REPEATED",
        "KNOWN_INCOMPATIBLE_EDITION=NO",
    ]
    # GDAL replaces NO and the space by YES once it changes the file.
    text = "\n".join(declared) + "\n "
    if len(levels[0]) > 1:
        text += "MASK_INTERLEAVED_WITH_IMAGERY=YES\n"
    structure = f"GDAL_STRUCTURAL_METADATA_SIZE={len(text):06d} bytes\n{text}".encode("ascii")
    if len(structure) % 2:
        structure += b"\0"
    start = (16 if big else 8) + len(structure)
    mark = {"<": b"II", ">": b"MM"}[byte_order]
    if big:
        head = mark + struct.pack(f"{byte_order}HHHQ", 43, 8, 0, start)
    else:
        head = mark + struct.pack(f"{byte_order}HI", 42, start)
    ifds = [
        with_block_table(
            image.entries, byte_order, image.size, image.new_offsets, image.counts, big=big
        )
        for level in levels
        for image in level
    ]
    return head + structure + serialize(ifds, start, byte_order, big=big)
