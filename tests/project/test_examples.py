"""The examples, run as a newcomer runs them, against numpy on whole arrays."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RIO = Path(sys.executable).with_name("rio")
ENV = {**os.environ, "PATH": os.pathsep.join([str(RIO.parent), os.environ.get("PATH", "")])}
THE_LAKE = (10.10, 47.58, 10.19, 47.62)

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def run(*command, cwd, fails=False):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=ENV, capture_output=True, text=True
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done


def mucho(cwd, *args):
    """Run rio mucho, which must say nothing: no warning of numpy's, either."""
    assert run(RIO, "mucho", "-q", *args, cwd=cwd).stderr == ""


def read(path, band=1):
    with rasterio.open(path) as src:
        return src.read(band)


def copy_examples(folder):
    ignore = shutil.ignore_patterns("data", "out", "picture.png", "__pycache__")
    return shutil.copytree(EXAMPLES, folder, ignore=ignore)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a copy of the examples, with rasters of a size that is no multiple of a block."""
    folder = copy_examples(tmp_path_factory.mktemp("small") / "examples")
    run(sys.executable, "make_rasters.py", "--size", "600x480", cwd=folder)
    (folder / "out").mkdir()
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a copy of the examples in which make has built everything, and what make said."""
    folder = copy_examples(tmp_path_factory.mktemp("built") / "examples")
    return folder, run("make", "-j", "2", "all", "picture.png", cwd=folder).stdout


def whole_ndvi(folder):
    nir, red = (read(folder / "data" / name).astype("float64") for name in ("nir.tif", "red.tif"))
    valid = (nir != 0) & (red != 0)
    return np.where(valid, (nir - red) / np.where(valid, nir + red, 1), np.nan)


def whole_hillshade(path, azimuth, altitude, z_factor):
    """Compute the hillshade from slope and aspect, and where it has nodata."""
    with rasterio.open(path) as src:
        z = src.read(1).astype("float64") * z_factor
        z[src.read_masks(1) == 0] = np.nan
        res = src.res[0]
    rows, cols = z.shape
    padded = np.pad(z, 1, mode="edge")
    a, b, c, d, e, f, g, h, i = (
        padded[row : row + rows, col : col + cols] for row in range(3) for col in range(3)
    )
    dz_dx = ((c + 2 * f + i) - (a + 2 * d + g)) / (8 * res)
    dz_dy = ((g + 2 * h + i) - (a + 2 * b + c)) / (8 * res)
    slope = np.arctan(np.hypot(dz_dx, dz_dy))
    aspect = np.arctan2(dz_dy, -dz_dx)
    zenith, direction = np.radians(90 - altitude), np.radians(90 - azimuth)
    shade = np.cos(zenith) * np.cos(slope)
    shade += np.sin(zenith) * np.sin(slope) * np.cos(direction - aspect)
    is_void = np.isnan(a + b + c + d + e + f + g + h + i)
    return 1 + 254 * np.clip(shade, 0, 1), is_void


def assert_is_hillshade(path, dem, azimuth, altitude, z_factor):
    """Compare with the whole-array computation, which rounds differently here and there."""
    expected, is_void = whole_hillshade(dem, azimuth, altitude, z_factor)
    found = read(path)
    np.testing.assert_array_equal(found == 0, is_void)
    np.testing.assert_allclose(found[~is_void], expected[~is_void], atol=0.501)


def test_rasters_lie_on_one_grid(folder):
    grids = set()
    for name, dtype, nodata in [
        ("red.tif", "uint16", 0),
        ("nir.tif", "uint16", 0),
        ("dem.tif", "float32", -9999),
    ]:
        with rasterio.open(folder / "data" / name) as src:
            assert (src.dtypes, src.nodata) == ((dtype,), nodata)
            assert src.block_shapes == [(256, 256)]
            grids.add((src.crs.to_epsg(), src.transform, src.shape))
    assert len(grids) == 1
    assert grids.pop()[2] == (480, 600)


