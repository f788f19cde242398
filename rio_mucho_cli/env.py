"""GDAL options, cache and messages; thread limits of numeric libraries."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, cast

import rasterio
import rasterio._env
import rasterio.env
from rasterio._env import del_gdal_config, get_gdal_config, set_gdal_config
from rasterio._err import CPLE_BaseError
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning, RasterioError
from rasterio.session import DummySession
from threadpoolctl import threadpool_limits

from rio_mucho_cli.signals import deferred
from rio_mucho_cli.text import MB

gdal_log = logging.getLogger("rasterio._env")
"""rasterio's logger of GDAL's messages."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""Exceptions that rasterio raises for GDAL's errors; not all are public."""

GDAL_LIBRARY: str = rasterio._env.__file__
"""Path of an extension module that is linked with GDAL."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

LAYOUT = (
    "USE_RRD", "TIFF_USE_OVR", "GTIFF_DONT_WRITE_BLOCKS", "GDAL_TIFF_ENDIANNESS",
    "COMPRESS_OVERVIEW", "INTERLEAVE_OVERVIEW", "JPEG_QUALITY_OVERVIEW",
    "JPEG_TABLESMODE_OVERVIEW", "JXL_ALPHA_DISTANCE_OVERVIEW", "JXL_DISTANCE_OVERVIEW",
    "JXL_EFFORT_OVERVIEW", "JXL_LOSSLESS_OVERVIEW", "MAX_Z_ERROR_OVERVIEW",
    "PHOTOMETRIC_OVERVIEW", "PREDICTOR_OVERVIEW", "WEBP_LEVEL_OVERVIEW",
    "WEBP_LOSSLESS_OVERVIEW", "ZLEVEL_OVERVIEW", "ZSTD_LEVEL_OVERVIEW",
)  # fmt: skip
"""GDAL options that would change the layout of files this program writes.

Notes
-----
See GDAL's pages on configuration options and on the driver GTiff. Those for
overviews are on the page of gdaladdo; here overviews are compressed like the
raster.
"""

# Filters in the format of `warnings.filters`.
_IGNORED: list[Any] = [
    ("ignore", None, category, None, 0)
    for category in (NotGeoreferencedWarning, NodataShadowWarning)
]

CACHE_BYTES = 16 * MB
"""Bytes of GDAL's block cache for each job.

A worker reads each window once. It needs the cache only for input blocks that
several of its windows share.
"""

_RETRIES = {"GDAL_HTTP_MAX_RETRY": 4, "GDAL_HTTP_RETRY_DELAY": 0.5}

# Every window allocates and frees its arrays. By default glibc returns such large
# blocks to the system and maps them again, page by page: a tenth of the time of
# a cheap function.
# The variables that change this, the numbers of mallopt(3) in malloc.h, the values.
_MALLOC = (
    ("MALLOC_MMAP_THRESHOLD_", -3, 32 * 1024 * 1024),  # glibc's maximum on 64-bit systems
    ("MALLOC_TRIM_THRESHOLD_", -1, 1024 * 1024 * 1024),
)


def env_options() -> dict[str, Any]:
    """Return the GDAL options of the current rasterio.Env.

    They include the session's credentials: entering an Env turns its session
    into GDAL options.
    """
    return {name: value for name, value in _env().items() if name.upper() not in LAYOUT}


def _env() -> dict[str, Any]:
    return dict(rasterio.env.getenv()) if rasterio.env.hasenv() else {}


def unset_only(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are set neither in an Env nor as variables."""
    in_env = env_options()
    return {
        name: value
        for name, value in options.items()
        if name not in os.environ and name not in in_env
    }


@contextmanager
def gdal_config(options: Mapping[str, Any]) -> Iterator[None]:
    """Set GDAL options from another thread or process for this thread.

    They are set within an Env, not passed to it: rasterio.Env refuses the
    credentials that it has made from a session.

    Notes
    -----
    Leaving a rasterio.Env takes two steps. If Ctrl-C comes in between, there is
    no Env, and the enclosing ones could not be left.
    """
    with rasterio.Env(session=DummySession()):
        rasterio.env.setenv(**options)
        try:
            yield
        finally:
            if not rasterio.env.hasenv():
                rasterio.env.defenv()


@contextmanager
def http_retries() -> Iterator[None]:
    """Let GDAL retry HTTP requests after temporary errors and lost connections.

    Options that the user has set are unchanged.

    Notes
    -----
    GDAL's page on configuration options: GDAL_HTTP_MAX_RETRY, 0 by default,
    applies to HTTP 429, 500, 502, 503, 504 and lost connections.
    """
    config = gdal_config(unset_only(_RETRIES))

    def leave(*raised: Any) -> bool | None:
        with deferred():
            return config.__exit__(*raised)

    with ExitStack() as stack:
        config.__enter__()
        stack.push(leave)
        yield


def driver_count() -> int:
    """Return the number of GDAL drivers: none until GDAL is used for the first time."""
    return int(rasterio._env.driver_count())


def interpreter_variables() -> dict[str, str]:
    """Return the variables that new interpreters need for numeric libraries and memory.

    What the user has set is unchanged; a single thread variable set by the user
    leaves all of them alone.
    """
    variables = {name: str(value) for name, _, value in _MALLOC if name not in os.environ}
    if not _user_set_threads():
        variables.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    return variables


