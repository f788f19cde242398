"""How fast a run is and how long it will take, from events and a clock."""

import pytest
from rasterio.windows import Window

from rio_mucho_cli.engine.events import OverviewDone, RunStarted, WindowDone
from rio_mucho_cli.engine.report import Report
from rio_mucho_cli.reports.progress import LineChooser, Pace, ProgressLine, ProgressLog, summary
from rio_mucho_cli.timing import StageTime, StageTimes, WindowTiming

WINDOW = Window(0, 0, 1000, 1000)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def window_done(number, took=None):
    timing = None if took is None else WindowTiming(stages=StageTimes(function=StageTime(took)))
    return WindowDone(WINDOW, (0, number), number, 1_000_000, timing)


@pytest.fixture
def clock():
    return Clock()


def test_the_rate_and_the_time_that_is_left(clock):
    pace = Pace(clock)
    pace.update(RunStarted(10, pixels=10_000_000, jobs=4, busy=lambda: 3))
    assert pace.describe() == "3/4 busy"
    clock.now += 5
    pace.update(window_done(1, took=5))
    assert pace.describe() == "200 kpx/s, 11.2 s left, 3/4 busy"  # nine windows by four workers
    pace.update(window_done(2))
    assert (pace.done, pace.windows) == (2, 10)
    assert pace.describe() == "400 kpx/s, 10.0 s left, 3/4 busy"


@pytest.mark.parametrize("took", [None, 1])
@pytest.mark.parametrize("jobs", [1, 2, 8])
@pytest.mark.parametrize("starting", [0, 40, 3600])
def test_the_time_that_is_left_does_not_count_the_start(clock, took, jobs, starting):
    """A window takes a second, and `jobs` of them come together."""
    pace = Pace(clock)
    pace.update(RunStarted(400, pixels=400_000_000, jobs=jobs))
    clock.now += starting
    for number in range(1, 401):
        clock.now += (number - 1) % jobs == 0
        pace.update(window_done(number, took))
        if number < 3 * jobs or number % jobs:
            continue
        assert pace.left == pytest.approx((400 - number) / jobs)


def test_a_slow_first_round_is_no_measure(clock):
    pace = Pace(clock)
    pace.update(RunStarted(100, pixels=100_000_000, jobs=2))
    for number in range(1, 41):
        clock.now += 60 if number <= 2 else 1
        pace.update(window_done(number, 60 if number <= 2 else 1))
    assert pace.left == pytest.approx(60)


def test_nothing_is_said_of_the_time_that_is_left_before_it_is_known(clock):
    pace = Pace(clock)
    pace.update(RunStarted(100, pixels=100_000_000))
    assert pace.left is None
    clock.now += 60
    pace.update(window_done(1))
    assert pace.describe() == "16.7 kpx/s"


def test_windows_of_an_earlier_run_are_not_counted_as_fast(clock):
    pace = Pace(clock)
    pace.update(RunStarted(10, done=8, pixels=2_000_000, jobs=1))
    clock.now += 60
    pace.update(window_done(9, took=60))
    assert pace.describe() == "16.7 kpx/s, 60.0 s left"


def test_no_more_workers_are_busy_than_there_are(clock):
    pace = Pace(clock)
    pace.update(RunStarted(10, pixels=1, jobs=2, busy=lambda: 4))  # tasks in flight
    assert pace.describe() == "2/2 busy"


def test_overviews_follow(clock):
    pace = Pace(clock)
    pace.update(RunStarted(1, overviews=2, pixels=1_000_000))
    clock.now += 1
    pace.update(window_done(1))
    pace.update(OverviewDone(1, WINDOW))
    assert (pace.overviews_done, pace.overviews) == (1, 2)
    assert pace.describe() == "overviews"


def test_lines_come_less_and_less_often(clock):
    written = []
    lines = ProgressLog(lambda text: written.append((clock.now - 100, text)), clock)
    lines(RunStarted(2000, overviews=1, pixels=2000 * 1_000_000, jobs=2, busy=lambda: 2))
    for number in range(1, 2001):
        clock.now += 1
        lines(window_done(number))
    assert [when for when, _ in written] == [15, 45, 105, 225, 465, 765, 1065, 1365, 1665, 1965]
    assert written[0][1] == "15 of 2000 windows, 1 Mpx/s, 33 min 05 s left, 2/2 busy"
    clock.now += 300
    lines(OverviewDone(1, WINDOW))
    assert written[-1][1] == "1 of 1 overview parts"


