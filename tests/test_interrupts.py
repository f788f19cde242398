import os
import signal
import subprocess
import sys
import threading

import pytest
import rasterio

from rio_mucho_cli import interrupts


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


@pytest.fixture
def handlers():
    """Return a function that has this process heed signals as it did before."""
    names = {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal))
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}

    def restore():
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)

    yield restore
    restore()


@pytest.fixture
def struck(monkeypatch, handlers):
    """Return a function that has Ctrl-C come in the Nth time that rasterio leaves an Env.

    In between there is none. The function that is returned says how often one was left.
    """
    delenv = rasterio.env.delenv

    def strike(place):
        left = 0

        def leave():
            nonlocal left
            left += 1
            delenv()
            if left == place:
                os.kill(os.getpid(), signal.SIGINT)

        handlers()  # a run that was interrupted ignores all that follows
        monkeypatch.setattr(rasterio.env, "delenv", leave)
        return lambda: left

    return strike


@pytest.mark.parametrize(
    "more", [[], ["--masked", "--nodata", "none"], ["-f", "COG"], ["--overviews", "2"]], ids=str
)
def test_ctrl_c_while_rasterio_leaves_an_environment(mucho, struck, tmp_path, more):
    """Wherever that is, the run says that it was interrupted, or it was over."""
    command = ["--func", "mod:copy", "-j", "1", "-q", "--overwrite", *more]
    often = struck(0)
    assert mucho(*command).exit_code == 0
    ends = set()
    for place in range(1, often() + 1):
        (tmp_path / "out.tif").unlink()
        struck(place)
        result = mucho(*command)
        ends.add((result.exit_code, result.stderr, (tmp_path / "out.tif").exists()))
        assert not rasterio.env.hasenv()
        (tmp_path / "out.tif").touch()
    assert (130, "Interrupted: out.tif was not written.\n", False) in ends
    assert ends <= {
        (130, "Interrupted: out.tif was not written.\n", False),
        (0, "", True),
    }
