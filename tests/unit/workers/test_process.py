"""The clock of a window, as the main process sees it."""

import os
import socket
from types import SimpleNamespace

import pytest

from rio_mucho_cli.workers import process
from rio_mucho_cli.workers.channel import (
    Channel,
    pack_message,
    unnamed_file,
    write_clock,
    write_progress,
)
from rio_mucho_cli.workers.process import Process

pytestmark = pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="not on Windows")

TIMEOUT = 10


class Child:
    """A process that ends when it is killed."""

    exitcode = None

    def kill(self):
        self.exitcode = -9


class Script:
    """A worker that does something at given times, on a clock of its own."""

    def __init__(self, monkeypatch, *steps, late=0):
        self.now = 1000.0
        self.steps = [(1000.0 + seconds, do) for seconds, do in steps]
        self.late = late
        self.waits = 0
        monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(Channel, "wait", lambda channel, seconds: self.wait(seconds))
        ours, self.theirs = socket.socketpair()
        self.file = unnamed_file(16)
        self.child = Child()
        self.channel = Channel(ours)
        self.process = Process(self.child, self.channel, self.file, None)

    def begin(self, number):
        """Begin a window of the batch."""
        write_progress(self.file, number)
        write_clock(self.file, self.now)

    def end(self):
        write_clock(self.file, 0)

    def answer(self):
        Channel(self.theirs).send(pack_message("done"))
        return True

    def wait(self, seconds):
        """Let time pass, up to the next answer."""
        self.waits += 1
        until = self.now + max(0, seconds) + self.late
        self.late = 0
        while self.steps and self.steps[0][0] <= until:
            self.now, do = self.steps.pop(0)
            if do(self):
                return True
        self.now = until
        return False

    def call(self):
        return self.process.call(pack_message("a batch"), TIMEOUT).load()

    def close(self):
        self.channel.close()
        self.theirs.close()
        os.close(self.file)


@pytest.fixture
def script(monkeypatch):
    made = []

    def make(*steps, **given):
        made.append(Script(monkeypatch, *steps, **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_each_window_of_a_batch_has_its_own_time(script):
    steps = [(9 * number, lambda worker, n=number: worker.begin(n)) for number in range(5)]
    made = script(*steps, (44, Script.answer))
    assert made.call() == "done"
    assert made.child.exitcode is None
    assert made.waits <= 6


def test_what_is_no_window_has_all_the_time(script):
    """Loading the function, and finishing a part of a mosaic."""
    made = script(
        (95, lambda worker: worker.begin(0)), (100, Script.end), (500, Script.answer),
    )  # fmt: skip
    assert made.call() == "done"


@pytest.mark.parametrize("number", [0, 3])
def test_a_window_that_takes_longer_ends_the_process_at_once(script, number):
    begun = 5 + number
    made = script(
        *[(5 + n, lambda worker, n=n: worker.begin(n)) for n in range(number + 1)],
        (400, Script.answer),
    )
    with pytest.raises(TimeoutError):
        made.call()
    assert made.now == 1000 + begun + TIMEOUT
    assert made.child.exitcode == -9


def test_a_program_that_was_stopped_gives_all_the_time_again(script):
    """Its workers were stopped by the same Ctrl-Z."""
    made = script((1, lambda worker: worker.begin(0)), (3609, Script.answer), late=3590)
    assert made.call() == "done"


def test_without_a_timeout_nothing_is_waited_for(script):
    made = script()
    made.answer()
    assert made.process.call(pack_message("a batch")).load() == "done"
    assert not made.waits
