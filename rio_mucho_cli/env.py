"""GDAL's options and block cache, its messages, and the limits of numeric libraries."""

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
import rasterio.env
from rasterio._env import del_gdal_config, get_gdal_config, set_gdal_config
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning
from rasterio.session import DummySession
from threadpoolctl import threadpool_limits

from rio_mucho_cli.signals import deferred
from rio_mucho_cli.text import MB

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
"""Options of GDAL that would have it lay out a file otherwise than this program expects.

Notes
-----
GDAL's pages on configuration options and on the driver GTiff; gdaladdo has
those of overviews, which are compressed as the raster is here.
"""

# Filters, as `warnings` keeps them.
_QUIET: list[Any] = [
    ("ignore", None, category, None, 0)
    for category in (NotGeoreferencedWarning, NodataShadowWarning)
]

_PATIENCE = {"GDAL_HTTP_MAX_RETRY": 4, "GDAL_HTTP_RETRY_DELAY": 0.5}

# A window's arrays are freed and made again for every window. glibc would give
# such large pieces back to the system each time, and take them again, page by
# page: a tenth of the time of a cheap function.
_MMAP_THRESHOLD = 32 * 1024 * 1024  # the most that glibc takes on 64-bit systems
_TRIM_THRESHOLD = 1024 * 1024 * 1024


def env_options() -> dict[str, Any]:
    """Return the GDAL options of the caller's rasterio.Env.

    A session's credentials are among them: entering an Env turns its session
    into GDAL options.
    """
    found = dict(rasterio.env.getenv()) if rasterio.env.hasenv() else {}
    return {name: value for name, value in found.items() if name.upper() not in LAYOUT}


