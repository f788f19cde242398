"""Runs that are killed at random moments end as if nobody had.

Each is struck several times, by chance at its beginning or in the midst of its
last step, and started again; the last time it is left alone. Every file must
have the bytes of a run that nobody has hindered, and nothing else may be left.
"""

import signal

import pytest


def test_killed_and_resumed(strike):
    strike(signal.SIGKILL, strikes=16, until="exit status -9")


def test_workers_that_are_killed(strike):
    strike(signal.SIGKILL, strikes=4, victims=["worker"])


def test_the_fork_server_that_is_killed(strike):
    strike(signal.SIGKILL, strikes=4, victims=["server"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_interrupted_and_resumed(strike, name):
    number = signal.Signals[name]
    strike(number, strikes=3, until=f"exit status {128 + number}")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_without_resume_nothing_is_left_by_the_next_run(strike, name):
    strike(signal.Signals[name], strikes=3, resume=False)
