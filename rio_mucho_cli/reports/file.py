"""Write a report to a file, a pipe or standard output."""

from __future__ import annotations

import ctypes
import errno
import inspect
import json
import logging
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from rio_mucho_cli.engine.events import Listener, ignore
from rio_mucho_cli.errors import MuchoError, OutputError, UsageError, one_line
from rio_mucho_cli.inputs.datasets import open_dataset
from rio_mucho_cli.job import Job
from rio_mucho_cli.paths import input_name, is_vector, local_file
from rio_mucho_cli.reports.entries import document
from rio_mucho_cli.reports.recorder import Recorder
from rio_mucho_cli.signals import deferred
from rio_mucho_cli.text import option
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.source import Code

log = logging.getLogger(__name__)

# Seconds to wait for a reader of a pipe.
_PATIENCE = 5.0

# The real standard output, for the report, while sys.stdout is redirected to stderr.
_stdout: TextIO | None = None


def is_stdout(path: str) -> bool:
    """Return whether a report goes to standard output."""
    return path in {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


def is_stream(path: str) -> bool:
    """Return whether a path is a pipe or a device, which is not replaced."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (follows links to unnamed pipes)
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_stream(path: str, text: str) -> None:
    """Write to a pipe or a device; raise OSError if a pipe gets no reader."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | getattr(os, "O_NOCTTY", 0))
            break
        except OSError as exc:
            if exc.errno != errno.ENXIO or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)


@contextmanager
def reserve_stdout() -> Iterator[None]:
    """Reserve standard output for the report: all other prints go to stderr.

    File descriptors are redirected, too, if there are any: worker processes
    and native code print to them.
    """
    global _stdout
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    with ExitStack() as stack:
        _stdout = sys.stdout
        stack.callback(_forget_stdout)
        with suppress(OSError, ValueError):
            out, err = sys.stdout.fileno(), sys.stderr.fileno()
            sys.stdout.flush()
            duplicate = os.dup(out)
            _stdout = stack.enter_context(
                os.fdopen(duplicate, "w", encoding="utf-8", errors="replace", closefd=True)
            )
            os.dup2(err, out)
            stack.callback(_restore, duplicate, out)
        stack.enter_context(redirect_stdout(sys.stderr))
        yield


