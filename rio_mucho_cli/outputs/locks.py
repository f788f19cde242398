"""Locks of folders and files: they are gone with the process that has them, however it ends."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    HAS_FLOCK = False
else:
    HAS_FLOCK = True


def is_real_folder(path: Path) -> bool:
    """Return whether a path is that of a folder, and not of a link to one."""
    return path.is_dir() and not path.is_symlink()


def lock_file(file: FileIO) -> None:
    """Lock an open file where the system can; elsewhere the lock of its folder has to do.

    Raises
    ------
    BlockingIOError
        If another process has it.
    """
    if HAS_FLOCK:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # a file system that has no locks


def lock_folder(folder: Path, *, must: bool = False) -> int:
    """Lock a folder, no link to one, until the descriptor is closed or the process ends.

    Parameters
    ----------
    folder : Path
    must : bool
        Else it is not minded if the file system has no locks.

    Raises
    ------
    BlockingIOError
        If another process has it.
    OSError
        If it is no folder.
    """
    if not HAS_FLOCK:
        return _lock_beside(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if must or isinstance(exc, BlockingIOError):
            os.close(descriptor)
            raise
    return descriptor


def _lock_beside(folder: Path) -> int:
    """Make a file beside a folder that Windows removes when this process closes it, or ends.

    Windows opens no folders, and removes none in which a file is open.
    """
    if not is_real_folder(folder):
        raise NotADirectoryError(f"{folder} is not a folder")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
    try:
        return os.open(folder.with_name(f".lock-{folder.name}"), flags | getattr(os, "O_BINARY", 0))
    except FileExistsError:
        raise BlockingIOError(f"{folder} is in use") from None
