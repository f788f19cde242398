import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from rasterio.windows import Window

from rio_mucho_cli import windows as w
from rio_mucho_cli.cli.windows import windows_from_features
from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.planning.windows import check_windows
from rio_mucho_cli.windows import Size

LENGTHS = st.integers(1, 400)
SIZES = st.builds(Size, LENGTHS, LENGTHS)


def painted(windows, width, height):
    """Count for each pixel the windows that it is in."""
    counts = np.zeros((height, width), int)
    for planned in windows:
        counts[planned.window.toslices()] += 1
    return counts


@given(LENGTHS, LENGTHS, SIZES)
def test_cover_puts_every_pixel_in_one_window(width, height, size):
    windows = w.window_grid(width, height, size)
    assert (painted(windows, width, height) == 1).all()
    check_windows(windows, width, height)
    for window, (i, j) in w.pairs_of(windows):
        assert (window.row_off, window.col_off) == (i * size.height, j * size.width)


@given(LENGTHS, LENGTHS, SIZES)
def test_every_window_is_a_whole_number_of_common_blocks(width, height, size):
    windows = w.window_grid(width, height, size)
    common = w.common_multiple(windows, width, height)
    for side, full, length in zip(common, size, (width, height), strict=True):
        assert side == (0 if full >= length else full)


@given(LENGTHS, LENGTHS, SIZES, SIZES)
def test_whole_blocks_are_what_blocks_tile(width, height, size, block):
    windows = w.window_grid(width, height, size)
    borders = (
        {0, *range(0, width, block.width), width},
        {0, *range(0, height, block.height), height},
    )
    expected = all(
        {win.col_off, win.col_off + win.width} <= borders[0]
        and {win.row_off, win.row_off + win.height} <= borders[1]
        for win, _ in w.pairs_of(windows)
    )
    assert w.aligned_to_blocks(windows, block, width, height) == expected


@pytest.mark.parametrize(
    ("window", "expected"), [(((0, 16), (0, 16)), True), (Window(0, 0, 15.5, 16), False)]
)
def test_whole_blocks_have_whole_pixels(window, expected):
    windows = w.WindowList.of([(window, (0, 0))], Size(64, 64))
    assert w.aligned_to_blocks(windows, Size(16, 16), 64, 64) == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", (512, 512)), ("1024x512", (1024, 512)), ("3X4", (3, 4)), ("x", None), ("5x", None)],
)
def test_parse_size(text, size):
    assert w.parse_size(text) == size


@pytest.mark.parametrize("text", ["0", "0x5", "5x0"])
def test_parse_size_refuses_no_pixels(text):
    with pytest.raises(WindowsError, match="no pixels"):
        w.parse_size(text)


def feature(window, **properties):
    return {"type": "Feature", "properties": {"window": window, **properties}, "geometry": None}


OK = {"col_off": 2, "row_off": 1, "width": 3, "height": 4}


@pytest.mark.parametrize("window", [OK, json.dumps(OK), {**OK, "width": 3.0}])
@pytest.mark.parametrize("block", [[5, 6], "[5, 6]"])
def test_features_as_rio_blocks_writes_them(window, block):
    assert windows_from_features([feature(window, block=block)]) == [(Window(2, 1, 3, 4), (5, 6))]


def test_features_without_block_get_their_place_among_the_offsets():
    windows = [{**OK, "col_off": col, "row_off": row} for row in (7, 1) for col in (20, 10)]
    ijs = [ij for _, ij in windows_from_features(map(feature, windows))]
    assert ijs == [(1, 1), (1, 0), (0, 1), (0, 0)]


@pytest.mark.parametrize(
    "bad",
    [
        feature({**OK, "width": 2.5}),
        feature({**OK, "width": "3"}),
        feature({**OK, "width": True}),
        feature({**OK, "width": float("nan")}),
        feature({"col_off": 1}),
        feature("no json"),
        feature(None),
        {"type": "Feature"},
        "text",
    ],
)
def test_features_without_a_window_are_refused(bad):
    with pytest.raises(WindowsError, match="feature 2 has no window"):
        windows_from_features([feature(OK), bad])


@pytest.mark.parametrize(
    "window",
    [
        Window(2, 1, 3, 4),
        ((1, 5), (2, 5)),
        (slice(1, 5), slice(2, 5)),
        ((1, None), (2, None)),
        ((-4, None), (-3, 5)),
    ],
)
def test_what_rasterio_takes_is_a_window(window):
    windows = w.WindowList.of([(window, "ij")], Size(5, 5))
    assert list(windows) == [w.PlannedWindow(Window(2, 1, 3, 4), "ij", window)] == [windows[0]]
    assert windows[:1] == windows


@pytest.mark.parametrize("window", ["odd", None, 3, ((0, 5), (-9, -7, 2))])
def test_what_rasterio_does_not_take_is_named(window):
    with pytest.raises(WindowsError, match=r"is invalid .* expected a rasterio Window"):
        w.WindowList.of([(window, (0, 0))], Size(5, 5))


def test_windows_are_named_by_rows_and_columns():
    for window in (Window(2, 1, 3, 4), ((1, 5), (2, 5))):
        assert w.format_window(window) == "window rows 1:5, columns 2:5"
    assert w.format_window("odd") == "window 'odd'"
