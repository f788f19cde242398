"""What a run is asked to do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.overview_plan import check_factors, check_resampling
from rio_mucho_cli.inputs.grid import EXTENTS, Bounds, Extent
from rio_mucho_cli.inputs.overlap import Boundary
from rio_mucho_cli.inputs.window_data import MODES, Mode
from rio_mucho_cli.output import Output
from rio_mucho_cli.paths import is_in_memory, is_virtual, vsi_path
from rio_mucho_cli.text import ReprMixin, option
from rio_mucho_cli.validation import (
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    check_all_are,
    check_kinds,
    check_windows_value,
)
from rio_mucho_cli.windows import PlannedWindow, Size
from rio_mucho_cli.workers.executor import EXECUTORS, ExecutorName, executor_name
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction

Bidx: TypeAlias = "int | str | Sequence[int]"
# Whatever else they must be.
_KINDS = {
    **dict.fromkeys(("jobs", "retries", "mem_limit", "part_size", "overlap"), WHOLE),
    "fill": NUMBER,
    **dict.fromkeys(("like", "scheduler", "overview_resampling"), TEXT),
    **dict.fromkeys(("masked", "skip_masked", "plain", "stats", "resume"), FLAG),
    **dict.fromkeys(("metadata", "overwrite", "strict"), FLAG),
}

OnError: TypeAlias = Literal["fail", "nodata"]
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
        check_kinds(self, _KINDS)
        check_windows_value(self.windows)
        check_all_are(self.also, Output, "also")
        if self.nodata is not None:
            object.__setattr__(self, "keep_nodata", False)
        if not self.inputs and (self.profile is None or self.windows is None):
            raise UsageError("there is no input: give at least one, before the output")
        if self.mode not in MODES:
            raise UsageError(f"mode is {self.mode!r}: expected one of {', '.join(MODES)}")
        self._check_reading()
        if not isinstance(self.executor, Executor) and self.executor not in EXECUTORS:
            raise UsageError(
                f"executor is {self.executor!r}: expected one of {', '.join(EXECUTORS)}"
            )
        if self.scheduler is not None and self.executor != "dask":
            raise UsageError(
                f"the scheduler {self.scheduler} is dask's, and the executor is "
                f"{executor_name(self.executor)}: use the executor dask"
            )
        if self.jobs < 1:
            raise UsageError(
                f"jobs is {self.jobs}: expected at least 1, or on the command line -1 for all CPUs"
            )
        if self.retries < 0:
            raise UsageError(f"retries is {self.retries}: expected 0 or more")
        if self.on_error not in get_args(OnError):
            raise UsageError(f"on_error is {self.on_error!r}: expected fail or nodata")
        if self.mem_limit is not None and self.mem_limit < 1:
            raise UsageError(f"the memory limit is {self.mem_limit}: expected a number of MB")
        if not isinstance(self.function, FunctionRef) and not callable(self.function):
            raise UsageError(f"{self.function!r} cannot be called: expected a function")
        if self.plain and not isinstance(self.global_args, Mapping):
            raise UsageError(
                "a plain function gets the global args by their names, and they are "
                f"{self.global_args!r}: give a dict"
            )
        self._check_outputs()

    def _check_outputs(self) -> None:
        """Raise UsageError for outputs that contradict each other."""
        names = [output.name for output in self.outputs[1:]]
        for name in names:
            if not name:
                raise UsageError("an output beside the first one has no name: give it one")
            if names.count(name) > 1:
                raise UsageError(f"there are two outputs for {name!r}: give each another name")
        paths = [output.local_path for output in self.outputs]
        places = [None if path is None else _place(path) for path in paths]
        for path, place in zip(paths, places, strict=True):
            if place is not None and places.count(place) > 1:
                raise UsageError(f"{path} is the path of two outputs: give each its own")
        self._check_mosaics()
        if not self.inputs and any(output.profile is None for output in self.also):
            raise UsageError("there is no input, and an output without a profile: give it one")
        if self.overviews is not None:
            check_factors(self.overviews)
        if self.overview_resampling is not None:
            check_resampling(self.overview_resampling)

    def _check_mosaics(self) -> None:
        """Raise UsageError for mosaics that cannot be made, and parts of what is none."""
        kinds = {output.is_mosaic: output for output in self.outputs}
        if self.part_size is not None and self.part_size < 1:
            raise UsageError(f"the part size is {self.part_size}: expected 1 pixel or more")
        if True not in kinds:
            if self.part_size is not None:
                raise UsageError(
                    f"there is a part size, and {self.output} has no parts: "
                    "give an output that ends in .vrt"
                )
            return
        if False in kinds:
            raise UsageError(
                f"{kinds[True].path} is made of parts, and {kinds[False].path} is one file: "
                "give all outputs names that end in .vrt, or none"
            )
        for output in self.outputs:
            if output.profile is not None:
                raise UsageError(
                    f"{output.path} is to be a VRT over parts, and a whole profile is one file's: "
                    "use `rio mucho` or a Job without a profile, or another name"
                )
            if is_in_memory(str(output.path)):
                raise UsageError(
                    f"{output.path} is in the memory of this process, and parts are written by "
                    "others: give a file or an object"
                )

    def _check_reading(self) -> None:
        """Raise UsageError for what contradicts itself in how inputs are read."""
        if self.like is not None and self.extent is not None:
            raise UsageError("like and extent both say what the output's grid is: give one of them")
        if self.extent is not None and self.extent not in EXTENTS:
            raise UsageError(f"extent is {self.extent!r}: expected one of {', '.join(EXTENTS)}")
        if self.bounds is not None and not _are_numbers(self.bounds, 4):
            raise UsageError(f"bounds are {self.bounds!r}: expected left, bottom, right and top")
        if self.overlap < 0:
            raise UsageError(f"overlap is {self.overlap!r}: expected 0 or more pixels")
        if self.boundary is not None:
            Boundary.parse(str(self.boundary))
        if self.masked and self.fill is not None:
            raise UsageError(
                "masked asks for masked arrays, and fill for plain ones: give one of them"
            )
        if self.mode != "manual_read":
            return
        if self.plain:
            raise UsageError("plain functions get arrays, and manual_read gives datasets")
        for name, given in (
            ("overlap", self.overlap),
            ("bidx", self.bidx is not None),
            ("masked", self.masked),
            ("fill", self.fill is not None),
            ("skip_masked", self.skip_masked),
        ):
            if given:
                raise UsageError(
                    f"{option(name)} cannot be used in manual_read, where the function reads for "
                    "itself"
                )

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


def _place(path: str) -> str:
    """Return what a path leads to, if it is the file system's, else GDAL's name of it."""
    return vsi_path(path) if is_virtual(path) else os.path.realpath(path)


def _are_numbers(values: Any, count: int) -> bool:
    try:
        return len(values) == count and all(isinstance(float(value), float) for value in values)
    except (TypeError, ValueError):
        return False
