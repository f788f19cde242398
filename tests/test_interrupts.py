import os
import signal
import subprocess
import sys
import threading

import pytest
from rasterio.errors import EnvError

from rio_mucho_cli import engine, interrupts


def test_the_first_ctrl_c_interrupts_and_the_next_is_ignored():
    cleaned = []

    def work():
        with interrupts.once():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                signal.pause()
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_the_process_cleans_up_and_ends_by_the_signal(name):
    code = (
        "import os, signal\nfrom rio_mucho_cli import interrupts\n"
        "with interrupts.once():\n"
        "    try:\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "        signal.pause()\n"
        "    finally:\n"
        "        print('cleaned up', flush=True)\n"
        "print('not reached')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -getattr(signal, name)
    assert (done.stdout, done.stderr) == ("cleaned up\n", "")


def test_handlers_of_the_program_stay():
    got = []
    before = signal.signal(signal.SIGTERM, lambda *args: got.append("SIGTERM"))
    try:
        with interrupts.once():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert got == ["SIGTERM"]


def test_nothing_interrupts_what_is_held():
    with interrupts.held():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_are_left_alone():
    def target():
        with interrupts.once(), interrupts.held():
            done.append(signal.getsignal(signal.SIGINT))

    done = []
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    assert done == [signal.default_int_handler]


def test_what_is_deferred_is_acted_on_afterwards():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts.caught(), interrupts.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        done.append(True)
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("interrupted", [True, False])
def test_ctrl_c_while_rasterio_leaves_an_environment_is_ctrl_c(mucho, monkeypatch, interrupted):
    def run(*_):
        try:
            raise KeyboardInterrupt if interrupted else ValueError
        finally:
            raise EnvError("No GDAL environment exists")

    monkeypatch.setattr(engine, "run", run)
    result = mucho("--func", "mod:copy")
    if interrupted:
        assert result.exit_code == 130
        assert result.stderr == "Interrupted: out.tif was not written.\n"
    else:
        assert isinstance(result.exception, EnvError)
