"""A grid of windows has what a list of them has, and takes no memory."""

import pickle
import tracemalloc
from itertools import product

import pytest
from hypothesis import given, strategies as st
from rasterio.windows import Window

from rio_mucho_cli import windows as w
from rio_mucho_cli.windows import Size, window_grid

LENGTHS = st.integers(1, 60)
SIZES = st.builds(Size, LENGTHS, LENGTHS)


def listed(width, height, size):
    """Return the windows of a grid in the plainest way."""
    return [
        (
            Window(col, row, min(size.width, width - col), min(size.height, height - row)),
            (row // size.height, col // size.width),
        )
        for row, col in product(range(0, height, size.height), range(0, width, size.width))
    ]


@given(LENGTHS, LENGTHS, SIZES, st.data())
def test_it_is_a_sequence_of_the_same_windows(width, height, size, data):
    grid, plain = window_grid(width, height, size), listed(width, height, size)
    assert list(grid) == plain
    assert len(grid) == len(plain)
    assert list(pickle.loads(pickle.dumps(grid))) == plain
    cut = data.draw(st.slices(len(plain)))
    assert list(grid[cut]) == plain[cut]
    assert grid[-1] == plain[-1]
    for planned in (plain[0], plain[-1]):
        assert (planned in grid[cut]) == (planned in plain[cut])
    assert (Window(0, 0, 1000, 1000), (0, 0)) not in grid
    assert "nothing" not in grid
    with pytest.raises(IndexError):
        grid[len(plain)]


@given(LENGTHS, LENGTHS, SIZES, SIZES, st.data())
def test_questions_about_all_windows_have_the_same_answers(width, height, size, block, data):
    grid, plain = window_grid(width, height, size), listed(width, height, size)
    for size_of_raster in ((width, height), (width + 1, height + 3)):
        assert w.common_multiple(grid, *size_of_raster) == w.common_multiple(plain, *size_of_raster)
        assert w.aligned_to_blocks(grid, block, *size_of_raster) == w.aligned_to_blocks(
            plain, block, *size_of_raster
        )
    cut = data.draw(st.slices(len(plain)))
    raster = Size(width, height)
    assert w.count_pixels(grid[cut], raster) == w.count_pixels(plain[cut], raster)
    sizes = {(window.width, window.height) for window, _ in plain}
    assert {(window.width, window.height) for window, _ in w.outline(grid)} == sizes
    assert {(x.width, x.height) for x, _ in w.outline(grid[1:])} <= sizes

    def distance(window):
        across = 2 * window.col_off + window.width - width
        return across**2 + (2 * window.row_off + window.height - height) ** 2

    assert distance(grid.middle()[0]) == min(distance(window) for window, _ in plain)


@given(LENGTHS, LENGTHS, SIZES, SIZES)
def test_parts_have_the_same_windows(width, height, size, part):
    grid, plain = window_grid(width, height, size), listed(width, height, size)
    try:
        expected = w.group_by_part(plain, width, height, part)
    except w.WindowsError as exc:
        with pytest.raises(w.WindowsError, match=str(exc)):
            w.group_by_part(grid, width, height, part)
        return
    found = w.group_by_part(grid, width, height, part)
    assert [(ij, window, list(inside)) for ij, window, inside in found] == expected
    for _, of_part, inside in found:
        if isinstance(inside, w.WindowGrid):
            assert [
                (x.col_off + of_part.col_off, x.row_off + of_part.row_off, x.width, x.height)
                for x, _ in inside.rebase()
            ] == [window.flatten() for window, _ in inside]


def test_a_million_windows_take_no_memory_and_no_time():
    tracemalloc.start()
    try:
        grid = window_grid(100_000, 100_000, Size(100, 100))
        w.check_windows(grid, 100_000, 100_000)
        assert w.common_multiple(grid, 100_000, 100_000) == Size(100, 100)
        assert w.aligned_to_blocks(grid, Size(50, 50), 100_000, 100_000)
        assert w.count_pixels(grid[1000:], Size(100_000, 100_000)) == 100_000 * 99_900
        assert len(w.group_by_part(grid, 100_000, 100_000, Size(10_000, 10_000))) == 100
        assert grid.middle()[1] == (499, 499)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
