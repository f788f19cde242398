"""The example data is what its description says, and its functions run on it as they say."""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.features import geometry_mask
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds, transform_geom

from rio_mucho_cli.examples.__main__ import main

RIO = Path(sys.executable).with_name("rio")
CLOUDS = [3, 8, 9, 10]
FUNCTIONS = ["classify", "composite", "focal", "hillshade", "median", "ndvi", "water"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of examples, and what the command printed."""
    folder = tmp_path_factory.mktemp("examples") / "new"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main([str(folder)])
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def folder(made):
    return made[0]


@pytest.fixture(scope="module")
def items(folder):
    return json.loads((folder / "items.json").read_text())["features"]


def read(path, band=1):
    with rasterio.open(path) as src:
        return src.read(band)


def on_grid_of(other, src, band):
    """Return a band of a dataset on the grid of another one."""
    grid = {"crs": other.crs, "transform": other.transform}
    with WarpedVRT(src, width=other.width, height=other.height, **grid) as vrt:
        return vrt.read(band, masked=True)


def test_the_list_names_every_file(made):
    folder, printed = made
    names = [name for line in printed.splitlines() for name in line.partition(":")[0].split(", ")]
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    assert {f"{name}.py" for name in FUNCTIONS} == {name for name in names if name.endswith(".py")}


def test_the_size_is_as_promised(folder):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert 12e6 < size < 14e6


def test_every_run_makes_the_same_bytes_with_rasterio_and_numpy_alone(folder, tmp_path):
    code = (
        "import runpy, sys\n"
        "for name in ('cloudpickle', 'threadpoolctl', 'rio_mucho_cli.cli'):\n"
        "    sys.modules[name] = None\n"
        "runpy.run_module('rio_mucho_cli.examples', run_name='__main__')\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, stdout=subprocess.DEVNULL)
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("name", ["nir.tif", "scenes/", "ndvi.py"])
def test_nothing_is_replaced(tmp_path, name):
    path = tmp_path / name
    path.mkdir() if name.endswith("/") else path.write_text("mine")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path)])
    message = caught.value.code  # a message goes to stderr, and the status is 1
    assert message == f"Error: {path} exists: remove it, or name another folder"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"Error: cannot write into .*file: File exists$"):
        main([str(tmp_path / "file")])


@pytest.mark.parametrize(
    ("name", "epsg", "pixel", "shape", "dtype", "nodata"),
    [
        ("red.tif", 32632, 30, (1, 1200, 1500), "uint16", 0),
        ("nir.tif", 32632, 30, (1, 1200, 1500), "uint16", 0),
        ("dem.tif", 32632, 30, (1, 1200, 1500), "float32", -9999),
        ("landcover.tif", 32632, 30, (1, 1200, 1500), "uint8", 0),
        ("scene.tif", 32632, 30, (5, 600, 600), "uint16", 0),
        ("west.tif", 32632, 30, (1, 600, 350), "uint16", 0),
        ("east.tif", 32632, 30, (1, 600, 350), "uint16", 0),
        ("east_utm33.tif", 32633, None, None, "uint16", 0),
        ("dem_degrees.tif", 4326, 1 / 3600, None, "float32", -9999),
        ("s2_10m.tif", 32632, 10, (1, 600, 600), "uint16", 0),
        ("s2_20m.tif", 32632, 20, (1, 300, 300), "uint16", 0),
    ],
)
def test_grids(folder, name, epsg, pixel, shape, dtype, nodata):
    with rasterio.open(folder / name) as src:
        assert (src.crs.to_epsg(), set(src.dtypes), src.nodata) == (epsg, {dtype}, nodata)
        assert all(src.descriptions)
        assert pixel is None or src.res == pytest.approx((pixel, pixel))
        assert shape is None or (src.count, *src.shape) == shape
        with rasterio.open(folder / "nir.tif") as nir:
            bounds = transform_bounds(src.crs, nir.crs, *src.bounds)
            assert not rasterio.coords.disjoint_bounds(bounds, nir.bounds)


def test_the_same_places_look_the_same(folder):
    """The parts and the other grids show the valley where it is."""
    with rasterio.open(folder / "red.tif") as src:
        valley = src.read(1)
        for name, band in [("scene.tif", 3), ("west.tif", 1), ("east.tif", 1)]:
            with rasterio.open(folder / name) as part:
                (row, col), (rows, cols) = src.index(*part.xy(0, 0)), part.shape
                assert (part.read(band) == valley[row : row + rows, col : col + cols]).all()
    for name, source, band, allowed in [
        ("east_utm33.tif", "east.tif", 1, 40),
        ("dem_degrees.tif", "dem.tif", 1, 3),
        ("s2_10m.tif", "scene.tif", 2, 10),
        ("s2_20m.tif", "scene.tif", 5, 40),
    ]:
        with rasterio.open(folder / name) as src, rasterio.open(folder / source) as whole:
            here, there = src.read(1, masked=True), on_grid_of(src, whole, band)
            if name.startswith("s2_"):
                here = (here * src.scales[0] + src.offsets[0]) * 10_000
        assert np.ma.median(abs(here.astype(float) - there)) <= allowed, name


def test_fields_are_fields(folder):
    fields = json.loads((folder / "fields.geojson").read_text())["features"]
    assert len(fields) > 300
    properties = [field["properties"] for field in fields]
    assert len({entry["code"] for entry in properties}) == len(fields)
    assert len({(entry["crop"], entry["name"]) for entry in properties}) == 7
    with rasterio.open(folder / "landcover.tif") as src:
        cover, grid, crs = src.read(1), src.transform, src.crs
        assert src.colormap(1)[1] == (54, 99, 176, 255)
    geometries = [transform_geom("OGC:CRS84", crs, field["geometry"]) for field in fields]
    inside = geometry_mask(geometries, cover.shape, grid, invert=True)
    assert (cover[inside] == 5).mean() > 0.95
    assert 0.5 < inside.sum() / (cover == 5).sum() < 0.9


def test_items_say_what_their_files_are(folder, items):
    assert len({item["id"] for item in items}) == 20
    text = (folder / "scenes.txt").read_text()
    assert text.splitlines() == [item["assets"]["red"]["href"].removeprefix("./") for item in items]
    for item in items:
        assert list(item["assets"]) == ["red", "nir", "scl"]
        for asset in item["assets"].values():
            (band,) = asset["raster:bands"]
            with rasterio.open(folder / asset["href"]) as src:
                assert asset["proj:shape"] == list(src.shape)
                assert asset["proj:transform"] == list(src.transform)[:6]
                assert item["properties"]["proj:code"] == src.crs.to_string()
                assert (band["nodata"], band["data_type"]) == (src.nodata, src.dtypes[0])
                assert band["spatial_resolution"] == src.res[0]
                bounds = transform_bounds(src.crs, "OGC:CRS84", *src.bounds)
                assert item["bbox"] == pytest.approx(bounds, abs=1e-5)
                assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        hidden = np.isin(read(folder / item["assets"]["scl"]["href"]), CLOUDS).mean()
        assert item["properties"]["eo:cloud_cover"] == pytest.approx(100 * hidden, abs=0.06)


def test_the_scenes_are_of_different_days_but_two(items):
    when = [datetime.fromisoformat(item["properties"]["datetime"]) for item in items]
    assert when == sorted(when)
    days = [moment.date() for moment in when]
    (twice,) = [number for number in range(19) if days[number] == days[number + 1]]
    west, east = (items[number]["assets"]["red"] for number in (twice, twice + 1))
    right_of_west = west["proj:transform"][2] + 30 * west["proj:shape"][1]
    assert west["proj:shape"] == east["proj:shape"] == [384, 208]
    assert right_of_west - east["proj:transform"][2] == 30 * 32
    assert {item["assets"]["red"]["proj:shape"][1] for item in items} == {384, 208}


@pytest.fixture(scope="module")
def outputs(folder, tmp_path_factory):
    """Return a folder in which the commands that functions show have been run."""
    work = tmp_path_factory.mktemp("work")
    for path in folder.iterdir():
        (work / path.name).symlink_to(path)
    for name in FUNCTIONS:
        text = (folder / f"{name}.py").read_text().replace("\\\n", " ")
        (command,) = re.findall(r"^rio (mucho .*)$", text, re.MULTILINE)
        command = [RIO, *shlex.split(command), "-q"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), name
    return work


def whole_series(folder, items, name):
    """Return an asset of all scenes on one grid (scenes, rows, cols), with NaN for nodata."""
    left = items[0]["assets"]["red"]["proj:transform"][2]
    whole = np.full((20, 384, 384), np.nan)
    for scene, item in zip(whole, items, strict=True):
        pixels = read(folder / item["assets"][name]["href"]).astype(float)
        if name == "scl":
            pixels = np.kron(pixels, np.ones((2, 2)))
        first = round((item["assets"]["red"]["proj:transform"][2] - left) / 30)
        scene[:, first : first + pixels.shape[1]] = np.where(pixels == 0, np.nan, pixels)
    return whole


def test_median(outputs, items):
    expected = np.nanmedian(whole_series(outputs, items, "red"), axis=0)
    np.testing.assert_array_equal(read(outputs / "median.tif"), expected.astype("uint16"))


def test_the_composite_shows_the_ground(outputs, items):
    """It is the median of numpy on whole arrays, and no cloud is left, unlike in the scenes."""
    hidden = np.isin(whole_series(outputs, items, "scl"), CLOUDS)
    for band, name in enumerate(["red", "nir"], start=1):
        values = whole_series(outputs, items, name)
        expected = np.nanmedian(np.where(hidden, np.nan, values), axis=0)
        found = read(outputs / "composite.tif", band)
        np.testing.assert_array_equal(found, expected.astype("uint16"))
        assert found.min() > 0
        assert found.max() < 7000 < np.nanmax(values)
    with rasterio.open(outputs / "composite.tif") as src:
        (band,) = items[0]["assets"]["red"]["raster:bands"]
        assert (src.scales[0], src.offsets[0]) == (band["scale"], band["offset"])


def test_ndvi(outputs):
    nir, red = (read(outputs / name).astype("float32") for name in ("nir.tif", "red.tif"))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(read(outputs / "ndvi.tif"), (nir - red) / (nir + red))


def test_hillshade(outputs):
    dem = read(outputs / "dem.tif").astype("float64")
    dem[dem == -9999] = np.nan
    padded = np.pad(dem, 1, "edge")
    east = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 60
    north = (padded[:-2, 1:-1] - padded[2:, 1:-1]) / 60
    light = (-0.5 * -east + 0.5 * -north + np.sqrt(0.5)) / np.sqrt(1 + east**2 + north**2)
    shade = read(outputs / "hillshade.tif")
    expected = 1 + 254 * np.clip(light, 0, 1)
    np.testing.assert_array_equal(shade == 0, np.isnan(expected))
    seen = shade > 0
    np.testing.assert_allclose(shade[seen], expected[seen], atol=1.1)


def test_mean(outputs):
    dem = read(outputs / "dem.tif").astype("float64")
    dem[dem == -9999] = np.nan
    padded = np.pad(dem, 1, "reflect")
    expected = sum(padded[i : i + 1200, j : j + 1500] for i in range(3) for j in range(3)) / 9
    smooth = read(outputs / "smooth.tif")
    np.testing.assert_array_equal(smooth == -9999, np.isnan(expected))
    seen = smooth != -9999
    np.testing.assert_allclose(smooth[seen], expected[seen], rtol=1e-6)


def test_classes_and_water_are_those_of_the_land_cover(outputs):
    cover = read(outputs / "landcover.tif")
    classes = read(outputs / "classes.tif")
    np.testing.assert_array_equal(classes == 0, cover == 0)
    assert ((classes == 1) == (cover == 1)).mean() > 0.99
    assert (classes == cover).mean() > 0.75
    with (
        rasterio.open(outputs / "landcover.tif") as src,
        rasterio.open(outputs / "water.tif") as water,
        rasterio.open(outputs / "classes.tif") as found,
    ):
        is_water = on_grid_of(water, src, 1) == 1
        assert ((water.read(1) > 0) == is_water).mean() > 0.97
        assert found.colormap(1)[1] == src.colormap(1)[1]