def test_a_short_run_says_no_line(clock):
    written = []
    lines = ProgressLog(written.append, clock)
    lines(RunStarted(3, pixels=3_000_000))
    for number in (1, 2, 3):
        clock.now += 4
        lines(window_done(number))
    assert written == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "out.tif: 64 windows in 2.00 s, 32 Mpx/s, 45.2 MB"),
        ({"windows": 1, "nbytes": 0}, "out.tif: 1 window in 2.00 s, 32 Mpx/s"),
        (
            {"resumed": 60},
            "out.tif: 64 windows (60 of them from an earlier run) in 2.00 s, 32 Mpx/s, 45.2 MB",
        ),
        (
            {"resumed": 64},
            "out.tif: nothing to do, the output comes from an earlier run (64 windows)",
        ),
    ],
)
def test_a_run_in_a_line(more, expected):
    values = {"windows": 64, "executor": "serial", "jobs": 1, "seconds": 2.0}
    values |= {"pixels": 64_000_000, "nbytes": 45_200_000} | more
    assert summary(Report(**values), ["out.tif"]) == expected


def test_a_line_is_drawn_anew_now_and_then(clock):
    written = []
    line = ProgressLine(written.append, clock)
    line(RunStarted(30, overviews=1, pixels=30_000_000))
    for number in range(1, 31):
        clock.now += 0.0625
        line(window_done(number))
    line(OverviewDone(1, WINDOW))
    line.close()
    assert written[0] == f"\rwindows  [{24 * '-'}]   0/31"
    assert written[1] == f"\rwindows  [#{23 * '-'}]   2/31  16 Mpx/s"
    assert written[5] == f"\rwindows  [{7 * '#'}{17 * '-'}]  10/31  16 Mpx/s, 1.25 s left"
    assert len(written) == 1 + 15 + 1
    assert written[-1].startswith(f"\rwindows  [{24 * '#'}]  31/31  overviews")
    assert "".join(written).count("\n") == 1


def test_a_message_takes_the_place_of_the_line(clock):
    written = []
    line = ProgressLine(written.append, clock)
    line.clear()
    assert written == []
    line(RunStarted(30, pixels=30_000_000))
    line.clear()
    assert written[-1] == f"\r{' ' * (len(written[0]) - 1)}\r"
    line(window_done(1))  # at once, without waiting for the interval
    assert "  1/30" in written[-1]


def test_what_follows_a_line_that_does_not_end_is_below_it(clock):
    written = []
    line = ProgressLine(written.append, clock)
    line.close()
    line(RunStarted(30, pixels=30_000_000))
    line.close()
    assert "".join(written).endswith("  0/30\n")


@pytest.mark.parametrize("width", [8, 30, 40, 60, 80, 200])
@pytest.mark.parametrize("windows", [1, 1000, 10**6])
@pytest.mark.parametrize("seconds", [1, 100_000])
def test_a_line_fits_the_terminal(clock, width, windows, seconds):
    written = []
    line = ProgressLine(written.append, clock, width=lambda: width)
    line(RunStarted(windows, pixels=windows * 1_000_000, jobs=64, busy=lambda: 64))
    for number in range(1, min(windows, 200) + 1):
        clock.now += seconds
        line(window_done(number, took=seconds))
    line.close()
    assert max(len(text.strip("\r\n")) for text in written) < width
    assert "".join(written).count("\n") == 1
    last = written[-1 if windows == 1 else -2]
    if width >= 30:
        assert f"{min(windows, 200)}/{windows}" in last
        assert ("[" in last and " left" in last) or windows > 100 or windows == 1
        assert "[" in last or " left" in last
    if width >= 80 and windows > 1:
        assert " left" in last
        assert "px/s" in last
    if width == 200:
        assert last.startswith("\rwindows  [")


def test_words_that_did_not_fit_do_not_come_back_before_the_width_changes():
    chooser, lines = LineChooser(), ["a long line", "short"]
    assert [chooser.choose(lines, 12), chooser.choose(lines, 11)] == ["a long line", "short"]
    assert chooser.choose(["long", "short"], 11) == "short"
    assert chooser.choose(["long", "short"], 12) == "long"
    assert chooser.choose(lines, 4) == "sho"


def test_the_rate_is_that_of_the_report(clock):
    """What the terminal says, line by line and at last, is what JSON has."""
    so_far = Report(64, "serial", 1, seconds=4.0, pixels=64_000_000)
    pace = Pace(clock)
    pace.update(RunStarted(65, pixels=65_000_000, seconds=2.0))
    clock.now += 2
    pace.update(WindowDone(WINDOW, (0, 0), 64, 64_000_000))
    assert pace.describe() == "16 Mpx/s"
    assert "16 Mpx/s" in summary(so_far, ["out.tif"])
    assert so_far.pixels_per_second == 16_000_000
