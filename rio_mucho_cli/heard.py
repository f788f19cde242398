"""Hear what GDAL says in this thread, beside the exceptions that rasterio makes of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
def messages(level: int = logging.WARNING) -> Iterator[list[str]]:
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
        with messages(level) as said:
            yield said
    finally:
        _log.setLevel(before)


@contextmanager
def told_once() -> Iterator[None]:
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
