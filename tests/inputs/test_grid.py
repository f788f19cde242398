import pytest
from affine import Affine
from rasterio.crs import CRS

from rio_mucho_cli.errors import GridError
from rio_mucho_cli.inputs.grid import Grid, require_one_grid

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
    assert "pass --like a.tif to read all on that grid" in str(caught.value)
