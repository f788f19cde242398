import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from rio_mucho_cli.errors import GridError
from rio_mucho_cli.inputs.grid import Grid, common_grid, require_one_grid

UTM = CRS.from_epsg(32633)
HERE = Affine(30.0, 0.0, 400000.0, 0.0, -30.0, 5000000.0)
GRID = Grid(UTM, HERE, 100, 80)


@pytest.mark.parametrize(
    "same",
    [
        GRID,
        Grid(UTM, Affine(30, 0, 400000.03, 0, -30, 5000000), 100, 80),
        Grid(UTM, Affine(30 + 1e-8, 0, 400000, 0, -30, 5000000), 100, 80),
    ],
)
def test_grids_that_are_one(same):
    require_one_grid(["a.tif", "b.tif"], [GRID, same])


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (Grid(UTM, HERE, 100, 81), "b.tif is 100 x 81 pixels, a.tif is 100 x 80"),
        (Grid(CRS.from_epsg(4326), HERE, 100, 80), "b.tif is in EPSG:4326, a.tif is in EPSG:32633"),
        (Grid(None, HERE, 100, 80), "b.tif is in no CRS"),
        (Grid(UTM, Affine(30, 0, 400015, 0, -30, 5000000), 100, 80), "400015, 0, -30"),
        # A pixel size that is off by a little adds up to pixels at the far corner.
        (
            Grid(UTM, Affine(30.03, 0, 400000, 0, -30, 5000000), 100, 80),
            "b.tif has the transform (30.03",
        ),
        (Grid(UTM, Affine(30, 1, 400000, 1, -30, 5000000), 100, 80), "has the transform"),
        (Grid(UTM, Affine(0, 0, 0, 0, 0, 0), 100, 80), "has the transform (0, 0, 0, 0, 0, 0)"),
    ],
)
def test_grids_that_differ(other, says):
    with pytest.raises(GridError) as caught:
        require_one_grid(["a.tif", "b.tif"], [GRID, other])
    assert says in str(caught.value)
    assert "pass like='a.tif' to read all on that grid" in str(caught.value)


TURNED = [
    HERE,
    HERE @ Affine.rotation(30),
    HERE @ Affine.rotation(-100),
    HERE @ Affine.shear(20, 5),
    HERE @ Affine.scale(1, -1),
    HERE @ Affine.scale(-1, 1),
    HERE @ Affine.rotation(30) @ Affine.scale(1, -1),
]


@pytest.mark.parametrize("place", TURNED, ids=range(len(TURNED)))
@pytest.mark.parametrize(("right", "down"), [(20, 10), (-30, 70), (0, 0), (99, -79)])
def test_grids_with_the_same_pixels_are_joined_by_their_offsets(place, right, down):
    first = Grid(UTM, place, 100, 80)
    other = Grid(UTM, place @ Affine.translation(right, down), 60, 90)
    union = common_grid(["a.tif", "b.tif"], [first, other], "union")
    left, top = min(0, right), min(0, down)
    assert (union.width, union.height) == (
        max(100, right + 60) - left,
        max(80, down + 90) - top,
    )
    assert first.pixel_offset(union) == (-left, -top)
    assert other.pixel_offset(union) == (right - left, down - top)
    shared = common_grid(["a.tif", "b.tif"], [first, other], "intersection")
    assert (shared.width, shared.height) == (
        min(100, right + 60) - max(0, right),
        min(80, down + 90) - max(0, down),
    )
    assert shared.pixel_offset(first) == (max(0, right), max(0, down))


@pytest.mark.parametrize("place", TURNED, ids=range(len(TURNED)))
def test_pixels_of_another_size_are_joined_by_their_corners(place):
    first = Grid(UTM, place, 100, 80)
    coarse = Grid(UTM, place @ Affine.translation(40, -20) @ Affine.scale(2), 45, 30)
    union = common_grid(["a.tif", "b.tif"], [first, coarse], "union")
    assert (union.width, union.height) == (130, 100)
    shared = common_grid(["a.tif", "b.tif"], [first, coarse], "intersection")
    assert (shared.width, shared.height) == (60, 40)


def test_a_grid_that_is_turned_against_the_first_reaches_as_far_as_its_corners():
    turned = Grid(UTM, HERE @ Affine.translation(50, 40) @ Affine.rotation(45), 20, 20)
    union = common_grid(["a.tif", "b.tif"], [GRID, turned], "union")
    assert union == GRID
    shared = common_grid(["a.tif", "b.tif"], [GRID, turned], "intersection")
    assert (shared.width, shared.height) == (28, 28)
    assert np.round(shared.pixel_offset(GRID)).tolist() == [36, 40]
