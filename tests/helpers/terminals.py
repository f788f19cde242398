"""Run programs on a terminal, and see what it shows. Windows has no pseudo-terminals."""

import os
import pty
import subprocess
import termios


def on_a_terminal(command, cwd, columns=80, **variables):
    """Run a command whose stderr is a terminal; return all that it writes there."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, columns))
    environment = {**os.environ, "TERM": "xterm", **variables}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stderr=child, stdout=subprocess.PIPE
    ) as run:
        os.close(child)
        written = b""
        while True:
            try:
                part = os.read(parent, 1000)
            except OSError:  # how a terminal says that nobody writes to it any more
                break
            if not part:
                break
            written += part
        assert run.stdout.read() == b""
    os.close(parent)
    assert run.returncode == 0
    return written.decode().replace("\r\n", "\n")


def lines_shown(written):
    """Return the lines that a terminal shows of what was written."""
    lines = []
    for line in written.split("\n"):
        shown = ""
        for part in line.split("\r"):
            after = part.removeprefix("\033[K")  # clears the line
            shown = after if after != part else after + shown[len(after) :]
        lines.append(shown.rstrip())
    return lines
