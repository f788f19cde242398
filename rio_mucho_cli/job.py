"""What a run is asked to do, and what each of its outputs should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from rasterio.dtypes import check_dtype

from rio_mucho_cli.dtypes import DTYPES, nodata_fits
from rio_mucho_cli.errors import NodataError, UsageError
from rio_mucho_cli.inputs.grid import Bounds, Extent
from rio_mucho_cli.inputs.window_data import Mode
from rio_mucho_cli.text import ReprMixin, did_you_mean, redact
from rio_mucho_cli.validation import (
    NUMBER,
    TEXT,
    WHOLE,
    OnError,
    check_all_are,
    check_job,
    check_kinds,
)
from rio_mucho_cli.windows import PlannedWindow, Size
from rio_mucho_cli.workers.executor import ExecutorName
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction


@dataclass(frozen=True, kw_only=True, repr=False)
class Output(ReprMixin):
    """Where results go, and what they become.

    Attributes
    ----------
    path : str, Path or open dataset
        A dataset is open for writing, and is closed at the end.
    name : str or None
        Of its array in the dict that the function returns; None for the one
        that no other output has.
    driver : str or None
        None: by the extension of the path, else the first input's.
    dtype : str or None
        What results are cast to; None: the dtype of the first result.
    count : int or None
        Bands of every result; None: those of the first result.
    nodata : float or None
        None: if `keep_nodata` is true, the first input's where the dtype is
        the first input's, else NaN for floating point; else none.
    keep_nodata : bool
        Whether it follows from the first input; false where `nodata` is given.
    creation_options : Mapping
        Of the driver, in any case; kept as text, with names in lower case.
    profile : Mapping or None
        A whole profile; it stands for the six above.

    Raises
    ------
    UsageError
        If it contradicts itself.
    NodataError
        If nodata does not fit the dtype.
    """

    path: Any
    name: str | None = None
    driver: str | None = None
    dtype: str | None = None
    count: int | None = None
    nodata: float | None = None
    keep_nodata: bool = True
    creation_options: Mapping[str, str] = field(default_factory=dict)
    profile: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.path, str) and self.path.startswith("file://"):
            object.__setattr__(self, "path", self.path.removeprefix("file://"))
        check_kinds(self, {"driver": TEXT, "count": WHOLE, "nodata": NUMBER})
        if not isinstance(self.creation_options, Mapping):
            raise UsageError(
                f"creation_options are {self.creation_options!r}: expected a dict, such as "
                '{"compress": "lzw"}'
            )
        options = {
            str(key).lower(): _option_text(value) for key, value in self.creation_options.items()
        }
        object.__setattr__(self, "creation_options", options)
        if self.nodata is not None:
            object.__setattr__(self, "keep_nodata", False)
        if self.count is not None and self.count < 1:
            raise UsageError(f"count is {self.count}: expected at least 1 band")
        if self.dtype is not None and not _is_dtype(self.dtype):
            raise UsageError(
                f"dtype is {self.dtype!r}: expected one such as uint8 or float32"
                f"{did_you_mean(str(self.dtype), DTYPES)}"
            )
        if (
            self.dtype is not None
            and not self.keep_nodata
            and self.nodata is not None
            and not nodata_fits(self.nodata, self.dtype)
        ):
            raise NodataError.of(self.nodata, self.dtype)

    @property
    def local_path(self) -> str | None:
        """The path as text, or None for an open dataset."""
        return str(self.path) if isinstance(self.path, str | Path) else None

    @property
    def shown_path(self) -> str:
        """What others may read that it is called: its path, or the dataset's, without secrets."""
        return redact(self.local_path or str(getattr(self.path, "name", self.path)))

    @property
    def is_mosaic(self) -> bool:
        """Whether it is a VRT over parts: of a path that ends so, whatever the driver."""
        path = self.local_path
        return path is not None and path.lower().endswith(".vrt")


