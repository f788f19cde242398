"""How much of a grid an input covers: arithmetic, compared with what GDAL's warper fills."""

import logging

import hypothesis
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.vrt import WarpedVRT

from rio_mucho_cli import RioMucho, describe, run
from rio_mucho_cli.inputs.coverage import coverage, outline_in, outlines_in
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.windows import Size

UTM = CRS.from_epsg(32633)
PLACE = Affine(30, 0, 400000, 0, -30, 5000000)
GRID = Grid(UTM, PLACE, 100, 80)
TURNS = [Affine.identity(), Affine.rotation(30), Affine.scale(1, -1), Affine.shear(10, 20)]
SMALL = st.integers(-120, 120)


@hypothesis.given(st.sampled_from(TURNS), SMALL, SMALL, st.integers(1, 150), st.integers(1, 150))
def test_whole_pixels_are_counted(turn, col, row, width, height):
    target = Grid(UTM, PLACE @ turn, 100, 80)
    source = Grid(UTM, target.transform @ Affine.translation(col, row), width, height)
    across = max(0, min(100, col + width) - max(0, col))
    down = max(0, min(80, row + height) - max(0, row))
    assert coverage(source, target) == pytest.approx(across * down / 8000, abs=1e-9)
    assert (coverage(source, target) == 0) == (across * down == 0)


def test_a_rotated_source():
    turned = Grid(UTM, PLACE @ Affine.translation(50, 40) @ Affine.rotation(45), 20, 20)
    assert coverage(turned, GRID) == pytest.approx(400 / 8000)
    assert coverage(GRID, turned) == 1
    assert coverage(Grid(UTM, Affine(0, 0, 0, 0, 0, 0), 9, 9), GRID) is None
    assert coverage(Grid(None, PLACE, 100, 80), GRID) is None
    assert coverage(Grid(None, PLACE, 100, 80), Grid(None, PLACE, 50, 160)) == 0.5


WORLD = Grid(CRS.from_epsg(4326), Affine(1, 0, -180, 0, -1, 90), 360, 180)
DEGREES = Grid(CRS.from_epsg(4326), Affine(0.0003, 0, 13.74, 0, -0.0003, 45.14), 90, 70)


@pytest.mark.filterwarnings("ignore:Use `@`")  # rasterio's own
@pytest.mark.parametrize(
    ("source", "target"),
    [
        (DEGREES, GRID),
        (GRID, DEGREES),
        (WORLD, GRID),
        (GRID, Grid(CRS.from_epsg(3857), Affine(40, 0, 1526000, 0, -40, 5641000), 120, 90)),
        (DEGREES, Grid(CRS.from_epsg(3035), Affine(50, 0, 4614000, 0, -50, 2446000), 70, 70)),
        (GRID, Grid(CRS.from_epsg(3035), Affine(2000, 0, 4610000, 0, -2000, 2450000), 9, 9)),
        (GRID, Grid(CRS.from_epsg(32733), PLACE, 100, 80)),
        (GRID, Grid(CRS.from_epsg(32634), PLACE, 100, 80)),
    ],
    ids=range(8),
)
def test_another_crs(make_raster, source, target):
    data = np.ones((1, source.height, source.width), "uint8")
    path = make_raster("source.tif", data, crs=source.crs, transform=source.transform)
    with (
        rasterio.open(path) as src,
        WarpedVRT(
            src, crs=target.crs, transform=target.transform, width=target.width,
            height=target.height, add_alpha=True,
        ) as vrt,
    ):  # fmt: skip
        filled = (vrt.read(2) > 0).mean()
    found = coverage(source, target)
    assert found == pytest.approx(filled, abs=0.03)
    assert (found == 0) == (filled == 0)


def test_a_small_source_in_a_large_grid_is_more_than_nothing():
    assert 0 < coverage(GRID, WORLD) < 1e-4
    far = Grid(UTM, PLACE @ Affine.translation(-4000, 3000), 5, 5)
    assert 0 < coverage(far, WORLD) < 1e-4
    assert coverage(Grid(CRS.from_epsg(32660), PLACE, 100, 80), GRID) == 0


def test_an_input_that_covers_nothing_is_warned_of(job_on, tiled, caplog):
    first, north = tiled("a.tif"), tiled("north.tif", crs="EPSG:32733")
    far = tiled("far.tif", col=500)
    for inputs, given in (
        ([north], {"like": str(first)}),
        ([first, far], {"extent": "first"}),
        ([far], {"like": str(first), "mode": "manual_read", "function": lambda *_: None}),
    ):
        caplog.clear()
        if "function" in given:
            describe(job_on(inputs, **given), probe=False)
        else:
            run(job_on(inputs, **given))
        warned = [each.message for each in caplog.records if each.levelno == logging.WARNING]
        assert len(warned) == 1
        assert f"{inputs[-1]} covers nothing of the output" in warned[0]
    caplog.clear()
    run(job_on([first, tiled("b.tif", col=149)], extent="first"))
    run(job_on([first, far], extent="union"))
    assert "covers nothing" not in caplog.text


def test_the_class_warns_as_well(tiled, tmp_path, caplog):
    first, far = tiled("a.tif"), tiled("far.tif", col=500)
    with RioMucho([first, far], tmp_path / "out.tif", lambda data, *_: data[0],
                  extent="first") as rm:  # fmt: skip
        rm.run(1)
    assert caplog.text.count("far.tif covers nothing of the output") == 1


def test_the_dry_run_shows_how_much_each_input_covers(job_on, tiled, rio, module, tmp_path):
    module("def run(data, *_):\n    return data[0]\n", "copying.py")
    half, far = tiled("half.tif", col=75), tiled("far.tif", col=500)
    wide = tiled("wide.tif", col=-10, width=200)
    job = job_on([tiled("a.tif"), half, far, wide], extent="first", windows=Size(64, 48))
    preview = describe(job)
    assert [each["coverage"] for each in preview.plan["inputs"]] == [1, 0.5, 0, 1]
    text = " ".join(str(preview).split())
    assert "covers all of the output" in text
    assert "covers 50.0 % of the output" in text
    assert "covers nothing of the output" in text
    plain = describe(job_on([tmp_path / "a.tif"])).plan["inputs"]
    assert plain[0]["coverage"] == 1
    result = rio("mucho", "half.tif", "out.tif", "--like", "far.tif", "--func", "copying:run",
                 "--dry-run")  # fmt: skip
    assert result.exit_code == 0
    assert "covers nothing of the output" in " ".join(result.output.split())
    assert not (tmp_path / "out.tif").exists()


def test_many_outlines_at_once_are_those_of_each():
    far = Grid(CRS.from_epsg(32660), PLACE, 100, 80)
    beyond = Grid(UTM, Affine(30, 0, 9e9, 0, -30, 9e9), 9, 9)  # invalid in degrees
    turned = Grid(UTM, PLACE @ Affine.rotation(30), 50, 20)
    grids = [GRID, far, beyond, DEGREES, turned, Grid(None, PLACE, 3, 4)]
    for target in (GRID, DEGREES):
        found = outlines_in(grids, target, 5)
        alone = [outline_in(grid, target, 5) for grid in grids]
        assert [outline is None for outline in found] == [outline is None for outline in alone]
        for one, other in zip(found, alone, strict=True):
            if one is not None:
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    assert found[2] is None
    assert found[5] is None
