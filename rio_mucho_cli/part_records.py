"""What is known of a part that is complete: beside it, for a run that goes on with others."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.inputs.windows import PlannedWindow, Size
from rio_mucho_cli.outputs.durable import open_to_read, write_private
from rio_mucho_cli.outputs.parts_folder import RECORD
from rio_mucho_cli.outputs.statistics import BandStatistics
from rio_mucho_cli.outputs.tiff import is_whole
from rio_mucho_cli.outputs.vrt import PartFile
from rio_mucho_cli.report import Failure
from rio_mucho_cli.work.worker import Piece

_MOST = 64 * 1024 * 1024
# What comes of JSON that says something else than expected, and of files that are not there.
_NONSENSE = (
    OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, ArithmeticError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One file of a part.

    Attributes
    ----------
    piece : Piece or None
        None if nothing is in it, and there is no file.
    first : (window, ij), or None
        The window that settled its form.
    failed : sequence of Failure
        Windows in it that failed.
    """

    piece: Piece | None
    first: PlannedWindow | None
    failed: Sequence[Failure] = ()

    def write(self, path: Path) -> None:
        """Write it, to last, where it becomes visible later.

        Parameters
        ----------
        path : Path
            Of the record itself.
        """
        failed = [each.as_json() for each in self.failed]
        about: dict[str, Any] = {"form": None, "failed": failed}
        if self.piece is not None and self.first is not None:
            file: Any = self.piece.data
            window, ij = self.first
            about |= {
                "form": self.piece.form,
                "statistics": [band.as_json() for band in self.piece.statistics],
                "first": [[int(value) for value in window.flatten()], list(ij)],
                "block": file.block,
                "overviews": file.overviews,
                "bytes": file.nbytes,
            }
        write_private(path, json.dumps(about))

    @classmethod
    def read(cls, part: Path) -> Record | None:
        """Return what is known of a part, if it is complete; else None.

        Parameters
        ----------
        part : Path
            Of its file. Neither this nor the record is believed before it has been looked at.
        """
        with suppress(*_NONSENSE):
            with open_to_read(part.with_name(part.name + RECORD)) as text:
                about = json.loads(text.read(_MOST))
            failed = [Failure.from_json(each) for each in about["failed"]]
            if about["form"] is None:
                return cls(None, None, failed)
            (*ends,), (row, col) = about["first"]
            first = Window(*map(int, ends)), (int(row), int(col))
            count, dtype, masked = about["form"]
            form = int(count), str(np.dtype(dtype).name), bool(masked)
            statistics = tuple(map(BandStatistics.from_json, about["statistics"]))
            width, height = map(int, about["block"])
            overviews = tuple(map(int, about["overviews"]))
            file = PartFile(part.name, Size(width, height), overviews, int(about["bytes"]))
            if _is_complete(part, file.nbytes):
                return cls(Piece(form, file, statistics), first, failed)
        return None


def _is_complete(path: Path, size: int) -> bool:
    """Whether a file has its size, and the blocks of which it speaks."""
    with open_to_read(path) as file:
        if os.fstat(file.fileno()).st_size != size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return is_whole(data)
