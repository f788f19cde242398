"""How fast a run is and how long it will take, from events and a clock."""

import pytest
from rasterio.windows import Window

from rio_mucho_cli.progress import OverviewDone, RunStarted, WindowDone
from rio_mucho_cli.report import Report
from rio_mucho_cli.telling.pace import Line, Lines, Pace, summary

WINDOW = Window(0, 0, 1000, 1000)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def window_done(number):
    return WindowDone(WINDOW, (0, number), number, 1_000_000)


@pytest.fixture
def clock():
    return Clock()


def test_the_rate_and_the_time_that_is_left(clock):
    pace = Pace(clock)
    pace.take(RunStarted(10, pixels=10_000_000, jobs=4, busy=lambda: 3))
    assert pace.describe() == "3/4 busy"
    clock.now += 5
    pace.take(window_done(1))
    pace.take(window_done(2))
    assert (pace.done, pace.windows) == (2, 10)
    assert pace.describe() == "400 kpx/s, 20.0 s left, 3/4 busy"


def test_windows_of_an_earlier_run_are_not_counted_as_fast(clock):
    pace = Pace(clock)
    pace.take(RunStarted(10, done=8, pixels=2_000_000, jobs=1))
    clock.now += 60
    pace.take(window_done(9))
    assert pace.describe() == "16.7 kpx/s, 1:00 min left"


def test_no_more_workers_are_busy_than_there_are(clock):
    pace = Pace(clock)
    pace.take(RunStarted(10, pixels=1, jobs=2, busy=lambda: 4))  # tasks in flight
    assert pace.describe() == "2/2 busy"


def test_overviews_follow(clock):
    pace = Pace(clock)
    pace.take(RunStarted(1, overviews=2, pixels=1_000_000))
    clock.now += 1
    pace.take(window_done(1))
    pace.take(OverviewDone(1, WINDOW))
    assert (pace.overviews_done, pace.overviews) == (1, 2)
    assert pace.describe() == "overviews"


def test_lines_come_less_and_less_often(clock):
    said = []
    lines = Lines(lambda text: said.append((clock.now - 100, text)), clock)
    lines(RunStarted(2000, overviews=1, pixels=2000 * 1_000_000, jobs=2, busy=lambda: 2))
    for number in range(1, 2001):
        clock.now += 1
        lines(window_done(number))
    assert [when for when, _ in said] == [15, 45, 105, 225, 465, 765, 1065, 1365, 1665, 1965]
    assert said[0][1] == "15 of 2000 windows, 1 Mpx/s, 33:05 min left, 2/2 busy"
    clock.now += 300
    lines(OverviewDone(1, WINDOW))
    assert said[-1][1] == "1 of 1 parts of overviews"


def test_a_short_run_says_no_line(clock):
    said = []
    lines = Lines(said.append, clock)
    lines(RunStarted(3, pixels=3_000_000))
    for number in (1, 2, 3):
        clock.now += 4
        lines(window_done(number))
    assert said == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "out.tif: 64 windows in 2.0 s, 32 Mpx/s, 45.2 MB"),
        ({"windows": 1, "nbytes": 0}, "out.tif: 1 window in 2.0 s, 32 Mpx/s"),
        (
            {"resumed": 60},
            "out.tif: 64 windows (60 of them by an earlier run) in 2.0 s, 32 Mpx/s, 45.2 MB",
        ),
        (
            {"resumed": 64},
            "out.tif: nothing is left to do, an earlier run has done all of it (64 windows)",
        ),
    ],
)
def test_a_run_in_a_line(more, expected):
    values = {"windows": 64, "executor": "serial", "jobs": 1, "seconds": 2.0}
    values |= {"pixels": 64_000_000, "nbytes": 45_200_000} | more
    assert summary(Report(**values), ["out.tif"]) == expected


def test_a_line_is_drawn_anew_now_and_then(clock):
    written = []
    line = Line(written.append, clock)
    line(RunStarted(30, overviews=1, pixels=30_000_000))
    for number in range(1, 31):
        clock.now += 0.0625
        line(window_done(number))
    line(OverviewDone(1, WINDOW))
    assert written[0] == "\r0 of 30 windows"
    assert written[1] == "\r2 of 30 windows, 16 Mpx/s, 1.8 s left"
    assert len(written) == 1 + 15 + 1
    assert written[-1].startswith("\r30 of 30 windows, overviews")
    assert "".join(written).count("\n") == 1
