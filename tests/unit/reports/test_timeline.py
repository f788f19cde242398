"""Stretches of workers: as they were, or fewer of them with the same sums."""

from itertools import pairwise

import pytest

from rio_mucho_cli.reports.timeline import Interval, Timeline, Total
from rio_mucho_cli.timing import StageTime, StageTimes


def fill(timeline, number, workers=2):
    """Add windows of one second, one after the other, by workers in turn."""
    for place in range(number):
        total = Total.of(StageTimes(function=StageTime(1.0, 0.5)))
        start = 100.0 + place // workers
        timeline.add(f"w{place % workers}", Interval(start, start + 1, total, (0, place)))


def test_few_windows_are_as_they_were():
    timeline = Timeline(most=10)
    fill(timeline, 10)
    assert timeline.shortest == 0
    assert [each.first for each in timeline.rows["w1"]] == [(0, place) for place in (1, 3, 5, 7, 9)]
    assert [(each.started, each.ended) for each in timeline.rows["w0"]][:2] == [
        (100, 101),
        (101, 102),
    ]


@pytest.mark.parametrize(("number", "workers"), [(11, 2), (5000, 3), (700, 40)])
def test_many_windows_become_few_stretches_with_the_same_sums(number, workers):
    timeline = Timeline(most=10)
    fill(timeline, number, workers)
    stretches = [each for row in timeline.rows.values() for each in row]
    assert len(stretches) <= max(10, 2 * workers)
    assert sum(each.total.windows for each in stretches) == number
    assert sum(each.total.seconds for each in stretches) == number
    assert sum(each.total.cpu[1] for each in stretches) == number / 2
    for row in timeline.rows.values():
        assert all(one.ended <= two.started for one, two in pairwise(row))
    assert max(each.ended for each in stretches) == 101 + (number - 1) // workers
