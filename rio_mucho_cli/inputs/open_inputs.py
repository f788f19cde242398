"""Keep inputs open in one worker, as many as the system allows."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rio_mucho_cli.errors import InputError
from rio_mucho_cli.inputs.bands import GivenNodata
from rio_mucho_cli.inputs.datasets import open_dataset
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.overlap import Boundary
from rio_mucho_cli.inputs.readers import Reader, open_reader
from rio_mucho_cli.system import are_open_files_short
from rio_mucho_cli.text import format_count, redact


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input, and how to read it.

    Attributes
    ----------
    path : str
    indexes : sequence of int
        Band indexes, from 1; empty for all.
    resampling : str
        rasterio's name of the resampling, for an input on another grid.
    boundary : Boundary or None
        Values of pixels beyond the raster. None: nodata in bands that have
        it, the nearest pixels in others.
    nodata : float, "none" or None
        Nodata in place of the input's own.
    default_nodata : float or None
        Nodata if the input has none of its own.
    """

    path: str
    indexes: tuple[int, ...] = ()
    resampling: str = "nearest"
    boundary: Boundary | None = None
    nodata: GivenNodata | None = None
    default_nodata: float | None = None

    def nodata_for(self, src: Any) -> GivenNodata | None:
        """Return the nodata to give to the open input; None for its own."""
        has_own = self.nodata is not None or any(value is not None for value in src.nodatavals)
        return self.nodata if has_own else self.default_nodata


@dataclass(frozen=True, slots=True)
class OpenInput:
    """An open dataset, and its reader on the output's grid."""

    src: Any
    reader: Reader

    def close(self) -> None:
        """Close both."""
        self.reader.close()
        self.src.close()


class OpenInputs:
    """Inputs that are open in one worker, which may read with several threads.

    Where open files are short, the one that was not used for the longest time is
    closed before another one is opened.

    Parameters
    ----------
    specs : sequence of InputSpec
    grid : Grid or None
        Grid of the output; None to read each input on its own grid.
    as_datasets : bool
        The function gets the datasets: readers have one on the grid, and none
        is closed before the end.
    most : float
        Most inputs to keep open, even if the system allows more.
    """

    def __init__(
        self,
        specs: Sequence[InputSpec],
        grid: Grid | None,
        *,
        as_datasets: bool = False,
        most: float = math.inf,
    ) -> None:
        self.specs = specs
        self._most = most
        self._grid = grid
        self._as_datasets = as_datasets
        self._open: dict[int, OpenInput] = {}  # by number; the last one was used last
        self._used: set[int] = set()
        self._lock = threading.Lock()

    def __contains__(self, number: int) -> bool:
        """Return whether an input is open."""
        return number in self._open

    @property
    def are_full(self) -> bool:
        """Whether the next input takes the place of another one."""
        if self._as_datasets or not self._open:
            return False
        return len(self._open) >= self._most or are_open_files_short()

    def get(self, number: int) -> OpenInput:
        """Return the input with a number, from 0, for use until the next call.

        Raises
        ------
        InputError
            If it cannot be opened.
        GridError
            If GDAL cannot warp it to the output's grid.
        """
        with self.using(number) as opened:
            return opened

    @contextmanager
    def using(self, number: int) -> Iterator[OpenInput]:
        """Open the input with a number, from 0, and keep it open.

        Raises
        ------
        InputError, GridError
            As `get`.
        """
        with self._lock:
            found = self._open.pop(number, None)
            if found is None:
                self._make_room()
            else:
                self._open[number] = found
            self._used.add(number)
        try:
            if found is None:
                found = self._opened(self.specs[number])
                with self._lock:
                    self._open[number] = found
            yield found
        finally:
            with self._lock:
                self._used.discard(number)

    def _make_room(self) -> None:
        """Close inputs that no thread uses, while there are too many."""
        for number in [number for number in self._open if number not in self._used]:
            if not self.are_full:
                break
            self._open.pop(number).close()

    def _opened(self, spec: InputSpec) -> OpenInput:
        src = open_dataset(spec.path)
        try:
            if max(spec.indexes, default=0) > src.count:
                raise InputError(
                    f"{redact(spec.path)} has {format_count(src.count, 'band')}: there is no band "
                    f"{max(spec.indexes)}"
                )
            reader = open_reader(
                src,
                spec.indexes or src.indexes,
                self._grid,
                spec.resampling,
                as_dataset=self._as_datasets,
                nodata=spec.nodata_for(src),
            )
        except BaseException:
            src.close()
            raise
        return OpenInput(src, reader)

    def close(self) -> None:
        """Close all inputs."""
        while self._open:
            self._open.popitem()[1].close()
