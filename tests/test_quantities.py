"""Sizes, rates and durations as people read them."""

import pytest

from rio_mucho_cli.quantities import format_bytes, format_rate, format_seconds


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
        (format_seconds, 0.04, "0.0 s"),
        (format_seconds, 59.94, "59.9 s"),
        (format_seconds, 59.96, "1:00 min"),
        (format_seconds, 3599.4, "59:59 min"),
        (format_seconds, 3599.6, "1:00:00 h"),
        (format_seconds, 90_000, "25:00:00 h"),
    ],
)
def test_numbers_with_units(format_it, value, expected):
    assert format_it(value) == expected
