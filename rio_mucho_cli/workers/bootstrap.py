"""What a worker process starts as: a script, run by a new interpreter.

It takes the caller's import path, but imports this package, and with it numpy
and rasterio, while that path stands behind the interpreter's own: a user's
``numpy.py`` beside a function is no reason for workers to fail.
"""

import atexit
import os
import pickle
import socket
import sys


def main() -> None:
    """Connect to the parent, import, and work until it says that it is enough."""
    sock, progress = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    # What the function starts must not hold the connection: it would keep the
    # parent from seeing the end of this process.
    os.set_inheritable(sock.fileno(), False)
    os.set_inheritable(progress, False)
    os.register_at_fork(after_in_child=sock.close)
    try:
        length = int.from_bytes(sock.recv(8, socket.MSG_WAITALL), "little")
        path, argv = pickle.loads(sock.recv(length, socket.MSG_WAITALL))
    except (EOFError, OSError):
        return  # the parent is gone
    own = list(sys.path)
    sys.path.extend(entry for entry in path if entry not in own)
    from rio_mucho_cli.workers.process_main import serve

    sys.path[:] = path
    sys.argv[:] = argv
    serve(sock, progress)
    # An interpreter that takes itself apart, with all its memory, keeps the
    # parent waiting; so would a thread that the function has left running.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
