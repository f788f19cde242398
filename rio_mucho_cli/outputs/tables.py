"""Where the blocks of an image are in a file, for the image, its mask, and their overviews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.encoding import Encoded
from rio_mucho_cli.outputs.tiff import Directory, Indexes, block_indexes
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import Size


@dataclass(frozen=True, slots=True)
class Tables:
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
        directory: Directory,
        data: Any,
        size: Size,
        block: Size,
        name: str,
        like: Size | None = None,
    ) -> Tables:
        """Make empty tables for a directory.

        Parameters
        ----------
        directory : Directory
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

    def place(self, window: Window, data: Encoded, start: int) -> int:
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

    def place_at(self, indexes: Indexes, data: Encoded, start: int) -> int:
        """Take note of blocks by their places; empty ones take no room."""
        ends = start + np.cumsum(data.sizes)
        self.offsets[indexes] = np.where(data.sizes > 0, ends - data.sizes, 0)
        self.counts[indexes] = data.sizes
        return int(ends[-1])

    def check(self, data: Encoded, expected: int) -> None:
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
