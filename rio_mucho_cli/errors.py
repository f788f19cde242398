"""Exceptions: one base class, and one class for each cause.

Every message says what was found, what was expected, and what to do next. All
exceptions can be pickled, because most are raised in a worker and handled in the
main process.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rasterio.errors import RasterioIOError

from rio_mucho_cli.dtypes import number_text
from rio_mucho_cli.text import option

_PACKAGE = str(Path(__file__).parent) + os.sep

exception_pickler: Callable[[BaseException | None], bytes] = pickle.dumps
"""Function that pickles the user's exceptions.

`workers.pickling` replaces it with one that handles their classes.
"""

# Maximum characters of an exception's line, of a traceback entry, and of a traceback.
_LONGEST, _LONGEST_ENTRY, _LONGEST_TRACEBACK = 500, 2000, 20_000
# Control characters except tabs and line ends, which could move a terminal's cursor or
# change colours; bidirectional controls and surrogates, which hide text or cannot be printed.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class MuchoError(Exception):
    """Base class of all exceptions that this package raises on purpose.

    Attributes
    ----------
    window : rasterio.windows.Window or None
        Window that was being processed, if any.
    ij : tuple of int, or None
        Its (row, column) in the grid of windows.
    """

    window: Any = None
    ij: Any = None

    def at(self, window: Any, ij: Any) -> MuchoError:
        """Record the window that was being processed, and return self."""
        self.window, self.ij = window, ij
        return self


class UsageError(MuchoError, ValueError):
    """The job contradicts itself or names something that does not exist."""


class FunctionNotFoundError(UsageError):
    """``module:function`` does not name a function."""


class WindowsError(UsageError):
    """There are no windows, or they overlap or extend beyond the raster."""


class NodataError(UsageError):
    """The nodata value does not fit the output's dtype."""

    @classmethod
    def of(cls, nodata: float, dtype: str, where: str = "") -> NodataError:
        """Return the error for a nodata value, declared somewhere, that a dtype cannot hold."""
        if where:
            return cls(
                f"{where}['nodata'] is {number_text(nodata)}, which {dtype} cannot hold: give "
                f"another with {option('nodata')}"
            )
        return cls(
            f"nodata {number_text(nodata)} does not fit {dtype}: "
            f"give one that does with {option('nodata')}, or another dtype with {option('dtype')}"
        )


class InputError(MuchoError, RasterioIOError):
    """An input is missing, is not a raster, or cannot be read."""


class GridError(MuchoError, ValueError):
    """The inputs differ in size, transform or CRS."""


class OutputError(MuchoError, OSError):
    """The output exists, cannot be created, or cannot be written."""


class OutputExistsError(OutputError):
    """The output exists and may not be overwritten."""


class FormatError(OutputError, UsageError):
    """GDAL lacks the driver, or the driver lacks a creation option."""


class ResultError(MuchoError, ValueError):
    """The function returned something that does not fit its window."""


class InfoError(MuchoError):
    """The function asked its `info` for something that it does not have."""


class WorkerDiedError(MuchoError):
    """A worker process died while it was processing a window."""


class MuchoChildError(MuchoError):
    """The user's function raised an exception.

    Without arguments, inside an ``except`` block, it wraps the exception that is
    being handled.

    Attributes
    ----------
    exception : BaseException
        The user's exception; a plain ``RuntimeError`` with the same text if it
        cannot be pickled.
    formatted : str
        The traceback as text, from the user's first line on.
    done : int
        Number of windows that had been written when this one failed.
    """

    def __init__(self, message: str = "", exception: BaseException | None = None) -> None:
        super().__init__(message)
        self.exception = exception if exception is not None else sys.exc_info()[1]
        self.formatted = format_user_traceback(self.exception)
        self.done = 0

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in vars(self).items() if name != "exception"}
        pickled = b""
        with suppress(Exception):
            pickled = exception_pickler(self.exception)
        text = f"{type(self.exception).__name__}: {text_of(self.exception)}"
        return _unpickle, (type(self), str(self.args[0]), pickled, text), state

    def __str__(self) -> str:
        return f"{self.args[0]}\nChild process's traceback:\n{self.formatted}"


