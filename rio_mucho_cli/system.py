"""What the operating system allows and reports: CPUs, memory, open files, versions.

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
from importlib.metadata import PackageNotFoundError, version
from io import FileIO
from pathlib import Path
from typing import Any

import rasterio

from rio_mucho_cli.errors import MuchoChildError, MuchoError
from rio_mucho_cli.text import MB

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def cgroup_values(controller: str, names: Sequence[str], root: Path, own: Path) -> Iterator[str]:
    """Yield what files say in this process's group of a controller, and in all above it.

    Parameters
    ----------
    controller : str
        Of v1; empty for v2.
    names : sequence of str
        Files of one group, whose texts are joined by a space.
    root : Path
        Where cgroups are mounted.
    own : Path
        What names the groups of this process.
    """
    for folder in _cgroup_folders(controller, root, own):
        with suppress(OSError, ValueError):
            yield " ".join((folder / name).read_text().strip() for name in names)


def _cgroup_folders(controller: str, root: Path, own: Path) -> Iterator[Path]:
    # With both versions at once, v2 is mounted in a folder.
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
    wanted = set(controller.split(","))
    return [path for _, names, path in fields if wanted <= set(names.split(","))]


# Of a machine that does not say how much it has.
_UNKNOWN_MEMORY = 4096 * MB


def usable_memory(root: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Return how much memory this process may use, in bytes.

    The machine's, or the lowest limit of its cgroups: ``memory.max`` of v2
    (``max`` where there is none), or ``memory.limit_in_bytes`` of v1.
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
    """Return how many CPUs this process may use.

    Affinity and the limits of its cgroups count.

    Notes
    -----
    A limit is so much CPU time in each period: in ``cpu.max`` of cgroups v2
    (``max 100000`` where there is none), in two files of v1.
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
    """Return a name of this thread that is the only one in a run."""
    return f"{platform.node()}:{os.getpid()}:{threading.get_native_id()}"


def peak_memory() -> int:
    """Return the most memory that this process has held, in bytes; 0 if that is not known.

    Notes
    -----
    Linux counts to a program in ``ru_maxrss`` what the process held that it was
    started from (``setmax_mm_hiwater_rss`` at exec), but not in ``VmHWM``.
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
        raise system_error(exc) from None


def system_error(exc: OSError) -> MuchoError:
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
            limit = _raise_limit(limit, hard, wanted)
        return limit - used


def _lowest_free(limit: int) -> int:
    """Return the descriptor that a file gets next; the limit if there is none."""
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return limit
    os.close(descriptor)
    return descriptor


def _raise_limit(soft: int, hard: int, wanted: int) -> int:
    """Raise the soft limit to what is wanted, or as far as allowed; return it."""
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    for limit in (most, min(most, _OPEN_MAX)):
        if limit > soft:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return soft


def write_at(file: FileIO, data: Any, offset: int) -> None:
    """Write all of it: without a buffer, a write may take a part only."""
    file.seek(offset)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def versions_of(*names: str) -> dict[str, str]:
    """Return the versions that this process has; "none" of what is not installed.

    Parameters
    ----------
    *names : str
        Of packages as pip has them, Python, and GDAL, which is rasterio's.
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
