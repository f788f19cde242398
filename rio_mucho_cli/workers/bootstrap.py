"""Start a worker process: a script that a new interpreter runs.

The worker uses the import path of the main process. This package, numpy and
rasterio are imported with that path after the interpreter's own, so a user's
``numpy.py`` next to a function does not break workers.
"""

import atexit
import os
import pickle
import socket
import sys


def main() -> None:
    """Connect to the main process and serve calls until it ends the connection."""
    sock, progress = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    # Subprocesses of the function must not inherit the connection: the main process
    # would not see the end of this one.
    os.set_inheritable(sock.fileno(), False)
    os.set_inheritable(progress, False)
    os.register_at_fork(after_in_child=sock.close)
    try:
        length = int.from_bytes(sock.recv(8, socket.MSG_WAITALL), "little")
        path, argv = pickle.loads(sock.recv(length, socket.MSG_WAITALL))
    except (EOFError, OSError):
        return  # the main process has ended
    own = list(sys.path)
    sys.path.extend(entry for entry in path if entry not in own)
    from rio_mucho_cli.workers.process_main import serve

    sys.path[:] = path
    sys.argv[:] = argv
    serve(sock, progress)
    # Skip interpreter shutdown: freeing all memory, or waiting for threads that the
    # function left running, would delay the main process.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
