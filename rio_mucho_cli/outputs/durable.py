"""Files that outlive the process: one process has them, and what is in them lasts."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import FileIO
from pathlib import Path

from rio_mucho_cli.outputs.locks import lock_file
from rio_mucho_cli.system import write_at

# No link, no pipe that makes one wait, no line ends changed: each system has some of these.
_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_locked(path: Path, flags: int = 0) -> FileIO:
    """Open a regular file, no link or pipe, for reading and writing.

    One that has another name, too, is somebody else's. Nobody else can read
    one that is made. The lock goes with the process, however that ends.

    Parameters
    ----------
    path : Path
    flags : int
        os.O_CREAT, to make one where there is none.

    Raises
    ------
    BlockingIOError
        If another process has it.
    OSError
        If it cannot be opened.
    """
    file = FileIO(os.open(path, flags | os.O_RDWR | _AS_IT_IS, 0o600), "r+")
    try:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if about.st_nlink > 1:
            raise OSError(errno.EMLINK, "it is a file that has another name, too")
        lock_file(file)
    except BaseException:
        file.close()
        raise
    return file


def open_to_read(path: Path) -> FileIO:
    """Open a file that may come from anywhere, no link: a pipe does not make it wait."""
    return FileIO(os.open(path, os.O_RDONLY | _AS_IT_IS))


def write_private(path: Path, text: str) -> None:
    """Write a new file that nobody else can read, and wait until it is on the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _AS_IT_IS
    with FileIO(os.open(path, flags, 0o600), "w") as file:
        write_at(file, text.encode("ascii"), 0)
        flush(file.fileno())


def flush(descriptor: int) -> None:
    """Wait until what has been written is on the disk."""
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:
            raise  # else the file system cannot do that


def flush_file(path: Path) -> None:
    """Wait until a file is on the disk: what says that it is complete must not be there before."""
    with FileIO(os.open(path, os.O_RDWR | _AS_IT_IS), "r+") as file:  # Windows flushes no other
        flush(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until the names of the files in a folder are on the disk, as far as it can be had."""
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            flush(folder)
        finally:
            os.close(folder)
