"""Geometries in arrays are those of GeoJSON, and edges are curves in other projections."""

from itertools import pairwise

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.warp import transform

from rio_mucho_cli.inputs.geometries import GeometryBuilder, join
from rio_mucho_cli.inputs.reprojection import reproject

RING = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 0.0)]
HOLE = [(3.0, 1.0), (3.5, 1.0), (3.5, 1.5), (3.0, 1.0)]
LINE = [(0.0, 1.0), (2.0, 3.0)]
GEOMETRIES = [
    {"type": "Point", "coordinates": (1.0, 2.0)},
    {"type": "MultiPoint", "coordinates": [(1.0, 2.0), (3.0, 4.0)]},
    {"type": "LineString", "coordinates": LINE},
    {"type": "MultiLineString", "coordinates": [LINE, RING]},
    {"type": "Polygon", "coordinates": [RING, HOLE]},
    {"type": "MultiPolygon", "coordinates": [[RING, HOLE], [HOLE]]},
]
COLLECTION = {"type": "GeometryCollection", "geometries": [GEOMETRIES[0], GEOMETRIES[4]]}
EMPTY = [
    None,
    {"type": "Point", "coordinates": []},
    {"type": "MultiPolygon", "coordinates": []},
    {"type": "Polygon", "coordinates": []},
    {"type": "Polygon", "coordinates": [[(0, 0), (1, 1), (0, 0)]]},
    {"type": "LineString", "coordinates": [(0, 0)]},
    {"type": "GeometryCollection", "geometries": []},
]


def built(*geometries):
    builder = GeometryBuilder()
    for geometry in geometries:
        builder.add(geometry)
    return builder.build()


def test_geometries_come_back():
    found = built(*GEOMETRIES, None, COLLECTION)
    assert [found.geometry(k) for k in range(8)] == [*GEOMETRIES, None, COLLECTION]
    assert found.bounds()[4].tolist() == [0, 0, 4, 4]
    assert np.isnan(found.bounds()[6]).all()


@pytest.mark.parametrize("geometry", EMPTY)
def test_nothing_to_burn(geometry):
    builder = GeometryBuilder()
    assert not builder.add(geometry)
    assert builder.build().geometry(0) is None


def test_z_is_dropped_and_rings_are_closed():
    mixed = {"type": "Polygon", "coordinates": [[(0, 0, 9), (4, 0), (4, 4, 9), (1, 3)]]}
    assert built(mixed).geometry(0)["coordinates"] == [[(0, 0), (4, 0), (4, 4), (1, 3), (0, 0)]]


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"type": "Circle", "coordinates": []}, "'Circle'"),
        ({"type": "Polygon", "coordinates": [[1, 2, 3, 4]]}, "pairs of numbers"),
        ({"type": "Point", "coordinates": ["a", "b"]}, "could not convert"),
        ({"type": "Point", "coordinates": [float("nan"), 1]}, "finite"),
    ],
)
def test_what_is_no_geometry(geometry, message):
    with pytest.raises((ValueError, IndexError), match=message):
        GeometryBuilder().add(geometry)


def test_parts_of_several():
    one = built(GEOMETRIES[5], GEOMETRIES[2])
    both = join([one, one.select_parts(np.array([False, True, False]))])
    assert both.geometry(0)["coordinates"] == [[RING, HOLE], [HOLE], [HOLE]]
    assert both.geometry(1) == GEOMETRIES[2]


def test_edges_are_curves_elsewhere():
    """The shape in metres is that of the edges in degrees, to a fraction of a pixel."""
    corners = [(10.0, 59.0), (20.0, 59.0), (20.0, 61.0), (10.0, 61.0), (10.0, 59.0)]
    to = CRS.from_epsg(32633)
    pixels = np.eye(2) / 30  # of 30 m
    found = reproject(
        built({"type": "Polygon", "coordinates": [corners]}), CRS.from_epsg(4326), to, pixels
    )
    fine = np.concatenate([np.linspace(start, end, 5000) for start, end in pairwise(corners)])
    xs, ys = transform("EPSG:4326", to, fine[:, 0], fine[:, 1])
    ring = found.points
    assert 100 < len(ring) < 2000
    steps = np.diff(ring, axis=0)
    for point in np.stack([xs, ys], axis=1)[::50]:
        along = ((point - ring[:-1]) * steps).sum(axis=1) / (steps**2).sum(axis=1)
        nearest = ring[:-1] + along.clip(0, 1)[:, np.newaxis] * steps
        assert np.hypot(*(nearest - point).T).min() < 30 * 0.1


def test_the_antimeridian():
    """A square across it has a part on each side of a map in degrees."""
    square = [(-1e5, 0), (1e5, 0), (1e5, 1e5), (-1e5, 1e5), (-1e5, 0)]
    pacific = CRS.from_epsg(3832)  # around 150 degrees east
    square = [(x + 3339584.7, y) for x, y in square]
    found = reproject(
        built({"type": "Polygon", "coordinates": [square]}),
        pacific,
        CRS.from_epsg(4326),
        np.eye(2) * 100,
    )
    low, high = found.part_bounds()
    assert len(low) == 2
    assert (high - low).max() < 2
    assert sorted(low[:, 0].round(2).tolist()) == [-180.9, 179.1]


def test_points_without_a_place():
    points = [{"type": "Point", "coordinates": (15, y)} for y in (95, 50)]
    found = reproject(built(*points), CRS.from_epsg(4326), CRS.from_epsg(32633), np.eye(2))
    assert found.geometry(0) is None
    assert found.geometry(1)["coordinates"] == pytest.approx((500000, 5538630.7))
