"""Open files: raise the limit as far as a run needs, or say what to do.

The soft limit of RLIMIT_NOFILE is 256 on macOS and 1024 on Linux, where the
hard one is mostly much higher. It is raised only when it comes into reach,
because functions may call select(2), which takes no descriptor above 1023, and
it is never lowered.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rio_mucho_cli.errors import MuchoChildError, MuchoError

try:
    import resource
except ImportError:  # Windows
    HAS_LIMIT = False
else:
    HAS_LIMIT = True

ADVICE = ": allow more open files (ulimit -n), or use fewer inputs or jobs"

# GDAL opens masks and overviews beside a raster when they are needed.
_FILES_OF_DATASET = 3
# GDAL keeps 100 sources of VRTs open; the rest is for libraries and the function.
_RESERVE = 160
# Without a descriptor for a file beside a raster GDAL takes it for missing, without an error.
_LEAST = 8
# macOS has a lower limit than the hard one says: OPEN_MAX of sys/syslimits.h.
_OPEN_MAX = 10_240

_lock = threading.Lock()


def allow_open_files(more: int = 0) -> None:
    """Raise the soft limit if what is open, and so many files more, come near to it."""
    _free_below_limit(more)


def check_open_files() -> None:
    """Raise the soft limit if needed, and OSError if another dataset cannot be opened safely."""
    if _free_below_limit() < _LEAST:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def lacks_open_files(text: str) -> bool:
    """Whether a message says that too many files are open, here or in the whole system."""
    return os.strerror(errno.EMFILE) in text or os.strerror(errno.ENFILE) in text


@contextmanager
def with_advice() -> Iterator[None]:
    """Say what to do in errors that say that too many files are open."""
    try:
        yield
    except MuchoChildError:
        raise
    except MuchoError as exc:
        text = str(exc.args[0])
        if lacks_open_files(text) and "ulimit" not in text:
            exc.args = (f"{text.rstrip('.')}{ADVICE}", *exc.args[1:])
        raise
    except OSError as exc:
        if exc.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise refused(exc) from None


def refused(exc: OSError) -> MuchoError:
    """Return an error for what the system refuses and no other message explains."""
    advice = ADVICE if exc.errno in (errno.EMFILE, errno.ENFILE) else ""
    return MuchoError(f"the system does not let the run go on ({exc}){advice}")


def _free_below_limit(more: int = 0) -> int:
    """Raise the soft limit if needed; return how many descriptors it leaves."""
    if not HAS_LIMIT:
        return _LEAST
    with _lock:
        limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return _LEAST
        used = _lowest_free(limit)
        wanted = _FILES_OF_DATASET * used + more + _RESERVE
        if wanted > limit:
            limit = _raise(limit, hard, wanted)
        return limit - used


def _lowest_free(limit: int) -> int:
    """Return the descriptor that a file gets next; the limit if there is none."""
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return limit
    os.close(descriptor)
    return descriptor


def _raise(soft: int, hard: int, wanted: int) -> int:
    """Raise the soft limit to what is wanted, or as far as allowed; return it."""
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    for limit in (most, min(most, _OPEN_MAX)):
        if limit > soft:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return soft
