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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import FileIO
from typing import Any, cast

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.inputs.windows import Size
from rio_mucho_cli.outputs import gdal
from rio_mucho_cli.outputs.encoding import Encoded, encode
from rio_mucho_cli.outputs.metadata import Metadata
from rio_mucho_cli.outputs.profile import Layout, is_yes
from rio_mucho_cli.outputs.target import Target
from rio_mucho_cli.outputs.tiff import Directory, Field, block_indexes


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the blocks of an image, or of its mask, are in the file.

    Attributes
    ----------
    directory : Directory
    decoding : dict
        What a reader has to know to decode blocks.
    per_plane, planes : int
        Blocks of a plane; planes are as many as bands, if these are apart.
    offsets, counts : ndarray of int64
    """

    directory: Directory
    decoding: dict[str, bytes]
    per_plane: int
    planes: int
    offsets: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]

    @classmethod
    def of(cls, directory: Directory, header: Any, size: Size, block: Size, name: str) -> Tables:
        """Make empty tables for a directory of a header."""
        total = directory.tables[0].count
        per_plane = len(block_indexes(Window(0, 0, *size), block, *size, 1))
        if total % per_plane:
            raise OutputError(
                f"{name} has {total} blocks, expected a multiple of {per_plane}: "
                "give their size with --co blockxsize and --co blockysize"
            )
        offsets, counts = np.zeros(total, np.int64), np.zeros(total, np.int64)
        decoding = directory.decoding(header)
        return cls(directory, decoding, per_plane, total // per_plane, offsets, counts)

    def fields(self) -> Iterator[tuple[Field, np.ndarray[Any, Any]]]:
        """Yield the fields of the header, and what belongs there."""
        yield from zip(self.directory.tables, (self.offsets, self.counts), strict=True)


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

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Have GDAL write the header: a file in which every block is missing."""
        self._profile = profile
        self._size = Size(int(profile["width"]), int(profile["height"]))
        path, name = self._target.temporary, self._target.path
        rest = {key: value for key, value in profile.items() if key.upper() != "SPARSE_OK"}
        self._sparse_ok = any(is_yes(profile[key]) for key in profile.keys() - rest.keys())
        sparse = {**rest, "sparse_ok": "YES"}
        dst = gdal.create(str(path), name, sparse, self._options, metadata)
        self._nodata = dst.nodata
        if masked:
            # It makes the mask. The one block that is written stays in the
            # header, and the table forgets it.
            with gdal.internal_masks(True):
                dst.write_mask(np.zeros((1, 1), bool), window=Window(0, 0, 1, 1))
        gdal.close(dst, name)
        self._file = path.open("r+b", buffering=0)
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as header:
            self._tables = [
                Tables.of(directory, header, self._size, self._block, name)
                for directory in Directory.read_all(header)
            ]
        self._end = self._file.seek(0, 2)

    def append(self, window: Any, data: Any) -> None:
        """Append the encoded blocks of a window."""
        parts = [data]
        if len(self._tables) > 1:
            parts.append(data.mask if data.mask is not None else self._all_valid(window))
        for tables, part in zip(self._tables, parts, strict=True):
            indexes = block_indexes(window, self._block, *self._size, tables.planes)
            self._check(tables, part, len(indexes))
            self._place(tables, indexes, part)

    def commit(self) -> None:
        """Fill in the tables, and move the file into place."""
        if not self._sparse_ok:
            self._fill()
        for tables in self._tables:
            for field, values in tables.fields():
                self._write(tables.directory.packed(field, values), field.offset)
        cast("FileIO", self._file).close()
        self._target.publish()

    def discard(self) -> None:
        """Remove what there is."""
        if self._file is not None:
            self._file.close()
        self._target.discard()

    def _check(self, tables: Tables, data: Encoded, expected: int) -> None:
        """Raise OutputError unless the blocks are those of this file."""
        if len(data.sizes) != expected:
            raise OutputError(
                f"{self._target.path}: GDAL made {len(data.sizes)} blocks of a window, "
                f"expected {expected}"
            )
        if tables.decoding == data.decoding:
            return
        for name in tables.decoding.keys() | data.decoding.keys():
            if tables.decoding.get(name) != data.decoding.get(name):
                raise OutputError(
                    f"{self._target.path}: GDAL chose another {name} for a window than for the "
                    "whole file, so that its blocks could not be read: use other creation options"
                )

    def _place(self, tables: Tables, indexes: np.ndarray[Any, Any], data: Encoded) -> None:
        """Append blocks, and remember where they are; empty ones take no place."""
        ends = self._end + np.cumsum(data.sizes)
        self._write(data.content, self._end)
        tables.offsets[indexes] = np.where(data.sizes > 0, ends - data.sizes, 0)
        tables.counts[indexes] = data.sizes
        self._end = int(ends[-1])

    def _fill(self) -> None:
        """Put blocks of nodata where no window was, as GDAL does."""
        width, height = self._size
        last = height % self._block.height if self._block.width >= width else 0
        for number, tables in enumerate(self._tables):
            missing = np.flatnonzero(tables.counts == 0)
            if not len(missing):
                continue
            empty = self._empty(self._block.height)[number]
            short = self._empty(last)[number] if last else empty
            for index in missing.tolist():
                is_last = index % tables.per_plane == tables.per_plane - 1
                self._place(tables, np.array([index]), short if is_last else empty)

    def _empty(self, rows: int) -> list[Encoded]:
        """Encode one block of nothing but nodata, and one of the mask."""
        shape = (int(self._profile["count"]), rows, min(self._block.width, self._size.width))
        array = np.full(shape, 0 if self._nodata is None else self._nodata, self._profile["dtype"])
        masked = len(self._tables) > 1
        encoded = encode(np.ma.array(array, mask=masked), self._profile, masked=masked)
        parts = [encoded] if encoded.mask is None else [encoded, encoded.mask]
        return [
            replace(part, content=part.content[: part.sizes[0]], sizes=part.sizes[:1])
            for part in parts
        ]

    def _all_valid(self, window: Window) -> Encoded:
        """Encode the mask of a window in which nothing is masked."""
        shape = (int(self._profile["count"]), int(window.height), int(window.width))
        array = np.ma.zeros(shape, self._profile["dtype"])
        return cast("Encoded", encode(array, self._profile, masked=True).mask)

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
