"""Run jobs from scripts and notebooks, with a Job or with its attributes as arguments."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias, Unpack, overload

from rio_mucho_cli.engine.events import Event, Listener, ignore
from rio_mucho_cli.engine.report import Report
from rio_mucho_cli.engine.run import run_job
from rio_mucho_cli.errors import MuchoError, UsageError
from rio_mucho_cli.job import Job
from rio_mucho_cli.job_options import Function, Inputs, JobOptions, full_signature, make_job
from rio_mucho_cli.reports.progress import on_stderr

Progress: TypeAlias = Listener | Callable[[Event], Any] | bool | None


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
        features. Scenes or STAC items are a series, whose function gets those
        that touch its window. A Job replaces all other arguments except `progress`.
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
        output has no nodata. `jobs` defaults to all CPUs, like -1.
        With a `scheduler`, `executor` defaults to dask. `assets` and
        `missing_assets` are those of `read_scenes`, for STAC items; options with a
        value for each input may then have names of assets as keys.

    Returns
    -------
    Report
        Windows, pixels, times and failures of the run.

    Raises
    ------
    MuchoError
        If the run fails. Subclasses name the cause. There is no new output,
        and an existing file is untouched.

    Examples
    --------
    >>> from rio_mucho_cli import WindowDone, run
    >>> def ndvi(nir, red):
    ...     nir, red = nir.astype("float32"), red.astype("float32")
    ...     return (nir - red) / (nir + red)
    >>> run(["nir.tif", "red.tif"], "ndvi.tif", ndvi, plain=True)

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
        The merged value, or the result of the function's `finish`. None, or an
        empty list, if no window has a value.

    Raises
    ------
    MuchoError
        If the run fails. Subclasses name the cause.

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


run.__signature__ = full_signature(run, JobOptions, jobs=None)  # type: ignore[attr-defined]
