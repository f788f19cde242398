"""Waiting for what another process or thread does."""

import time


def wait_until(happened, what, seconds=120.0):
    """Return as soon as `happened()` is true, and fail with `what` if that takes too long."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
