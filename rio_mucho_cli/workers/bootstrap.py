"""Start a worker process or the fork server: a script that a new interpreter runs.

It uses the import path of the main process. This package, numpy and rasterio are
imported with that path after the interpreter's own, so a user's ``numpy.py`` next
to a function does not break workers.
"""

import os
import pickle
import socket
import sys


def main() -> None:
    """Import the package by the path of the main process, and do the work of a role."""
    role, parent, *files = sys.argv[1], *map(int, sys.argv[2:])
    for file in files:
        os.set_inheritable(file, False)
    sock = socket.socket(fileno=files[0])
    try:
        length = int.from_bytes(sock.recv(8, socket.MSG_WAITALL), "little")
        path = pickle.loads(sock.recv(length, socket.MSG_WAITALL))
    except (EOFError, OSError):
        return  # the main process has ended
    own = list(sys.path)
    sys.path.extend(entry for entry in path if entry not in own)
    if role == "fork-server":
        from rio_mucho_cli.workers.fork_server_main import serve_forks

        sock.close()
        serve_forks(socket.socket(fileno=files[1]), parent)
    else:
        from rio_mucho_cli.workers.process_main import run_worker

        run_worker(sock, files[1], parent)


if __name__ == "__main__":
    main()
