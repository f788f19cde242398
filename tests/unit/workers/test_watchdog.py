"""Processes that end themselves."""

import subprocess
import sys

import pytest

HEAD = """
import ctypes, logging, sys, threading
from rio_mucho_cli.workers import watchdog
watchdog._GRACE = watchdog._LEAVING = 0.1
exit_after = watchdog.exit_after
logging.basicConfig()
"""

PROGRAMS = {
    "Python": "with exit_after(0.1, lambda: print('told', flush=True)): threading.Event().wait()",
    "a thread": """
def work():
    with exit_after(0.1, lambda: print('told', flush=True)):
        threading.Event().wait()
threading.Thread(target=work).start()
with exit_after(600):
    threading.Event().wait()
""",
    "native code": "with exit_after(0.1): ctypes.PyDLL(None).pause()",
    "native code in a thread": """
def work():
    with exit_after(0.1):
        ctypes.PyDLL(None).pause()
with exit_after(600):
    threading.Thread(target=work).start()
    threading.Event().wait()
""",
    "after others": """
for _ in range(3):
    with exit_after(600), exit_after(600):
        pass
with exit_after(0.1): ctypes.PyDLL(None).pause()
""",
}


def run(program):
    return subprocess.run([sys.executable, "-c", HEAD + program], capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pause()")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_process_ends_when_it_takes_too_long(name):
    done = run(PROGRAMS[name])
    assert done.returncode == 1
    assert ("told" in done.stdout) == ("native" not in name and "others" not in name)
    assert "took longer than 0.1 s" in done.stderr or "Timeout" in done.stderr
    assert "<string>" in done.stderr  # where it was


def test_a_process_that_is_done_in_time_goes_on():
    done = run("with exit_after(0.3): pass\nthreading.Event().wait(1)\nprint('done')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