def process_variables(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a new worker process.

    They limit GDAL's block cache, too, unless the user has.
    """
    variables = interpreter_variables()
    if "GDAL_CACHEMAX" not in os.environ and "GDAL_CACHEMAX" not in options:
        variables["GDAL_CACHEMAX"] = str(CACHE_BYTES)  # in bytes; GDAL reads small numbers as MiB
    return variables


def keep_freed_memory() -> None:
    """Let glibc keep freed memory in this process.

    For the command line, whose process ends with the run, and for the fork
    server. New interpreters get the same from environment variables.
    """
    # CDLL(None) does not work on Windows.
    mallopt = None if os.name == "nt" else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for name, number, value in _MALLOC:
            if name not in os.environ:
                mallopt(number, value)


def limit_threads() -> AbstractContextManager[Any]:
    """Restrict the loaded numeric libraries to one thread, until the context is left.

    New interpreters get the same from environment variables.
    """
    return nullcontext() if _user_set_threads() else threadpool_limits(limits=1)


class _Nestable:
    """A process-wide change that several threads may need at once.

    The first to enter makes the change and the last to leave reverts it, so nested
    and overlapping runs do not restore each other's state.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._depth = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._depth:
                self._change = self._make()
                self._change.__enter__()
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if not self._depth:
                    self._change.__exit__(None, None, None)


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        ignore_georeferencing_warnings()
        yield


def ignore_georeferencing_warnings() -> None:
    """Ignore rasterio's warnings about plain images and alpha bands.

    This overrides filters that the function or a module sets, which could end
    the run or repeat a warning for every window. Other filters are unchanged,
    and so is Python's record of warnings already shown.

    Notes
    -----
    `warnings.simplefilter` would reset that record each time.
    """
    filters = cast("list[Any]", warnings.filters)
    if filters[: len(_IGNORED)] != _IGNORED:
        filters[:] = [*_IGNORED, *(rule for rule in filters if rule not in _IGNORED)]


single_threaded_libraries = _Nestable(limit_threads)
"""Restrict the numeric libraries of this process to one thread in the block.

Worker processes get the same from their environment variables. A library that
sums in a different order with more threads would give different digits under
different executors.
"""


@contextmanager
def limited_block_cache(size: int) -> Iterator[None]:
    """Limit GDAL's block cache to this many bytes, unless the user has set it.

    By default every process uses up to 5 % of the memory for it, for blocks that
    are read only once.
    """
    before = get_gdal_config("GDAL_CACHEMAX")
    if size >= before or not unset_only({"GDAL_CACHEMAX": size}):
        yield
        return
    set_gdal_config("GDAL_CACHEMAX", size)
    try:
        yield
    finally:
        set_gdal_config("GDAL_CACHEMAX", before)


def layout_options() -> list[str]:
    """Return the names of the LAYOUT options that are set."""
    return [name for name in LAYOUT if get_gdal_config(name) is not None]


@contextmanager
def _unset_layout() -> Iterator[None]:
    variables = {name: os.environ.pop(name) for name in LAYOUT if name in os.environ}
    env = _env()
    in_env = {name: value for name, value in env.items() if name.upper() in LAYOUT}
    if in_env:
        # Leaving an inner Env sets the options of the outer one.
        with deferred():
            rasterio.env.delenv()
            rasterio.env.defenv()
            rasterio.env.setenv(**{name: env[name] for name in env if name not in in_env})
    others = {name: get_gdal_config(name, normalize=False) for name in layout_options()}
    for name in others:  # from GDAL's configuration file
        del_gdal_config(name)
    try:
        yield
    finally:
        os.environ.update(variables)
        if in_env:
            rasterio.env.setenv(**in_env)
        for name, value in others.items():
            set_gdal_config(name, value, normalize=False)


without_layout_options = _Nestable(_unset_layout)
"""Unset the LAYOUT options in the block."""

without_georeferencing_warnings = _Nestable(_without_warnings)
"""Silence rasterio's warnings about plain images in the block."""


def _user_set_threads() -> bool:
    return any(name in os.environ for name in THREAD_VARIABLES)


class _Collector(logging.Filter):
    """Log filter that captures messages in threads that collect them."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        records: list[logging.LogRecord] | None = getattr(self.thread, "records", None)
        if records is None:
            return True
        records.append(record)
        return False

    @contextmanager
    def collect(self) -> Iterator[list[logging.LogRecord]]:
        """Yield a list that gets the messages of this thread in the block."""
        outer = getattr(self.thread, "records", None)
        self.thread.records = []
        try:
            yield self.thread.records
        finally:
            self.thread.records = outer


_collector = _Collector()
gdal_log.addFilter(_collector)


@contextmanager
def captured_messages(level: int = logging.WARNING, *, always: bool = False) -> Iterator[list[str]]:
    """Capture GDAL's messages in this thread instead of logging them.

    Parameters
    ----------
    level : int
        Least level of the messages to return; all others are dropped.
    always : bool
        Capture them even if logging is off.

    Yields
    ------
    list of str
        Filled when the context ends.
    """
    messages: list[str] = []
    level_before = gdal_log.level
    raises_level = always and not gdal_log.isEnabledFor(logging.WARNING)
    if raises_level:
        gdal_log.setLevel(logging.WARNING)
    records: list[logging.LogRecord] = []
    try:
        with _collector.collect() as records:
            yield messages
    finally:
        if raises_level:
            gdal_log.setLevel(level_before)
        for record in records:
            if record.levelno >= level:
                # "CPLE_IllegalArg in COMPRESS=foo value not recognised, ignoring."
                text = record.getMessage().rstrip(".")
                messages.append(text.partition(" in ")[2] or text)


@contextmanager
def quiet_if_raised() -> Iterator[None]:
    """Log GDAL's warnings at level INFO if the block raises.

    The exception is then what matters.
    """
    records: list[logging.LogRecord] = []
    try:
        with _collector.collect() as records:
            yield
    except Exception:
        for record in records:
            gdal_log.info("%s", record.getMessage())
        raise
    for record in records:
        gdal_log.handle(record)
