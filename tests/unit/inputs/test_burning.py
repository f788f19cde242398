"""Windows burned one by one are those of rasterio's rasterize on the whole grid."""

import warnings

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings, strategies as st
from rasterio.features import rasterize
from rasterio.windows import Window

from rio_mucho_cli.inputs.burning import Burner
from rio_mucho_cli.inputs.geometries import GeometryBuilder
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.shapes import BoxIndex, Shapes

WIDTH, HEIGHT = 40, 31
TRANSFORMS = {
    "identity": Affine.identity(),
    "metres": Affine(30, 0, 4e5, 0, -30, 5e6),
    "degrees": Affine(0.1, 0, -3, 0, -0.1, 2),
    "thirds, south up": Affine(1 / 3, 0, 0.1, 0, 1 / 3, -2.7),
    "sheared": Affine(2, 0.7, 5, -0.3, -2, 8),
    "mirrored": Affine(-1, 0, 7, 0, 1, 3),
    "turned": Affine(0, -1, 7, 1, 0, 3),
}
# On corners and centres of pixels, near them, and anywhere; not beyond the right edge, where
# GDAL burns pixels of lines into the next row (of all_touched alone).
NEAR = st.sampled_from([0.0, 0.5, 0.25, 1e-3, 5e-5, 1e-12, -1e-12])
ACROSS = st.builds(lambda whole, more: min(whole + more, WIDTH), st.integers(-9, WIDTH), NEAR)
DOWN = st.builds(lambda whole, more: whole + more, st.integers(-9, 40), NEAR)
ANY = st.tuples(st.floats(-9, WIDTH), st.floats(-9, 40))
POINT = st.one_of(st.tuples(ACROSS, DOWN), ANY)


@st.composite
def rings(draw):
    if draw(st.booleans()):
        (left, top), (right, bottom) = draw(POINT), draw(POINT)
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        corners = corners if draw(st.booleans()) else corners[::-1]
    else:
        corners = draw(st.lists(POINT, min_size=3, max_size=7))
    return [*corners, corners[0]]


GEOMETRIES = st.one_of(
    POINT.map(lambda point: {"type": "Point", "coordinates": point}),
    st.lists(POINT, min_size=1, max_size=3).map(
        lambda points: {"type": "MultiPoint", "coordinates": points}
    ),
    st.lists(POINT, min_size=2, max_size=6).map(
        lambda points: {"type": "LineString", "coordinates": points}
    ),
    st.lists(rings(), min_size=1, max_size=3).map(
        lambda rings: {"type": "Polygon", "coordinates": rings}
    ),
    st.lists(st.lists(rings(), min_size=1, max_size=2), min_size=1, max_size=3).map(
        lambda polygons: {"type": "MultiPolygon", "coordinates": polygons}
    ),
)


def placed(value, transform):
    """Return coordinates in pixels as coordinates of a transform."""
    if isinstance(value[0], float | int):
        (a, b, c, d, e, f), (x, y) = tuple(transform)[:6], value
        return a * x + b * y + c, d * x + e * y + f
    return [placed(each, transform) for each in value]


def burner(geometries, transform, **given):
    builder = GeometryBuilder()
    for geometry in geometries:
        assert builder.add(geometry)
    grid = Grid(None, transform, WIDTH, HEIGHT)
    return Burner(Shapes.on_grid(builder.build(), grid, **given))


