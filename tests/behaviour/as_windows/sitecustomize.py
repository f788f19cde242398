"""Take away from an interpreter what Windows does not have, and do with files as it does.

A folder of this name on PYTHONPATH makes every Python that starts import this.
Files are open if any process of this machine has them: Windows neither replaces
nor removes such a file, nor moves a folder that one is in.
"""

import os
import signal
import socket
import sys
from contextlib import suppress

for name in ("fcntl", "resource", "grp", "pwd", "termios"):
    sys.modules[name] = None

MISSING = {
    os: (
        "wait3", "wait4", "pidfd_open", "pwrite", "pread", "sysconf", "fork", "forkpty",
        "getuid", "geteuid",
        "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "register_at_fork",
        "memfd_create", "posix_fallocate", "sched_getaffinity", "statvfs", "mkfifo",
    ),
    signal: ("SIGHUP", "SIGUSR1", "pthread_sigmask", "SIG_BLOCK", "SIG_SETMASK"),
    socket: ("send_fds", "recv_fds", "AF_UNIX"),
}  # fmt: skip
for module, names in MISSING.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def as_windows_pairs(*_):
    """Connect two sockets of the loopback device: there is no other kind of pair."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]


socket.socketpair = as_windows_pairs
os.supports_dir_fd.clear()
os.supports_fd.discard(os.scandir)
os.O_BINARY, os.O_TEMPORARY = 1 << 28, 1 << 29
_open, _close, _dup, _fsync = os.open, os.close, os.dup, os.fsync
_temporary = {}  # descriptors: the files that are removed with the last of them


def is_open(path):
    """Whether any process has a file open or mapped, or one in a folder."""
    path = os.path.realpath(path)
    found = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            for number in os.listdir(f"/proc/{process}/fd"):
                with suppress(OSError):
                    found.add(os.readlink(f"/proc/{process}/fd/{number}"))
            with open(f"/proc/{process}/maps") as maps:
                found.update(line.split(maxsplit=5)[-1].rstrip() for line in maps)
    return any(each == path or each.startswith(f"{path}/") for each in found)


def refuse_if_open(path, other=None):
    if is_open(path):
        raise PermissionError(13, "The process cannot access the file", path, None, other)


def as_windows_opens(path, flags, mode=0o777, **more):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    if not flags & os.O_BINARY and path != os.devnull:
        raise RuntimeError(f"{path} would be opened as text")
    descriptor = _open(path, flags & ~(os.O_BINARY | os.O_TEMPORARY), mode, **more)
    if flags & os.O_TEMPORARY:
        _temporary[descriptor] = os.path.abspath(path)
    return descriptor


def as_windows_closes(descriptor):
    _close(descriptor)
    path = _temporary.pop(descriptor, None)
    if path is not None and path not in _temporary.values():
        _unlink(path)


def as_windows_copies(descriptor):
    copy = _dup(descriptor)
    if descriptor in _temporary:
        _temporary[copy] = _temporary[descriptor]
    return copy


def as_windows_flushes(descriptor):
    with open(f"/proc/self/fdinfo/{descriptor}") as info:
        flags = int(info.read().partition("flags:")[2].split()[0], 8)
    if not flags & (os.O_WRONLY | os.O_RDWR):
        raise OSError(9, "Bad file descriptor")
    _fsync(descriptor)


def moving(function, *, replaces):
    def as_windows_moves(src, dst, **more):
        refuse_if_open(src, dst)
        if os.path.lexists(dst):
            if not replaces:
                raise FileExistsError(17, "File exists", src, None, dst)
            refuse_if_open(dst)
        return function(src, dst, **more)

    return as_windows_moves


def removing(function):
    def as_windows_removes(path, **more):
        refuse_if_open(path)
        return function(path, **more)

    return as_windows_removes


_unlink = os.unlink
os.open, os.close, os.dup, os.fsync = (
    as_windows_opens, as_windows_closes, as_windows_copies, as_windows_flushes,
)  # fmt: skip
os.rename, os.replace = moving(os.rename, replaces=False), moving(os.replace, replaces=True)
os.unlink = os.remove = removing(os.unlink)
os.rmdir = removing(os.rmdir)
