"""Where a report goes: known to be writable before the run, there whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rio_mucho_cli.errors import OutputError, UsageError, one_line
from rio_mucho_cli.interrupts import deferred
from rio_mucho_cli.job import Job
from rio_mucho_cli.progress import Event, Listener, ignore
from rio_mucho_cli.telling.document import document
from rio_mucho_cli.telling.recorder import Recorder

log = logging.getLogger(__name__)

_PAGES = (".html", ".htm")


@contextmanager
def recorded(job: Job, path: str | None, listen: Listener = ignore) -> Iterator[Listener]:
    """Write a report of the run that happens meanwhile, however it ends.

    Parameters
    ----------
    job : Job
    path : str or None
        Of a file, a page if it ends in .html, else JSON; ``-`` for JSON on
        standard output. None: nothing is recorded.
    listen : callable
        Gets the events, too.

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
    check(path, job)
    recorder = Recorder()

    def tell(event: Event, /) -> None:
        try:
            recorder(event)
        except Exception as exc:  # of the output it says nothing
            log.warning("the report %s misses something: %s", path, one_line(exc))
        listen(event)

    failure: BaseException | None = None
    try:
        yield tell
    except BaseException as exc:
        failure = exc
        raise
    finally:
        # What has become of the output is settled; nothing here may change it.
        with deferred():
            try:
                write(document(job, recorder, failure), path)
            except Exception as exc:
                log.warning("the report %s cannot be written: %s", path, one_line(exc))


def check(path: str | None, job: Job | None = None, *, is_page_possible: bool = True) -> None:
    """Raise OutputError or UsageError unless a report can be written to a path."""
    if path is None or path == "-":
        return
    if not is_page_possible and path.lower().endswith(_PAGES):
        raise UsageError(
            f"the report of a dry run is JSON, and {path} would be a page: give a name in .json"
        )
    place = Path(os.path.realpath(path))
    if job is not None:
        ours = [*job.inputs, job.like, *(output.local_path for output in job.outputs)]
        if any(each is not None and os.path.realpath(each) == str(place) for each in ours):
            raise UsageError(
                f"the report {path} is one of the rasters: give it a name of its own, which ends "
                "in .json or .html"
            )
    if place.is_dir():
        raise OutputError(f"the report {path} is a folder: give a file in it")
    if place.exists() and not place.is_file():
        raise OutputError(
            f"the report {path} would replace what is no file: give a file, or - for standard "
            "output"
        )
    if not place.parent.is_dir():
        raise OutputError(
            f"the folder of the report {path} does not exist: make {place.parent} first"
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


def write(said: dict[str, Any], path: str) -> None:
    """Write what `document` says; a file that exists is replaced when all is there.

    Raises
    ------
    OSError
        If that fails.
    """
    if path == "-":
        _print(as_text(said, path))
        return
    place = Path(os.path.realpath(path))
    text = as_text(said, path)
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
        from rio_mucho_cli.telling.page import page

        return page(said)
    return json.dumps(said, indent=1, allow_nan=False) + "\n"


def _print(text: str) -> None:
    """Write to standard output; what nobody reads must not be written again at the exit."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError):
            os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise


def _mode_of(place: Path) -> int:
    """Return the mode of a file that is there, or that of a new one."""
    if place.exists():
        return place.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
