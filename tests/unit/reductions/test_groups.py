"""Values of groups in ascending order."""

import numpy as np
import pytest

from rio_mucho_cli.reductions import groups
from rio_mucho_cli.reductions.groups import Ordered, add_run


@pytest.mark.parametrize(("step", "merged"), [(1, True), (7, False)])
def test_runs_are_merged_if_they_have_values_in_common(step, merged, monkeypatch):
    """What comes out at the end is the same."""
    monkeypatch.setattr(groups, "_SHORT", 10)
    random, runs, everything = np.random.default_rng(4), [], []
    for window in range(9):
        values = (random.integers(0, 200, 500) * step + (window if step > 1 else 0)) / 8
        everything.append(values)
        (run,) = Ordered.of(values.copy(), np.array([values.size])).runs()
        add_run(runs, run)
    assert (len(runs) == 1) == merged
    ordered = Ordered.join([runs])
    values, times = np.unique(np.concatenate(everything), return_counts=True)
    np.testing.assert_array_equal(ordered.values, values)
    np.testing.assert_array_equal(ordered.times, times)
    np.testing.assert_array_equal(next(ordered.groups()), np.sort(np.concatenate(everything)))


def test_percentiles_are_those_of_numpy():
    random = np.random.default_rng(5)
    parts = [random.integers(0, 50, size) / 4 for size in (1, 2, 3, 100, 5)]
    ordered = Ordered.of(np.concatenate(parts), np.array(list(map(len, parts))))
    for rank in (0, 2, 25, 50, 99.5, 100):
        wanted = [np.percentile(part, rank) for part in parts]
        assert ordered.percentile(rank).tolist() == wanted