def _unpickle(
    kind: type[MuchoChildError], message: str, pickled: bytes, text: str
) -> MuchoChildError:
    """Return an unpickled error; its cause may have become a RuntimeError.

    Exceptions whose __init__ takes other arguments than their args can be
    pickled, but not unpickled.
    """
    try:
        exception = pickle.loads(pickled)
    except Exception:
        exception = RuntimeError(text)
    return kind(message, exception)


def format_user_traceback(exception: BaseException | None) -> str:
    """Return the traceback as text, without the frames of this package.

    Only the leading frames, between the engine and the user's first line, are
    left out. Overlong text is truncated.
    """
    if exception is None:
        return ""
    tb: TracebackType | None = exception.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        tb = tb.tb_next
    try:
        entries = traceback.format_exception(type(exception), exception, tb)
    except Exception:  # the user's __str__ may raise anything
        entries = [*traceback.format_tb(tb), f"{type(exception).__name__}: {text_of(exception)}\n"]
    short = [f"{shorten(entry.rstrip(), _LONGEST_ENTRY)}\n" for entry in entries]
    return shorten("".join(short), _LONGEST_TRACEBACK)


def text_of(exception: BaseException | None) -> str:
    """Return an exception's text, even if its __str__ raises."""
    try:
        return str(exception)
    except Exception:
        return "(its text cannot be had)"


def line_of(exception: BaseException | None) -> str:
    """Return an exception's text on one printable line of limited length."""
    # Splitting a text of many megabytes would be slow.
    text = text_of(exception)
    start = " ".join(text[: 10 * _LONGEST].split())
    return shorten(start + text[10 * _LONGEST :], _LONGEST)


def shorten(text: str, longest: int) -> str:
    """Return a text without control characters, truncated in the middle."""
    if len(text) > longest:
        cut = f" ... ({len(text)} characters, of which these are the first and the last) ... "
        end = longest // 4
        text = text[: longest - end] + cut + text[-end:]
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def one_line(exception: BaseException) -> str:
    """Return an exception on one line, or GDAL's cause for it."""
    text = line_of(exception)
    cause = exception.__cause__
    if cause is not None and "previous exception" in text:
        text = line_of(cause)
    return text or type(exception).__name__


class WorkerLostError(BrokenExecutor):
    """A worker was lost, during a call or before its first one.

    Attributes
    ----------
    started : bool
        Whether it was ready for calls. If so, the call may be submitted again.
    progress : int or None
        Progress of the call that the worker recorded, if it does.
    times : int
        Number of workers lost with the call: some executors retry calls.
    """

    def __init__(
        self, message: str, *, started: bool, progress: int | None = None, times: int = 1
    ) -> None:
        super().__init__(message)
        self.started = started
        self.progress = progress
        self.times = times

    @classmethod
    def of(cls, lost: BrokenExecutor) -> WorkerLostError:
        """Return a BrokenExecutor as this error.

        An executor other than this package's then accepts no more calls.
        """
        return lost if isinstance(lost, WorkerLostError) else cls(str(lost), started=False)


class WorkerStartError(WorkerLostError):
    """A worker process could not get ready for calls."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(
            f"a worker process could not get ready ({type(cause).__name__}: {cause}): "
            "use fewer jobs, or the executor threads",
            started=False,
        )


class WorkerProcessDiedError(WorkerLostError):
    """A worker process ended during a call or before its first one.

    Attributes
    ----------
    exitcode : int
        Exit status, or minus the number of the signal that killed it.
    started : bool
        Whether it was ready for calls. If so, it is replaced where possible, and
        the call may be submitted again.
    peak : int or None
        Peak memory of the process in bytes, if known.
    """

    def __init__(
        self, exitcode: int, *, started: bool, progress: int = 0, peak: int | None = None
    ) -> None:
        super().__init__(
            f"a worker process ended with {exitcode}", started=started, progress=progress
        )
        self.exitcode = exitcode
        self.peak = peak


class WorkerTimeoutError(WorkerProcessDiedError):
    """A worker process was ended because a window took longer than the timeout.

    Attributes
    ----------
    seconds : float
        The timeout.
    """

    def __init__(self, seconds: float, *, progress: int | None, times: int = 1) -> None:
        super().__init__(-9, started=True)  # SIGKILL, which Windows lacks
        self.args = (f"a window took longer than {seconds:g} s",)
        self.seconds = seconds
        self.progress = progress
        self.times = times
