"""Block tables of a TIFF: offset and byte count of each tile or strip.

The image, its mask and each overview have their own tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.geotiff.ifd import IFD
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import Size

Indexes: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def split_blocks(data: Any, ifd: IFD) -> tuple[np.ndarray[Any, Any], Indexes]:
    """Return the encoded blocks of an IFD, in the order of its block tables.

    Returns
    -------
    content : ndarray of uint8
        The bytes of all blocks, one after the other.
    sizes : ndarray of int64
        Byte count of each block; 0 for a missing block.

    Raises
    ------
    ValueError
        If a block is not within the data.
    """
    tables = _tables_within(data, ifd)
    # Overlapping blocks could add up to any length.
    if tables is None or sum(tables[1].tolist()) > len(data):
        raise ValueError("blocks of a TIFF lie beyond its end, or over each other")
    offsets, sizes = (table.astype(np.int64) for table in tables)
    present = np.flatnonzero(sizes)
    starts, ends = offsets[present], offsets[present] + sizes[present]
    # Copy adjacent blocks together.
    breaks = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    content = np.frombuffer(data, np.uint8)
    runs = [
        content[run_starts[0] : run_ends[-1]]
        for run_starts, run_ends in zip(
            np.split(starts, breaks), np.split(ends, breaks), strict=True
        )
        if len(run_starts)
    ]
    return np.concatenate([*runs, content[:0]]), sizes


def is_whole(data: Any) -> bool:
    """Return whether the first IFD of a TIFF and all its blocks are in the file."""
    try:
        return _tables_within(data, IFD.read(data)) is not None
    except ValueError:
        return False


def _tables_within(data: Any, ifd: IFD) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Return offsets and byte counts, or None if a block is not within the data.

    Raises
    ------
    ValueError
        If there are no block tables, or they are not within the data.
    """
    offsets, counts = (ifd.values(data, tag).astype(np.uint64) for tag in ifd.table_tags)
    if len(offsets) != len(counts):
        raise ValueError("the block tables of a TIFF differ in length")
    length = np.uint64(len(data))
    within = (offsets <= length) & (counts <= length - np.minimum(offsets, length))
    return (offsets, counts) if within.all() else None


def block_indexes(window: Window, block: Size, width: int, height: int, planes: int) -> Indexes:
    """Return the indexes of a window's blocks in the raster's block tables.

    Parameters
    ----------
    window : Window
        A window of whole blocks.
    block : Size
    width, height : int
        Size of the raster, in pixels.
    planes : int
        1 if the file is pixel-interleaved, else the number of bands.

    Returns
    -------
    ndarray
        Indexes in the order of a file of this window alone: band by band,
        row by row.
    """
    across, down = math.ceil(width / block.width), math.ceil(height / block.height)
    left, top = window.col_off // block.width, window.row_off // block.height
    right = math.ceil((window.col_off + window.width) / block.width)
    bottom = math.ceil((window.row_off + window.height) / block.height)
    plane, row, col = np.ogrid[0:planes, top:bottom, left:right]
    indexes: Indexes = ((plane * down + row) * across + col).ravel()
    return indexes


