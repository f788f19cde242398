"""Each rule, on both sides of its thresholds, and a run that needs no advice."""

import pytest

from rio_mucho_cli.reports import advice
from rio_mucho_cli.reports.advice import Metrics


def took(report, stage, seconds, cpu):
    for worker in report["workers"]:
        worker["stages"][stage] = {"seconds": seconds, "cpu_seconds": cpu}


def starting(report, seconds):
    report |= {"seconds": 0.65}
    report["phases"] = {"starting_seconds": seconds, "working_seconds": 0.1, "finishing_seconds": 0}
    for stage in ("read", "function", "encode"):
        took(report, stage, 0.03, 0.03)


def reading(report, wall):
    took(report, "read", wall, 8.0)
    took(report, "function", 2.0, 2.0)


def blocks(report, times):
    took(report, "read", 10.0, 9.5)
    report["plan"]["inputs"][0]["block_reads"] = times


def gil(report, wall):
    report["plan"]["executor"] = "threads"
    took(report, "function", wall, 8.0)
    took(report, "read", 1.0, 1.0)
    took(report, "encode", 1.0, 1.0)


def waits(report, cpu):
    took(report, "function", 15.0, cpu)
    took(report, "read", 1.0, 1.0)
    took(report, "encode", 1.0, 1.0)


def threads(report, number):
    report["job"]["thread_variables"] = {"OMP_NUM_THREADS": number}


def encoding(report, cpu):
    took(report, "encode", cpu, cpu)
    took(report, "function", 4.0, 4.0)


def idle(report, seconds):
    report["plan"]["windows"]["number"] = 5
    took(report, "function", 11.0 - seconds / 2, 9.0)


def writing(report, seconds):
    report["stages"]["write"]["seconds"] = seconds
    report["plan"]["outputs"][0]["written"] = {"by": "caller"}
    took(report, "function", 2.0, 2.0)


def peak(report, gigabytes):
    report["memory"]["workers_peak_bytes"] = gigabytes * 2**30


def small(report, windows):
    report["plan"]["windows"]["size"] = [64, 64]
    for worker in report["workers"]:
        worker["windows"] = windows


BOTH_SIDES = [
    ("starting_takes_longest", starting, 0.3, 0.5),
    ("reads_wait", reading, 15.0, 19.0),
    ("blocks_are_read_again", blocks, 1.9, 2.1),
    ("function_holds_the_gil", gil, 11.0, 13.0),
    ("function_waits", waits, 8.0, 4.0),
    ("libraries_have_threads", threads, "1", "2"),
    ("compression_takes_longest", encoding, 5.0, 6.0),
    ("windows_are_too_few", idle, 0.0, 10.0),
    ("caller_is_the_bottleneck", writing, 12.0, 12.5),
    ("memory_is_short", peak, 7.0, 7.2),
    ("windows_are_too_small", small, 9_000, 10_000),
]


@pytest.mark.parametrize(("name", "change", "below", "above"), BOTH_SIDES)
def test_a_rule_speaks_above_its_threshold_only(report, name, change, below, above):
    rule = getattr(advice, name)
    change(report, below)
    assert rule(Metrics(report)) is None
    change(report, above)
    assert rule(Metrics(report)).endswith(".")
    assert name in {each.rule for each in advice.advise(report)}


def test_every_rule_is_tried():
    assert {rule.__name__ for rule in advice.RULES} == {name for name, *_ in BOTH_SIDES}


def test_a_run_without_problems_gets_none(report):
    assert advice.advise(report) == []


def test_a_run_without_windows_gets_none(report):
    peak(report, 9)
    report["workers"] = []
    assert advice.advise(report) == []


def test_other_programs_that_want_the_cpus_are_not_taken_for_a_slow_disk(report):
    reading(report, 19.0)
    took(report, "encode", 5.0, 2.0)
    took(report, "function", 3.0, 1.0)
    assert advice.reads_wait(Metrics(report)) is None


def test_inputs_on_servers_want_more_jobs(report):
    reading(report, 19.0)
    report["plan"]["inputs"][0]["on_network"] = True
    assert "jobs=4" in advice.reads_wait(Metrics(report))


def test_a_function_that_has_the_gil_is_not_said_to_wait(report):
    gil(report, 13.0)
    assert advice.function_waits(Metrics(report)) is None


def test_a_function_among_other_programs_is_not_said_to_wait(report):
    waits(report, 4.0)
    took(report, "encode", 1.0, 0.5)
    assert advice.function_waits(Metrics(report)) is None


def test_starting_that_takes_no_time_is_not_worth_advice(report):
    starting(report, 0.1)
    report["seconds"] = 0.15
    assert advice.starting_takes_longest(Metrics(report)) is None


def test_strips_want_another_advice_than_tiles(report):
    blocks(report, 24.0)
    assert "windows='1024x1024'" in advice.blocks_are_read_again(Metrics(report))
    report["plan"]["inputs"][0]["striped"] = True
    assert "tiled=yes" in advice.blocks_are_read_again(Metrics(report))


def test_a_function_that_waits_for_something_else_is_not_taken_for_one_that_holds_the_gil(report):
    gil(report, 19.0)
    took(report, "function", 19.0, 1.0)
    assert advice.function_holds_the_gil(Metrics(report)) is None


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
def test_compression_depends_on_the_codec(report, compress, options, speaks):
    encoding(report, 10.0)
    output = report["plan"]["outputs"][0]
    output |= {"creation_options": options, "file": {"compress": compress, "bytes": 1}}
    assert (advice.compression_takes_longest(Metrics(report)) is not None) == speaks


def test_a_disk_is_slow_where_workers_encode(report):
    writing(report, 15.0)
    report["plan"]["outputs"][0]["written"] = {"by": "workers"}
    assert "disk" in advice.caller_is_the_bottleneck(Metrics(report))


def test_parts_have_an_option_of_their_own(report):
    idle(report, 10.0)
    report["plan"]["parts"] = 3
    assert "a smaller part_size" in advice.windows_are_too_few(Metrics(report))
