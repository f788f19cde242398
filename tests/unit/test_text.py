"""Sizes, rates and durations as people read them."""

import pytest

from rio_mucho_cli.text import (
    argument,
    for_command_line,
    format_bytes,
    format_rate,
    format_seconds,
)


@pytest.mark.parametrize(
    ("format_it", "value", "expected"),
    [
        (format_rate, 0, "0 px/s"),
        (format_rate, 999, "999 px/s"),
        (format_rate, 999_900, "1 Mpx/s"),
        (format_rate, 12_345_678, "12.3 Mpx/s"),
        (format_bytes, 512, "512 B"),
        (format_bytes, 3_210, "3.21 kB"),
        (format_bytes, 1_200_000_000_000, "1.2 TB"),
        (format_seconds, 0.0004, "0.4 ms"),
        (format_seconds, 0.25, "250 ms"),
        (format_seconds, 0.9949, "995 ms"),
        (format_seconds, 0.996, "1.00 s"),
        (format_seconds, 12.34, "12.3 s"),
        (format_seconds, 99.9, "1 min 40 s"),
        (format_seconds, 7325, "2 h 02 min"),
    ],
)
def test_numbers_with_units(format_it, value, expected):
    assert format_it(value) == expected


@pytest.mark.parametrize(
    ("value", "in_python", "on_command_line"),
    [
        (["code"], 'fields=["code"]', "--arg fields='[\"code\"]'"),
        ("zonal_", 'fields="zonal_"', "--arg fields=zonal_"),
    ],
)
def test_arguments_of_functions_are_written_as_they_are_given(value, in_python, on_command_line):
    assert argument("fields", value) == in_python
    with for_command_line():
        assert argument("fields", value) == on_command_line
