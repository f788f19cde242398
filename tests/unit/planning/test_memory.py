import os

import pytest
from hypothesis import given, strategies as st

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.planning import memory
from rio_mucho_cli.planning.memory import MemoryBudget
from rio_mucho_cli.system import usable_memory
from rio_mucho_cli.text import MB, format_bytes


def budget(mem_limit, jobs=4, *, in_processes=True, read=4, result=4):
    return MemoryBudget.of(mem_limit, jobs, in_processes=in_processes, read=read, result=result)


def test_nobody_has_to_think_of_memory():
    default = budget(None, 2)
    assert default.window_pixels() > 1024 * 1024
    assert default.fit_jobs(1024 * 1024) == (2, 4)


def test_a_limit_is_in_the_unit_that_is_shown():
    assert budget(700).limit == 700_000_000
    assert format_bytes(budget(700).limit) == "700 MB"


def test_many_bands_make_windows_small():
    assert budget(None, read=4 * 224, result=4).window_pixels() < 300 * 300


def test_a_limit_makes_windows_smaller_then_tasks_then_jobs_fewer():
    assert budget(600).window_pixels() < budget(700).window_pixels()
    assert budget(100).window_pixels() == 0
    pixels = 1024 * 1024
    found = [budget(limit).fit_jobs(pixels) for limit in (800, 640, 500, 300)]
    assert found == sorted(found, reverse=True)
    assert found[0] == (4, 8)
    assert found[-1][0] == 1


def test_a_limit_below_one_job_says_what_one_needs():
    with pytest.raises(UsageError, match=r"limit is 120 MB, and one job needs about (\d+) MB"):
        budget(120).fit_jobs(1024 * 1024)


def test_without_a_limit_jobs_are_as_asked(monkeypatch):
    monkeypatch.setattr(memory, "usable_memory", lambda: 100 * MB)
    assert budget(None, 8).fit_jobs(10**9) == (8, 8)


@given(
    mem_limit=st.integers(250, 10_000), jobs=st.integers(1, 64), in_processes=st.booleans(),
    read=st.integers(1, 1000), result=st.integers(1, 1000),
)  # fmt: skip
def test_windows_that_a_budget_allows_fit_with_all_jobs(
    mem_limit, jobs, in_processes, read, result
):
    made = budget(mem_limit, jobs, in_processes=in_processes, read=read, result=result)
    pixels = made.window_pixels()
    if pixels:
        assert made.fit_jobs(pixels)[0] == jobs


@pytest.mark.parametrize(
    ("files", "megabytes"),
    [
        ({}, 8192),
        ({"memory.max": "max\n"}, 8192),
        ({"memory.max": f"{512 * MB}\n"}, 512),
        ({"memory/memory.limit_in_bytes": f"{256 * MB}\n"}, 256),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8192),
        ({"memory.max": "unheard of"}, 8192),
    ],
)
def test_usable_memory_counts_a_containers_limit(tmp_path, monkeypatch, files, megabytes):
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 8192 * MB // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert usable_memory(tmp_path) == megabytes * MB
