"""Describe a run and each of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from rio_mucho_cli.dtypes import DTYPES, nodata_fits
from rio_mucho_cli.errors import NodataError, UsageError
from rio_mucho_cli.inputs.bands import GivenNodata
from rio_mucho_cli.inputs.grid import Bounds, Extent
from rio_mucho_cli.inputs.scenes import Scene
from rio_mucho_cli.inputs.window_data import Mode
from rio_mucho_cli.outputs.values import STDOUT, ValueFormat, value_format
from rio_mucho_cli.paths import input_name
from rio_mucho_cli.text import ReprMixin, did_you_mean, redact
from rio_mucho_cli.validation import (
    NUMBER,
    TEXT,
    WHOLE,
    OnError,
    check_all_are,
    check_job,
    check_kinds,
    check_merge,
    is_dtype,
    option_text,
)
from rio_mucho_cli.windows import Size, WindowPair
from rio_mucho_cli.workers.executor import ExecutorName
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction


@dataclass(frozen=True, kw_only=True, repr=False)
class Output(ReprMixin):
    """An output of a run, and its profile.

    Attributes
    ----------
    path : str, Path, open dataset or None
        Output path, or a dataset open for writing, which is closed at the
        end. A path that ends in .json, .ndjson, .csv or .geojsonl takes
        values instead of pixels. None and "-" are values that are only
        returned, in `Report.values`.
    name : str or None
        Name of its array in the dict that the function returns. None: the
        array that no other output takes.
    driver : str or None
        GDAL driver. None: by the extension of the path, else that of the
        first input.
    dtype : str or None
        Data type that results are cast to. None: as the function declares,
        else that of the first result.
    count : int or None
        Number of bands of every result. None: as the function declares,
        else that of the first result.
    nodata : float or None
        Nodata value. None: with `keep_nodata`, as the function declares,
        else the first input's if the output has its dtype, else NaN for
        floats and none for integers; without, none.
    keep_nodata : bool
        Derive nodata from the function or the first input. False if `nodata`
        is given.
    creation_options : Mapping
        Creation options of the driver. Names are stored in lower case and
        values as text.
    profile : Mapping or None
        Complete rasterio profile, in place of the six attributes above. Keys
        are stored in lower case.
    merge : {"sum", "min", "max", "list"}, callable, str or None
        Merge of the values of windows, if the output takes values: a function
        is called as ``merge(total, value)``, in the order of the windows. Text
        with a colon names a function. None: the function's own `merge`, else list.

    Raises
    ------
    UsageError
        If attributes are invalid or contradict each other.
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
    merge: Any = None

    def __post_init__(self) -> None:
        check_merge(self)
        if isinstance(self.merge, str) and ":" in self.merge:
            object.__setattr__(self, "merge", FunctionRef(self.merge, str(Path.cwd())))
        if isinstance(self.path, str) and self.path.startswith("file://"):
            object.__setattr__(self, "path", self.path.removeprefix("file://"))
        check_kinds(self, {"driver": TEXT, "count": WHOLE, "nodata": NUMBER})
        if not isinstance(self.creation_options, Mapping):
            raise UsageError(
                f"creation_options are {self.creation_options!r}: expected a dict, such as "
                '{"compress": "lzw"}'
            )
        options = {
            str(key).lower(): option_text(value) for key, value in self.creation_options.items()
        }
        object.__setattr__(self, "creation_options", options)
        if self.profile is not None:
            profile = {str(key).lower(): value for key, value in self.profile.items()}
            object.__setattr__(self, "profile", profile)
        if self.nodata is not None:
            object.__setattr__(self, "keep_nodata", False)
        if self.count is not None and self.count < 1:
            raise UsageError(f"count is {self.count}: expected at least 1 band")
        if self.dtype is not None and not is_dtype(self.dtype):
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
    def value_format(self) -> ValueFormat | None:
        """Format of an output that takes values; None for a raster."""
        return value_format(self.path)

    @property
    def local_path(self) -> str | None:
        """The path as text, or None for an open dataset, and for values without a file."""
        is_file = isinstance(self.path, str | Path) and self.path != STDOUT
        return str(self.path) if is_file else None

    @property
    def shown_path(self) -> str:
        """The path, or the name of the dataset, with secrets removed."""
        if self.path is None:
            return "a value"
        return redact(self.local_path or str(getattr(self.path, "name", self.path)))

    @property
    def is_mosaic(self) -> bool:
        """Whether the output is a VRT over parts: its path ends in ``.vrt``."""
        path = self.local_path
        return path is not None and path.lower().endswith(".vrt")


