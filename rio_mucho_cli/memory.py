"""What a run may take of the memory, and what that means for windows and jobs.

    base + jobs × (worker + cache + window × copies) + tasks in flight × result

is held below a limit: first by the size of the windows, then by the number of
tasks in flight, then, if somebody has set the limit, by the number of jobs.
It is an estimate, because nobody knows what the function takes for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rio_mucho_cli.batches import BATCH_BYTES
from rio_mucho_cli.env import CACHE_BYTES
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.system import usable_memory
from rio_mucho_cli.text import MB

# The program with numpy, rasterio and GDAL, and each worker process.
_BASE = 100 * MB
_WORKER = 80 * MB
# A function that works on whole arrays has some of its window's size at once,
# and encoding takes two of the result's.
_COPIES = 4
# Nobody has to think of memory with so much for a job, or half of what there is.
_DEFAULT_JOB = 256 * MB


@dataclass(frozen=True, slots=True)
class Budget:
    """What windows and tasks may be like within a limit.

    Attributes
    ----------
    limit : int
        In bytes.
    is_strict : bool
        Whether somebody set it; else jobs are not reduced for it.
    jobs : int
    in_processes : bool
        Whether each job has a process of its own.
    read_bytes, result_bytes : int
        For one pixel: of all inputs, and of what the function returns.
    """

    limit: int
    is_strict: bool
    jobs: int
    in_processes: bool
    read_bytes: int
    result_bytes: int

    @classmethod
    def of(
        cls, mem_limit: int | None, jobs: int, *, in_processes: bool, read: int, result: int
    ) -> Budget:
        """Make the budget of a run; `mem_limit` is in MB (10^6 bytes), None for the default."""
        limit = min(_BASE + jobs * _DEFAULT_JOB, usable_memory() // 2)
        if mem_limit is not None:
            limit = mem_limit * MB
        return cls(limit, mem_limit is not None, jobs, in_processes, read, result)

    def window_pixels(self) -> int:
        """Return how many pixels a window may have; it may be less than one."""
        rest = self.limit - _BASE - self.jobs * self._fixed
        each = self.jobs * _COPIES * (self.read_bytes + self.result_bytes)
        return max(0, rest // (each + self._most_in_flight * self.result_bytes))

    def fitted(self, pixels: int) -> tuple[int, int]:
        """Return jobs and tasks in flight for windows of so many pixels.

        Raises
        ------
        UsageError
            If not even one job is within a limit that somebody set.
        """
        for jobs in range(self.jobs, 0, -1):
            fewer = replace(self, jobs=jobs)
            for in_flight in range(fewer._most_in_flight, jobs - 1, -1):
                if fewer.total(pixels, in_flight) <= self.limit:
                    return jobs, in_flight
            if not self.is_strict:
                return jobs, jobs
        alone = replace(self, jobs=1)
        least, bare = alone.total(pixels, 1), alone.total(0, 1)
        advice = "give that much"
        if bare <= self.limit:
            advice += ", or smaller windows"
        raise UsageError(
            f"the memory limit is {self.limit // MB} MB, and one job needs about "
            f"{-(-least // MB)} MB, of which {-(-bare // MB)} MB are the program itself: {advice}"
        )

    @property
    def _fixed(self) -> int:
        return CACHE_BYTES + (_WORKER if self.in_processes else 0)

    @property
    def _most_in_flight(self) -> int:
        return 1 if self.jobs == 1 else 2 * self.jobs

    def total(self, pixels: int, in_flight: int) -> int:
        """Return what all jobs take with windows of so many pixels, in bytes."""
        window = pixels * _COPIES * (self.read_bytes + self.result_bytes)
        waiting = in_flight * max(pixels * self.result_bytes, BATCH_BYTES)
        return _BASE + self.jobs * (self._fixed + window) + waiting