@dataclass(frozen=True, slots=True)
class EncodedBlocks:
    """The encoded blocks of one window.

    Attributes
    ----------
    content : ndarray of uint8
        The bytes of all blocks, row by row; band by band unless the file is
        pixel-interleaved.
    sizes : ndarray of int64
        Byte count of each block; 0 if it is left out of the file
        (SPARSE_OK).
    decoding : dict
        Values of the tags needed to decode the blocks, by name.
    mask : EncodedBlocks or None
        Blocks of the internal mask.
    overviews : tuple of EncodedBlocks
        Blocks of the overviews that the window covers in whole blocks.
    source_level : ndarray or None
        (count, rows, cols): pixels of the level from which further overviews
        are made.
    """

    content: np.ndarray[Any, Any]
    sizes: np.ndarray[Any, Any]
    decoding: dict[str, bytes]
    mask: EncodedBlocks | None = None
    overviews: tuple[EncodedBlocks, ...] = ()
    source_level: Any = None

    @property
    def nbytes(self) -> int:
        """Total bytes, including mask, overviews and source level."""
        parts = [self.content, self.mask, *self.overviews, self.source_level]
        return sum(part.nbytes for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class BlockTable:
    """Offsets and byte counts of the blocks of one IFD that are written so far.

    Attributes
    ----------
    name : str
        Name of the file in messages.
    size, block : Size
        Size of the image and of its blocks, in pixels.
    planes : int
        1 if the file is pixel-interleaved, else the number of bands.
    decoding : dict
        Values of the tags needed to decode blocks, by name.
    offsets, counts : ndarray of int64
    """

    name: str
    size: Size
    block: Size
    planes: int
    decoding: dict[str, bytes]
    offsets: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]

    @classmethod
    def of(
        cls,
        ifd: IFD,
        data: Any,
        size: Size,
        block: Size,
        name: str,
        like: Size | None = None,
    ) -> BlockTable:
        """Return an empty block table for an IFD.

        Parameters
        ----------
        ifd : IFD
        data : bytes-like
            The file that holds the IFD.
        size, block : Size
        name : str
        like : Size or None
            Size of the image in that file, if it differs from `size`.
        """
        image = like or size
        per_plane = len(block_indexes(Window(0, 0, *image), block, *image, 1))
        total = ifd.table_tags[0].count
        if total % per_plane:
            raise OutputError(
                f"{name} has {total} blocks, expected a multiple of {per_plane}: "
                f"give their size with {option('creation_options', ('blockxsize', 256))}"
            )
        planes = total // per_plane
        blocks = len(block_indexes(Window(0, 0, *size), block, *size, planes))
        offsets, counts = np.zeros(blocks, np.int64), np.zeros(blocks, np.int64)
        return cls(name, size, block, planes, ifd.decoding(data), offsets, counts)

    @property
    def per_plane(self) -> int:
        """Number of blocks in a plane."""
        return len(self.offsets) // self.planes

    def place(self, window: Window, data: EncodedBlocks, start: int) -> int:
        """Record the blocks of a window that are written at an offset.

        Returns
        -------
        int
            Offset of their end.

        Raises
        ------
        OutputError
            If the blocks do not fit this file.
        """
        indexes = block_indexes(window, self.block, *self.size, self.planes)
        self.check_blocks(data, len(indexes))
        return self.place_at(indexes, data, start)

    def place_at(self, indexes: Indexes, data: EncodedBlocks, start: int) -> int:
        """Record blocks by their indexes; empty ones take no room."""
        ends = start + np.cumsum(data.sizes)
        self.offsets[indexes] = np.where(data.sizes > 0, ends - data.sizes, 0)
        self.counts[indexes] = data.sizes
        return int(ends[-1])

    def check_blocks(self, data: EncodedBlocks, expected: int) -> None:
        """Raise OutputError unless the blocks fit this file."""
        if len(data.sizes) != expected:
            raise OutputError(
                f"{self.name}: GDAL made {len(data.sizes)} blocks of a window, expected {expected}"
            )
        if self.decoding == data.decoding:
            return
        for name in self.decoding.keys() | data.decoding.keys():
            if self.decoding.get(name) != data.decoding.get(name):
                raise OutputError(
                    f"{self.name}: GDAL chose another {name} for a window than for the "
                    "whole file, so that its blocks could not be read: use other creation options"
                )

    def missing(self) -> Sequence[int]:
        """Return the indexes of missing blocks."""
        indexes: list[int] = np.flatnonzero(self.counts == 0).tolist()
        return indexes

    def is_short(self, index: int) -> bool:
        """Return whether a block is a last strip with fewer rows than the others."""
        is_strip = self.block.width >= self.size.width and self.size.height % self.block.height
        return bool(is_strip) and index % self.per_plane == self.per_plane - 1
