"""Start the worker processes of a run: forked where possible, else new interpreters."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from rio_mucho_cli.workers.channel import Channel, unnamed_file
from rio_mucho_cli.workers.fork_server import fork_worker
from rio_mucho_cli.workers.process import (
    Child,
    Process,
    Program,
    SpawnedChild,
    import_path,
    new_interpreter,
)


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts worker processes that have what this program has at its creation.

    Attributes
    ----------
    program : Program
    """

    program: Program

    def start(self) -> Process:
        """Start a process.

        Raises
        ------
        OSError
            If the system does not allow it.
        TypeError
            If there is no sys.executable.
        """
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(ours.close)
            progress = unnamed_file(8)
            undo.callback(os.close, progress)
            files = theirs.fileno(), progress
            child: Child | None = fork_worker(*files)
            if child is None:
                popen = new_interpreter("worker", files, self.program.variables)
                child = SpawnedChild(popen)
                with suppress(OSError):  # it has ended, as the first call will find
                    ours.sendall(import_path())
            undo.pop_all()
        return Process(child, Channel(ours), progress, self.program)
