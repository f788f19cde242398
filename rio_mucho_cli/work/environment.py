"""What a worker takes over from the caller: GDAL's options, and its own limits."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import rasterio
import rasterio.env
from rasterio.errors import NotGeoreferencedWarning
from rasterio.session import DummySession
from threadpoolctl import threadpool_limits

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

# GDAL takes 5 % of the memory for its block cache in every process. A worker
# reads a window once: what it needs is room for the blocks that two windows
# share.
CACHE_MB = 64


def capture() -> dict[str, Any]:
    """Return the GDAL options of the caller's rasterio.Env.

    A session's credentials are among them: entering an Env turns its session
    into GDAL options.
    """
    return dict(rasterio.env.getenv()) if rasterio.env.hasenv() else {}


@contextmanager
def entered(options: Mapping[str, Any]) -> Iterator[None]:
    """Set GDAL options, captured elsewhere, for this thread.

    They are set within the Env and not given to it, because rasterio.Env
    refuses the credentials that it made from a session itself.
    """
    with rasterio.Env(session=DummySession()):
        rasterio.env.setenv(**options)
        yield


def process_variables(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a new worker process.

    GDAL's cache is limited, and numeric libraries are held to one thread.
    What the user has set stays: one thread variable among several is taken
    for a decision about all.
    """
    variables = {}
    if not _user_set_threads():
        variables = dict.fromkeys(THREAD_VARIABLES, "1")
    if "GDAL_CACHEMAX" not in os.environ and "GDAL_CACHEMAX" not in options:
        variables["GDAL_CACHEMAX"] = str(CACHE_MB)
    return variables


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Hold the numeric libraries of this process to one thread, meanwhile.

    It is what worker processes get from their variables. A library that adds
    in another order with another number of threads would otherwise give other
    digits under another executor.
    """
    if _user_set_threads():
        yield
        return
    with threadpool_limits(limits=1):
        yield


@contextmanager
def without_georeferencing_warnings() -> Iterator[None]:
    """Silence rasterio where inputs or outputs are plain images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _user_set_threads() -> bool:
    return any(name in os.environ for name in THREAD_VARIABLES)
