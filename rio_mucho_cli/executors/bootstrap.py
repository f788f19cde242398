"""What a worker process starts as: a script, run by a new interpreter.

It takes the caller's import path, but imports this package, and with it numpy
and rasterio, while that path stands behind the interpreter's own: a user's
``numpy.py`` beside a function is no reason for workers to fail.
"""

import os
import pickle
import sys
from multiprocessing.connection import Connection


def main() -> None:
    """Connect to the parent, import, and work until it says that it is enough."""
    connection = Connection(int(sys.argv[1]))
    # What the function starts must not hold the pipe: it would keep the parent
    # from seeing the end of this process.
    os.set_inheritable(connection.fileno(), False)
    os.register_at_fork(after_in_child=connection.close)
    try:
        path, argv = pickle.loads(connection.recv_bytes())
    except (EOFError, OSError):
        return  # the parent is gone
    own = list(sys.path)
    sys.path.extend(entry for entry in path if entry not in own)
    from rio_mucho_cli.executors.processes import serve

    sys.path[:] = path
    sys.argv[:] = argv
    serve(connection)


if __name__ == "__main__":
    main()
