"""Number the workers of a run, for functions that share out devices by `info.worker`.

Every thread that computes windows is a worker. Threads of a group, such as a
process, are numbered in the order of their first windows, from the number that
the executor gives to the group's first one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeAlias

Place: TypeAlias = "tuple[Hashable, int]"
"""Group of a thread, and the number of the group's first worker."""

_number = 0
_finders: dict[str, Callable[[int], Place]] = {}
_threads: dict[str, dict[Hashable, dict[int, int]]] = {}
_lock = threading.Lock()


def number_by(run_id: str, find: Callable[[int], Place]) -> None:
    """Set how to find the place of a thread of this process, unless it is set.

    Parameters
    ----------
    run_id : str
    find : callable
        Gets the number of workers of the run, or 0.
    """
    _finders.setdefault(run_id, find)


def worker_number(run_id: str, workers: int = 0) -> int:
    """Return the number of the current thread among the workers of a run.

    Parameters
    ----------
    run_id : str
    workers : int
        Number of workers of a user's executor, if known.
    """
    find = _finders.get(run_id)
    group, first = (None, 0) if find is None else find(workers)
    with _lock:
        threads = _threads.setdefault(run_id, {}).setdefault(group, {})
        return first + threads.setdefault(threading.get_ident(), len(threads))


def forget_run(run_id: str) -> None:
    """Forget the workers of a run in this process."""
    _finders.pop(run_id, None)
    with _lock:
        _threads.pop(run_id, None)


def number_process(number: int) -> None:
    """Set the number of this process, which the package has started."""
    global _number
    _number = number


def place_of_process(workers: int) -> Place:
    """Return the place of a process that the package has started."""
    return None, _number


def place_in_pool(workers: int) -> Place:
    """Return the place of a process of the standard library's pool, or loky's.

    Notes
    -----
    multiprocessing counts the processes that a process starts. Those of one pool
    usually follow one another, so their remainders differ.
    """
    from multiprocessing import current_process

    identity: tuple[int, ...] = getattr(current_process(), "_identity", ())
    return None, (identity[-1] - 1) % workers if identity and workers else 0