def test_rasters_are_a_plausible_scene(folder):
    dem = read(folder / "data" / "dem.tif")
    index = whole_ndvi(folder)
    is_land = dem != -9999
    np.testing.assert_array_equal(is_land, ~np.isnan(index))
    assert 0.01 < 1 - is_land.mean() < 0.1
    is_water = is_land & (np.nan_to_num(index) < -0.1)
    assert 0.005 < is_water.mean() < 0.1
    assert dem[is_water].max() < np.median(dem[is_land])
    assert 0.4 < np.mean(index[is_land] > 0.6) < 0.9


def test_rasters_are_the_same_every_time(folder, tmp_path):
    run(sys.executable, folder / "make_rasters.py", "again", "--size", "600x480", cwd=tmp_path)
    for name in ("red.tif", "nir.tif", "dem.tif"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / "data" / name).read_bytes()


@pytest.mark.parametrize(("windows", "jobs"), [("blocks", 2), ("130x70", 1)])
def test_ndvi(folder, windows, jobs):
    output = folder / "out" / f"ndvi_{windows}.tif"
    mucho(
        folder,
        *("data/nir.tif", "data/red.tif", output, "--func", "ndvi.py:ndvi", "--nodata", "nan"),
        *("--windows", windows, "-j", jobs),
    )
    with rasterio.open(output) as src:
        assert src.dtypes == ("float32",)
        assert np.isnan(src.nodata)
    np.testing.assert_allclose(read(output), whole_ndvi(folder), rtol=0, atol=1e-6)


def test_ndvi_of_other_nodata():
    ndvi = runpy.run_path(str(EXAMPLES / "ndvi.py"))["ndvi"]
    nir = np.array([[[3000, 65535, 1000, 0]]], dtype="uint16")
    red = np.array([[[1000, 1000, 65535, 0]]], dtype="uint16")
    index = ndvi([nir, red], None, (0, 0), {"nodata": 65535})
    np.testing.assert_array_equal(index, np.array([[[0.5, np.nan, np.nan, np.nan]]], "float32"))


HILLSHADE = (
    *("--func", "hillshade.py:hillshade", "--mode", "manual_read", "--nodata", "0"),
    *("--arg", "azimuth=240", "--arg", "altitude=35.5", "--arg", "z_factor=2"),
)


@pytest.fixture(scope="module")
def seamless(folder):
    """Return a hillshade that was made in one window."""
    output = folder / "out" / "hillshade.tif"
    mucho(folder, "data/dem.tif", output, *HILLSHADE, "--windows", "600x480", "-j", "1")
    return output


def test_hillshade(folder, seamless):
    assert_is_hillshade(seamless, folder / "data" / "dem.tif", 240, 35.5, 2)
    with rasterio.open(seamless) as src:
        assert (src.dtypes, src.nodata) == (("uint8",), 0)


@pytest.mark.parametrize(("windows", "jobs"), [("blocks", 1), ("blocks", 2), ("97x61", 2)])
def test_hillshade_has_no_seams(folder, seamless, windows, jobs):
    output = folder / "out" / f"hillshade_{windows}_{jobs}.tif"
    mucho(folder, "data/dem.tif", output, *HILLSHADE, "--windows", windows, "-j", jobs)
    np.testing.assert_array_equal(read(output), read(seamless))


def test_classifier(folder):
    output = folder / "out" / "classes.tif"
    mucho(
        folder,
        *("data/nir.tif", "data/red.tif", output, "--func", "classify.py:Classifier"),
        *("--arg", "classes=classes.json", "--nodata", "0", "--windows", "blocks", "-j", 2),
    )
    classifier = runpy.run_path(str(EXAMPLES / "classify.py"))["Classifier"]
    classify = classifier(str(EXAMPLES / "classes.json"))
    bands = [read(folder / "data" / name)[np.newaxis] for name in ("nir.tif", "red.tif")]
    found = read(output)
    np.testing.assert_array_equal(found, classify(bands, None, (0, 0), {}))
    table = json.loads((EXAMPLES / "classes.json").read_text())
    assert set(np.unique(found)) == {0} | {entry["value"] for entry in table}


