import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from rasterio.windows import Window

from rio_mucho_cli import windows as w
from rio_mucho_cli.cli.windows import windows_from_features
from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.windows import Size

LENGTHS = st.integers(1, 400)
SIZES = st.builds(Size, LENGTHS, LENGTHS)


def painted(windows, width, height):
    """Count for each pixel the windows that it is in."""
    counts = np.zeros((height, width), int)
    for window, _ in windows:
        counts[window.toslices()] += 1
    return counts


@given(LENGTHS, LENGTHS, SIZES)
def test_cover_puts_every_pixel_in_one_window(width, height, size):
    windows = w.window_grid(width, height, size)
    assert (painted(windows, width, height) == 1).all()
    w.check_windows(windows, width, height)
    for window, (i, j) in windows:
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
        for win, _ in windows
    )
    assert w.aligned_to_blocks(windows, block, width, height) == expected


@pytest.mark.parametrize("window", [((0, 16), (0, 16)), Window(0, 0, 15.5, 16), "window"])
def test_what_is_no_window_of_whole_pixels_is_no_whole_block(window):
    assert not w.aligned_to_blocks([(window, (0, 0))], Size(16, 16), 64, 64)


@st.composite
def rectangles(draw):
    col, row = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    return Window(col, row, draw(st.integers(1, 31 - col)), draw(st.integers(1, 31 - row)))


@given(st.lists(rectangles(), min_size=1, max_size=12))
def test_check_finds_an_overlap_exactly_when_there_is_one(rectangles):
    windows = [(window, (0, n)) for n, window in enumerate(rectangles)]
    if painted(windows, 31, 31).max() > 1:
        with pytest.raises(WindowsError, match="overlap"):
            w.check_windows(windows, 31, 31)
    else:
        w.check_windows(windows, 31, 31)


@pytest.mark.parametrize(
    "window", [Window(-1, 0, 5, 5), Window(0, 0, 0, 5), Window(90, 0, 11, 5), Window(0, 99, 1, 2)]
)
def test_check_refuses_what_is_not_inside(window):
    with pytest.raises(WindowsError, match="not inside the raster of 100 x 100"):
        w.check_windows([(window, (0, 0))], 100, 100)


def test_check_refuses_no_window():
    with pytest.raises(WindowsError, match="empty"):
        w.check_windows([], 10, 10)


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
    assert w.normalize(window, 5, 5) == Window(2, 1, 3, 4)


def test_windows_are_named_by_rows_and_columns():
    for window in (Window(2, 1, 3, 4), ((1, 5), (2, 5))):
        assert w.format_window(window) == "window rows 1:5, columns 2:5"
    assert w.format_window("odd") == "window 'odd'"


@given(LENGTHS, LENGTHS, SIZES, SIZES)
def test_windows_are_split_into_parts(width, height, size, factors):
    """Every window is in one part, and parts cover the raster."""
    size = Size(size.width + 9, size.height + 9)
    part = Size(size.width * (1 + factors.width % 5), size.height * (1 + factors.height % 5))
    windows = w.window_grid(width, height, size)
    parts = w.group_by_part(windows, width, height, part)
    whole_parts = [(window, ij) for ij, window, _ in parts]
    assert whole_parts == list(w.window_grid(width, height, part))
    assert sorted(ij for _, _, inside in parts for _, ij in inside) == [ij for _, ij in windows]
    for _, whole, inside in parts:
        assert painted(inside, width, height)[whole.toslices()].all()
        assert painted(inside, width, height).sum() == whole.width * whole.height


def test_windows_keep_their_order_within_a_part_and_may_be_pairs_of_ranges():
    pairs = [(((row, row + 5), (0, 5)), (row // 5, 0)) for row in (15, 5, 0, 10)]
    found = w.group_by_part(pairs, 8, 20, Size(10, 10))
    assert found == [
        ((0, 0), Window(0, 0, 8, 10), [pairs[1], pairs[2]]),
        ((1, 0), Window(0, 10, 8, 10), [pairs[0], pairs[3]]),
    ]


def test_a_window_in_two_parts_is_named():
    with pytest.raises(WindowsError, match=r"rows 5:15, columns 0:5 lies in more than one part"):
        w.group_by_part([(Window(0, 5, 5, 10), (0, 0))], 20, 20, Size(10, 10))
