import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import rasterio
from waiting import wait_until

from rio_mucho_cli import signals


def test_the_first_ctrl_c_interrupts_and_the_next_does_not_disturb_cleaning_up():
    cleaned = []

    def work():
        with signals.reraised_to_default():
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
        "import os, signal\nfrom rio_mucho_cli import signals\n"
        "with signals.reraised_to_default():\n"
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
        with signals.reraised_to_default():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert got == ["SIGTERM"]


def test_other_threads_are_left_alone():
    def target():
        with signals.reraised_to_default(), signals.deferred():
            done.append(signal.getsignal(signal.SIGINT))

    done = []
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    assert done == [signal.default_int_handler]


def test_what_is_deferred_is_acted_on_afterwards():
    done = []
    with pytest.raises(KeyboardInterrupt), signals.first_signal_raises(), signals.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        done.append(True)
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def strike():
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()


class Lost:
    """What is raised in a destructor goes nowhere."""

    def __del__(self):
        strike()


def lose_in_destructor():
    Lost()


def lose_in_except():
    with contextlib.suppress(BaseException):
        strike()


def lose_in_another():
    try:
        strike()
    except BaseException as exc:
        raise ValueError("something else") from exc


@pytest.mark.parametrize("lose", [lose_in_destructor, lose_in_except, lose_in_another])
def test_what_was_asked_for_leaves_the_block_even_if_it_was_lost_inside(lose, capfd):
    with pytest.raises(KeyboardInterrupt), signals.first_signal_raises():
        lose()
    assert capfd.readouterr().err == ""
    signals.check()  # nothing is left of it


def test_what_was_lost_is_raised_at_the_next_check_and_by_the_next_signal():
    raised = []
    with pytest.raises(KeyboardInterrupt), signals.first_signal_raises():
        lose_in_except()
        with pytest.raises(KeyboardInterrupt):
            signals.check()
        with pytest.raises(KeyboardInterrupt):
            strike()
        raised.append(True)
    assert raised == [True]


def test_a_check_does_not_disturb_cleaning_up():
    cleaned = []
    with pytest.raises(KeyboardInterrupt), signals.first_signal_raises():
        try:
            strike()
        finally:
            signals.check()
            cleaned.append(True)
    assert cleaned == [True]


def test_a_signal_that_comes_too_late_is_raised_when_the_run_is_over():
    done = []
    with pytest.raises(KeyboardInterrupt), signals.reraised_to_default():
        signals.finish()
        os.kill(os.getpid(), signal.SIGINT)
        done.append(True)
    assert done == [True]


def test_a_run_in_a_function_does_not_have_signals_come_too_late_for_the_outer_one():
    with pytest.raises(KeyboardInterrupt), signals.reraised_to_default():
        with signals.reraised_to_default():
            signals.finish()
        strike()


def test_other_exceptions_are_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Broken:
        def __del__(self):
            raise ValueError("of the function")

    with signals.first_signal_raises():
        Broken()
    assert [str(each.exc_value) for each in told] == ["of the function"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_processes_that_the_function_forks_off_heed_signals_as_others_do():
    ready, begun = os.pipe()
    with signals.first_signal_raises():
        child = os.fork()
        if not child:
            os.write(begun, b"!")
            time.sleep(30)
            os._exit(0)
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


LOSING = """
import sqlite3, time

def swallowed(data, window, ij, global_args):
    open("begun", "w").close()
    try:
        time.sleep(0.2)
    except:
        pass
    return data[0]

def another(data, window, ij, global_args):
    open("begun", "w").close()
    try:
        time.sleep(60)
    except BaseException as exc:
        raise ValueError("something else") from exc

def endless(data, window, ij, global_args):
    open("begun", "w").close()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def native(data, window, ij, global_args):
    open("begun", "w").close()
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    sqlite3.connect(":memory:").execute(numbers + " SELECT count(*) FROM n").fetchone()
"""


@pytest.fixture
def interrupted(module, make_raster, tmp_path):
    """Return a function that runs `rio mucho`, sends signals once it is busy, and sees it end."""
    module(LOSING, "losing.py")
    make_raster("a.tif", width=64, height=64)

    def heed():
        for name in ("SIGINT", "SIGHUP"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)

    def run(*args, numbers, is_busy=(tmp_path / "begun").exists):
        with subprocess.Popen(
            [str(Path(sys.executable).with_name("rio")), "mucho", *args, "out.tif", "-q"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed,
        ) as process:
            wait_until(is_busy, "it is not busy")
            for number in numbers:
                process.send_signal(number)
                time.sleep(0.02)
            said = process.communicate(timeout=60)[1]
        return process.returncode, said, sorted(path.name for path in tmp_path.glob("*out*"))

    return run


@pytest.mark.parametrize("name", ["swallowed", "another", "endless", "native"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_ends_whatever_its_function_does_with_signals(interrupted, name, number):
    args = ["a.tif", "--func", f"losing:{name}", "--windows", "16", "-j", "1"]
    how = "Interrupted" if number == signal.SIGINT else f"Ended by {number.name}"
    expected = 128 + number, f"{how}: out.tif was not written.\n", []
    assert interrupted(*args, numbers=[number]) == expected


def test_more_signals_do_no_harm(interrupted):
    args = ["a.tif", "--func", "losing:swallowed", "--windows", "16", "-j", "1"]
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGTERM]
    expected = 130, "Interrupted: out.tif was not written.\n", []
    assert interrupted(*args, numbers=numbers) == expected


def test_what_was_done_is_kept_for_resume_when_native_code_is_left_behind(interrupted):
    args = ["a.tif", "--func", "losing:native", "--windows", "16", "-j", "1", "--resume"]
    status, said, _ = interrupted(*args, numbers=[signal.SIGTERM])
    assert (status, said.splitlines()[0].split(":")[0]) == (143, "Ended by SIGTERM")
    assert "Traceback" not in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_input_that_never_comes_is_not_waited_for(interrupted, tmp_path, jobs):
    os.mkfifo(tmp_path / "pipe.tif")
    ends = []

    def is_read():
        try:
            ends.append(os.open(tmp_path / "pipe.tif", os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False  # nobody reads it
        return True

    args = ["pipe.tif", "--func", "losing:swallowed", "-j", jobs]
    expected = 130, "Interrupted: out.tif was not written.\n", []
    assert interrupted(*args, numbers=[signal.SIGINT], is_busy=is_read) == expected
    os.close(ends[0])


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
    "more",
    [
        [],
        ["-f", "COG"],
        pytest.param(["--masked", "--nodata", "none"], marks=pytest.mark.campaign),
        pytest.param(["--overviews", "2"], marks=pytest.mark.campaign),
    ],
    ids=str,
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
