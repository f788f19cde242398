"""A grid of windows has what a list of them has, and takes no memory."""

import pickle
import tracemalloc
from itertools import product

import pytest
from hypothesis import given, strategies as st
from rasterio.windows import Window

from rio_mucho_cli import windows as w
from rio_mucho_cli.planning.mosaic import group_by_part
from rio_mucho_cli.planning.windows import check_windows
from rio_mucho_cli.windows import PlannedWindow, Size, window_grid

LENGTHS = st.integers(1, 60)
SIZES = st.builds(Size, LENGTHS, LENGTHS)


def listed(width, height, size):
    """Return the windows of a grid in the plainest way."""
    pairs = [
        (
            Window(col, row, min(size.width, width - col), min(size.height, height - row)),
            (row // size.height, col // size.width),
        )
        for row, col in product(range(0, height, size.height), range(0, width, size.width))
    ]
    return [PlannedWindow(window, ij, window) for window, ij in pairs]


@given(LENGTHS, LENGTHS, SIZES, st.data())
def test_it_is_a_sequence_of_the_same_windows(width, height, size, data):
    grid, plain = window_grid(width, height, size), listed(width, height, size)
    assert list(grid) == plain
    assert len(grid) == len(plain)
    assert list(pickle.loads(pickle.dumps(grid))) == plain
    cut = data.draw(st.slices(len(plain)))
    assert list(grid[cut]) == plain[cut]
    assert grid[-1] == plain[-1]
    with pytest.raises(IndexError):
        grid[len(plain)]


@given(LENGTHS, LENGTHS, SIZES, SIZES, st.data())
def test_windows_keep_their_index_in_the_plan(width, height, size, part, data):
    grid = window_grid(width, height, size)
    pairs = w.pairs_of(grid)
    for windows in (grid, w.WindowList.of(pairs, Size(width, height))):
        assert [planned.index for planned in windows] == list(range(len(grid)))
        cut = data.draw(st.slices(len(grid)))
        sliced = pickle.loads(pickle.dumps(windows[cut]))
        assert [planned.index for planned in sliced] == list(range(len(grid)))[cut]
        assert [sliced[k].index for k in range(len(sliced))] == [each.index for each in sliced]
        whole = Size(part.width * size.width, part.height * size.height)
        for _, _, inside in group_by_part(windows, width, height, whole):
            for planned in inside:
                assert pairs[planned.index] == (planned.given, planned.ij)


@given(LENGTHS, LENGTHS, SIZES, SIZES, st.data())
def test_questions_about_all_windows_have_the_same_answers(width, height, size, block, data):
    grid, plain = window_grid(width, height, size), listed(width, height, size)
    for size_of_raster in ((width, height), (width + 1, height + 3)):
        assert w.common_multiple(grid, *size_of_raster) == w.common_multiple(plain, *size_of_raster)
        assert w.aligned_to_blocks(grid, block, *size_of_raster) == w.aligned_to_blocks(
            plain, block, *size_of_raster
        )
    cut = data.draw(st.slices(len(plain)))
    assert w.count_pixels(grid[cut]) == w.count_pixels(plain[cut])
    sizes = {(planned.window.width, planned.window.height) for planned in plain}
    assert {(window.width, window.height) for window in w.outline(grid)} == sizes
    assert {(window.width, window.height) for window in w.outline(grid[1:])} <= sizes

    def distance(window):
        across = 2 * window.col_off + window.width - width
        return across**2 + (2 * window.row_off + window.height - height) ** 2

    assert distance(grid.middle().window) == min(distance(planned.window) for planned in plain)


def test_a_million_windows_take_no_memory_and_no_time():
    tracemalloc.start()
    try:
        grid = window_grid(100_000, 100_000, Size(100, 100))
        check_windows(grid, 100_000, 100_000)
        assert w.common_multiple(grid, 100_000, 100_000) == Size(100, 100)
        assert w.aligned_to_blocks(grid, Size(50, 50), 100_000, 100_000)
        assert w.count_pixels(grid[1000:]) == 100_000 * 99_900
        assert len(group_by_part(grid, 100_000, 100_000, Size(10_000, 10_000))) == 100
        assert grid.middle().ij == (499, 499)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
