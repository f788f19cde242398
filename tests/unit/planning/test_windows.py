import numpy as np
import pytest
from hypothesis import given, strategies as st
from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.planning.windows import TARGET_PIXELS, check_windows, default_size
from rio_mucho_cli.windows import Size, WindowList, window_grid

LENGTHS = st.integers(1, 400)
SIZES = st.builds(Size, LENGTHS, LENGTHS)


@given(st.integers(1, 10**6), st.integers(1, 10**6), SIZES, st.booleans())
def test_default_size_is_whole_blocks_and_about_a_million_pixels(width, height, block, whole_rows):
    size = default_size(width, height, block, whole_rows=whole_rows)
    assert size.height % block.height == 0
    if whole_rows:
        assert size.width == width
        assert size.width * (size.height - block.height) <= TARGET_PIXELS
    else:
        assert size.width % block.width == 0
        assert size.width * size.height <= TARGET_PIXELS
        assert size.width * size.height >= TARGET_PIXELS / 4


@given(st.integers(1, 10**6), st.integers(1, 10**6), SIZES, st.booleans(), st.integers(0, 10**9))
def test_default_size_is_one_block_or_within_what_there_is_room_for(
    width, height, block, whole_rows, most
):
    size = default_size(width, height, block, whole_rows=whole_rows, most=most)
    assert size.width * size.height <= max(
        most, block.width * block.height, width * block.height * (block.width >= width)
    )
    assert size.width % block.width == 0 or size.width == width


@given(st.integers(1, 10**6), st.integers(1, 10**6), SIZES, st.integers(0, 10**9))
def test_wide_windows_have_blocks_one_above_the_other_only_if_they_are_as_wide_as_the_raster(
    width, height, block, most
):
    size = default_size(width, height, block, wide=True, most=most)
    assert size.height % block.height == size.width % block.width == 0
    assert size.height == block.height or size.width >= width
    pixels = max(block.width * block.height, min(most, TARGET_PIXELS))
    assert size.width * size.height <= pixels


def test_one_row_strips_do_not_make_a_window_for_each_row():
    size = default_size(8000, 8000, Size(256, 256), whole_rows=True)
    assert len(window_grid(8000, 8000, size)) == 32


@st.composite
def rectangles(draw):
    col, row = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    return Window(col, row, draw(st.integers(1, 31 - col)), draw(st.integers(1, 31 - row)))


@given(st.lists(rectangles(), min_size=1, max_size=12))
def test_check_finds_an_overlap_exactly_when_there_is_one(rectangles):
    counts = np.zeros((31, 31), int)
    for window in rectangles:
        counts[window.toslices()] += 1
    windows = WindowList.of([(window, (0, n)) for n, window in enumerate(rectangles)], Size(31, 31))
    if counts.max() > 1:
        with pytest.raises(WindowsError, match="overlap"):
            check_windows(windows, 31, 31)
    else:
        check_windows(windows, 31, 31)


@pytest.mark.parametrize(
    "window", [Window(-1, 0, 5, 5), Window(0, 0, 0, 5), Window(90, 0, 11, 5), Window(0, 99, 1, 2)]
)
def test_check_refuses_what_is_not_inside(window):
    with pytest.raises(WindowsError, match="not inside the raster of 100 x 100"):
        check_windows(WindowList.of([(window, (0, 0))], Size(100, 100)), 100, 100)


def test_check_refuses_no_window():
    with pytest.raises(WindowsError, match="empty"):
        check_windows([], 10, 10)
