"""The numbers of workers: 0 to jobs - 1, the same for a thread as long as a run lasts."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rio_mucho_cli.workers import numbering


@pytest.fixture(autouse=True)
def forgotten():
    yield
    for run_id in ("a run", "another"):
        numbering.forget_run(run_id)


def test_threads_are_counted_in_each_run():
    barrier = threading.Barrier(4)

    def number(_):
        barrier.wait()
        return [numbering.worker_number("a run") for _ in range(3)]

    with ThreadPoolExecutor(4) as executor:
        numbers = list(executor.map(number, range(4)))
    assert sorted(numbers) == [[number] * 3 for number in range(4)]
    assert numbering.worker_number("another") == 0


def test_a_process_has_the_number_that_it_was_given(monkeypatch):
    monkeypatch.setattr(numbering, "_number", 0)
    numbering.number_process(5)
    numbering.number_by("a run", numbering.place_of_process)
    assert numbering.worker_number("a run") == 5
    assert numbering.worker_number("another") == 0, "a run within that run"


def test_groups_are_counted_from_their_first_worker():
    places = iter([("one", 0), ("two", 4), ("one", 0)])
    numbering.number_by("a run", lambda workers: next(places))
    numbering.number_by("a run", lambda workers: ("late", 100))
    assert [numbering.worker_number("a run") for _ in range(3)] == [0, 4, 0]


def test_this_process_is_in_no_pool():
    assert numbering.place_in_pool(3) == (None, 0)
