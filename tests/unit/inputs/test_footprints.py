"""Which scenes touch a window: compared with the place of every pixel of the window."""

import hypothesis
import numpy as np
import pytest
from affine import Affine
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from rio_mucho_cli.inputs.footprints import EVERYWHERE, Footprint, Footprints
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.reprojection import transform_points
from rio_mucho_cli.windows import Size, pairs_of, window_grid

PLACE = Affine(30, 0, 400000, 0, -30, 5000000)
place = Affine.translation
TURNS = [Affine.identity(), Affine.rotation(30), Affine.scale(1, -1), Affine.shear(10, 20)]


def grid(crs, transform, width, height):
    return Grid(CRS.from_user_input(crs), transform, width, height)


def pixels_within(source, target):
    """Return for every pixel of a grid whether its centre is in the source: (rows, cols)."""
    rows, cols = np.indices((target.height, target.width)) + 0.5
    points = apply(target.transform, np.stack([cols.ravel(), rows.ravel()], axis=1))
    if source.crs != target.crs:
        points = transform_points(target.crs, source.crs, points)
    cols, rows = apply(~source.transform, points).T
    inside = (cols > 0) & (cols < source.width) & (rows > 0) & (rows < source.height)
    return inside.reshape(target.height, target.width)


def apply(affine, points):
    a, b, c, d, e, f = tuple(affine)[:6]
    xs, ys = points.T
    return np.stack([a * xs + b * ys + c, d * xs + e * ys + f], axis=1)


def windows_of(target, side):
    return [window for window, _ in pairs_of(window_grid(target.width, target.height, Size(*side)))]


def check(sources, target, side):
    """Assert that no scene with pixels in a window is left out; return how many are in excess."""
    footprints = Footprints([Footprint.of(source, target) for source in sources], target)
    within = [pixels_within(source, target) for source in sources]
    excess = 0
    most = 0
    for window in windows_of(target, side):
        found = footprints.touching(window)
        expected = [n for n, pixels in enumerate(within) if pixels[window.toslices()].any()]
        assert set(expected) <= set(found), window
        assert found == sorted(found)
        excess += len(found) - len(expected)
        most = max(most, len(found))
    assert footprints.most_over(window_grid(target.width, target.height, Size(*side))) >= most
    return excess


SMALL = st.floats(-60, 60)
SOURCES = st.lists(
    st.tuples(st.sampled_from(TURNS), SMALL, SMALL, st.sampled_from([0.3, 1, 2, 7]),
              st.integers(1, 60), st.integers(1, 60)),
    min_size=1, max_size=5,
)  # fmt: skip


@hypothesis.settings(max_examples=60)
@hypothesis.given(SOURCES, st.sampled_from(TURNS), st.integers(3, 50), st.integers(3, 50))
def test_scenes_in_the_same_crs(sources, turn, width, height):
    target = grid("EPSG:32633", PLACE @ turn, 41, 33)
    scenes = [
        Grid(target.crs, target.transform @ place(col, row) @ own @ Affine.scale(step), cols, rows)
        for own, col, row, step, cols, rows in sources
    ]
    check(scenes, target, (width, height))


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    st.sampled_from(["EPSG:32632", "EPSG:32634", "EPSG:3035", "EPSG:3857"]),
    st.floats(8, 20), st.floats(-60, 80), st.sampled_from([10, 300, 5000]), st.integers(5, 400),
    st.floats(-1, 1), st.floats(-1, 1),
)  # fmt: skip
def test_scenes_in_other_crs(crs, lon, lat, step, side, east, south):
    """The output's grid is at an edge or a corner of the scene, or elsewhere."""
    lat = abs(lat) if crs == "EPSG:3035" else lat
    ((x, y),) = transform_points(
        CRS.from_epsg(4326), CRS.from_user_input(crs), np.array([[lon, lat]])
    )
    scene = grid(
        crs, Affine(step, 0, x - step * side / 2, 0, -step, y + step * side / 2), side, side
    )
    at = apply(scene.transform, np.array([[(1 + east) * side / 2, (1 + south) * side / 2]]))
    ((x, y),) = transform_points(scene.crs, CRS.from_epsg(32633), at)
    check(
        [scene],
        grid("EPSG:32633", Affine(step, 0, x - 20 * step, 0, -step, y + 20 * step), 40, 40),
        (3, 3),
    )


