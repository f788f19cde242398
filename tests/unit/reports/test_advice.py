"""Each rule, on both sides of its thresholds, and a run that needs no advice."""

import pytest

from rio_mucho_cli.reports import advice
from rio_mucho_cli.reports.advice import Metrics


def took(said, stage, seconds, cpu):
    for worker in said["workers"]:
        worker["stages"][stage] = {"seconds": seconds, "cpu_seconds": cpu}


def starting(said, seconds):
    said |= {"seconds": 0.65}
    said["phases"] = {"starting_seconds": seconds, "working_seconds": 0.1, "finishing_seconds": 0}
    for stage in ("read", "function", "encode"):
        took(said, stage, 0.03, 0.03)


def reading(said, wall):
    took(said, "read", wall, 8.0)
    took(said, "function", 2.0, 2.0)


def blocks(said, times):
    took(said, "read", 10.0, 9.5)
    said["plan"]["inputs"][0]["block_reads"] = times


def gil(said, wall):
    said["plan"]["executor"] = "threads"
    took(said, "function", wall, 8.0)
    took(said, "read", 1.0, 1.0)
    took(said, "encode", 1.0, 1.0)


def threads(said, number):
    said["job"]["thread_variables"] = {"OMP_NUM_THREADS": number}


def encoding(said, cpu):
    took(said, "encode", cpu, cpu)
    took(said, "function", 4.0, 4.0)


def idle(said, seconds):
    said["plan"]["windows"]["number"] = 5
    took(said, "function", 11.0 - seconds / 2, 9.0)


def writing(said, seconds):
    said["stages"]["write"]["seconds"] = seconds
    said["plan"]["outputs"][0]["written"] = {"by": "caller"}
    took(said, "function", 2.0, 2.0)


def peak(said, gigabytes):
    said["memory"]["workers_peak_bytes"] = gigabytes * 2**30


def small(said, windows):
    said["plan"]["windows"]["size"] = [64, 64]
    for worker in said["workers"]:
        worker["windows"] = windows


BOTH_SIDES = [
    ("starting_takes_longest", starting, 0.3, 0.5),
    ("reads_wait", reading, 15.0, 19.0),
    ("blocks_are_read_again", blocks, 1.9, 2.1),
    ("function_holds_the_gil", gil, 11.0, 13.0),
    ("libraries_have_threads", threads, "1", "2"),
    ("compression_takes_longest", encoding, 5.0, 6.0),
    ("windows_are_too_few", idle, 0.0, 10.0),
    ("caller_is_the_bottleneck", writing, 12.0, 12.5),
    ("memory_is_short", peak, 7.0, 7.2),
    ("windows_are_too_small", small, 9_000, 10_000),
]


@pytest.mark.parametrize(("name", "change", "below", "above"), BOTH_SIDES)
def test_a_rule_speaks_above_its_threshold_only(said, name, change, below, above):
    rule = getattr(advice, name)
    change(said, below)
    assert rule(Metrics(said)) is None
    change(said, above)
    assert rule(Metrics(said)).endswith(".")
    assert name in {each.rule for each in advice.advise(said)}


def test_every_rule_is_tried():
    assert {rule.__name__ for rule in advice.RULES} == {name for name, *_ in BOTH_SIDES}


def test_a_run_without_problems_gets_none(said):
    assert advice.advise(said) == []


def test_a_run_without_windows_gets_none(said):
    peak(said, 9)
    said["workers"] = []
    assert advice.advise(said) == []


def test_other_programs_that_want_the_cpus_are_not_taken_for_a_slow_disk(said):
    reading(said, 19.0)
    took(said, "encode", 5.0, 2.0)
    took(said, "function", 3.0, 1.0)
    assert advice.reads_wait(Metrics(said)) is None


def test_inputs_on_servers_want_more_jobs(said):
    reading(said, 19.0)
    said["plan"]["inputs"][0]["on_network"] = True
    assert "-j 4" in advice.reads_wait(Metrics(said))


def test_strips_want_another_advice_than_tiles(said):
    blocks(said, 24.0)
    assert "windows='1024x1024'" in advice.blocks_are_read_again(Metrics(said))
    said["plan"]["inputs"][0]["striped"] = True
    assert "tiled=yes" in advice.blocks_are_read_again(Metrics(said))


def test_a_function_that_waits_for_something_else_is_not_taken_for_one_that_holds_the_gil(said):
    gil(said, 19.0)
    took(said, "function", 19.0, 1.0)
    assert advice.function_holds_the_gil(Metrics(said)) is None


@pytest.mark.parametrize(
    ("compress", "options", "speaks"),
    [
        ("zstd", {}, True),
        ("zstd", {"zstd_level": "1"}, False),
        (None, {}, False),
        ("jpeg", {}, False),
        ("lzma", {}, True),
    ],
)
def test_compression_depends_on_the_codec(said, compress, options, speaks):
    encoding(said, 10.0)
    output = said["plan"]["outputs"][0]
    output |= {"creation_options": options, "file": {"compress": compress, "bytes": 1}}
    assert (advice.compression_takes_longest(Metrics(said)) is not None) == speaks


def test_a_disk_is_slow_where_workers_encode(said):
    writing(said, 15.0)
    said["plan"]["outputs"][0]["written"] = {"by": "workers"}
    assert "disk" in advice.caller_is_the_bottleneck(Metrics(said))


def test_parts_have_an_option_of_their_own(said):
    idle(said, 10.0)
    said["plan"]["parts"] = 3
    assert "a smaller part_size" in advice.windows_are_too_few(Metrics(said))
