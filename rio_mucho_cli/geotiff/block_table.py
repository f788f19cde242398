"""Which entry of a TIFF's block tables a block has, and where its bytes are.

A TIFF keeps two numbers for each block (tile or strip): the offset of its bytes, and how many
they are. The image, its mask and their overviews have tables of their own.
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


def split_blocks(data: Any, directory: IFD) -> tuple[np.ndarray[Any, Any], Indexes]:
    """Return the encoded blocks that a directory speaks of, in the order of its tables.

    Returns
    -------
    content : ndarray of uint8
        One block after the other.
    sizes : ndarray of int64
        Their numbers of bytes; 0 for a block that is not there.

    Raises
    ------
    ValueError
        If they are not in the data.
    """
    tables = _tables_within(data, directory)
    # Blocks that share bytes could come to any length.
    if tables is None or sum(tables[1].tolist()) > len(data):
        raise ValueError("blocks of a TIFF lie beyond its end, or over each other")
    offsets, sizes = (table.astype(np.int64) for table in tables)
    there = np.flatnonzero(sizes)
    starts, ends = offsets[there], offsets[there] + sizes[there]
    # Blocks that follow each other in the file are taken in one piece.
    breaks = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    content = np.frombuffer(data, np.uint8)
    pieces = [
        content[run_starts[0] : run_ends[-1]]
        for run_starts, run_ends in zip(
            np.split(starts, breaks), np.split(ends, breaks), strict=True
        )
        if len(run_starts)
    ]
    return np.concatenate([*pieces, content[:0]]), sizes


def is_whole(data: Any) -> bool:
    """Whether the directory of a TIFF, and all blocks that it speaks of, are in the file."""
    try:
        return _tables_within(data, IFD.read(data)) is not None
    except ValueError:
        return False


def _tables_within(
    data: Any, directory: IFD
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Return the block tables, or None if a block is not in the data.

    Raises
    ------
    ValueError
        If there are no tables, or they are not.
    """
    offsets, counts = (
        directory.values(data, field).astype(np.uint64) for field in directory.tables
    )
    if len(offsets) != len(counts):
        raise ValueError("the block tables of a TIFF differ in length")
    length = np.uint64(len(data))
    within = (offsets <= length) & (counts <= length - np.minimum(offsets, length))
    return (offsets, counts) if within.all() else None


def block_indexes(window: Window, block: Size, width: int, height: int, planes: int) -> Indexes:
    """Return the places of a window's blocks in the whole raster's tables.

    Parameters
    ----------
    window : Window
        A whole number of blocks.
    block : Size
    width, height : int
        Of the raster.
    planes : int
        1 if the bands of a pixel lie together, else the number of bands.

    Returns
    -------
    ndarray
        In the order in which a file of the window alone has its blocks: band
        by band, row by row.
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
        One block after the other: band by band if bands are apart, and row by
        row.
    sizes : ndarray of int64
        Their numbers of bytes. Empty ones take no place in the file
        (SPARSE_OK).
    decoding : dict
        What a reader has to know to decode them.
    mask : EncodedBlocks or None
        The blocks of the internal mask.
    overviews : tuple of EncodedBlocks
        The blocks of those overviews that the window has whole blocks of.
    kept : ndarray or None
        (count, rows, cols): the pixels of the level of which it has not.
    """

    content: np.ndarray[Any, Any]
    sizes: np.ndarray[Any, Any]
    decoding: dict[str, bytes]
    mask: EncodedBlocks | None = None
    overviews: tuple[EncodedBlocks, ...] = ()
    kept: Any = None

    @property
    def nbytes(self) -> int:
        """How large all of it is together."""
        parts = [self.content, self.mask, *self.overviews, self.kept]
        return sum(part.nbytes for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class BlockTable:
    """Where the blocks of one directory are, as far as they have been placed.

    Attributes
    ----------
    name : str
        The file, for messages.
    size, block : Size
        Of the image, and of its blocks.
    planes : int
        As many as bands, if these are apart.
    decoding : dict
        What a reader has to know to decode blocks.
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
        directory: IFD,
        data: Any,
        size: Size,
        block: Size,
        name: str,
        like: Size | None = None,
    ) -> BlockTable:
        """Make empty tables for a directory.

        Parameters
        ----------
        directory : IFD
        data : bytes-like
            The file that it is in.
        size, block : Size
        name : str
        like : Size or None
            Of the image in that file, if it is another.
        """
        of_directory = like or size
        per_plane = len(block_indexes(Window(0, 0, *of_directory), block, *of_directory, 1))
        total = directory.tables[0].count
        if total % per_plane:
            raise OutputError(
                f"{name} has {total} blocks, expected a multiple of {per_plane}: "
                f"give their size with {option('creation_options', ('blockxsize', 256))}"
            )
        planes = total // per_plane
        blocks = len(block_indexes(Window(0, 0, *size), block, *size, planes))
        offsets, counts = np.zeros(blocks, np.int64), np.zeros(blocks, np.int64)
        return cls(name, size, block, planes, directory.decoding(data), offsets, counts)

    @property
    def per_plane(self) -> int:
        """Blocks of a plane."""
        return len(self.offsets) // self.planes

    def place(self, window: Window, data: EncodedBlocks, start: int) -> int:
        """Take note of the blocks of a window that are written at an offset.

        Returns
        -------
        int
            Where they end.

        Raises
        ------
        OutputError
            If they are none of this file.
        """
        indexes = block_indexes(window, self.block, *self.size, self.planes)
        self.check(data, len(indexes))
        return self.place_at(indexes, data, start)

    def place_at(self, indexes: Indexes, data: EncodedBlocks, start: int) -> int:
        """Take note of blocks by their places; empty ones take no room."""
        ends = start + np.cumsum(data.sizes)
        self.offsets[indexes] = np.where(data.sizes > 0, ends - data.sizes, 0)
        self.counts[indexes] = data.sizes
        return int(ends[-1])

    def check(self, data: EncodedBlocks, expected: int) -> None:
        """Raise OutputError unless the blocks are those of this file."""
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
        """Return the places of blocks that are not there."""
        found: list[int] = np.flatnonzero(self.counts == 0).tolist()
        return found

    def is_short(self, index: int) -> bool:
        """Whether a block is the last strip, which has only the rows that are left."""
        is_strip = self.block.width >= self.size.width and self.size.height % self.block.height
        return bool(is_strip) and index % self.per_plane == self.per_plane - 1
