"""Write a GeoTIFF from blocks that workers have encoded.

    ┌────────┬──────┬────────┬─────────┬─────────┬───┐
    │ header │ tags │ tables │ block 0 │ block 7 │ … │    blocks in the order of the windows
    └────────┴──────┴────────┴─────────┴─────────┴───┘
     by GDAL, as a sparse        appended; where each of them is
     file of the full size       goes into the tables at the end

Nothing is decoded, computed or compressed here.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import replace
from io import FileIO
from typing import Any, cast

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.inputs.windows import Size
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.encoding import Encoded, encode
from rio_mucho_cli.outputs.profile import Layout, is_yes
from rio_mucho_cli.outputs.target import Target
from rio_mucho_cli.outputs.tiff import Directory, block_indexes


class BlockWriter:
    """Appends encoded blocks to a header that GDAL has written.

    Parameters
    ----------
    target : Target
    options : Mapping
        The creation options that the user gave.
    layout : Layout
        The output's blocks.
    """

    def __init__(self, target: Target, options: Mapping[str, str], layout: Layout) -> None:
        self._target = target
        self._options = options
        self._block = layout.block
        self._file: FileIO | None = None

    def begin(self, profile: Mapping[str, Any]) -> None:
        """Have GDAL write the header: a file in which every block is missing."""
        self._profile = profile
        self._size = Size(int(profile["width"]), int(profile["height"]))
        path, name = self._target.temporary, self._target.path
        rest = {key: value for key, value in profile.items() if key.upper() != "SPARSE_OK"}
        self._sparse_ok = any(is_yes(profile[key]) for key in profile.keys() - rest.keys())
        dst = gdal.create(str(path), name, {**rest, "sparse_ok": "YES"}, self._options)
        self._nodata = dst.nodata
        gdal.close(dst, name)
        self._file = path.open("r+b", buffering=0)
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as header:
            self._directory = Directory.read(header)
            self._decoding = self._directory.decoding(header)
        total = self._directory.tables[0].count
        per_plane = len(block_indexes(Window(0, 0, *self._size), self._block, *self._size, 1))
        self._planes = total // per_plane
        if total != per_plane * self._planes:
            raise OutputError(
                f"{name} has {total} blocks, expected a multiple of {per_plane}: "
                "give their size with --co blockxsize and --co blockysize"
            )
        self._offsets = np.zeros(total, np.int64)
        self._counts = np.zeros(total, np.int64)
        self._end = self._file.seek(0, 2)

    def append(self, window: Any, data: Any) -> None:
        """Append the encoded blocks of a window."""
        indexes = block_indexes(window, self._block, *self._size, self._planes)
        self._check(data, len(indexes))
        self._place(indexes, data)

    def commit(self) -> None:
        """Fill in the tables, and move the file into place."""
        if not self._sparse_ok:
            self._fill()
        for field, values in zip(
            self._directory.tables, (self._offsets, self._counts), strict=True
        ):
            self._write(self._directory.packed(field, values), field.offset)
        cast("FileIO", self._file).close()
        self._target.publish()

    def discard(self) -> None:
        """Remove what there is."""
        if self._file is not None:
            self._file.close()
        self._target.discard()

    def _check(self, data: Encoded, expected: int) -> None:
        """Raise OutputError unless the blocks are those of this file."""
        if len(data.sizes) != expected:
            raise OutputError(
                f"{self._target.path}: GDAL made {len(data.sizes)} blocks of a window, "
                f"expected {expected}"
            )
        for name in self._decoding.keys() | data.decoding.keys():
            if self._decoding.get(name) != data.decoding.get(name):
                raise OutputError(
                    f"{self._target.path}: GDAL chose another {name} for a window than for the "
                    "whole file, so that its blocks could not be read: use other creation options"
                )

    def _place(self, indexes: np.ndarray[Any, Any], data: Encoded) -> None:
        """Append blocks, and remember where they are; empty ones take no place."""
        sizes = data.sizes
        ends = self._end + np.cumsum(sizes)
        self._write(data.content, self._end)
        self._offsets[indexes] = np.where(sizes > 0, ends - sizes, 0)
        self._counts[indexes] = sizes
        self._end = int(ends[-1])

    def _fill(self) -> None:
        """Put blocks of nodata where no window was, as GDAL does."""
        missing = np.flatnonzero(self._counts == 0)
        if not len(missing):
            return
        width, height = self._size
        strips = self._block.width >= width
        last = height % self._block.height if strips else 0
        per_plane = len(self._counts) // self._planes
        empty = self._empty(self._block.height)
        short = self._empty(last) if last else empty
        for index in missing.tolist():
            is_last = index % per_plane == per_plane - 1
            self._place(np.array([index]), short if is_last else empty)

    def _empty(self, rows: int) -> Encoded:
        """Encode one block of nothing but nodata."""
        shape = (int(self._profile["count"]), rows, min(self._block.width, self._size.width))
        array = np.full(shape, 0 if self._nodata is None else self._nodata, self._profile["dtype"])
        encoded = encode(array, self._profile)
        size = encoded.sizes[:1]
        return replace(encoded, content=encoded.content[: size[0]], sizes=size)

    def _write(self, data: Any, offset: int) -> None:
        """Write all of it: without a buffer, a write may take a part only."""
        file = cast("FileIO", self._file)
        rest = memoryview(data)
        try:
            file.seek(offset)
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as exc:
            raise OutputError(f"{self._target.path} cannot be written: {exc.strerror}") from None
