"""Run one command as a whole process, and measure it with all its descendants."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository: commands are started here."""

INTERVAL = 0.05
PSS_EVERY = 4
"""PSS slows the measured processes: only every fourth sample has it."""

MIB = 1024 * 1024

# Variables that would change how a contender runs.
_UNSET = (
    "GDAL_NUM_THREADS",
    "GDAL_CACHEMAX",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
)


@dataclass(frozen=True)
class Command:
    """A command line, with environment variables to set."""

    argv: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """Cost and output of a run.

    Attributes
    ----------
    wall : float
        Seconds from before the start to after the end.
    cpu : float
        Seconds, user and system, of the process and all descendants that
        were waited for.
    rss, pss : float or None
        Peak, in MiB, of the sum over all live processes.
        None without /proc. Shared memory counts for each process in RSS,
        and once in PSS.
    status : int
        Exit status; negative: the number of the signal.
    output, errors : str
        Text printed to stdout and stderr.
    """

    wall: float
    cpu: float
    rss: float | None
    pss: float | None
    status: int
    output: str
    errors: str


def measure(command: Command) -> Measurement:
    """Run a command from the repository's root, and wait for its end."""
    environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
    environment.update(command.variables)
    os.sync()  # do not wait for writes of an earlier run
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        with _Sampler(process.pid) as sampler:
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Measurement(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        rss=sampler.rss / MIB or None,
        pss=sampler.pss / MIB or None,
        status=process.returncode,
        output=texts[0],
        errors=texts[1],
    )


class _Sampler(threading.Thread):
    """Samples the memory of a process and its descendants inside the context."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.rss = 0
        self.pss = 0
        self._pid = pid
        self._over = threading.Event()

    def __enter__(self) -> _Sampler:
        if Path("/proc/self/statm").exists():
            self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Sample until the process has ended."""
        number = 0
        while not self._over.wait(INTERVAL):
            pids = list(_tree(self._pid))
            self.rss = max(self.rss, sum(map(_rss, pids)))
            if number % PSS_EVERY == 0:
                self.pss = max(self.pss, sum(map(_pss, pids)))
            number += 1


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and its descendants, as far as they are still alive."""
    yield pid
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                for child in (thread / "children").read_text().split():
                    yield from _tree(int(child))


def _rss(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
