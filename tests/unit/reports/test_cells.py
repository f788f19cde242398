"""Cells of the map: a window each, or squares of them with the same sums."""

import pytest
from rasterio.windows import Window

from rio_mucho_cli.reports.timeline import Cell, Cells, Total
from rio_mucho_cli.timing import StageTime, StageTimes
from rio_mucho_cli.windows import Size, pairs_of, window_grid


def fill(cells, width, height, side):
    for number, (window, ij) in enumerate(pairs_of(window_grid(width, height, Size(side, side)))):
        total = Total.of(StageTimes(read=StageTime(number + 1.0)))
        cells.add(Cell.of(window, ij, total, failed=number == 7))


def test_few_windows_have_a_cell_each():
    cells = Cells(most=20)
    fill(cells, 50, 40, 10)
    assert len(cells) == 20
    assert {(each.left, each.top, each.ij) for each in cells} >= {(40, 30, (3, 4)), (0, 10, (1, 0))}
    assert sum(each.failed for each in cells) == 1


@pytest.mark.parametrize("size", [(52, 41), (1000, 1000), (3000, 10)])
def test_many_windows_share_cells_that_cover_the_same(size):
    cells = Cells(most=20)
    fill(cells, *size, 10)
    number = -(-size[0] // 10) * -(-size[1] // 10)
    assert len(cells) <= 20
    assert sum(each.total.windows for each in cells) == number
    assert sum(each.total.seconds for each in cells) == number * (number + 1) / 2
    assert max(each.slowest for each in cells) == number
    areas = [(each.right - each.left) * (each.bottom - each.top) for each in cells]
    assert sum(areas) == size[0] * size[1]


def test_windows_of_any_size_keep_their_own_cell_while_there_is_room():
    cells = Cells(most=20)
    for window in (Window(0, 0, 100, 100), Window(100, 0, 3, 3), Window(103, 0, 3, 3)):
        cells.add(Cell.of(window, (0, 0), Total(1)))
    assert [each.left for each in cells] == [0, 100, 103]
