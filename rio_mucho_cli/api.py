"""Run jobs from scripts and notebooks, with a Job or with its attributes as arguments."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, cast, overload

import numpy as np

from rio_mucho_cli.engine.events import Event, Listener, ignore
from rio_mucho_cli.engine.report import Report
from rio_mucho_cli.engine.run import run_job
from rio_mucho_cli.errors import MuchoError, UsageError
from rio_mucho_cli.inputs.bands import GivenNodata
from rio_mucho_cli.inputs.grid import Bounds, Extent
from rio_mucho_cli.inputs.window_data import Mode
from rio_mucho_cli.job import Bidx, Job, Output, Windows
from rio_mucho_cli.outputs.values import Merge
from rio_mucho_cli.paths import FeaturesLike, has_features
from rio_mucho_cli.reports.progress import on_stderr
from rio_mucho_cli.system import usable_cpus
from rio_mucho_cli.text import did_you_mean
from rio_mucho_cli.validation import OnError, path_text, windows_error
from rio_mucho_cli.windows import WindowPair, parse_size
from rio_mucho_cli.workers.executor import ExecutorName
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction

AnyPath: TypeAlias = str | os.PathLike[str]
Inputs: TypeAlias = AnyPath | FeaturesLike | Sequence[AnyPath | FeaturesLike]
Function: TypeAlias = UserFunction | FunctionRef | str
Progress: TypeAlias = Listener | Callable[[Event], Any] | bool | None


class ReadingOptions(TypedDict, total=False):
    """Options for reading inputs and calling the function."""

    like: AnyPath | None
    extent: Extent | None
    bounds: Bounds | None
    resampling: str | Mapping[int, str]
    bidx: Bidx | Mapping[int, Bidx] | None
    src_nodata: GivenNodata | Mapping[int, GivenNodata] | None
    burn: str | Mapping[int, str] | None
    overlap: int | None
    boundary: str | None
    masked: bool | None
    fill: float | None
    skip_masked: bool
    plain: bool


class FunctionOptions(ReadingOptions, total=False):
    """Options of the function, its arguments and its results."""

    mode: Mode
    global_args: Any
    dtype: Any
    count: int | None
    nodata: float | None


class FinishingOptions(TypedDict, total=False):
    """Options for metadata, more outputs, overviews, statistics and workers."""

    metadata: bool
    also: Sequence[Output]
    overviews: Sequence[int] | Literal["auto"] | None
    overview_resampling: str | None
    stats: bool
    executor: ExecutorName | Executor
    scheduler: AnyPath | None
    mem_limit: int | None


class ClassOptions(ReadingOptions, FinishingOptions, total=False):
    """Options that `RioMucho` has and rio-mucho lacks."""


class JobOptions(FunctionOptions, FinishingOptions, total=False):
    """Options of a `Job` besides inputs, output and function."""

    aoi: AnyPath | FeaturesLike | None
    windows: str | int | tuple[int, int] | Sequence[WindowPair] | None
    driver: str | None
    keep_nodata: bool
    creation_options: Mapping[str, str]
    profile: Mapping[str, Any] | None
    overwrite: bool
    strict: bool
    jobs: int | None
    retries: int
    timeout: float | None
    resume: bool
    on_error: OnError
    drop_in: bool
    part_size: int | None
    merge: Merge | str | None


@overload
def run(
    job: Job,
    listener: Progress = None,
    /,
    *,
    listen: Progress = None,
    progress: Progress = None,
) -> Report: ...


@overload
def run(
    inputs: Inputs,
    output: Any,
    function: Function,
    *,
    progress: Progress = None,
    **options: Unpack[JobOptions],
) -> Report: ...


def run(
    inputs: Any,
    output: Any = None,
    function: Any = None,
    *,
    listen: Progress = None,
    progress: Progress = None,
    **options: Any,
) -> Report:
    """Apply a function to every window of rasters, in parallel.

    Parameters
    ----------
    inputs : str, Path, sequence of these, or Job
        One or more rasters, as paths or anything else that rasterio opens, and
        features. A Job has all other arguments but `progress`.
    output : str, Path or open dataset
        The output. An existing file is an error unless `overwrite` is True. A
        path that ends in .json, .ndjson, .csv or .geojsonl takes values
        instead of pixels.
    function : callable or str
        ``function(data, window, ij, global_args)`` returns an array (count,
        rows, cols), or (rows, cols) for one band. Text is
        ``module:function`` or ``path/to/file.py:function``.
    listen : callable or bool
        Same as `progress`; only with a Job.
    progress : callable or bool
        A callable gets events: a RunStarted, then a WindowDone for each
        window. True shows a bar on stderr in a terminal or a notebook, else
        a line from time to time.
    **options
        Other attributes of a `Job`, by name. `windows` may also be a number
        of pixels or (width, height), `dtype` a numpy dtype, `overviews` may
        be "auto", and paths may be Paths. ``nodata=None`` means that the
        output has no nodata. `jobs` defaults to all CPUs, as does -1;
        `executor` defaults to dask with a `scheduler`.

    Returns
    -------
    Report
        Windows, pixels, times and failures of the run.

    Raises
    ------
    MuchoError
        If the run fails; subclasses tell why. There is no new output, and an
        existing file is untouched.

    Examples
    --------
    >>> from rio_mucho_cli import WindowDone, run
    >>> def ndvi(nir, red):
    ...     nir, red = nir.astype("float32"), red.astype("float32")
    ...     return (nir - red) / (nir + red)
    >>> run(["b5.tif", "b4.tif"], "ndvi.tif", ndvi, plain=True)

    With a tqdm bar:

    >>> from tqdm import tqdm
    >>> with tqdm(unit="window") as bar:
    ...     def show(event):
    ...         bar.total = getattr(event, "windows", bar.total)
    ...         bar.update(isinstance(event, WindowDone))
    ...     run("dem.tif", "slope.tif", "slope.py:slope", overlap=1, progress=show)
    """
    try:
        job, listen = _job_and_listener(inputs, output, function, listen, progress, options)
        with progress_listener(listen) as events:
            return run_job(job, events)
    except MuchoError as exc:
        # The message is enough; frames of this package would fill a notebook.
        raise exc.with_traceback(None) from None


def reduce(
    inputs: Inputs,
    function: Function,
    *,
    progress: Progress = None,
    **options: Unpack[JobOptions],
) -> Any:
    """Merge the values that a function returns for the windows of rasters, in parallel.

    Parameters
    ----------
    inputs : str, Path, or sequence of these
        One or more rasters.
    function : callable or str
        As for `run`, but it returns a value: numbers, text, lists, dicts, and
        numpy arrays of numbers.
    progress : callable or bool
        As for `run`.
    **options
        As for `run`, above all `merge`: "sum", "min", "max", "list", or a
        function ``merge(total, value)``. By default the function's own
        `merge`, else the values are collected in a list. They are merged in the
        order of the windows, each exactly once.

    Returns
    -------
    object
        The merged value, or what the function's `finish` made of it. None, or
        an empty list, if no window has a value.

    Raises
    ------
    MuchoError
        If the run fails; subclasses tell why.

    Examples
    --------
    >>> from rio_mucho_cli import reduce
    >>> def count_high(dem):
    ...     return (dem > 2000).sum()
    >>> reduce("dem.tif", count_high, plain=True, merge="sum")
    """
    try:
        job = make_job(inputs, None, function, **options)
        with progress_listener(progress) as events:
            return run_job(job, events).values[job.outputs[0].shown_path]
    except MuchoError as exc:
        raise exc.with_traceback(None) from None


def _job_and_listener(
    inputs: Any,
    output: Any,
    function: Any,
    listen: Progress,
    progress: Progress,
    options: dict[str, Any],
) -> tuple[Job, Progress]:
    """Return the Job and the listener, for both ways of calling `run`."""
    if not isinstance(inputs, Job):
        if listen is not None:
            raise UsageError("listen is only for a Job: use progress")
        if function is None:
            raise UsageError("expected inputs, an output and a function, or a Job")
        return make_job(inputs, output, function, **options), progress
    if function is not None or options:
        raise UsageError("a Job has all options: pass nothing else but progress")
    listeners = [value for value in (output, listen, progress) if value is not None]
    if len(listeners) > 1:
        raise UsageError("listen and progress are the same: use one of them")
    return inputs, listeners[0] if listeners else None


def make_job(inputs: Inputs, output: Any, function: Function, **options: Any) -> Job:
    """Return a Job made from the arguments of `run`.

    Raises
    ------
    UsageError
        If arguments are invalid or contradict each other.
    FunctionNotFoundError
        If the function does not exist.
    """
    check_names(options, JobOptions, "Job")
    if "nodata" in options:
        options.setdefault("keep_nodata", False)
    if options.get("jobs") in (None, -1):
        options["jobs"] = usable_cpus()
    if options.get("scheduler") is not None:
        options.setdefault("executor", "dask")
    for name in ("like", "scheduler", "aoi"):
        if options.get(name) is not None and not has_features(options[name]):
            options[name] = path_text(options[name], name)
    if options.get("dtype") is not None:
        with suppress(TypeError):  # Job raises the error
            options["dtype"] = np.dtype(options["dtype"]).name
    if options.get("overviews") == "auto":
        options["overviews"] = ()
    if "windows" in options:
        options["windows"] = _parse_windows(options["windows"])
    return Job(
        inputs=paths_of(inputs),
        output=os.fspath(output) if isinstance(output, os.PathLike) else output,
        function=find_function(function),
        **options,
    )


def check_names(names: Iterable[str], options: Any, owner: str) -> None:
    """Raise UsageError for a name that a TypedDict of options lacks."""
    unknown = sorted(set(names) - set(options.__annotations__))
    if unknown:
        hint = did_you_mean(unknown[0], options.__annotations__) or f": see help({owner})"
        raise UsageError(f"a {owner} has no {unknown[0]!r}{hint}")


def paths_of(inputs: Inputs) -> list[Any]:
    """Return the paths of one or more inputs as text; features as they are."""
    is_one = isinstance(inputs, str | os.PathLike) or has_features(inputs)
    try:
        paths: Any = [inputs] if is_one else inputs
        return [path if has_features(path) else os.fspath(path) for path in paths]
    except TypeError:
        expected = "expected a path or a sequence of paths; for an open dataset, pass its .name"
        raise UsageError(f"inputs are {inputs!r}: {expected}") from None


def find_function(function: Function) -> UserFunction | FunctionRef:
    """Return a callable unchanged; for a name, a FunctionRef that was loaded once."""
    if not isinstance(function, str):
        return function
    reference = FunctionRef(function, str(Path.cwd()))
    reference.load()
    return reference


def _parse_windows(windows: Any) -> Windows:
    match windows:
        case int(side) if not isinstance(side, bool):
            size = parse_size(str(side))
        case (int(width), int(height)):
            size = parse_size(f"{width}x{height}")
        case str(text) if text != "blocks":
            size = parse_size(text)
        case _:
            return cast("Windows", windows)
    if size is None:
        raise windows_error(windows)
    return size


def progress_listener(progress: Progress) -> AbstractContextManager[Listener]:
    """Return a context manager that gives the listener for `progress`.

    Raises
    ------
    UsageError
        If it is not a callable, True, False or None.
    """
    if callable(progress):
        return nullcontext(progress)
    if not isinstance(progress, bool | None):
        raise UsageError(f"progress is {progress!r}: expected True, False or a callable")
    return on_stderr() if progress else nullcontext(ignore)


def full_signature(
    function: Callable[..., Any], options: Any, **defaults: Any
) -> inspect.Signature:
    """Return a function's signature with its options, for notebooks and `help`.

    Parameters
    ----------
    function : callable
        Function with a parameter of the kind ``**options``.
    options : TypedDict
    **defaults
        Defaults that differ from those of `Job`.
    """
    own = inspect.signature(function)
    parameters = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for field in fields(Job):
        if field.name in options.__annotations__:
            factory = field.default_factory
            default = field.default if factory is MISSING else factory()
            annotation = options.__annotations__[field.name]
            parameters.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=defaults.get(field.name, default),
                    annotation=getattr(annotation, "__forward_arg__", annotation),
                )
            )
    return own.replace(parameters=parameters)


run.__signature__ = full_signature(run, JobOptions, jobs=None)  # type: ignore[attr-defined]
