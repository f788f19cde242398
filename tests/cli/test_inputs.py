"""How inputs are read, as it is typed."""

import re

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

PLACE = Affine(30, 0, 4e5, 0, -30, 5e6)
SUM = "sums.py:run"


@pytest.fixture
def typed(rio, make_raster, module, tmp_path):
    """Return a function that runs `rio mucho` on rasters that differ in several ways."""
    module(
        "import numpy as np\n"
        "def run(data, *args):\n"
        "    bands = [band for array in data for band in array]\n"
        "    return sum(np.ma.filled(band, 0).astype('int32') for band in bands)\n",
        "sums.py",
    )
    moved = Affine(30, 0, 4e5 + 600, 0, -30, 5e6)
    make_raster("a.tif", transform=PLACE, nodata=0)
    make_raster("moved.tif", transform=moved, seed=1, count=3)
    make_raster("far.tif", transform=Affine(30, 0, 7e5, 0, -30, 5e6))
    make_raster("degrees.tif", crs="EPSG:4326", transform=Affine(0.001, 0, 13.7, 0, -0.001, 45.1))
    make_raster("pole.tif", crs="EPSG:4326", transform=Affine(1, 0, 100, 0, -1, 90))
    make_raster("mercator.tif", crs="EPSG:3857", transform=PLACE)
    make_raster("nowhere.tif", crs=None, transform=moved)
    make_raster("rotated.tif", transform=Affine(30, 5, 4e5, 5, -30, 5e6))
    for name, crs in (("points.tif", "EPSG:32633"), ("scanned.tif", rasterio.crs.CRS())):
        with rasterio.open(make_raster(name, crs=None, transform=None), "r+") as dst:
            corners = [(0, 0), (0, 90), (70, 0), (70, 90)]
            dst.gcps = (
                [
                    rasterio.control.GroundControlPoint(row, col, 4e5 + 30 * col, 5e6 - 30 * row)
                    for row, col in corners
                ],
                crs,
            )
    plain = make_raster("plain.tif", crs=None, transform=None)
    rasterio.shutil.copy(plain, tmp_path / "rpcs.vrt", driver="VRT")
    text = (tmp_path / "rpcs.vrt").read_text()
    band = text.index("<VRTRasterBand")
    rpcs = '<Metadata domain="RPC"><MDI key="LINE_OFF">1</MDI></Metadata>'
    (tmp_path / "rpcs.vrt").write_text(f"{text[:band]}{rpcs}{text[band:]}")

    def run(*args, func=SUM):
        return rio("mucho", *args, "out.tif", "--func", func, "--overwrite", "-j", "1")

    return run


def test_pixels_of_every_option(typed, read, tmp_path):
    args = ["--extent", "union", "-b", "2=1..2", "--overlap", "2", "--boundary", "reflect",
            "--masked", "--windows", "32", "--dtype", "float64"]  # fmt: skip
    result = typed("a.tif", "moved.tif", *args, "-q")
    assert (result.exit_code, result.output) == (0, "")
    a, moved = read(tmp_path / "a.tif"), read(tmp_path / "moved.tif")
    expected = np.zeros((70, 110))
    expected[:, :90] += a[0]
    expected[:, 20:] += moved[0].astype(float) + moved[1]
    np.testing.assert_array_equal(read(tmp_path / "out.tif")[0], expected)


@pytest.mark.parametrize(
    "text",
    [
        "400300 4998500 401000 4999500",
        "[400300, 4998500, 401000, 4999500]",
        "400300,4998500,401000,4999500",
    ],
)
def test_bounds_as_rio_clip_takes_them(typed, rio, read, tmp_path, text):
    assert typed("a.tif", "--bounds", text).exit_code == 0
    with rasterio.open(tmp_path / "out.tif") as ours, rasterio.open(tmp_path / "a.tif") as src:
        assert ours.bounds == (400300, 4998500, 401020, 4999520)
        np.testing.assert_array_equal(ours.read(1), src.read(1)[16:50, 10:34])


