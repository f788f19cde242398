from hypothesis import given, strategies as st

from rio_mucho_cli.engine.scheduling import BatchSizer
from rio_mucho_cli.planning.memory import BATCH_BYTES


def test_one_window_at_a_time_until_one_is_measured():
    batches = BatchSizer(1000, 4)
    assert [batches.next_size() for _ in range(4)] == [1, 1, 1, 1]
    batches.measure(0.001, 1000)
    assert batches.next_size() == 100


def test_slow_windows_travel_alone():
    batches = BatchSizer(1000, 4)
    batches.measure(0.2, 1000)
    assert batches.next_size() == 1


def test_large_results_make_small_batches():
    batches = BatchSizer(1000, 4)
    batches.measure(0.001, BATCH_BYTES // 3)
    assert batches.next_size() == 3


def test_it_follows_what_windows_take_later():
    batches = BatchSizer(10_000, 4)
    batches.measure(1.0, 100)
    for _ in range(50):
        batches.measure(0.001, 100)
    assert batches.next_size() > 50


@given(
    windows=st.integers(1, 3000),
    in_flight=st.integers(1, 64),
    seconds=st.floats(0, 10),
    size=st.integers(0, 10**8),
)
def test_all_windows_are_handed_out_and_the_last_batches_are_small(
    windows, in_flight, seconds, size
):
    batches = BatchSizer(windows, in_flight)
    batches.measure(seconds, size)
    rest, sizes = windows, []
    while rest > 0:
        sizes.append(batches.next_size())
        assert 1 <= sizes[-1] <= max(1, rest / (2 * in_flight))
        rest -= sizes[-1]
    assert rest == 0
