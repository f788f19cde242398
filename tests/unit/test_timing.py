"""What stages took: sums, clocks, and what a run says of its workers."""

import subprocess
import sys
import time
from itertools import pairwise

import pytest

from rio_mucho_cli import Job, run
from rio_mucho_cli.engine.events import WindowDone
from rio_mucho_cli.timing import StageTime, StageTimes, Stopwatch, WindowTiming
from rio_mucho_cli.windows import Size

TWO = StageTimes(read=StageTime(1, 0.5), write=StageTime(2, 0.25))


def test_stages_add_up_one_by_one():
    total = TWO + StageTimes(read=StageTime(3, 1), transfer=StageTime(4))
    assert total == StageTimes(
        read=StageTime(4, 1.5), transfer=StageTime(4), write=StageTime(2, 0.25)
    )
    assert total.seconds == 10
    assert list(total.by_name()) == ["read", "function", "encode", "transfer", "write"]


def test_a_timing_ends_after_all_its_stages():
    timing = WindowTiming("host:1:1", 100.0, TWO)
    assert timing.ended == 103


def test_sleep_is_no_cpu_time_and_work_is():
    watch = Stopwatch()
    time.sleep(0.05)
    slept = watch.split()
    while time.thread_time() < slept.seconds:
        pass
    deadline = time.thread_time() + 0.05
    while time.thread_time() < deadline:
        pass
    worked = watch.split()
    assert slept.seconds >= 0.05 > slept.cpu_seconds
    assert worked.cpu_seconds >= 0.05


HOLD = """
from rio_mucho_cli.system import peak_memory
before = peak_memory()
held = b"x" * 200_000_000
print(peak_memory() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing there says what the peak was")
def test_the_peak_is_that_of_a_process_and_not_of_the_one_that_started_it():
    held = b"x" * 400_000_000
    done = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    assert 100_000_000 < int(done.stdout) < len(held)


def wait_for_a_while(data, window, ij, global_args):
    time.sleep(0.01)
    return data[0]


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_run_says_where_and_when_each_window_was_worked_on(executor, make_raster, tmp_path):
    job = Job(
        inputs=[str(make_raster(width=80, height=64))],
        output=str(tmp_path / "out.tif"),
        function=wait_for_a_while,
        windows=Size(16, 16),
        executor=executor,
        jobs=2,
    )
    events, started = [], time.time()
    report = run(job, events.append)
    timings = [event.timing for event in events if isinstance(event, WindowDone)]
    assert len(timings) == 20
    assert len({timing.worker for timing in timings}) == report.jobs
    assert all(started < each.started < each.ended < time.time() for each in timings)
    assert all(timing.stages.function.seconds >= 0.01 for timing in timings)
    assert max(timing.peak for timing in timings) > 1_000_000
    # Two workers at once: nobody has worked on two windows at the same time.
    for worker in {timing.worker for timing in timings}:
        own = sorted((each.started, each.ended) for each in timings if each.worker == worker)
        assert all(end <= start + 1e-3 for (_, end), (start, _) in pairwise(own))
    total = sum((timing.stages for timing in timings), StageTimes())
    assert report.stages.function.seconds == pytest.approx(total.function.seconds)
    assert 0 <= report.idle_seconds < report.jobs * report.seconds
    assert report.pixels == 80 * 64
