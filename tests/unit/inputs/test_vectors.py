"""Features are read from GeoJSON, objects and OGR's formats, and what is wrong is one line."""

import json
import re

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from rio_mucho_cli.errors import GridError, InputError
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.vectors import features_digest, parse_geojson, read_features

SQUARE = {"type": "Polygon", "coordinates": [[(0, 0), (0.1, 0), (0.1, 0.1), (0, 0.1), (0, 0)]]}
FEATURES = [
    {"type": "Feature", "id": "a", "geometry": SQUARE, "properties": {"größe": 1, "on": None}},
    {"type": "Feature", "geometry": None, "properties": None},
    {"type": "Feature", "geometry": {"type": "Point", "coordinates": (1, 2, 9)}, "properties": {}},
]
COLLECTION = {"type": "FeatureCollection", "features": FEATURES}
GRID = Grid(CRS.from_epsg(32631), Affine(30, 0, 1e5, 0, -30, 1e5), 100, 100)


class Shape:
    __geo_interface__ = SQUARE


TEXTS = {
    "collection": json.dumps(COLLECTION, indent=1),
    "lines": "\n".join(map(json.dumps, FEATURES)),
    "RS": "".join(f"\x1e{json.dumps(feature, indent=1)}\n" for feature in FEATURES),
}


@pytest.mark.parametrize("form", TEXTS)
def test_geojson(form, tmp_path, caplog):
    path = tmp_path / "ö.geojson"
    path.write_text(TEXTS[form], encoding="utf-8")
    found = read_features(str(path))
    assert (found.driver, len(found), found.ids) == ("GeoJSON", 3, ["a", None, None])
    assert found.crs == CRS.from_epsg(4326)
    assert found.properties == [{"größe": 1, "on": None}, {}, {}]
    assert found.geometries.types.tolist() == [2, -1, 0]
    assert "1 feature of" in caplog.text
    assert "number 2" in caplog.text


@pytest.mark.parametrize("source", [COLLECTION, FEATURES[0], SQUARE, Shape()])
def test_objects(source):
    found = read_features(source)
    assert found.driver == "object"
    assert found.geometries.geometry(0)["type"] == "Polygon"
    assert found.digest == read_features(source).digest


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:EPSG::32631", "EPSG:32631"])
def test_an_old_crs_member(name):
    old = {**COLLECTION, "crs": {"type": "name", "properties": {"name": name}}}
    found = read_features(old)
    assert found.crs == GRID.crs
    assert found.on_grid(GRID) is found.geometries
    plain = {**COLLECTION, "crs": {"properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}}
    assert read_features(plain).crs == CRS.from_epsg(4326)


def test_features_are_reprojected():
    moved = read_features(SQUARE).on_grid(GRID)
    assert moved.points.min(axis=0) == pytest.approx([166021, 0], abs=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("{", "is not GeoJSON"),
        ("[1]", r"found \[1\]"),
        ('{"type": "Topology"}', "feature 1: its geometry is of type 'Topology'"),
        ('{"type": "Point", "coordinates": [1]}', "feature 1"),
        ('{"type": "Feature", "geometry": {"type": "Point"}}', "feature 1"),
        (json.dumps({**COLLECTION, "crs": {"properties": {"name": "x"}}}), "'x', which is not"),
    ],
)
def test_what_is_no_geojson(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse_geojson(text, "a.geojson")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", [3, {"a": 1}, object()])
def test_what_is_no_object(source):
    with pytest.raises(InputError, match="not GeoJSON-like"):
        read_features(source)


def test_a_missing_file(tmp_path):
    (tmp_path / "fields.geojson").touch()
    for name in ("field.geojson", "field.fgb"):
        with pytest.raises(InputError, match="No such file"):
            read_features(str(tmp_path / name))


def with_values(*values):
    return read_features({
        "type": "FeatureCollection",
        "features": [{"geometry": SQUARE, "properties": {"v": value}} for value in values],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((1, -2), "int32"),
        ((True, 2), "int32"),
        ((1, 2**31), "int64"),
        ((1, 2**70), "float64"),
        ((1, 0.5), "float64"),
    ],
)
def test_dtypes_of_attributes(values, dtype):
    found, has_value = with_values(*values, None).numbers("v")
    assert found.dtype == dtype
    assert found.tolist() == [*values, 0]
    assert has_value.tolist() == [True, True, False]


def test_attributes_that_are_no_numbers():
    with pytest.raises(InputError, match="no attribute 'w', but v"):
        with_values(1).numbers("w")
    with pytest.raises(InputError, match=r"feature 2 of features is 'x': expected numbers"):
        with_values(1, "x").numbers("v")


def test_without_pyogrio(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyogrio", None)
    (tmp_path / "a.gpkg").touch()
    with pytest.raises(InputError, match=re.escape('pip install "rio-mucho-cli[vector]"')):
        read_features(str(tmp_path / "a.gpkg"))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes two squares with a date in a format of OGR."""
    pyogrio = pytest.importorskip("pyogrio")
    shapely = pytest.importorskip("shapely")

    def write(name, layer=None, crs="EPSG:32631", append=False):
        squares = [shapely.box(k, k, k + 1, k + 1) for k in range(2)]
        pyogrio.raw.write(
            tmp_path / name,
            shapely.to_wkb([*squares, None]),
            [np.array([1, 2, 3]), np.array(["2024-05-01", "NaT", "NaT"], "datetime64[D]")],
            ["n", "day"],
            layer=layer,
            geometry_type="Polygon",
            crs=crs,
            append=append,
        )
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp"])
def test_formats_of_ogr(name, write):
    path = write(name)
    found = read_features(path)
    assert found.crs == GRID.crs
    assert found.geometries.bounds()[1].tolist() == [1, 1, 2, 2]
    assert found.properties[0] == {"n": 1, "day": "2024-05-01"}
    assert found.properties[1]["day"] is None
    assert features_digest(path) == features_digest(path)


def test_layers(write):
    write("a.gpkg", layer="one")
    path = write("a.gpkg", layer="two", append=True)
    assert len(read_features(f"{path},layer=two")) == 3
    with pytest.raises(InputError, match=r"has 2 layers \(one, two\): choose one"):
        read_features(path)
    with pytest.raises(InputError, match="no layer 'twoo'"):
        read_features(f"{path},layer=twoo")


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_no_crs(write):
    found = read_features(write("a.shp", crs=None))
    with pytest.raises(GridError, match="has no CRS"):
        found.on_grid(GRID)
