import pytest
from affine import Affine

from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.planning.reading import parse_bidx, per_input
from rio_mucho_cli.windows import Size

SOURCE = DatasetInfo("a.tif", Grid(None, Affine.identity(), 9, 9), {"count": 4}, Size(9, 9))


@pytest.mark.parametrize(
    ("value", "indexes"),
    [
        ("2", (2,)),
        ("3,1,1", (3, 1, 1)),
        ("1..3", (1, 2, 3)),
        ("..2", (1, 2)),
        ("3..", (3, 4)),
        ("..", (1, 2, 3, 4)),
        ("4, 1..2", (4, 1, 2)),
        (3, (3,)),
        ([2, 4], (2, 4)),
    ],
)
def test_bands(value, indexes):
    assert parse_bidx(value, SOURCE) == indexes


@pytest.mark.parametrize("value", ["", "a", "1-3", "1,,2", "3..1", [], ["x"], [None]])
def test_what_is_no_bands(value):
    with pytest.raises(UsageError, match=r"expected bands such as 1, 3,1 or 1\.\.3"):
        parse_bidx(value, SOURCE)


@pytest.mark.parametrize("value", ["5", "0", "3..5", "1..1000000000000", [-1]])
def test_bands_that_are_not_there(value):
    with pytest.raises(InputError, match=r"a\.tif has 4 bands: there is no band"):
        parse_bidx(value, SOURCE)


def test_values_for_all_or_for_some_inputs():
    assert per_input(None, "d", 2, "x") == ["d", "d"]
    assert per_input("a", "d", 2, "x") == ["a", "a"]
    assert per_input({2: "b"}, "d", 3, "x") == ["d", "b", "d"]
    assert per_input({0: "a", 3: "c"}, "d", 3, "x") == ["a", "a", "c"]
    with pytest.raises(UsageError, match="x is given for input 3: there are 2 inputs"):
        per_input({3: "c"}, "d", 2, "x")