def unset_only(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of GDAL's options that the user has set neither in an Env nor as variables."""
    given = env_options()
    return {
        name: value
        for name, value in options.items()
        if name not in os.environ and name not in given
    }


@contextmanager
def gdal_config(options: Mapping[str, Any]) -> Iterator[None]:
    """Set GDAL options, captured elsewhere, for this thread.

    They are set within the Env and not given to it, because rasterio.Env
    refuses the credentials that it made from a session itself.

    Notes
    -----
    rasterio.Env is left in two steps, between which there is none. Ctrl-C may
    come there, in any function of rasterio's; nothing around could be left then.
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
    """Have GDAL ask a server again that answers with a passing error, or resets a connection.

    What the user has set stays.

    Notes
    -----
    GDAL's page on configuration options: GDAL_HTTP_MAX_RETRY, which is 0
    without this, is about HTTP 429, 500, 502, 503, 504 and lost connections.
    """
    patient = gdal_config(unset_only(_PATIENCE))

    def leave(*raised: Any) -> bool | None:
        with deferred():
            return patient.__exit__(*raised)

    with ExitStack() as stack:
        patient.__enter__()
        stack.push(leave)
        yield


def process_variables(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a new worker process.

    GDAL's cache is limited, numeric libraries are held to one thread, and
    freed memory is kept. What the user has set stays: one thread variable
    among several is taken for a decision about all.
    """
    variables = {
        "MALLOC_MMAP_THRESHOLD_": str(_MMAP_THRESHOLD),
        "MALLOC_TRIM_THRESHOLD_": str(_TRIM_THRESHOLD),
    }
    variables = {name: value for name, value in variables.items() if name not in os.environ}
    if not _user_set_threads():
        variables.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if "GDAL_CACHEMAX" not in os.environ and "GDAL_CACHEMAX" not in options:
        variables["GDAL_CACHEMAX"] = str(CACHE_BYTES)  # bytes: a small number would be 2^20 of them
    return variables


def keep_freed_memory() -> None:
    """Have this process keep the memory that it frees, where it uses glibc.

    For the command line, whose process ends with the run. It is what worker
    processes get from their variables.
    """
    # Windows has no library that is all of them.
    mallopt = None if os.name == "nt" else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, by their numbers in malloc.h.
        mallopt(-3, _MMAP_THRESHOLD)
        mallopt(-1, _TRIM_THRESHOLD)


class _Nestable:
    """A change to the whole process that several threads may want at once.

    The first one in makes the change, the last one out takes it back; nested
    and overlapping runs would otherwise restore each other's state.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._change = self._make()
                self._change.__enter__()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._change.__exit__(None, None, None)


def _limited() -> AbstractContextManager[Any]:
    return nullcontext() if _user_set_threads() else threadpool_limits(limits=1)


@contextmanager
def _silenced() -> Iterator[None]:
    with warnings.catch_warnings():
        ignore_georeferencing_warnings()
        yield


def ignore_georeferencing_warnings() -> None:
    """Have rasterio not warn of plain images and of alpha bands, whatever filters a function sets.

    Such a filter, which a module may set when it is imported, would end the
    run or say the same for every window. All others stay, and so does what
    Python remembers of warnings that it has given once.

    Notes
    -----
    `warnings.simplefilter` would have Python forget that, each time.
    """
    found = cast("list[Any]", warnings.filters)
    if found[: len(_QUIET)] != _QUIET:
        found[:] = [*_QUIET, *(each for each in found if each not in _QUIET)]


single_threaded_libraries = _Nestable(_limited)
"""Hold the numeric libraries of this process to one thread, meanwhile.

It is what worker processes get from their variables. A library that adds in
another order with another number of threads would otherwise give other digits
under another executor.
"""


@contextmanager
def limited_block_cache(size: int) -> Iterator[None]:
    """Hold GDAL's block cache to so many bytes, unless the user has set it.

    GDAL takes 5 % of the memory for it in every process, and fills it with
    blocks that are read once.
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
    """Return the names of those options of LAYOUT that somebody has set."""
    return [name for name in LAYOUT if get_gdal_config(name) is not None]


@contextmanager
def _laid_out() -> Iterator[None]:
    variables = {name: os.environ.pop(name) for name in LAYOUT if name in os.environ}
    env = dict(rasterio.env.getenv()) if rasterio.env.hasenv() else {}
    given = {name: value for name, value in env.items() if name.upper() in LAYOUT}
    if given:
        # Whoever leaves an inner Env sets what the outer one has.
        with deferred():
            rasterio.env.delenv()
            rasterio.env.defenv()
            rasterio.env.setenv(**{name: env[name] for name in env if name not in given})
    others = {name: get_gdal_config(name, normalize=False) for name in layout_options()}
    for name in others:  # of GDAL's configuration file
        del_gdal_config(name)
    try:
        yield
    finally:
        os.environ.update(variables)
        if given:
            rasterio.env.setenv(**given)
        for name, value in others.items():
            set_gdal_config(name, value, normalize=False)


without_layout_options = _Nestable(_laid_out)
"""Have GDAL lay out files as this program expects it, whatever options are set."""

without_georeferencing_warnings = _Nestable(_silenced)
"""Silence rasterio where inputs or outputs are plain images."""


def _user_set_threads() -> bool:
    return any(name in os.environ for name in THREAD_VARIABLES)


# rasterio logs under this name what GDAL only warns of.
_log = logging.getLogger("rasterio._env")


class _Collector(logging.Filter):
    """Takes what GDAL says in a thread that collects it; lets pass everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        said: list[logging.LogRecord] | None = getattr(self.here, "said", None)
        if said is None:
            return True
        said.append(record)
        return False


_collector = _Collector()
_log.addFilter(_collector)


@contextmanager
def _collected(records: list[logging.LogRecord]) -> Iterator[None]:
    before = getattr(_collector.here, "said", None)
    _collector.here.said = records
    try:
        yield
    finally:
        _collector.here.said = before


@contextmanager
def captured_messages(level: int = logging.WARNING) -> Iterator[list[str]]:
    """Collect what GDAL says in this thread, instead of showing it.

    Yields
    ------
    list of str
        It is complete when the context ends.
    """
    said: list[str] = []
    records: list[logging.LogRecord] = []
    try:
        with _collected(records):
            yield said
    finally:
        for record in records:
            if record.levelno >= level:
                # "CPLE_IllegalArg in COMPRESS=foo value not recognised, ignoring."
                text = record.getMessage().rstrip(".")
                said.append(text.partition(" in ")[2] or text)


@contextmanager
def heard(level: int = logging.WARNING) -> Iterator[list[str]]:
    """Collect what GDAL says, however quiet the program is: it must be logged for that.

    Yields
    ------
    list of str
        It is complete when the context ends.
    """
    before = _log.level
    if not _log.isEnabledFor(logging.WARNING):
        _log.setLevel(logging.WARNING)
    try:
        with captured_messages(level) as said:
            yield said
    finally:
        _log.setLevel(before)


@contextmanager
def quiet_if_raised() -> Iterator[None]:
    """Keep what GDAL warns of to those who look closely, if it comes to an exception.

    That says what matters.
    """
    records: list[logging.LogRecord] = []
    try:
        with _collected(records):
            yield
    except Exception:
        for record in records:
            _log.info("%s", record.getMessage())
        raise
    for record in records:
        _log.handle(record)


CACHE_BYTES = 16 * MB
"""GDAL's block cache, for each job.

A worker reads a window once. What it needs the cache for are the blocks of
an input that two of its windows share.
"""
