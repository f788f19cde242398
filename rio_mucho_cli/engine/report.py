"""The report of a run: windows, pixels, times and failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.outputs.value_loss import ValueLoss
from rio_mucho_cli.text import format_bytes, format_rate, format_seconds, html_table
from rio_mucho_cli.timing import StageTimes

# Most failures to show in a notebook.
_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Failure:
    """A window that is nodata because its function raised.

    Attributes
    ----------
    window : rasterio.windows.Window
    ij : object
        Row and column in the grid of windows.
    message : str
        Message of the exception, on one line.
    """

    window: Window
    ij: Any
    message: str

    def as_json(self) -> list[Any]:
        """Return the failure as a list for JSON."""
        return [[int(value) for value in self.window.flatten()], list(self.ij), self.message]

    @classmethod
    def from_json(cls, value: Any) -> Failure:
        """Return a failure from `as_json`; raise ValueError or TypeError for another value."""
        (*ends,), (row, col), message = value
        return cls(Window(*map(int, ends)), (int(row), int(col)), str(message))


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """Windows, pixels, times and failures of a run.

    Attributes
    ----------
    windows : int
        Number of windows written, including those of an earlier run.
    executor : str
        Executor that was used; "serial" with one job or one window.
    jobs : int
        Largest number of windows computed at once.
    seconds : float
        Seconds from start to end.
    stages : StageTimes
        Times of reading, function and encoding, summed over workers. Transfer
        and writing are times of the main process; for a mosaic they are
        summed over workers, too.
    idle_seconds : float
        Seconds that workers had nothing to do between the first window and
        the last, summed over workers.
    waited_seconds : float
        Seconds that the main process had nothing to do.
    pixels : int
        Pixels of all windows that this run wrote.
    nbytes : int
        Bytes of all outputs, including parts of mosaics; 0 if unknown.
    value_loss : tuple of ValueLoss
        Value loss of each output, for windows that this run wrote; empty
        until the run has ended.
    failed : tuple of Failure
        Windows that are nodata because the function raised.
    retried : int
        Number of retries after a worker process died.
    resumed : int
        Number of windows that an earlier run finished.
    values : Mapping
        Merged values of outputs that take values: by name, that of the first
        output by its path. Outputs that are written line by line have none.
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
    value_loss: tuple[ValueLoss, ...] = ()
    failed: tuple[Failure, ...] = ()
    retried: int = 0
    resumed: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pixels_per_second(self) -> float:
        """Pixels that this run wrote, divided by `seconds`."""
        return self.pixels / self.seconds if self.seconds > 0 else 0.0

    def __repr__(self) -> str:
        shown = [f"{name} {text}" for name, text in self._shown()]
        return f"<Report: {', '.join(shown)}>"

    def _repr_html_(self) -> str:
        more: list[Sequence[str]] = []
        if self.stages.seconds:
            more.append(("stage", "wall time", "CPU time"))
        for name, stage in self.stages.by_name().items():
            if stage.seconds:
                cpu = "" if name == "transfer" else format_seconds(stage.cpu_seconds)
                more.append((name, format_seconds(stage.seconds), cpu))
        for failure in self.failed[:_MOST_SHOWN]:
            more.append((f"failed: ij {failure.ij}", failure.message))
        if len(self.failed) > _MOST_SHOWN:
            more.append((f"and {len(self.failed) - _MOST_SHOWN} more",))
        return html_table("Report", self._shown(), more)

    def _shown(self) -> list[tuple[str, str]]:
        """Return the main figures as pairs of a name and a text."""
        shown = [
            ("windows", str(self.windows)),
            ("time", format_seconds(self.seconds)),
            ("jobs", f"{self.jobs} ({self.executor})"),
        ]
        if self.pixels_per_second:
            shown.append(("speed", format_rate(self.pixels_per_second)))
        if self.nbytes:
            shown.append(("size", format_bytes(self.nbytes)))
        counts = {"failed": len(self.failed), "retried": self.retried, "resumed": self.resumed}
        return [*shown, *((name, str(count)) for name, count in counts.items() if count)]
