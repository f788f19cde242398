"""Scenes from STAC items, as catalogues write them."""

import copy
import math
from datetime import UTC, datetime

import pytest
import rasterio
from affine import Affine
from stac_items import CATALOGUES, naip

from rio_mucho_cli import InputError, UsageError
from rio_mucho_cli.inputs.stac import MissingAssetError, absolute_href, scene_of_item

WHEN = "2024-06-01T10:00:00Z"


@pytest.fixture
def paths(make_raster):
    """Return the paths of red, nir and qa of one scene."""
    return {
        kind: make_raster(f"{kind}.tif", dtype="uint8", width=40 // step, height=30 // step)
        for kind, step in (("red", 1), ("nir", 1), ("qa", 1))
    }


@pytest.fixture
def item(paths):
    """Return an item that says all."""
    return CATALOGUES["earth_search_v1"][0]("S2A_33", paths, WHEN)


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_what_catalogues_say(catalogue, paths):
    maker, names = CATALOGUES[catalogue]
    scene = scene_of_item(maker("S2A_33", paths, WHEN), names)
    assert [asset.path for asset in scene.assets] == [str(path) for path in paths.values()]
    assert [asset.name for asset in scene.assets] == names
    assert (scene.name, scene.path) == ("S2A_33", str(paths["red"]))
    assert scene.datetime == datetime(2024, 6, 1, 10, tzinfo=UTC)
    assert not any(asset.band for asset in scene.assets)
    for asset in scene.assets:
        with rasterio.open(asset.path) as src:
            if catalogue == "without_grids":
                assert asset.grid is None
                continue
            assert (asset.grid.crs, asset.grid.width, asset.grid.height) == (src.crs, 40, 30)
            shift = 15 if catalogue == "usgs_landsat" else 0
            place = (src.transform.c + shift, src.transform.f - shift)
            assert asset.grid.transform == Affine(30, 0, place[0], 0, -30, place[1])


def test_what_items_say_of_values(paths):
    def said(catalogue):
        maker, names = CATALOGUES[catalogue]
        scene = scene_of_item(maker("S", paths, WHEN), names)
        return scene.scales, scene.offsets, [asset.nodata for asset in scene.assets]

    assert said("earth_search_v1") == ((1e-4, 1e-4, 1.0), (-0.1, -0.1, 0.0), [0, 0, 0])
    assert said("planetary_landsat")[::2] == ((2.75e-05, 2.75e-05, 1.0), [0, 0, 1])
    assert said("stac_1_1") == ((1.0,) * 3, (0.0,) * 3, [0, 0, 0])
    assert said("planetary_sentinel_2")[2] == [None] * 3


def test_bands_of_one_image_by_name(make_raster):
    image = make_raster("naip.tif", count=4, dtype="uint8")
    item = naip("m_42", image, WHEN)
    bands = [(a.path, a.band) for a in scene_of_item(item, ["nir", "Red"]).assets]
    assert bands == [(str(image), 4), (str(image), 1)]
    assert scene_of_item(item, ["image"]).assets[0].band == 0
    # Of an image with the same band alone, that one.
    item["assets"]["B1"] = {"href": "b1.tif", "bands": [{"name": "B1", "eo:common_name": "red"}]}
    assert scene_of_item(item, ["red"]).path.endswith("/b1.tif")


GRIDS = {
    "code": ({"proj:code": "EPSG:32634"}, 32634),
    "code is null": ({"proj:code": None}, 32633),
    "epsg alone": ({"proj:code": None, "proj:epsg": 32634}, 32634),
    "WKT alone": (
        {"proj:code": None, "proj:epsg": None, "proj:wkt2": rasterio.CRS.from_epsg(32634).wkt},
        32634,
    ),
    "nine numbers": ({"proj:transform": [30, 0, 400000, 0, -30, 5000000, 0, 0, 1]}, 32633),
    "numbers as text": ({"proj:shape": ["30", "40.0"]}, 32633),
    "bounds": ({"proj:transform": None, "proj:bbox": [400000, 4999100, 401200, 5000000]}, 32633),
    "no CRS": ({"proj:code": None, "proj:epsg": None}, None),
    "an unknown CRS": ({"proj:code": "EPSG:999999"}, None),
    "no CRS at all": ({"proj:code": {"name": 5}}, None),
    "no shape": ({"proj:shape": None}, None),
    "a shape that is none": ({"proj:shape": ["x", 5]}, None),
    "an empty shape": ({"proj:shape": [0, 5]}, None),
    "an endless shape": ({"proj:shape": [1e300, 1e300]}, None),
    "a shape of three": ({"proj:shape": [3, 30, 40]}, None),
    "five numbers": ({"proj:transform": [30, 0, 400000, 0, -30]}, None),
    "text": ({"proj:transform": "30, 0, 400000, 0, -30, 5000000"}, None),
    "not finite": ({"proj:transform": [30, 0, "nan", 0, -30, 5000000]}, None),
    "degenerate": ({"proj:transform": [0, 0, 0, 0, 0, 0]}, None),
    "the order of GDAL": ({"proj:transform": [400000, 30, 0, 5000000, 0, -30]}, None),
    "empty bounds": ({"proj:transform": None, "proj:bbox": [1, 1, 1, 1]}, None),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", GRIDS)
def test_grids(case, item):
    said, epsg = GRIDS[case]
    item["properties"]["proj:epsg"] = 32633
    item["properties"].pop("proj:code")
    item["assets"]["red"].update(said)
    grid = scene_of_item(item, ["red"]).assets[0].grid
    if epsg is None:
        assert grid is None
    else:
        assert (grid.crs.to_epsg(), grid.width, grid.height) == (epsg, 40, 30)
        assert grid.transform.almost_equals(Affine(30, 0, 400000, 0, -30, 5000000), 1e-9)


def test_values_of_bands_that_are_odd(item):
    bands = item["assets"]["red"]["raster:bands"]
    for said, expected in (("nan", math.nan), ("-inf", -math.inf), ("x", None), (True, None)):
        bands[0]["nodata"] = said
        found = scene_of_item(item, ["red"]).assets[0].nodata
        assert found == expected or (math.isnan(expected) and math.isnan(found))
    bands.append({"nodata": 5})
    assert scene_of_item(item, ["red"]).assets[0].nodata is None
    item["assets"]["red"]["raster:bands"] = "none"
    item["assets"]["red"]["eo:bands"] = 5
    assert scene_of_item(item, ["red"]).assets[0].dtypes == ()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"datetime": None}, None),
        ({}, None),
        ({"datetime": ["x"]}, None),
        ({"datetime": "yesterday"}, None),
        ({"datetime": None, "start_datetime": WHEN}, datetime(2024, 6, 1, 10, tzinfo=UTC)),
        ({"datetime": "2024-06-01T10:00:00.123+02:00"}, "2024-06-01T10:00:00.123000+02:00"),
    ],
)
def test_times(said, expected, item):
    item["properties"] = said
    found = scene_of_item(item, ["red"]).datetime
    assert found == expected or found.isoformat() == expected


