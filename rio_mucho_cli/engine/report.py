"""What a run cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.outputs.value_loss import ValueLoss
from rio_mucho_cli.text import format_count, html_table
from rio_mucho_cli.timing import StageTimes

# Failures in a notebook's table.
_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Failure:
    """A window that is nodata because its function raised.

    Attributes
    ----------
    window : rasterio.windows.Window, or the caller's own window
    ij : tuple of int
    message : str
        What was raised, on one line.
    """

    window: Any
    ij: Any
    message: str

    def as_json(self) -> list[Any]:
        """Return it as what JSON can say."""
        return [[int(value) for value in self.window.flatten()], list(self.ij), self.message]

    @classmethod
    def from_json(cls, value: Any) -> Failure:
        """Undo `as_json`; raise ValueError or TypeError if it is something else."""
        (*ends,), (row, col), message = value
        return cls(Window(*map(int, ends)), (int(row), int(col)), str(message))


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What a finished run did, and where its time went.

    Attributes
    ----------
    windows : int
        How many were written.
    executor : str
        The one that was used: with one job or one window it is "serial".
    jobs : int
        How many windows were worked on at once, at most.
    seconds : float
        From start to end.
    stages : StageTimes
        Reading, the function and encoding, as sums over all workers; transfer
        and writing as the calling process sees them, or, of a mosaic, as sums
        over all workers, too.
    idle_seconds : float
        How long workers had nothing to do between the first window and the
        last one, together.
    waited_seconds : float
        How long the calling process had nothing to do.
    pixels : int
        Of all windows that this run has written.
    nbytes : int
        Of all outputs, with the parts of mosaics; 0 where that is not known.
    misfits : tuple of ValueLoss
        What each output could not hold as what it is, of the windows that this
        run has written; empty before its end.
    failed : tuple of Failure
        Windows that are nodata because their function raised.
    retried : int
        How often something was done again because a worker process died.
    resumed : int
        How many windows an earlier run had done.
    """

    windows: int
    executor: str
    jobs: int
    seconds: float
    stages: StageTimes = StageTimes()
    idle_seconds: float = 0.0
    waited_seconds: float = 0.0
    pixels: int = 0
    nbytes: int = 0
    misfits: tuple[ValueLoss, ...] = ()
    failed: tuple[Failure, ...] = ()
    retried: int = 0
    resumed: int = 0

    @property
    def pixels_per_second(self) -> float:
        """Pixels that this run has written, by the seconds from its start to its end."""
        return self.pixels / self.seconds if self.seconds > 0 else 0.0

    def __repr__(self) -> str:
        return f"<Report: {'; '.join(f'{name} {text}' for name, text in self._shown().items())}>"

    def _repr_html_(self) -> str:
        spent = self.stages.by_name().items()
        stages = [("stage", "seconds", "CPU seconds")] if self.stages.seconds else []
        if stages:
            stages += [(name, f"{s.seconds:.3f}", f"{s.cpu_seconds:.3f}") for name, s in spent]
        failed = [(str(each.ij), each.message) for each in self.failed[:_MOST_SHOWN]]
        return html_table("Report", self._shown(), [*stages, *failed])

    def _shown(self) -> dict[str, str]:
        """Return what is worth a look, as text."""
        shown = {
            "windows": str(self.windows),
            "seconds": f"{self.seconds:.2f}",
            "executor": f"{self.executor}, {format_count(self.jobs, 'job')}",
        }
        if self.pixels_per_second:
            shown["pixels per second"] = f"{self.pixels_per_second:.3g}"
        counts = {"failed": len(self.failed), "retried": self.retried, "resumed": self.resumed}
        return shown | {name: str(count) for name, count in counts.items() if count}
