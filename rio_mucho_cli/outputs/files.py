"""Files, folders and locks beside an output."""

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
    """Return whether a path is a folder and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def lock_file(file: FileIO) -> None:
    """Lock an open file if the system can; otherwise only its folder is locked.

    Raises
    ------
    BlockingIOError
        If another process has locked it.
    """
    if HAS_FLOCK:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # the file system does not support locks


def lock_folder(folder: Path, *, must: bool = False) -> int:
    """Lock a folder until the descriptor is closed or the process ends.

    Parameters
    ----------
    folder : Path
    must : bool
        Raise OSError if the file system does not support locks.

    Raises
    ------
    BlockingIOError
        If another process has locked it.
    OSError
        If it is not a folder, or is a link to one.
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
    """Create a lock file beside a folder, which Windows removes when it is closed.

    Windows cannot open folders, nor remove a folder in which a file is open.
    """
    if not is_real_folder(folder):
        raise NotADirectoryError(f"{folder} is not a folder")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
    try:
        return os.open(folder.with_name(f".lock-{folder.name}"), flags | getattr(os, "O_BINARY", 0))
    except FileExistsError:
        raise BlockingIOError(f"{folder} is in use") from None


# Do not follow links, wait for pipes or convert line ends; flags differ between systems.
_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_locked(path: Path, flags: int = 0) -> FileIO:
    """Open and lock a regular file for reading and writing.

    Links, pipes and files with several hard links are refused. A new file is
    readable by its owner only. The lock ends with the process.

    Parameters
    ----------
    path : Path
    flags : int
        os.O_CREAT to create a missing file.

    Raises
    ------
    BlockingIOError
        If another process has locked it.
    OSError
        If it cannot be opened.
    """
    file = FileIO(os.open(path, flags | os.O_RDWR | _AS_IT_IS, 0o600), "r+")
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if status.st_nlink > 1:
            raise OSError(errno.EMLINK, "it is a file that has another name, too")
        lock_file(file)
    except BaseException:
        file.close()
        raise
    return file


def open_to_read(path: Path) -> FileIO:
    """Open an untrusted file for reading: follow no link, wait for no pipe."""
    return FileIO(os.open(path, os.O_RDONLY | _AS_IT_IS))


def write_private(path: Path, text: str) -> None:
    """Write a new file readable by its owner only, and flush it to disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _AS_IT_IS
    with FileIO(os.open(path, flags, 0o600), "w") as file:
        write_at(file, text.encode("ascii"), 0)
        flush(file.fileno())


def flush(descriptor: int) -> None:
    """Flush a descriptor to disk, if the file system can."""
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:
            raise


def flush_file(path: Path) -> None:
    """Flush a file to disk, before anything marks it as complete."""
    with FileIO(os.open(path, os.O_RDWR | _AS_IT_IS), "r+") as file:  # writable, for Windows
        flush(file.fileno())


def flush_folder(path: Path) -> None:
    """Flush the entries of a folder to disk, where the system can."""
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            flush(folder)
        finally:
            os.close(folder)


_PARTIAL = ".mucho-partial"
# Longest file name in bytes, leaving room for a prefix: nearly all file systems allow 255.
_MOST = 240
# Bytes of an output's name that its temporary folder's name repeats.
_LONGEST = 60
# Descriptors needed to remove a folder that contains another one.
_TO_REMOVE = 3


def path_beside(path: str, ending: str) -> Path:
    """Return the path beside a file that has its name plus an ending.

    A name that would be too long is shorten and gets a digest.
    """
    real_path = Path(os.path.realpath(path))
    name, most = os.fsencode(real_path.name), _MOST - len(ending)
    if len(name) > most:
        digest = hashlib.sha256(name).hexdigest()[:16]
        start = name[: most - len(digest) - 1].decode("utf-8", "ignore")
        return real_path.with_name(f"{start}-{digest}{ending}")
    return real_path.with_name(real_path.name + ending)


def partial_folder(path: str) -> Path:
    """Return the folder for the partial output of a resumable run."""
    return path_beside(path, _PARTIAL)


def journal_of(path: str) -> Path:
    """Return the path of the journal of an output."""
    folder = partial_folder(path)
    return folder / f"{folder.name.removesuffix(_PARTIAL)}.journal"


def remove_partial(path: str) -> None:
    """Remove the folder of a partial output, unless a run has locked it."""
    folder = partial_folder(path)
    with suppress(OSError):
        lock = lock_folder(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def lock_with_spares(folder: Path) -> list[int]:
    """Lock a folder until all returned descriptors are closed.

    All but one are spare: closing them frees the descriptors needed to remove
    the folder. If there are too few, an empty folder is removed at once.
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
    """Create and lock a temporary folder for an output, and remove abandoned ones.

    Before the folder is locked, another run may remove it as abandoned: a new
    one is then created.
    """
    start = os.fsencode(name)[:_LONGEST].decode("utf-8", "ignore")
    prefix = f".mucho-{start}-"
    _remove_stale(parent, prefix)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError, BlockingIOError):
            locks = lock_with_spares(folder)
            if folder.is_dir():
                return folder, locks
            for lock in locks:
                os.close(lock)


def _remove_stale(parent: Path, prefix: str) -> None:
    """Remove the folders of killed runs: those that are not locked."""
    for folder in parent.glob(f"{glob.escape(prefix)}*"):
        with suppress(OSError):
            lock = lock_folder(folder, must=True)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def folder_exists(folder: Path, purpose: str) -> bool:
    """Return whether a folder exists; raise OutputError for a file or link."""
    if not os.path.lexists(folder):
        return False
    if not is_real_folder(folder):
        raise OutputError(
            f"{folder} is not a folder of {purpose}: remove it, or give another output"
        )
    return True


def exists_error(path: str) -> OutputError:
    """Return the error for an output that exists already."""
    return OutputExistsError(f"the output {path} exists: pass {option('overwrite')} to replace it")


@contextmanager
def os_errors_explained(path: str, real_path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError that explains it."""
    try:
        yield
    except OutputError:
        raise
    except OSError as exc:
        if not real_path.parent.is_dir():
            raise OutputError(
                f"the folder of {path} does not exist: make {real_path.parent} first"
            ) from None
        raise OutputError(
            f"{truncate(path, 100)} cannot be written: the folder {real_path.parent} takes "
            f"no such file ({exc.strerror})"
        ) from None


def check_file(path: str, real_path: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise OutputError if the path exists and may not be replaced."""
    if not real_path.exists():
        return
    if not real_path.is_file():
        kind = "a folder" if real_path.is_dir() else "not a regular file"
        raise OutputError(f"{path} is {kind}: give the name of a file to write")
    if overwrite:
        return
    same = [source for source in inputs if _is_same_file(source, real_path)]
    if same:
        raise OutputError(
            f"the output {path} is the input {same[0]}: pass {option('overwrite')} to replace it "
            "when all is done, or give another output"
        )
    raise exists_error(path)


def _is_same_file(source: str, real_path: Path) -> bool:
    file = local_file(source)
    return file is not None and real_path.samefile(file)
