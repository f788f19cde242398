"""Limits and facts of the system: CPUs, memory, open files, versions.

SLURM, systemd and containers set limits in the control groups of a process.
"""

from __future__ import annotations

import errno
import math
import os
import platform
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from io import FileIO
from pathlib import Path
from typing import Any

import rasterio

from rio_mucho_cli.errors import MuchoChildError, MuchoError, UsageError
from rio_mucho_cli.text import MB

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def cgroup_values(controller: str, names: Sequence[str], root: Path, own: Path) -> Iterator[str]:
    """Yield the contents of files in this process's cgroup and its ancestors.

    Parameters
    ----------
    controller : str
        Controller of cgroups v1; empty for v2.
    names : sequence of str
        Files of one group, whose contents are joined by a space.
    root : Path
        Mount point of the cgroups.
    own : Path
        File that lists the groups of this process.
    """
    for folder in _cgroup_folders(controller, root, own):
        with suppress(OSError, ValueError):
            yield " ".join((folder / name).read_text().strip() for name in names)


def _cgroup_folders(controller: str, root: Path, own: Path) -> Iterator[Path]:
    # If both versions are in use, v2 is mounted in a subfolder.
    for mounted in [root / controller] if controller else [root, root / "unified"]:
        yield mounted
        for path in _cgroup_paths(controller, own):
            parts = [part for part in path.split("/") if part]
            if ".." in parts:
                continue  # outside of this namespace
            for end in range(1, len(parts) + 1):
                yield mounted.joinpath(*parts[:end])


def _cgroup_paths(controller: str, own: Path) -> list[str]:
    """Return the paths of this process's groups in a controller's hierarchy."""
    try:
        lines = own.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    fields = [line.split(":", 2) for line in lines if line.count(":") > 1]
    controllers = set(controller.split(","))
    return [path for _, names, path in fields if controllers <= set(names.split(","))]


# Assumed where the system does not report its memory.
_UNKNOWN_MEMORY = 4096 * MB