Bidx: TypeAlias = "int | str | Sequence[int]"
Windows: TypeAlias = Literal["blocks"] | Size | Sequence[WindowPair] | None


@dataclass(frozen=True, kw_only=True, repr=False)
class Job(ReprMixin):
    """Inputs, function and outputs of a run, and how to run it.

    Attributes
    ----------
    inputs : sequence of str, Mapping or object
        Paths, or anything else that rasterio opens. The first raster gives
        defaults for the output. May be empty with `profile` and `windows`.
        Features (paths such as fields.geojson, GeoJSON-like dicts, objects with
        ``__geo_interface__``) are burned into the output's grid. Scenes, of
        `read_scenes`, are a series; options by input are then by asset.
    output : str, open dataset or None
        First output, as the path of `Output`.
    function : callable or FunctionRef
        ``function(data, window, ij, global_args)``, or a class whose
        instances are called like this. A keyword-only parameter `info` gets a
        `WindowInfo`.
    mode : {"simple_read", "array_read", "manual_read"}
        Type of `data`: a list of one (count, rows, cols) array per input, one
        array of all bands, or the open datasets.
    like : str or None
        Raster whose grid the output has. All inputs are read on this grid.
    extent : {"first", "intersection", "union"} or None
        Output extent when inputs differ, in pixels and CRS of the first
        input. Without `like` and `extent`, inputs must not differ.
    bounds : tuple of float or None
        Left, bottom, right and top that limit the run, in the grid's CRS.
        They are snapped outward to pixels. Nothing outside is read.
    aoi : str, Mapping, object or None
        Area of interest: features, as for `inputs`. Windows that do not touch it
        are skipped, and pixels outside are nodata in the output. Without `bounds`,
        the run is limited to its bounds.
    resampling : str or Mapping of int to str
        Resampling of inputs on other grids, by rasterio's name. A Mapping has
        the number of the input as key, from 1; 0 is for all others.
    bidx : int, str, sequence of int, or Mapping of int to these, or None
        Bands to read, from 1. Text may have ranges, ``1..3``. A Mapping has
        the same keys as for `resampling`. None: all bands.
    src_nodata : float, "none", Mapping of int to these, or None
        Nodata of inputs that have none, or a wrong one, for all their bands.
        "none": the input has no nodata. A Mapping has the
        same keys as for `resampling`. None: as the files say.
    burn : str, or Mapping of int to str, or None
        Numeric attribute of features to burn, in place of their numbers from 1;
        ",all_touched" after it burns all pixels that are touched. A Mapping has
        the same keys as for `resampling`.
    overlap : int or None
        Pixels to read in addition on each side of a window. They are cut off
        the result. None: as the function declares, else 0.
    boundary : str or None
        Pixels beyond the raster: nodata, edge, reflect or constant=VALUE.
        None: nodata if the input has one, else edge.
    masked : bool or None
        Pass masked arrays. Masked pixels are nodata, or hidden by a mask or
        an alpha band. None: as the function declares, else False.
    fill : float or None
        Number that replaces masked pixels, in plain arrays. With NaN,
        integers are read as floats, and NaN in a result is masked again.
    skip_masked : bool
        Skip windows that are masked in all inputs. They are nodata in the
        output.
    windows : None, "blocks", Size, or sequence of (window, ij)
        None: whole blocks of the output, about a million pixels. "blocks":
        block windows of the first input. Size: width and height in pixels.
    global_args : object
        Argument that is passed to the function unchanged; for a class, a
        Mapping.
    driver, dtype, count, nodata, keep_nodata, creation_options, profile
        Format and profile of the first output, as for `Output`.
    merge
        Merge of the first output, if it takes values, as for `Output`.
    also : sequence of Output
        More outputs, for a function that returns a dict of arrays by name.
        Either all outputs are published, or none.
    plain : bool
        Call ``function(*arrays, **global_args)``, with `info` if it has one.
        Arrays are (rows, cols) for inputs of one band.
    overviews : sequence of int, or None
        Factors of the overviews. Empty: 2, 4, 8, ... until no side exceeds
        256 pixels. None: no overviews; a COG has its own.
    overview_resampling : str or None
        Resampling for overviews, by rasterio's name. None: nearest.
    stats : bool
        Write statistics of all bands into the outputs' tags.
    retries : int
        Retries of a window whose worker process died. A function that raises
        is not retried.
    timeout : float or None
        Most seconds for one window: reading, function and encoding. A worker
        that takes longer is ended, and the window retried like that of a
        worker that died. Needs the executor processes or dask; one job then
        runs in a worker process, too.
    resume : bool
        Resume an interrupted run of the same job; keep progress if
        interrupted again. Needs a function that can be imported, and plain
        global args: numbers, text, lists, dicts, sets, arrays, paths, dates
        and times.
    on_error : {"fail", "nodata"}
        Action if the function raises: end the run, or leave the window
        nodata and continue.
    part_size : int or None
        Side of the parts of a mosaic (an output in ``.vrt``), in pixels.
        Parts consist of whole windows. None: 16384.
    metadata : bool
        Copy tags, colours and names of the first input and its bands where
        they still apply, and record in tags how the output was made.
    overwrite : bool
        Replace existing outputs.
    strict : bool
        Raise an error for inputs on different grids (except in manual_read),
        and for windows that overlap or leave the raster.
    executor : {"processes", "threads", "serial", "dask"} or Executor
        Where windows are computed. dask starts a cluster of `jobs` workers on
        this machine, unless there is a `scheduler`. An Executor is used as it
        is, and stays open.
    scheduler : str or None
        Address of a dask scheduler, or its scheduler file. All workers of the
        cluster are used.
    jobs : int
        Windows to compute at once. 1 computes in the calling thread, unless
        `executor` is an Executor, or there is a `scheduler` or a `timeout`.
    mem_limit : int or None
        Memory for all processes together, in MB (10^6 bytes), by estimate. A
        limit makes windows smaller first, then jobs fewer. None: a default
        that suits the jobs and the machine.
    drop_in : bool
        Ignore declarations in the function's attribute `output`, and do not
        record how the output was made, as in rio-mucho.

    Raises
    ------
    UsageError
        If attributes are invalid or contradict each other.
    NodataError
        If nodata does not fit the dtype.
    """

    inputs: Sequence[Any]
    output: Any
    function: UserFunction | FunctionRef
    mode: Mode = "simple_read"
    like: str | None = None
    extent: Extent | None = None
    bounds: Bounds | None = None
    aoi: Any = None
    resampling: str | Mapping[int, str] = "nearest"
    bidx: Bidx | Mapping[int, Bidx] | None = None
    src_nodata: GivenNodata | Mapping[int, GivenNodata] | None = None
    burn: str | Mapping[int, str] | None = None
    overlap: int | None = None
    boundary: str | None = None
    masked: bool | None = None
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
    timeout: float | None = None
    resume: bool = False
    on_error: OnError = "fail"
    part_size: int | None = None
    merge: Any = None
    drop_in: bool = False

    def __post_init__(self) -> None:
        check_all_are(self.also, Output, "also")
        first = self.outputs[0]
        for name in ("keep_nodata", "creation_options", "profile"):
            object.__setattr__(self, name, getattr(first, name))
        check_job(self)

    @property
    def is_mosaic(self) -> bool:
        """Whether outputs are VRTs over parts."""
        return any(output.is_mosaic for output in self.rasters)

    @property
    def leaves_out(self) -> bool:
        """Whether windows may have no result."""
        skips = self.skip_masked or self.aoi is not None or self.is_series
        return skips or self.on_error == "nodata"

    @property
    def input_paths(self) -> list[str]:
        """Paths of all files that are read, and names of features that are in none."""
        if not self.is_series:
            return list(map(input_name, self.inputs))
        return [asset.path for scene in self.inputs for asset in scene.assets]

    @property
    def is_series(self) -> bool:
        """Whether inputs are scenes."""
        return bool(self.inputs) and isinstance(self.inputs[0], Scene)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """All outputs: that of `output`, then those of `also`."""
        first = Output(
            path=self.output,
            driver=self.driver,
            dtype=self.dtype,
            count=self.count,
            nodata=self.nodata,
            keep_nodata=self.keep_nodata,
            creation_options=self.creation_options,
            profile=self.profile,
            merge=self.merge,
        )
        return (first, *self.also)

    @property
    def rasters(self) -> tuple[Output, ...]:
        """Outputs that take pixels."""
        return tuple(output for output in self.outputs if output.value_format is None)

    @property
    def values(self) -> tuple[Output, ...]:
        """Outputs that take values."""
        return tuple(output for output in self.outputs if output.value_format is not None)
