"""Folders in which outputs grow: their names, their locks, and what killed runs have left."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.locks import is_real_folder, lock_folder

_PARTIAL = ".mucho-partial"
# So many bytes may a name have on nearly all file systems, with what may be put before it.
_MOST = 240
# How many bytes of an output's name are in the name of its folder.
_LONGEST = 60
# How many descriptors it takes to remove a folder with another one in it.
_TO_REMOVE = 3


def beside(path: str, ending: str) -> Path:
    """Return the path of what lies beside a file and has its name with an ending.

    A name that would be too long is cut, and a digest of it tells it from others.
    """
    place = Path(os.path.realpath(path))
    name, most = os.fsencode(place.name), _MOST - len(ending)
    if len(name) > most:
        digest = hashlib.sha256(name).hexdigest()[:16]
        start = name[: most - len(digest) - 1].decode("utf-8", "ignore")
        return place.with_name(f"{start}-{digest}{ending}")
    return place.with_name(place.name + ending)


def partial_folder(path: str) -> Path:
    """Return the folder in which an output grows that can be resumed."""
    return beside(path, _PARTIAL)


def journal_of(path: str) -> Path:
    """Return where it is written down what has been done of an output."""
    folder = partial_folder(path)
    return folder / f"{folder.name.removesuffix(_PARTIAL)}.journal"


def remove_partial(path: str) -> None:
    """Remove the folder in which an output has grown, unless a run has it."""
    folder = partial_folder(path)
    with suppress(OSError):
        lock = lock_folder(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def locks_of(folder: Path) -> list[int]:
    """Lock a folder, until all descriptors that are returned are closed.

    All but one are there to be closed before it is removed. If there are not
    so many left, it is removed at once, provided that it is empty.
    """
    locks: list[int] = []
    try:
        locks.append(lock_folder(folder))
        locks += [os.dup(locks[0]) for _ in range(_TO_REMOVE)]
    except OSError as exc:
        for lock in locks:
            os.close(lock)
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            with suppress(OSError):
                folder.rmdir()
        raise
    return locks


def new_folder(parent: Path, name: str) -> tuple[Path, list[int]]:
    """Make a folder for an output of that name, and lock it; remove those that runs have left.

    Another run may come in between, and take it for one that was left.
    """
    start = os.fsencode(name)[:_LONGEST].decode("utf-8", "ignore")
    prefix = f".mucho-{start}-"
    _remove_stale(parent, prefix)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError, BlockingIOError):
            locks = locks_of(folder)
            if folder.is_dir():
                return folder, locks
            for lock in locks:
                os.close(lock)


def _remove_stale(parent: Path, prefix: str) -> None:
    """Remove what a killed run has left: its folder is locked by nobody."""
    for folder in parent.glob(f"{glob.escape(prefix)}*"):
        with suppress(OSError):
            lock = lock_folder(folder, must=True)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def folder_exists(folder: Path, purpose: str) -> bool:
    """Return whether a folder exists; raise OutputError for a file or a link in its place."""
    if not os.path.lexists(folder):
        return False
    if not is_real_folder(folder):
        raise OutputError(
            f"{folder} is not a folder of {purpose}: remove it, or give another output"
        )
    return True