def usable_memory(root: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Return the memory that this process may use, in bytes.

    The machine's memory, or the lowest limit of the process's cgroups:
    ``memory.max`` in v2 (``max`` if unlimited), ``memory.limit_in_bytes`` in v1.
    """
    memory = _UNKNOWN_MEMORY
    if hasattr(os, "sysconf"):  # not on Windows
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for controller, name in ("", "memory.max"), ("memory", "memory.limit_in_bytes"):
        for limit in cgroup_values(controller, [name], root, own):
            with suppress(ValueError):
                memory = min(memory, int(limit))
    return memory


def usable_cpus(root: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Return the number of CPUs that this process may use.

    CPU affinity and cgroup limits are respected.

    Notes
    -----
    A limit is CPU time per period: in ``cpu.max`` of cgroups v2 (``max 100000``
    if unlimited), in two files of v1.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    v1 = ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
    for controller, names in ("", ["cpu.max"]), ("cpu", v1), ("cpu,cpuacct", v1):
        for limit in cgroup_values(controller, names, root, own):
            with suppress(ValueError, ZeroDivisionError):
                quota, period = map(int, limit.split())
                if quota > 0:
                    cpus = min(cpus, math.ceil(quota / period))
    return max(1, cpus)


def worker_name() -> str:
    """Return a name for this thread that is unique within a run."""
    return f"{platform.node()}:{os.getpid()}:{threading.get_native_id()}"


def peak_memory() -> int:
    """Return the peak memory of this process in bytes; 0 if unknown.

    Notes
    -----
    On Linux ``ru_maxrss``, unlike ``VmHWM``, includes the memory that the process
    held before exec (``setmax_mm_hiwater_rss``).
    """
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text("utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    with suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return 0


try:
    import resource
except ImportError:  # Windows
    HAS_LIMIT = False
else:
    HAS_LIMIT = True

_OPEN_FILES_ADVICE = ": allow more open files (ulimit -n), or use fewer inputs or jobs"

# GDAL opens a raster's mask and overview files on demand.
_FILES_OF_DATASET = 3
# GDAL keeps up to 100 VRT sources open; the rest is for libraries and the function.
_RESERVED = 160
# Without free descriptors, GDAL silently treats a raster's auxiliary files as missing.
_LEAST_FREE = 8
# Descriptors that stay free while datasets could be closed; of low limits, a quarter.
_KEPT_FREE = 64
# macOS allows less than its hard limit: OPEN_MAX in sys/syslimits.h.
_OPEN_MAX = 10_240

_lock = threading.Lock()


def allow_open_files(more: int = 0) -> None:
    """Raise the soft limit if open files and this many more come close to it."""
    _descriptors(more)


def check_open_files() -> None:
    """Raise OSError if another dataset cannot be opened safely.

    The soft limit is raised first, where possible.
    """
    if _descriptors()[0] < _LEAST_FREE:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def are_open_files_short() -> bool:
    """Return whether another dataset should be opened only after one is closed.

    The soft limit is raised first, where possible.
    """
    free, limit = _descriptors()
    return free < min(_KEPT_FREE, limit // 4)


def lacks_open_files(text: str) -> bool:
    """Return whether a message reports too many open files, here or system-wide."""
    return os.strerror(errno.EMFILE) in text or os.strerror(errno.ENFILE) in text


@contextmanager
def open_file_errors_explained() -> Iterator[None]:
    """Add advice to errors about too many open files."""
    try:
        yield
    except MuchoChildError:
        raise
    except MuchoError as exc:
        text = str(exc.args[0])
        if lacks_open_files(text) and "ulimit" not in text:
            exc.args = (f"{text.rstrip('.')}{_OPEN_FILES_ADVICE}", *exc.args[1:])
        raise
    except OSError as exc:
        if exc.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise system_error(exc) from None


def system_error(exc: OSError) -> MuchoError:
    """Return the MuchoError for an OSError that has no message of its own."""
    advice = _OPEN_FILES_ADVICE if exc.errno in (errno.EMFILE, errno.ENFILE) else ""
    return MuchoError(f"the operating system refused ({exc}){advice}")


def _descriptors(more: int = 0) -> tuple[int, int]:
    """Return the numbers of free descriptors and of all; raise the soft limit if needed."""
    if not HAS_LIMIT:
        return _LEAST_FREE, 0
    with _lock:
        limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return _LEAST_FREE, 0
        used = _used_descriptors(limit)
        needed = _FILES_OF_DATASET * used + more + _RESERVED
        if needed > limit:
            limit = _raise_limit(limit, hard, needed)
        return limit - used, limit


def _used_descriptors(limit: int) -> int:
    """Return the number of open files; the limit if not one more can be opened."""
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 (names are not needed)
    except FileNotFoundError:  # a container without /proc
        pass
    except OSError:
        return limit
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return limit
    os.close(descriptor)
    return descriptor


def _raise_limit(soft: int, hard: int, needed: int) -> int:
    """Raise the soft limit as far as needed and allowed; return the new limit."""
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    for limit in (most, min(most, _OPEN_MAX)):
        if limit > soft:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return soft


def write_at(file: FileIO, data: Any, offset: int) -> None:
    """Write all data at an offset; an unbuffered write may be partial."""
    file.seek(offset)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def start_writeback(file: FileIO, start: int, end: int) -> None:
    """Let Linux write a part of a file to disk now, so that the flush at the end is short.

    Notes
    -----
    posix_fadvise(2): POSIX_FADV_DONTNEED starts the writing of dirty pages, and keeps
    in memory those that are not written yet.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # it is only advice
            os.posix_fadvise(file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)


def versions_of(*names: str) -> dict[str, str]:
    """Return versions by name; "none" for packages that are not installed.

    Parameters
    ----------
    *names : str
        Names of packages on PyPI, "Python", or "GDAL" for rasterio's GDAL.
    """
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    if name == "Python":
        return platform.python_version()
    if name == "GDAL":
        return str(rasterio.__gdal_version__)
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def source_date() -> str:
    """Return the time that SOURCE_DATE_EPOCH sets, as ISO 8601; empty if it is not set.

    Raises
    ------
    UsageError
        If it is not a number of seconds.
    """
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not seconds:
        return ""
    try:
        return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {seconds!r}: expected whole seconds since 1970, such as "
            "$(date +%s)"
        ) from None


@contextmanager
def without_bytecode() -> Iterator[None]:
    """Prevent imports from writing compiled files."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
