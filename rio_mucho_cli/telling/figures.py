"""Those figures of a report that rules look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Said: TypeAlias = Mapping[str, Any]


class Figures:
    """Those figures of a report that several rules look at.

    Parameters
    ----------
    said : Mapping
        What `document` says; the plan must be known.
    """

    def __init__(self, said: Said) -> None:
        self.said = said
        self.plan: Said = said["plan"]
        self.inputs: list[Said] = self.plan["inputs"]
        self.jobs: int = self.plan["jobs"]
        self.executor: str = self.plan["executor"]
        self.windows: int = sum(worker["windows"] for worker in said["workers"])
        self.working: float = said["phases"]["working_seconds"]
        self.starting: float = said["phases"]["starting_seconds"]
        self.seconds: float = said["seconds"]

    def wall(self, *names: str) -> float:
        """Return the wall time of some stages, of all workers."""
        return self._sum("seconds", names)

    def cpu(self, *names: str) -> float:
        """Return the CPU time of some stages, of all workers."""
        return self._sum("cpu_seconds", names)

    @property
    def busy(self) -> float:
        """How long workers were busy, together."""
        return self.wall("read", "function", "encode", "write")

    @property
    def idle_share(self) -> float:
        """How much of the workers' time between first and last window they were idle."""
        there = self.jobs * self.working
        return 0.0 if there <= 0 else max(0.0, 1 - self.busy / there)

    @property
    def each(self) -> float:
        """How long a window took, on average."""
        return self.busy / max(1, self.windows)

    def _sum(self, which: str, names: Iterable[str]) -> float:
        workers = self.said["workers"]
        return float(sum(worker["stages"][name][which] for worker in workers for name in names))
