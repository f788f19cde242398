"""Drop-in replacement for the class `RioMucho` of rio-mucho."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar, Unpack

from rasterio.drivers import driver_from_extension
from rasterio.transform import guard_transform

from rio_mucho_cli import utils
from rio_mucho_cli.api import Progress, progress_listener
from rio_mucho_cli.dtypes import parse_number
from rio_mucho_cli.engine.report import Report
from rio_mucho_cli.engine.run import run_job
from rio_mucho_cli.env import without_georeferencing_warnings
from rio_mucho_cli.errors import GridError, InputError, MuchoChildError, MuchoError, UsageError
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.window_data import MODES, Mode
from rio_mucho_cli.job_options import ClassOptions, check_names, full_signature, make_job
from rio_mucho_cli.text import html_table, is_default, short_repr
from rio_mucho_cli.workers.executor import ExecutorName
from rio_mucho_cli.workers.functions import UserFunction

P = ParamSpec("P")
T = TypeVar("T")


class RioMucho:
    """Apply a function to every window of rasters, in parallel.

    Parameters
    ----------
    inpaths : sequence of str or Path
        Inputs. In simple_read and array_read they should have the same size.
    outpath_or_dataset : str, Path or open dataset
        Output path, where an existing file is replaced once the output is
        complete; or a dataset open in mode "w" or "r+", which is closed at
        the end.
    run_function : callable
        ``run_function(data, window, ij, global_args)`` returns an array
        (count, rows, cols), or (rows, cols) for one band. Results are cast to
        the output's dtype; masked pixels are filled with its nodata. A
        keyword-only parameter `info` gets a `WindowInfo`.
    mode : {"simple_read", "array_read", "manual_read"}
        Type of `data`: a list of one (count, rows, cols) array per input, one
        array of all bands, or a list of open datasets.
    windows : iterable of (window, ij), optional
        Windows of rasterio or pairs of ranges; the function gets them
        unchanged. Default: the block windows of the first input.
    options : Mapping, optional
        Profile of the output. Default: that of the first input.
    global_args : object, optional
        Argument that is passed to the function unchanged. Default: {}.
    like, extent, bounds : optional
        Grid of the output (size, CRS and transform), as for `Job`. Default
        windows are blocks of this grid.
    resampling, bidx, src_nodata, burn, overlap, boundary : optional
    masked, fill, skip_masked, plain : optional
        Reading of inputs and call of the function, as for `Job`.
    metadata : bool, optional
        Copy metadata of the first input and its bands. Default: False.
    overviews, overview_resampling, stats : optional
        Overviews and statistics, as for `Job`.
    also : sequence of Output, optional
        More outputs, for a function that returns a dict of arrays by name.
        Attributes that an Output does not set follow from the first input.
    executor : {"processes", "threads", "serial", "dask"} or Executor
        Where windows are computed if `run` is given more than one process.
        Default: dask with a `scheduler`, else processes.
    scheduler : str or Path, optional
        Address of a dask scheduler, or its scheduler file.
    mem_limit : int, optional
        Memory for all processes together, in MB (10^6 bytes), by estimate.

    Raises
    ------
    UsageError
        If there is no such option, or an input is not a path.
    ValueError
        If `mode` is not one of the three.
    RasterioIOError
        If an input is missing or not a raster.

    Examples
    --------
    >>> from rio_mucho_cli import RioMucho
    >>> with RioMucho(["nir.tif", "red.tif"], "index.tif", index) as rm:
    ...     rm.run(4)
    """

    def __init__(
        self,
        inpaths: Sequence[str | os.PathLike[str]],
        outpath_or_dataset: Any,
        run_function: UserFunction,
        mode: Mode = "simple_read",
        windows: Iterable[tuple[Any, Any]] | None = None,
        options: Mapping[str, Any] | None = None,
        global_args: Any = None,
        **job_options: Unpack[ClassOptions],
    ) -> None:
        check_names(job_options, ClassOptions, "RioMucho")
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}: expected one of {', '.join(MODES)}")
        self.inpaths = inpaths
        self.outpath_or_dataset = outpath_or_dataset
        self.run_function = run_function
        self.mode = mode
        other_grid = [job_options.get(name) for name in ("like", "extent", "bounds")]
        self._makes_windows = not windows and any(value is not None for value in other_grid)
        with without_georeferencing_warnings():
            for path in inpaths:
                DatasetInfo.of(_path_of(path))
            all_windows = windows or utils.getWindows(inpaths[0])
            self.options = options or utils.getOptions(inpaths[0])
        self.windows = all_windows if isinstance(all_windows, list) else list(all_windows)
        self.global_args = global_args or {}
        self.job_options: dict[str, Any] = {**job_options}

    def __repr__(self) -> str:
        shown = self._describe_arguments()
        return f"RioMucho({', '.join(f'{name}={text}' for name, text in shown.items())})"

    def _repr_html_(self) -> str:
        return html_table("RioMucho", self._describe_arguments().items())

    def _describe_arguments(self) -> dict[str, str]:
        """Return arguments and the number of windows, as text."""
        output = self.outpath_or_dataset
        shown = {
            "inpaths": short_repr([os.fspath(path) for path in self.inpaths]),
            "output": short_repr(os.fspath(output) if isinstance(output, os.PathLike) else output),
            "run_function": short_repr(self.run_function),
            "windows": "blocks" if self._makes_windows else str(len(self.windows)),
        }
        options = dict(self.job_options)
        if self.mode != "simple_read":
            options["mode"] = self.mode
        if not is_default(self.global_args, {}):
            options["global_args"] = self.global_args
        return shown | {name: short_repr(value) for name, value in options.items()}

    def __enter__(self) -> RioMucho:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def run(
        self,
        processes: int | None = 4,
        *,
        executor: ExecutorName | Executor | None = None,
        progress: Progress = None,
    ) -> Report:
        """Compute all windows and write the output.

        Parameters
        ----------
        processes : int or None
            Windows to compute at once. 1: in the main process; None or -1:
            one per CPU.
        executor : str or Executor, optional
            Where windows are computed. Default: that of the constructor.
        progress : callable or bool
            A callable gets events: a RunStarted, then a WindowDone for each
            window. True shows progress on stderr.

        Returns
        -------
        Report

        Raises
        ------
        MuchoChildError
            If the function raises, or an input cannot be read. An existing
            output is untouched.
        MuchoError
            If the run fails for another reason.

        Examples
        --------
        With a tqdm bar:

        >>> from tqdm import tqdm
        >>> with tqdm(unit="window") as bar:
        ...     def show(event):
        ...         bar.total = getattr(event, "windows", bar.total)
        ...         bar.update(isinstance(event, WindowDone))
        ...     rm.run(4, progress=show)
        """
        profile = dict(self.options)
        if "transform" in profile:
            profile["transform"] = guard_transform(profile["transform"])
        output = self.outpath_or_dataset
        is_path = isinstance(output, str | os.PathLike)
        if is_path and "driver" not in profile:
            with suppress(ValueError):
                profile["driver"] = driver_from_extension(os.fspath(output))
        if isinstance(profile.get("nodata"), str):
            profile["nodata"] = parse_number(profile["nodata"])
        options = {"metadata": False, **self.job_options}
        if executor is not None:
            options["executor"] = executor
        job = make_job(
            self.inpaths,
            output,
            self.run_function,
            mode=self.mode,
            windows="blocks"
            if self._makes_windows
            else [(window, ij) for window, ij in self.windows],
            global_args=self.global_args,
            profile=profile if is_path else None,
            overwrite=True,
            strict=False,
            drop_in=True,
            jobs=processes,
            **options,
        )
        try:
            with progress_listener(progress) as listen:
                return run_job(job, listen)
        except MuchoError as exc:
            if exc.window is None or not isinstance(exc, InputError | GridError):
                # The message is enough; frames of this package would fill a notebook.
                raise exc.with_traceback(None) from None
            # rio-mucho also wraps errors of reading.
            error = MuchoChildError(str(exc), exc)
            raise error.at(exc.window, exc.ij) from None


RioMucho.__init__.__signature__ = full_signature(  # type: ignore[attr-defined]
    RioMucho.__init__, ClassOptions, metadata=False
)


def _path_of(path: Any) -> str:
    try:
        return str(os.fspath(path))
    except TypeError:
        raise UsageError(
            f"inpaths has {short_repr(path)}: RioMucho takes paths of rasters, and run() also "
            "scenes, STAC items and features"
        ) from None


def tb_capture(func: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function to raise MuchoChildError in place of its exceptions."""

    @wraps(func)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return func(*args, **kwargs)
        except Exception as exc:
            raise MuchoChildError(f"{func.__name__} raised {type(exc).__name__}: {exc}") from exc

    return wrapper
