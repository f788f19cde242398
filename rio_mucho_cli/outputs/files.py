"""Files, folders and locks beside an output: they last, or are gone with their process."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from rio_mucho_cli.errors import OutputError, OutputExistsError
from rio_mucho_cli.paths import local_file
from rio_mucho_cli.system import write_at
from rio_mucho_cli.text import option, truncate

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


def exists_error(path: str) -> OutputError:
    """Say that an output exists."""
    return OutputExistsError(f"the output {path} exists: pass {option('overwrite')} to replace it")


@contextmanager
def os_errors_explained(path: str, place: Path) -> Iterator[None]:
    """Say why the file system does not take an output."""
    try:
        yield
    except OutputError:
        raise
    except OSError as exc:
        if not place.parent.is_dir():
            raise OutputError(
                f"the folder of {path} does not exist: make {place.parent} first"
            ) from None
        raise OutputError(
            f"{truncate(path, 100)} cannot be written: the folder {place.parent} takes "
            f"no such file ({exc.strerror})"
        ) from None


def check_file(path: str, place: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise OutputError if there is something that may not be replaced."""
    if not place.exists():
        return
    if not place.is_file():
        kind = "a folder" if place.is_dir() else "no regular file"
        raise OutputError(f"{path} is {kind}: give the name of a file to write")
    if overwrite:
        return
    same = [source for source in inputs if _is_same_file(source, place)]
    if same:
        raise OutputError(
            f"the output {path} is the input {same[0]}: pass {option('overwrite')} to replace it "
            "when all is done, or give another output"
        )
    raise exists_error(path)


def _is_same_file(source: str, place: Path) -> bool:
    file = local_file(source)
    return file is not None and place.samefile(file)