def _restore(duplicate: int, out: int) -> None:
    """Flush the buffers of C, and restore a descriptor."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)
    os.dup2(duplicate, out)


def _forget_stdout() -> None:
    global _stdout
    _stdout = None


def print_text(text: str) -> None:
    """Write to standard output; if that fails, do not retry at exit."""
    stdout = _stdout or sys.stdout
    try:
        stdout.write(text)
        stdout.flush()
    except OSError:
        devnull = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError):
            os.dup2(devnull, stdout.fileno())
        os.close(devnull)
        raise


_PAGES = (".html", ".htm")
# The start of a report: JSON of a run or a dry run, and a page.
_HEAD = 4096
_REPORTS = (
    re.compile(rb'\s*\{\s*"(schema|version)": \d+,\s*"(outcome|plan)":'),
    re.compile(rb"\s*<!doctype html>.*rio mucho</title>", re.DOTALL),
)


@contextmanager
def recorded(
    job: Job, path: str | None, listen: Listener = ignore, *, others: Sequence[str] = ()
) -> Iterator[Listener]:
    """Write a report of the run inside the context, even if it fails.

    Parameters
    ----------
    job : Job
    path : str or None
        Path of the report: a page if it ends in .html, else JSON; ``-`` for
        JSON on standard output; None for no report. A file that is not a
        report is replaced only if the job overwrites.
    listen : callable
        Listener that gets the events, too.
    others : sequence of str
        More files that the report must not replace.

    Yields
    ------
    callable
        The listener to pass to the run.

    Raises
    ------
    OutputError
        If the report cannot be written, before the run starts. After the run,
        this is only a warning.
    UsageError
        If the path is one of the job's files.
    """
    if path is None:
        yield listen
        return
    check_report_path(path, job, others=others)
    recorder = Recorder(listen)
    failure: BaseException | None = None
    try:
        yield recorder
    except BaseException as exc:
        failure = exc
        raise
    finally:
        # The outcome of the run is settled: a failure here must not change it.
        with deferred():
            try:
                write_report(document(job, recorder, failure), path)
            except Exception as exc:
                log.warning("the report %s cannot be written: %s", path, one_line(exc))


def check_report_path(
    path: str | None,
    job: Job | None = None,
    *,
    is_page_possible: bool = True,
    others: Sequence[str] = (),
) -> None:
    """Raise OutputError or UsageError unless a report can be written to a path.

    Parameters
    ----------
    path : str or None
    job : Job or None
        Job whose files a report must not replace; files that are not reports are
        replaced only if the job overwrites.
    is_page_possible : bool
        Whether the report may be an HTML page.
    others : sequence of str
        More files that the report must not replace.
    """
    if path is None or is_stdout(path):
        return
    if not is_page_possible and path.lower().endswith(_PAGES):
        raise UsageError(
            f"the report of a dry run is JSON, and {path} would be a page: use a name that ends in "
            ".json"
        )
    _check_report_name(path, job, others)
    if is_stream(path):
        return
    file = Path(os.path.realpath(path))
    if file.is_dir():
        raise OutputError(f"the report {path} is a folder: use a file in it")
    if not file.parent.is_dir():
        raise OutputError(
            f"the folder of the report {path} does not exist: create {file.parent} first"
        )
    if file.exists() and not (job is None or job.overwrite or _is_report(file)):
        raise OutputError(
            f"the report {path} would replace a file that is not a report: pass "
            f"{option('overwrite')} to replace it, or use another name"
        )
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".mucho-report-", dir=file.parent)
        os.close(descriptor)
        os.unlink(temporary)  # noqa: PTH108
    except OSError as exc:
        raise OutputError(
            f"the report {path} cannot be written: no file can be created in {file.parent} "
            f"({exc.strerror})"
        ) from None


def _check_report_name(path: str, job: Job | None, others: Sequence[str]) -> None:
    """Raise UsageError if a report would replace a file of its own run."""
    if job is None:
        return
    report = os.path.realpath(path)
    inputs = [*job.input_paths, *([] if job.aoi is None else [input_name(job.aoi)])]
    rasters = [*inputs, job.like, *(output.local_path for output in job.outputs)]
    if any(raster is not None and os.path.realpath(raster) == report for raster in rasters):
        raise UsageError(
            f"the report {path} would replace one of the rasters: use another name, which ends in "
            ".json or .html"
        )
    files = [*_sources(job.function), *others]
    if Path(report).exists():
        # It opens the inputs, so only if needed.
        files += _files_of([path for path in job.inputs if not is_vector(path)])
    if any(os.path.realpath(file) == report for file in files):
        raise UsageError(
            f"the report {path} would replace a file that the run reads: use another name, which "
            "ends in .json or .html"
        )


def _sources(function: Any) -> list[str]:
    """Return the source files of a function and of its imports, as far as known."""
    if isinstance(function, FunctionRef):
        code = Code.of(function)
        return [] if code is None else list(map(str, code.paths))
    with suppress(Exception):  # any callable may be given
        unwrapped = inspect.unwrap(function)
        code = Code.imported_by([unwrapped.__module__])
        return [inspect.getfile(unwrapped), *map(str, code.paths if code is not None else ())]
    return []


def _files_of(inputs: Sequence[str]) -> list[str]:
    """Return the files of inputs, and the archives that contain them."""
    files = []
    for path in inputs:
        local = local_file(path)
        files += [] if local is None else [str(local)]
        with suppress(MuchoError), open_dataset(path) as src:
            files += src.files
    return files


def _is_report(path: Path) -> bool:
    """Return whether a file is empty, or the report of a run or a dry run."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD)
    except OSError:
        return False
    return not start or any(pattern.match(start) for pattern in _REPORTS)


def write_report(report: dict[str, Any], path: str) -> None:
    """Write a report as `document` returns it; files are replaced atomically.

    Raises
    ------
    OSError
        If the report cannot be written.
    """
    text = as_text(report, path)
    if is_stdout(path):
        print_text(text)
        return
    if is_stream(path):
        write_stream(path, text)
        return
    target = Path(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=".mucho-report-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        Path(temporary).chmod(_mode_of(target))
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def as_text(report: dict[str, Any], path: str) -> str:
    """Return a report as HTML if the path ends in .html or .htm, else as JSON."""
    if path.lower().endswith(_PAGES):
        from rio_mucho_cli.reports.page import page

        return page(report)
    return json.dumps(report, indent=1, allow_nan=False) + "\n"


def _mode_of(path: Path) -> int:
    """Return the mode of an existing file, or the default mode of a new one."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