BAD = {
    "other grids": (["a.tif", "moved.tif"], 1, "moved.tif .* pass --like a.tif .*--extent union"),
    "two grids": (["a.tif", "--like", "a.tif", "--extent", "union"], 2, "use one of them"),
    "no such grid": (["a.tif", "--like", "no.tif"], 1, "no.tif"),
    "a CRS for a grid": (
        ["a.tif", "--like", "EPSG:4326"], 1,
        "like is EPSG:4326, a CRS: expected a raster .*gdalwarp -of VRT -t_srs EPSG:4326 a.tif gr",
    ),
    "the number of a CRS": (["a.tif", "--like", "32633"], 1, "EPSG:32633, a CRS.*gdalwarp"),
    "no such CRS": (["a.tif", "--like", "EPSG:999999"], 1, "EPSG:999999, a CRS.*gdalwarp"),
    "a CRS as WKT": (["a.tif", "--like", 'GEOGCS["x"]'], 1, "a CRS.*-t_srs 'GEOGCS"),
    "a CRS as PROJ has it": (["a.tif", "--like", "+proj=utm +zone=33"], 1, "-t_srs .* a.tif"),
    "a word for a grid": (["a.tif", "--like", "utm"], 1, "like expects a raster .*utm: No such"),
    "grid of points": (["a.tif", "--like", "points.tif"], 1, "GCPs or RPCs instead of a grid"),
    "points without a target": (
        ["points.tif", "a.tif", "--extent", "first"], 1, "points.tif has GCPs or RPCs .*--like",
    ),
    "points of no CRS": (
        ["scanned.tif", "--like", "a.tif"], 1, "has GCPs without a CRS.*gdalwarp.*-s_srs",
    ),
    "bounds and points": (["points.tif", "--bounds", "0 0 9 9"], 1, "has GCPs.*--like"),
    "bounds and points of no CRS": (["scanned.tif", "--bounds", "0 0 9 9"], 1, "has GCPs"),
    "incomplete RPCs": (["rpcs.vrt", "--like", "a.tif"], 1, r"RPCs \(no SAMP_OFF\).*comp"),
    "bounds and incomplete RPCs": (["rpcs.vrt", "--bounds", "0 0 9 9"], 1, "has GCPs or R"),
    "grid of incomplete RPCs": (["a.tif", "--like", "rpcs.vrt"], 1, "RPCs instead of a grid"),
    "no CRS": (["nowhere.tif", "--like", "a.tif"], 1, "nowhere.tif has no CRS, .*edit-info --crs"),
    "no CRS either": (["a.tif", "nowhere.tif", "--extent", "union"], 1, "nowhere.tif has no CRS"),
    "empty intersection": (
        ["a.tif", "far.tif", "--extent", "intersection"], 1, "intersection of .* is empty: pass",
    ),
    "bounds that miss": (["a.tif", "--bounds", "1e5 1e5 2e5 2e5"], 1, "do not intersect the"),
    "bounds in degrees": (["a.tif", "--bounds", "13 45 14 46"], 1, "look like degrees"),
    "bounds in metres": (["degrees.tif", "--bounds", "4e5 4e6 5e5 5e6"], 1, "look like metres"),
    "bounds inverted": (["a.tif", "--bounds", "401000 4998500 400300 4999500"], 1, "are empty"),
    "bounds of nan": (["a.tif", "--bounds", "nan 1 2 3"], 1, "are empty"),
    "no bounds": (["a.tif", "--bounds", "1 2 3"], 2, "expected 'left bottom right top'"),
    "bounds and rotated": (["rotated.tif", "--bounds", "1 2 3 4"], 1, "with a rotated grid"),
    "no such band": (["a.tif", "-b", "2"], 1, "a.tif has 1 band: there is no band 2"),
    "bands of nothing": (["a.tif", "-b", "x"], 2, "expected bands such as 1, 3,1 or 1..3"),
    "bands of no input": (["a.tif", "-b", "3=1"], 2, "given for input 3: there is 1 input"),
    "bands of input 0": (["a.tif", "-b", "0=1"], 2, "where N is the number of an input, from 1"),
    "resampling": (["a.tif", "--resampling", "best"], 2, "resampling is 'best': expected one of"),
    "resampling that cannot warp": (["a.tif", "--resampling", "gauss"], 2, "resampling is 'gauss'"),
    "extent": (["a.tif", "--extent", "all"], 2, "extent"),
    "a union of everything": (
        ["mercator.tif", "pole.tif", "--extent", "union"], 1, "have less than a millionth of that",
    ),
    "overlap beyond memory": (
        ["a.tif", "--overlap", "1000000000"], 2, "makes windows of .* MB of memory: give a smaller",
    ),
    "overlap": (["a.tif", "--overlap", "-1"], 2, "overlap is -1: expected 0 or more"),
    "overlap in manual_read": (
        ["a.tif", "--overlap", "1", "--mode", "manual_read"], 2, "the function itself reads",
    ),
    "boundary": (["a.tif", "--boundary", "wrap"], 2, "boundary is 'wrap': expected nodata, edge"),
    "boundary without nodata": (
        ["moved.tif", "--overlap", "1", "--boundary", "nodata"], 2, "moved.tif has none: give it",
    ),
    "boundary that does not fit": (
        ["a.tif", "--overlap", "1", "--boundary", "constant=-1"], 2, "uint16 of a.tif cannot hold",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_clear_line(typed, tmp_path, leftovers, what):
    args, status, says = BAD[what]
    result = typed(*args)
    assert result.exit_code == status, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(lines) == 1
    assert re.search(says, result.stderr), result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def test_bounds_larger_than_the_raster_are_the_raster(typed, read, tmp_path):
    assert typed("a.tif", "--bounds", "-1e300 -1e300 1e300 1e300").exit_code == 0
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), read(tmp_path / "a.tif"))


def test_an_input_that_has_no_place_on_the_grid_is_nodata_or_an_error(typed, tmp_path):
    result = typed("a.tif", "--like", "pole.tif")
    assert "Traceback" not in result.output
    if result.exit_code == 0:
        with rasterio.open(tmp_path / "out.tif") as dst:
            assert not dst.read().any()


def test_a_union_of_what_is_far_apart_is_warned_of(typed, caplog):
    assert typed("a.tif", "far.tif", "--extent", "union").exit_code == 0
    assert "the union is 10090 x 70 pixels, and inputs have 1.8 % of that" in caplog.text


def test_what_a_large_overlap_costs_is_said(rio, typed, caplog):
    caplog.set_level("INFO", "rio_mucho_cli")
    args = ["a.tif", "out.tif", "--func", SUM, "--overlap", "300", "--windows", "32", "-j", "1"]
    assert rio("-v", "mucho", *args).exit_code == 0
    assert "overlap 300, each pixel is read 390.06 times" in caplog.text