def test_classifier_takes_the_nearest_mean(tmp_path):
    table = [{"value": 7, "red": 100, "nir": 100}, {"value": 9, "red": 100, "nir": 1000}]
    (tmp_path / "classes.json").write_text(json.dumps(table))
    classifier = runpy.run_path(str(EXAMPLES / "classify.py"))["Classifier"]
    classify = classifier(str(tmp_path / "classes.json"), nodata=1)
    nir = np.array([[[500, 600, 1, 900]]], dtype="uint16")
    red = np.array([[[90, 90, 90, 1]]], dtype="uint16")
    np.testing.assert_array_equal(classify([nir, red], None, (0, 0), {}), [[7, 9, 0, 0]])


@needs_make
def test_makefile_builds_everything(built):
    folder, _ = built
    np.testing.assert_allclose(
        read(folder / "out" / "ndvi.tif"), whole_ndvi(folder), rtol=0, atol=1e-6
    )
    assert_is_hillshade(
        folder / "out" / "dem_hillshade.tif", folder / "data" / "dem.tif", 315, 45, 1
    )
    classes = read(folder / "out" / "classes.tif")
    assert classes.shape == (1200, 1500)
    # Water is the one class that the index tells apart as well.
    assert np.mean((classes == 1) == (whole_ndvi(folder) < 0)) > 0.98


@needs_make
def test_makefile_makes_the_rasters_once(built):
    _, said = built
    assert said.count("make_rasters.py") == 1


@needs_make
def test_makefile_builds_what_is_out_of_date(built):
    folder, _ = built
    run("make", "--question", "all", cwd=folder)
    planned = run("make", "-n", "-W", "hillshade.py", cwd=folder).stdout
    assert planned.count("rio mucho") == 1
    assert "out/dem_hillshade.tif" in planned


@needs_make
def test_makefile_cleans_up(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "examples")
    (copy / "data" / "alps.tif").touch()
    run("make", "clean", cwd=copy)
    assert not (copy / "out").exists()
    assert [path.name for path in (copy / "data").iterdir()] == ["alps.tif"]


@needs_make
def test_picture(built):
    folder, _ = built
    with rasterio.open(folder / "picture.png") as src:
        assert src.driver == "PNG"
        palette = src.colormap(1)
        index = src.read(1)
    assert index.shape == (315, 1200)
    left, middle, right = (index[:, start : start + 394] for start in (0, 403, 806))
    for panel, is_grey in [(left, True), (middle, False), (right, True)]:
        colours = [palette[value][:3] for value in np.unique(panel)]
        assert len(colours) > 50
        assert all(len(set(colour)) == 1 for colour in colours) is is_grey


def touches(src, window, box):
    west, south, east, north = box
    res = src.res[0]
    left, top = src.bounds.left + window.col_off * res, src.bounds.top - window.row_off * res
    right, bottom = left + window.width * res, top - window.height * res
    xs, ys = [left, left, right, right], [bottom, top, bottom, top]
    lons, lats = transform(src.crs, "OGC:CRS84", xs, ys)
    return max(lons) > west and min(lons) < east and max(lats) > south and min(lats) < north


@needs_bash
def test_pipeline(folder):
    said = run("bash", "pipeline.sh", cwd=folder).stdout
    expected = whole_ndvi(folder)
    with rasterio.open(folder / "data" / "nir.tif") as src:
        windows = [window for _, window in src.block_windows(1)]
        outside = [window for window in windows if not touches(src, window, THE_LAKE)]
    assert 0 < len(outside) < len(windows)
    for window in outside:
        expected[window.toslices()] = np.nan
    np.testing.assert_allclose(read(folder / "out" / "ndvi_box.tif"), expected, rtol=0, atol=1e-6)
    statistics = [np.nanmin(expected), np.nanmax(expected), np.nanmean(expected)]
    np.testing.assert_allclose([float(word) for word in said.split()[:3]], statistics, atol=1e-5)


@needs_bash
def test_pipeline_of_no_block_fails_and_keeps_the_old_output(folder):
    output = folder / "out" / "ndvi_box.tif"
    output.write_bytes(b"old")
    run("bash", "pipeline.sh", 0, 0, 1, 1, cwd=folder, fails=True)
    assert output.read_bytes() == b"old"
