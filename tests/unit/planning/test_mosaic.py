import numpy as np
import pytest
from hypothesis import given, strategies as st
from rasterio.windows import Window

from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.planning.mosaic import group_by_part
from rio_mucho_cli.windows import Size, WindowGrid, WindowList, pairs_of, window_grid

LENGTHS = st.integers(1, 400)
SIZES = st.builds(Size, LENGTHS, LENGTHS)


@given(LENGTHS, LENGTHS, SIZES, SIZES)
def test_windows_are_split_into_parts(width, height, size, factors):
    """Every window is in one part, and parts cover the raster."""
    size = Size(size.width + 9, size.height + 9)
    part = Size(size.width * (1 + factors.width % 5), size.height * (1 + factors.height % 5))
    windows = window_grid(width, height, size)
    parts = group_by_part(windows, width, height, part)
    found = [(window, ij) for ij, window, _ in parts]
    assert found == pairs_of(window_grid(width, height, part))
    inside = [planned.ij for _, _, inside in parts for planned in inside]
    assert sorted(inside) == [planned.ij for planned in windows]
    for _, whole, inside in parts:
        counts = np.zeros((height, width), int)
        for planned in inside:
            counts[planned.window.toslices()] += 1
        assert counts[whole.toslices()].all()
        assert counts.sum() == whole.width * whole.height


def test_windows_keep_their_order_within_a_part_and_may_be_pairs_of_ranges():
    pairs = [(((row, row + 5), (0, 5)), (row // 5, 0)) for row in (15, 5, 0, 10)]
    parts = group_by_part(WindowList.of(pairs, Size(8, 20)), 8, 20, Size(10, 10))
    assert [(ij, window, pairs_of(inside)) for ij, window, inside in parts] == [
        ((0, 0), Window(0, 0, 8, 10), [pairs[1], pairs[2]]),
        ((1, 0), Window(0, 10, 8, 10), [pairs[0], pairs[3]]),
    ]


def test_a_window_in_two_parts_is_named():
    with pytest.raises(WindowsError, match=r"rows 5:15, columns 0:5 lies in several parts"):
        group_by_part(
            WindowList.of([(Window(0, 5, 5, 10), (0, 0))], Size(20, 20)), 20, 20, Size(10, 10)
        )


@given(LENGTHS, LENGTHS, SIZES, SIZES)
def test_parts_have_the_same_windows(width, height, size, part):
    grid = window_grid(width, height, size)
    plain = WindowList.of(pairs_of(grid), Size(width, height))
    try:
        expected = group_by_part(plain, width, height, part)
    except WindowsError as exc:
        with pytest.raises(WindowsError, match=str(exc)):
            group_by_part(grid, width, height, part)
        return
    found = group_by_part(grid, width, height, part)
    assert [(ij, window, list(inside)) for ij, window, inside in found] == [
        (ij, window, list(inside)) for ij, window, inside in expected
    ]
    for _, of_part, inside in found:
        if isinstance(inside, WindowGrid):
            assert [
                (x.col_off + of_part.col_off, x.row_off + of_part.row_off, x.width, x.height)
                for x, _ in pairs_of(inside.rebase())
            ] == [planned.window.flatten() for planned in inside]
