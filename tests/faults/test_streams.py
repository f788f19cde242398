"""Nobody reads what a run says; somebody presses Ctrl-C more than once."""

import os
import random
import signal
import subprocess

import pytest
from waiting import wait_until


def test_nobody_reads_what_it_says(place_for):
    """The other end of its stderr is closed: SIGPIPE is no reason to end."""
    place = place_for("GTiff")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        # It has something to say of each window.
        with place.start("processes", "--resume", "--on-error", "nodata", stderr=writing) as run:
            assert run.wait(120) == 0
    finally:
        os.close(writing)
    assert place.names() == set(place.kind.files)


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_streams_when_a_run_fails(place_for, closed):
    place = place_for("GTiff")
    (place.folder / "hindered.py").write_text("def plain(*args):\n    raise ValueError\n")
    with place.start("serial", "--resume") as like:
        like.communicate()
    command = " ".join(map(str, like.args))
    done = subprocess.run(["bash", "-c", f"exec {command} {closed}"], cwd=place.folder, check=False)
    assert done.returncode == 1
    assert not place.names()


def test_windows_that_are_nodata_are_told_to_nobody(place_for):
    place = place_for("GTiff")
    source = "def plain(data, window, ij, args):\n    if ij == (1, 1): raise ValueError\n"
    (place.folder / "hindered.py").write_text(f"{source}    return data[0]\n")
    reading, writing = os.pipe()
    os.close(reading)
    with place.start("serial", "--on-error", "nodata", stderr=writing) as run:
        os.close(writing)
        assert run.wait(120) == 3
    assert place.names() == set(place.kind.files)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("way", ["serial", "threads", "processes"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_one_signal_after_the_other(place_for, way, name):
    """Those that come while it cleans up change nothing."""
    place, number = place_for("GTiff"), signal.Signals[name]
    place.write_old()
    dice = random.Random(f"{way} {name}")
    with place.start(way, "--overwrite") as run:
        wait_until(lambda: place.grows(run) or run.poll() is not None, "it has not begun")
        while run.poll() is None:
            os.kill(run.pid, number)
            try:
                run.wait(dice.uniform(0, 0.01))
            except subprocess.TimeoutExpired:
                continue
        said = run.stderr.read()
    place.check_processes(run)
    how = "Interrupted" if number == signal.SIGINT else f"Ended by {name}"
    assert run.returncode == 128 + number, said
    assert said == f"{how}: out.tif was not written.\n"
    assert place.contents() == {"out.tif": b"old"}