DEGREES = grid("EPSG:4326", Affine(0.00025, 0, 10, 0, -0.00025, 55), 40000, 40000)
ACROSS_180 = grid("EPSG:32660", Affine(1000, 0, 600000, 0, -1000, 7500000), 110, 110)
HARD = {
    "a southern edge that is a curve": (
        DEGREES, grid("EPSG:3035", Affine(30, 0, 4554000, 0, -30, 2439000), 120, 90), (3, 3), 400,
    ),
    "west of 180 degrees": (
        ACROSS_180, grid("EPSG:4326", Affine(0.05, 0, 170, 0, -0.05, 75), 200, 300), (9, 9), None,
    ),
    "east of 180 degrees": (
        ACROSS_180, grid("EPSG:4326", Affine(0.05, 0, -180, 0, -0.05, 75), 200, 300), (9, 9), None,
    ),
    "a pole": (
        grid("EPSG:3413", Affine(10000, 0, -1000000, 0, -10000, 1000000), 200, 200),
        grid("EPSG:4326", Affine(1, 0, -180, 0, -1, 90), 360, 180), (9, 9), None,
    ),
    "around a pole": (
        grid("EPSG:4326", Affine(0.25, 0, -180, 0, -0.25, 90), 1440, 200),
        grid("EPSG:3413", Affine(20000, 0, -1000000, 0, -20000, 1000000), 100, 100), (9, 9), None,
    ),
    "the disk of a satellite": (
        grid("+proj=geos +h=35785831 +lon_0=0 +sweep=y",
             Affine(30000, 0, -5500000, 0, -30000, 5500000), 366, 366),
        grid("EPSG:4326", Affine(1, 0, -90, 0, -1, 90), 180, 180), (9, 9), None,
    ),
    "a neighbouring zone": (
        grid("EPSG:32632", Affine(100, 0, 699960, 0, -100, 5000040), 1098, 1098),
        grid("EPSG:32633", Affine(300, 0, 200000, 0, -300, 5020000), 420, 400), (5, 5), 150,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HARD)
def test_scenes_whose_edges_are_curves(case):
    source, target, side, most = HARD[case]
    assert pixels_within(source, target).any()
    excess = check([source], target, side)
    assert most is None or excess <= most


def test_files_of_a_scene_that_differ_by_half_a_pixel():
    """Landsat's panchromatic band begins half a pixel of its own before the others."""
    turned = PLACE @ Affine.rotation(20)
    files = [
        grid("EPSG:32633", turned, 40, 40),
        grid("EPSG:32633", turned @ Affine.translation(-0.5, -0.5) @ Affine.scale(0.5), 81, 81),
    ]
    ((x, y),) = transform_points(
        files[0].crs, CRS.from_epsg(32634), apply(turned, np.array([[0.0, 0.0]]))
    )
    target = grid("EPSG:32634", Affine(30, 0, x - 900, 0, -30, y + 900), 60, 60)
    footprint = Footprint.union([Footprint.of(file, target) for file in files])
    assert footprint.outline is not None
    within = pixels_within(files[0], target) | pixels_within(files[1], target)
    for window in windows_of(target, (1, 1)):
        if within[window.toslices()].any():
            assert Footprints([footprint], target).touching(window), window


def test_overlap_makes_windows_larger():
    target = grid("EPSG:32633", PLACE, 64, 64)
    beside, beyond = (
        Footprint.of(grid("EPSG:32633", PLACE @ place(col, 0), 9, 9), target) for col in (50, 64)
    )
    footprints = Footprints([beside, beyond], target)
    window = Window(32, 0, 16, 16)
    assert [footprints.touching(window, overlap) for overlap in (0, 2, 3)] == [[], [], [0]]
    # Beyond the output's grid, there are no pixels of scenes.
    assert footprints.touching(Window(48, 0, 16, 16), 20) == [0]
    assert footprints.most_over(window_grid(64, 64, Size(16, 16)), 3) >= 1


def test_what_has_no_place_is_everywhere_or_nowhere():
    target = grid("EPSG:32633", PLACE, 64, 64)
    degenerate = Footprint.of(grid("EPSG:32633", Affine(0, 0, 0, 0, 0, 0), 9, 9), target)
    assert degenerate.box == EVERYWHERE
    far = Footprint.of(grid("EPSG:4326", Affine(0.1, 0, -100, 0, -0.1, -40), 9, 9), target)
    assert not Footprints([far], target).touching(Window(0, 0, 64, 64))
    assert far.contains(degenerate)
    assert not far.contains(Footprint.of(target, target))
    # Its outline cannot be transformed.
    nowhere = Footprint.of(grid("EPSG:4326", Affine(0.1, 0, 105, 0, -0.1, 0), 9, 9), target)
    assert nowhere.contains(nowhere)
    assert not Footprint.of(target, target).contains(nowhere)
