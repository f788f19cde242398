"""Retry windows of workers that died, and report the window at fault."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from typing import Any

from rio_mucho_cli.engine.scheduling import Task
from rio_mucho_cli.errors import (
    WorkerDiedError,
    WorkerLostError,
    WorkerProcessDiedError,
    WorkerStartError,
    WorkerTimeoutError,
)
from rio_mucho_cli.planning.mosaic import MosaicPart
from rio_mucho_cli.text import MB, option
from rio_mucho_cli.windows import PlannedWindow, format_window
from rio_mucho_cli.workers.window import is_fatal, run_windows

log = logging.getLogger(__name__)

_MEANINGS = {
    "SIGKILL": "the usual cause is a lack of memory: use smaller windows, fewer jobs or a memory "
    "limit",
    "SIGSEGV": "that is usually native code, in a library that the function calls",
    "SIGABRT": "that is usually native code, in a library that the function calls",
    "SIGBUS": "that is usually an input that shrank, or a full disk behind a memory map",
}


class Retries:
    """Retry tasks whose worker died.

    Parameters
    ----------
    executor : Executor
    most : int
        Retries of a window. The last one runs alone, so that no other window
        can be the cause.
    tolerant : bool
        Leave a window nodata if the function raises.

    Attributes
    ----------
    count : int
        Number of retries so far.
    """

    def __init__(self, executor: Executor, most: int, *, tolerant: bool) -> None:
        self._executor = executor
        self._tolerant = tolerant
        self._most = most
        self.count = 0

    def __call__(
        self, task: Task[Any], lost: BrokenExecutor, others: Sequence[Future[Any]], /
    ) -> Any:
        """Return the task's result after one or more retries.

        Raises
        ------
        WorkerDiedError
            If its worker dies in every retry.
        """
        if task.function is not run_windows:
            return self._retry(task, lost, others)
        run_id, batch = task.arguments
        death = WorkerLostError.of(lost)
        died = _death_error(death, batch, 1, alone=False)
        if not death.started:
            raise died
        guilty = 0 if len(batch) == 1 else death.progress
        if guilty is None:
            log.warning("%s; retrying them one by one", died)
            self.count += 1
        else:
            guilty = min(guilty, len(batch) - 1)
        outcomes: list[Any] = []
        for number, planned in enumerate(batch):
            # In a batch of its own, the window at fault is known.
            single = Task([planned], run_windows, (run_id, [planned]))
            outcomes += self._retry(single, lost if number == guilty else None, others)
            if is_fatal(outcomes[-1], tolerant=self._tolerant):
                break
        return outcomes

    def _retry(
        self, task: Task[Any], lost: BrokenExecutor | None, others: Sequence[Future[Any]]
    ) -> Any:
        death = None if lost is None else WorkerLostError.of(lost)
        deaths, is_alone = 0, not self._most
        while True:
            if death is not None:
                deaths += death.times
                was_alone = is_alone and 1 < deaths > self._most
                died = _death_error(death, task.about, deaths, alone=was_alone)
                # dask also counts deaths of the worker during other tasks.
                is_own = death.times == 1 or isinstance(death, WorkerTimeoutError)
                is_sure = deaths > self._most and (is_alone or is_own)
                if is_sure or not death.started:
                    raise died
                log.warning("%s; retrying it", died)
                self.count += 1
                if deaths >= self._most:
                    wait(others)
                    is_alone = True
            try:
                return task.submit(self._executor).result()
            except BrokenExecutor as exc:
                death = WorkerLostError.of(exc)


def _death_error(lost: WorkerLostError, about: Any, times: int, *, alone: bool) -> WorkerDiedError:
    """Return an error with the window in progress and the likely cause of the signal."""
    if isinstance(lost, WorkerStartError):
        return WorkerDiedError(str(lost))
    how, why, times_text = "was lost", str(lost), ""
    if isinstance(lost, WorkerProcessDiedError):
        how = f"ended with exit status {lost.exitcode}"
        why = "the function, or a library that it calls, ended the process"
        if lost.exitcode < 0:
            name = _name_of_signal(-lost.exitcode)
            how, why = (
                f"was killed by {name}",
                _MEANINGS.get(name, "the sender of the signal is unknown"),
            )
        if not lost.started:
            return WorkerDiedError(
                f"a worker process {how} before it was ready: its own messages, above, may say why"
            )
        if isinstance(lost, WorkerTimeoutError):
            how = f"exceeded the timeout of {lost.seconds:g} s"
            why = (
                "if the function does not hang, give windows more time with "
                f"{option('timeout')}, or make them smaller"
            )
        if lost.peak is not None:
            how += f", at {lost.peak // MB} MB of memory,"
        if times > 1:
            times_text = (
                f", {times} times{', the last time with no other window running' if alone else ''}"
            )
    planned = _window_of(about, lost.progress)
    if isinstance(about, MosaicPart) and planned is None:
        what = format_window(about.window).replace("window", "the part of", 1)
        doing = "worked on" if lost.progress is None else "completed"
        return WorkerDiedError(f"a worker process {how} while it {doing} {what}{times_text}: {why}")
    if planned is None:
        return WorkerDiedError(f"a worker process {how} while it made overviews{times_text}: {why}")
    where = f"{format_window(planned.window)} (ij {planned.ij})"
    if isinstance(about, Sequence) and len(about) > 1 and lost.progress is None:
        where = f"one of {len(about)} windows, the first of them {where}"
    error = WorkerDiedError(f"a worker process {how} while it worked on {where}{times_text}: {why}")
    error.at(planned.window, planned.ij)
    return error


def _window_of(about: Any, progress: int | None) -> PlannedWindow | None:
    """Return the window that was in progress, or None."""
    match about:
        case MosaicPart():
            if progress is None or progress >= len(about.windows):
                return None
            return about.windows[progress]
        case [PlannedWindow() as planned, *_]:
            return planned
    return None


def _name_of_signal(number: int) -> str:
    names = {int(number): number.name for number in signal.Signals}
    return names.get(number, f"signal {number}")
