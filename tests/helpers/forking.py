"""Whether this system can have a fork server."""

import os


def _can_fork() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # not Linux, an old kernel, or a container that forbids it
        return False
    return True


CAN_FORK = _can_fork()
START_METHODS = ["forkserver", "spawn"] if CAN_FORK else ["spawn"]
