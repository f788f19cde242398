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
from rio_mucho_cli.paths import local_file
from rio_mucho_cli.reports.document import document
from rio_mucho_cli.reports.recorder import Recorder
from rio_mucho_cli.signals import deferred
from rio_mucho_cli.text import option
from rio_mucho_cli.workers.functions import FunctionRef
from rio_mucho_cli.workers.source import Code

# Seconds for somebody to open a pipe.
_PATIENCE = 5.0

# Where the report goes if standard output leads to stderr meanwhile.
_stdout: TextIO | None = None


def is_stdout(path: str) -> bool:
    """Whether a report goes to standard output."""
    return path in {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


def is_stream(path: str) -> bool:
    """Whether a path is that of a pipe or a device, which is written to and not replaced."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (a link to what has no name is followed)
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_stream(path: str, text: str) -> None:
    """Write to a pipe or a device; a pipe that is not read is not waited for."""
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
def stdout_kept() -> Iterator[None]:
    """Keep standard output for the report: what anything else prints goes to stderr.

    Worker processes and native code print to descriptors, which are exchanged
    where there are any.
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
            kept = os.dup(out)
            _stdout = stack.enter_context(
                os.fdopen(kept, "w", encoding="utf-8", errors="replace", closefd=True)
            )
            os.dup2(err, out)
            stack.callback(_restore, kept, out)
        stack.enter_context(redirect_stdout(sys.stderr))
        yield


def _restore(kept: int, out: int) -> None:
    """Have a descriptor lead where it led, when C has written what it has kept back."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)
    os.dup2(kept, out)


def _forget_stdout() -> None:
    global _stdout
    _stdout = None


def print_text(text: str) -> None:
    """Write to standard output; what nobody reads must not be written again at the exit."""
    stdout = _stdout or sys.stdout
    try:
        stdout.write(text)
        stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stdout.fileno())
        os.close(nowhere)
        raise


log = logging.getLogger(__name__)

_PAGES = (".html", ".htm")
# How reports begin: as JSON, of a run and of a dry run, and as a page.
_HEAD = 4096
_REPORTS = (
    re.compile(rb'\s*\{\s*"(schema|version)": \d+,\s*"(outcome|plan)":'),
    re.compile(rb"\s*<!doctype html>.*rio mucho</title>", re.DOTALL),
)


@contextmanager
def recorded(
    job: Job, path: str | None, listen: Listener = ignore, *, others: Sequence[str] = ()
) -> Iterator[Listener]:
    """Write a report of the run that happens meanwhile, however it ends.

    Parameters
    ----------
    job : Job
    path : str or None
        Of a file, a page if it ends in .html, else JSON; ``-`` for JSON on
        standard output. None: nothing is recorded. A file that is no report
        is replaced only if the job overwrites.
    listen : callable
        Gets the events, too.
    others : sequence of str
        Files that a report must not replace, beside the job's own.

    Yields
    ------
    callable
        What the run is to be told to listen.

    Raises
    ------
    OutputError
        If the report could not be written, before there is a run. If that
        turns out afterwards, it is a warning.
    UsageError
        If the path is one of the job's.
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
        # What has become of the output is settled; nothing here may change it.
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
        A report replaces none of its files, and only if the job says so what is no report.
    is_page_possible : bool
    others : sequence of str
        More files that it must not replace.
    """
    if path is None or is_stdout(path):
        return
    if not is_page_possible and path.lower().endswith(_PAGES):
        raise UsageError(
            f"the report of a dry run is JSON, and {path} would be a page: give a name in .json"
        )
    _check_report_name(path, job, others)
    if is_stream(path):
        return
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise OutputError(f"the report {path} is a folder: give a file in it")
    if not place.parent.is_dir():
        raise OutputError(
            f"the folder of the report {path} does not exist: make {place.parent} first"
        )
    if place.exists() and not (job is None or job.overwrite or _is_report(place)):
        raise OutputError(
            f"the report {path} would replace a file that is not a report: pass "
            f"{option('overwrite')} to replace it, or give another name"
        )
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".mucho-report-", dir=place.parent)
        os.close(descriptor)
        os.unlink(temporary)  # noqa: PTH108
    except OSError as exc:
        raise OutputError(
            f"the report {path} cannot be written: the folder {place.parent} takes no file "
            f"({exc.strerror})"
        ) from None


def _check_report_name(path: str, job: Job | None, others: Sequence[str]) -> None:
    """Raise UsageError if a report would take the place of a file of its own run."""
    if job is None:
        return
    place = os.path.realpath(path)
    rasters = [*job.inputs, job.like, *(output.local_path for output in job.outputs)]
    if any(each is not None and os.path.realpath(each) == place for each in rasters):
        raise UsageError(
            f"the report {path} is one of the rasters: give it a name of its own, which ends "
            "in .json or .html"
        )
    read = [*_sources(job.function), *others]
    if Path(place).exists():
        read += _files_of(job.inputs)  # which are opened for that
    if any(os.path.realpath(each) == place for each in read):
        raise UsageError(
            f"the report {path} is a file that the run reads: give it a name of its own, which "
            "ends in .json or .html"
        )


def _sources(function: Any) -> list[str]:
    """Return the files in which a function is, and what it imports, as far as they are known."""
    if isinstance(function, FunctionRef):
        code = Code.of(function)
        return [] if code is None else list(map(str, code.paths))
    with suppress(Exception):  # a function may be anything that can be called
        bare = inspect.unwrap(function)
        code = Code.imported_by([bare.__module__])
        return [inspect.getfile(bare), *map(str, code.paths if code is not None else ())]
    return []


def _files_of(inputs: Sequence[str]) -> list[str]:
    """Return the files that inputs are made of, and archives that have them."""
    found = []
    for path in inputs:
        place = local_file(path)
        found += [] if place is None else [str(place)]
        with suppress(MuchoError), open_dataset(path) as src:
            found += src.files
    return found


def _is_report(place: Path) -> bool:
    """Whether a file is a report, of a run or of a dry run, or empty."""
    try:
        with place.open("rb") as file:
            start = file.read(_HEAD)
    except OSError:
        return False
    return not start or any(pattern.match(start) for pattern in _REPORTS)


def write_report(said: dict[str, Any], path: str) -> None:
    """Write what `document` says; a file that exists is replaced when all is there.

    Raises
    ------
    OSError
        If that fails.
    """
    text = as_text(said, path)
    if is_stdout(path):
        print_text(text)
        return
    if is_stream(path):
        write_stream(path, text)
        return
    place = Path(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=".mucho-report-", dir=place.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        Path(temporary).chmod(_mode_of(place))
        os.replace(temporary, place)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def as_text(said: dict[str, Any], path: str) -> str:
    """Return the page, or JSON, as the end of a path says."""
    if path.lower().endswith(_PAGES):
        from rio_mucho_cli.reports.page import page

        return page(said)
    return json.dumps(said, indent=1, allow_nan=False) + "\n"


def _mode_of(place: Path) -> int:
    """Return the mode of a file that is there, or that of a new one."""
    if place.exists():
        return place.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