def test_what_is_no_item_or_lacks_an_asset(item):
    with pytest.raises(UsageError, match=r"need assets: S2A_33 has red-jp2, red, .*thumbnail"):
        scene_of_item(item, [])
    with pytest.raises(MissingAssetError, match="no asset 'nirr': did you mean 'nir'"):
        scene_of_item(item, ["red", "nirr"])
    without = copy.deepcopy(item)
    without["assets"]["red"]["href"] = None
    with pytest.raises(MissingAssetError, match="has no href for its asset 'red'"):
        scene_of_item(without, ["red"])
    for change in ({"assets": None}, {"properties": None}, {"assets": []}):
        with pytest.raises(InputError, match="S2A_33 is not a STAC item"):
            scene_of_item({**item, **change}, ["red"])
    with pytest.raises(InputError, match=r"an item without an id is not .* it has nothing"):
        scene_of_item({}, ["red"])


def test_properties_are_those_of_the_item(item):
    before = copy.deepcopy(item)
    scene = scene_of_item(item, ["red"])
    assert scene.properties == before["properties"]
    scene.properties["eo:cloud_cover"] = 5
    assert scene.properties == before["properties"]
    assert item == before


@pytest.mark.parametrize(
    ("own", "href", "path"),
    [
        (None, "a.tif", "items/a.tif"),
        (None, "../a.tif", "a.tif"),
        (None, "/data/a.tif", "/data/a.tif"),
        (None, "file:///data/a%20b.tif", "/data/a b.tif"),
        (None, "https://host/a.tif?sig=x", "https://host/a.tif?sig=x"),
        (None, "s3://bucket/a.tif", "s3://bucket/a.tif"),
        (None, "/vsicurl/https://host/a.tif", "/vsicurl/https://host/a.tif"),
        ("https://host/items/1.json", "../a.tif", "https://host/a.tif"),
        ("https://host/items/1.json", "there.tif", "items/there.tif"),
        ("file:///data/items/1.json", "./a.tif", "/data/items/a.tif"),
        ("/data/items/1.json", "../a.tif", "/data/a.tif"),
        ("s3://bucket/items/1.json", "./a.tif", "s3://bucket/items/a.tif"),
        ("s3://bucket/items/1.json", "../x/a.tif", "s3://bucket/x/a.tif"),
        ("s3://bucket/items/1.json", "//host/a.tif", "//host/a.tif"),
        ("./1.json", "a.tif", "items/a.tif"),
    ],
)
def test_hrefs(own, href, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "there.tif").touch()
    links = [{"rel": "root"}, None, {"rel": "self", "href": own}] if own else None
    assert absolute_href({"links": links}, href, "items") == path
