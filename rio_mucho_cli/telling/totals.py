"""Sums over windows, in as few numbers as they need."""

from __future__ import annotations

from dataclasses import dataclass, field

from rio_mucho_cli.timing import StageTimes

NAMES = ("read", "function", "encode", "transfer", "write")
"""The stages, in their order."""


def _zeros() -> list[float]:
    return [0.0] * len(NAMES)


@dataclass(slots=True)
class Total:
    """What some windows took together.

    Attributes
    ----------
    windows, pixels : int
    wall, cpu : list of float
        Seconds of each stage, as `NAMES` has them.
    """

    windows: int = 0
    pixels: int = 0
    wall: list[float] = field(default_factory=_zeros)
    cpu: list[float] = field(default_factory=_zeros)

    @classmethod
    def of(cls, stages: StageTimes, windows: int = 1, pixels: int = 0) -> Total:
        """Take over what stages took."""
        spent = (stages.read, stages.function, stages.encode, stages.transfer, stages.write)
        return cls(
            windows, pixels, [each.seconds for each in spent], [each.cpu_seconds for each in spent]
        )

    def add(self, other: Total) -> None:
        """Add what others took."""
        self.windows += other.windows
        self.pixels += other.pixels
        for place in range(len(NAMES)):
            self.wall[place] += other.wall[place]
            self.cpu[place] += other.cpu[place]

    @property
    def seconds(self) -> float:
        """Wall time of all stages."""
        return sum(self.wall)

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return wall and CPU time by stage."""
        return {
            name: {"seconds": round(wall, 6), "cpu_seconds": round(cpu, 6)}
            for name, wall, cpu in zip(NAMES, self.wall, self.cpu, strict=True)
        }