def _option_text(value: Any) -> str:
    """Return the value of a creation option as text for GDAL."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _is_dtype(dtype: Any) -> bool:
    """Whether numpy and GDAL both have it."""
    try:
        return bool(check_dtype(np.dtype(dtype).name))
    except TypeError:
        return False


Bidx: TypeAlias = "int | str | Sequence[int]"
Windows: TypeAlias = Literal["blocks"] | Size | Sequence[PlannedWindow] | None


@dataclass(frozen=True, kw_only=True, repr=False)
class Job(ReprMixin):
    """Everything that a run is asked to do.

    Attributes
    ----------
    inputs : sequence of str
        Paths or anything else that rasterio opens. The first one gives what
        is not said otherwise; with a profile and windows there may be none.
    output : str or open dataset
        A path, or a dataset that is open for writing and is closed at the end.
    function : callable or FunctionRef
        ``function(data, window, ij, global_args)``, or a class whose
        instances are called like that.
    mode : {"simple_read", "array_read", "manual_read"}
        What `data` is: a list with one (count, rows, cols) array for each
        input, one array with the bands of all, or the open datasets.
    like : str or None
        A dataset on whose grid all inputs are read, and the output lies.
    extent : {"first", "intersection", "union"} or None
        How far the output reaches if inputs differ, in pixels of the first
        one. With neither `like` nor this, inputs must not differ.
    bounds : tuple of float or None
        Left, bottom, right and top, in the grid's CRS: the output is made of
        the pixels that they touch, and nothing outside is read.
    resampling : str or Mapping of int to str
        rasterio's name of it, for inputs that are not on the grid; by the
        number of the input, from 1, with 0 for all others.
    bidx : int, str, sequence of int, or Mapping of int to these, or None
        Bands that are read, from 1; text may have ranges, ``1..3``. By the
        number of the input, as `resampling`. None: all.
    overlap : int
        How many more pixels the function gets on each side of the window.
    boundary : str or None
        What they are beyond the raster: nodata, edge, reflect, or
        constant=VALUE. None: nodata if the input has one, else edge.
    masked : bool
        The function gets masked arrays.
    fill : float or None
        The function gets plain arrays in which masked pixels (of nodata, masks
        and alpha bands) have this value. With NaN, integers are read as
        floats, and NaN in a result is masked.
    skip_masked : bool
        Windows in which every pixel of every input is masked are not computed
        and come out as nodata.
    windows : None, "blocks", Size, or sequence of (window, ij)
        None: whole numbers of output blocks, about a million pixels. "blocks":
        the block windows of the first input. Size: width and height.
    global_args : object
        Passed to the function as it is; for a class, a Mapping.
    driver, dtype, count, nodata, keep_nodata, creation_options, profile
        Of the output, as `Output` has them.
    also : sequence of Output
        More outputs, of a function that returns a dict of arrays by name. All
        appear together, or none.
    plain : bool
        The function is called with the arrays, which are (rows, cols) where
        an input has one band, and with the global args by their names.
    overviews : sequence of int, or None
        Factors, or empty for 2, 4, 8, ... until none of the sides has more
        than 256 pixels. None: none; a COG has its own.
    overview_resampling : str or None
        rasterio's name of it. None: nearest.
    stats : bool
        Write the statistics of all bands into the outputs' tags.
    retries : int
        How often a window is computed again whose worker process was killed,
        or crashed.
    resume : bool
        Continue an interrupted run of the same job, and keep progress if
        interrupted again. The function must be one that can be imported, and
        global args plain values: numbers, texts, lists, dicts, sets, arrays,
        paths, dates and times.
    on_error : {"fail", "nodata"}
        What a window comes to whose function raises: the run ends, or the
        window is nodata.
    part_size : int or None
        Pixels of a side of the parts of a mosaic: an output whose path ends
        in ``.vrt``. They are whole windows. None: 16384.
    metadata : bool
        Carry over what is said of the first input and its bands, where the
        output's correspond.
    overwrite : bool
        Replace an output that exists.
    strict : bool
        Refuse inputs on different grids (unless the function reads them
        itself), and windows that overlap or leave the raster.
    executor : {"processes", "threads", "serial", "dask"} or Executor
        Where windows are worked on. dask is a cluster that is started on this
        machine, with so many workers as `jobs` says, or that of `scheduler`.
        An Executor of one's own is used as it is, and stays open.
    scheduler : str or None
        The address of dask's scheduler, or a file that it has written. All
        its workers are used.
    jobs : int
        How many windows are worked on at once. With one, it is in the calling
        thread, unless `executor` is an Executor.
    mem_limit : int or None
        MB (10^6 bytes) that all processes of the run may take together, by estimate: it
        makes windows smaller, and then jobs fewer. None: what suits the jobs
        and the machine.

    Raises
    ------
    UsageError
        If it contradicts itself.
    NodataError
        If nodata does not fit the dtype.
    """

    inputs: Sequence[str]
    output: Any
    function: UserFunction | FunctionRef
    mode: Mode = "simple_read"
    like: str | None = None
    extent: Extent | None = None
    bounds: Bounds | None = None
    resampling: str | Mapping[int, str] = "nearest"
    bidx: Bidx | Mapping[int, Bidx] | None = None
    overlap: int = 0
    boundary: str | None = None
    masked: bool = False
    fill: float | None = None
    skip_masked: bool = False
    windows: Windows = None
    global_args: Any = field(default_factory=dict)
    driver: str | None = None
    dtype: str | None = None
    count: int | None = None
    nodata: float | None = None
    keep_nodata: bool = True
    creation_options: Mapping[str, str] = field(default_factory=dict)
    profile: Mapping[str, Any] | None = None
    metadata: bool = True
    overwrite: bool = False
    strict: bool = True
    executor: ExecutorName | Executor = "processes"
    scheduler: str | None = None
    jobs: int = 1
    mem_limit: int | None = None
    also: Sequence[Output] = ()
    plain: bool = False
    overviews: Sequence[int] | None = None
    overview_resampling: str | None = None
    stats: bool = False
    retries: int = 2
    resume: bool = False
    on_error: OnError = "fail"
    part_size: int | None = None

    def __post_init__(self) -> None:
        check_all_are(self.also, Output, "also")
        if self.nodata is not None:
            object.__setattr__(self, "keep_nodata", False)
        check_job(self)

    @property
    def is_mosaic(self) -> bool:
        """Whether the outputs are VRTs over parts."""
        return self.outputs[0].is_mosaic

    @property
    def leaves_out(self) -> bool:
        """Whether there may be windows without a result."""
        return self.skip_masked or self.on_error == "nodata"

    @property
    def outputs(self) -> tuple[Output, ...]:
        """All outputs, the first one first."""
        first = Output(
            path=self.output,
            driver=self.driver,
            dtype=self.dtype,
            count=self.count,
            nodata=self.nodata,
            keep_nodata=self.keep_nodata,
            creation_options=self.creation_options,
            profile=self.profile,
        )
        return (first, *self.also)