@given(
    st.lists(GEOMETRIES, min_size=1, max_size=4),
    st.sampled_from(sorted(TRANSFORMS)),
    st.booleans(),
    st.sampled_from([(1, 40), (31, 1), (7, 5), (13, 9), (4, 3)]),
)
@settings(max_examples=100, deadline=None)
def test_windows_are_those_of_one_whole_rasterize(geometries, name, all_touched, size):
    rows, cols = size
    transform = TRANSFORMS[name]
    shapes = [
        {**each, "coordinates": placed(each["coordinates"], transform)} for each in geometries
    ]
    whole = rasterize(
        [(shape, number) for number, shape in enumerate(shapes, 1)],
        out_shape=(HEIGHT, WIDTH),
        transform=transform,
        all_touched=all_touched,
        dtype="uint32",
    )
    burn = burner(shapes, transform, all_touched=all_touched).burn
    found = np.full_like(whole, 99)
    for top in range(0, HEIGHT, rows):
        for left in range(0, WIDTH, cols):
            height, width = min(rows, HEIGHT - top), min(cols, WIDTH - left)
            part = burn(Window(left, top, width, height))
            assert part.shape == (height, width)
            found[top : top + height, left : left + width] = part
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("many", [3, 10_000])
@pytest.mark.parametrize("all_touched", [False, True])
def test_long_edges_are_those_of_one_whole_rasterize(all_touched, many, monkeypatch):
    """Edges whose pixels are kept for other windows, in a grid of several thousand columns."""
    monkeypatch.setattr("rio_mucho_cli.inputs.burning._MANY", many)
    rng = np.random.default_rng(4)
    points = rng.uniform((0, -200), (3000, 900), (9, 2)).tolist()
    shapes = [
        {"type": "Polygon", "coordinates": [[*points, points[0]]]},
        {"type": "LineString", "coordinates": points[::2]},
    ]
    whole = rasterize(
        zip(shapes, [5, 7], strict=True),
        out_shape=(700, 3000),
        all_touched=all_touched,
        dtype="float32",
    )
    builder = GeometryBuilder()
    assert all(map(builder.add, shapes))
    grid = Grid(None, Affine.identity(), 3000, 700)
    values = np.array([5, 7], "float32")
    shapes = Shapes.on_grid(builder.build(), grid, values, all_touched=all_touched)
    burn = Burner(shapes).burn
    found = [[burn(Window(x, y, 600, 350)) for x in range(0, 3000, 600)] for y in (0, 350)]
    np.testing.assert_array_equal(np.block(found), whole)


BOXES = st.lists(
    st.tuples(st.floats(-50, 2000), st.floats(-50, 2000), st.floats(0, 900), st.floats(0, 900)),
    max_size=30,
)


@given(BOXES, BOXES)
def test_the_index_finds_all_boxes_that_touch(boxes, queries):
    boxes = np.array(boxes).reshape(-1, 4)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    index = BoxIndex(low, high)
    for x, y, width, height in queries:
        ends = (x + width, y + height)
        touch = (low <= ends).all(axis=1) & (high >= (x, y)).all(axis=1)
        found = index.query((x, y), ends)
        assert len(set(found)) == len(found)
        assert set(np.flatnonzero(touch)) <= set(found)


def test_features_in_a_window_and_spans():
    square = [(1, 1), (5, 1), (5, 4), (1, 4), (1, 1)]
    shapes = [
        {"type": "Polygon", "coordinates": [[(x + 20, y + 20) for x, y in square]]},
        {"type": "Polygon", "coordinates": [square]},
        {"type": "Point", "coordinates": (2.5, 2.5)},
    ]
    found = burner(shapes, Affine.identity())
    window = Window(2, 2, 6, 6)
    assert found.features_in(window).tolist() == [1, 2]
    spans = found.spans(window)
    assert spans.features.tolist() == [1, 1, 2]
    assert [each.tolist() for each in spans[1:]] == [[0, 1, 0], [0, 0, 0], [3, 3, 1]]


def test_shapes_beyond_the_grid_do_not_travel():
    far = {"type": "Point", "coordinates": (500, 2)}
    near = {"type": "Point", "coordinates": (5, 2)}
    found = burner([far, near], Affine.identity())
    assert len(found.shapes.geometries.points) == 1
    assert found.burn(Window(5, 2, 1, 1)).tolist() == [[2]]


def test_no_shapes_at_all():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = burner([], Affine.identity())
        assert not found.burn(Window(0, 0, 3, 2)).any()
