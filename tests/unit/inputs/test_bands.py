"""Bands that differ in dtype or nodata, read together."""

from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.windows import Window

from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.overlap import Boundary
from rio_mucho_cli.inputs.window_data import InputDatasets, ReadSpec

HEIGHT, WIDTH = 5, 6
ORIGIN = Affine(30, 0, 4e5, 0, -30, 5e6)
# The extremes of each dtype must come through.
PAIRS = [
    ("uint8", "int16", "int16"),
    ("uint8", "float32", "float32"),
    ("int16", "uint16", "int32"),
    ("uint32", "float32", "float64"),
    ("int32", "float32", "float64"),
    ("int8", "uint8", "int16"),
    ("uint16", "complex64", "complex64"),
]


def pixels(dtype):
    """Return pixels from one end of a dtype to the other."""
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return np.linspace(info.min, info.max, HEIGHT * WIDTH).astype(dtype).reshape(1, HEIGHT, -1)
    steps = np.arange(HEIGHT * WIDTH).reshape(1, HEIGHT, WIDTH)
    return ((steps + 0.25) * (1 - 2j if kind.kind == "c" else -1)).astype(dtype)


@pytest.fixture
def mixed(make_raster, make_vrt):
    """Return a function that makes a VRT of bands of some dtypes, and its arrays."""

    def make(*dtypes, nodata=()):
        arrays = [pixels(dtype) for dtype in dtypes]
        paths = [
            make_raster(f"band{number}.tif", array, transform=ORIGIN)
            for number, array in enumerate(arrays)
        ]
        return str(make_vrt("mixed.vrt", paths, nodata)), arrays

    return make


def grid_at(col, row, width=WIDTH + 2, height=HEIGHT + 2):
    return Grid(rasterio.crs.CRS.from_epsg(32633), ORIGIN @ Affine.translation(col, row), width,
                height)  # fmt: skip


def read(path, window=None, **given):
    inputs = [InputSpec(path, **{name: given.pop(name) for name in ("indexes", "boundary")
                             if name in given})]  # fmt: skip
    sources = InputDatasets(ReadSpec(inputs, **given))
    grid = given.get("grid") or grid_at(0, 0, WIDTH, HEIGHT)
    data = sources.read(window or Window(0, 0, grid.width, grid.height))
    sources.close()
    return data


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("col", [0, -1, -1.3])
@pytest.mark.parametrize(("first", "second", "common"), PAIRS)
def test_bands_of_two_dtypes_have_numpys_common_one(mixed, first, second, common, col, masked):
    path, arrays = mixed(first, second)
    grid = grid_at(col, 0) if col else None
    inside = slice(1, WIDTH + 1) if col else slice(0, WIDTH)
    for mode in ("simple_read", "array_read"):
        data = read(path, grid=grid, masked=masked, mode=mode)
        data = data[0] if mode == "simple_read" else data
        assert data.dtype == common == np.result_type(first, second)
        for found, array in zip(data, arrays, strict=True):
            np.testing.assert_array_equal(np.ma.getdata(found)[:HEIGHT, inside], array[0])
            assert not np.ma.getmaskarray(found)[:HEIGHT, inside].any()
            if masked and col:
                assert np.ma.getmaskarray(found)[:, 0].all()
    data = read(path, grid=grid, masked=masked, indexes=(2, 1, 2))[0]
    np.testing.assert_array_equal(np.ma.getdata(data)[0, :HEIGHT, inside], arrays[1][0])
    np.testing.assert_array_equal(np.ma.getdata(data)[1, :HEIGHT, inside], arrays[0][0])
    data = read(path, grid=grid, masked=masked, indexes=(1,))[0]
    assert data.dtype == first
    np.testing.assert_array_equal(np.ma.getdata(data)[0, :HEIGHT, inside], arrays[0][0])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("nodata", [(0, 255), (None, 255), (0, None)])
@pytest.mark.parametrize("col", [-1, -1.3])
def test_where_an_input_does_not_reach_each_band_has_its_nodata(mixed, col, nodata, masked):
    path, arrays = mixed("uint8", "uint8", nodata=nodata)
    (data,) = read(path, grid=grid_at(col, -1), masked=masked)
    for found, array, value in zip(data, arrays, nodata, strict=True):
        expected = np.full((HEIGHT + 2, WIDTH + 2), value or 0)
        expected[1:-1, 1:-1] = array[0]
        np.testing.assert_array_equal(np.ma.getdata(found), expected)
        if masked:
            hidden = np.ones(expected.shape, bool)
            hidden[1:-1, 1:-1] = False if value is None else array[0] == value
            np.testing.assert_array_equal(np.ma.getmaskarray(found), hidden)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtypes", [("uint8", "uint8"), ("uint8", "int16")])
@pytest.mark.parametrize("nodata", [(0, 255), (None, 255), (0, None), (None, None)])
def test_beyond_the_raster_each_band_has_its_nodata_or_its_edge(mixed, dtypes, nodata, masked):
    path, arrays = mixed(*dtypes, nodata=nodata)
    (data,) = read(path, overlap=2, masked=masked)
    for found, array, value in zip(data, arrays, nodata, strict=True):
        how = {"mode": "edge"} if value is None else {"constant_values": value}
        np.testing.assert_array_equal(np.ma.getdata(found), np.pad(array[0], 2, **how))
        if masked:
            hidden = np.pad(array[0] == value, 2, constant_values=value is not None)
            np.testing.assert_array_equal(np.ma.getmaskarray(found), hidden)


def test_other_boundaries_are_for_all_bands(mixed):
    path, arrays = mixed("uint8", "uint8", nodata=(0, 255))
    for boundary, how in (
        (Boundary("reflect"), {"mode": "reflect"}),
        (Boundary("constant", 9), {"constant_values": 9}),
    ):
        (data,) = read(path, overlap=2, boundary=boundary, masked=True)
        for found, array in zip(data, arrays, strict=True):
            np.testing.assert_array_equal(found.data, np.pad(array[0], 2, **how))


def test_opacity_beyond_the_raster(make_raster):
    data = np.full((4, HEIGHT, WIDTH), 90, "uint8")
    for nodata, around in ((7, 0), (None, 90)):
        path = make_raster(data=data, photometric="rgb", alpha="yes", nodata=nodata)
        (padded,) = read(str(path), overlap=1, masked=True)
        assert (padded.data[:3, 0] == (nodata or 90)).all()
        assert (padded.data[3, 0] == around).all()
        assert not np.ma.getmaskarray(padded)[3].any()
        assert np.ma.getmaskarray(padded)[:3, 0].all() == (nodata is not None)


def test_gcps_beside_bands_of_other_nodata(make_raster, make_vrt):
    array = np.full((1, HEIGHT, WIDTH), 5, "uint8")
    paths = [make_raster(f"{name}.tif", array, transform=ORIGIN) for name in "ab"]
    path = make_vrt("points.vrt", paths, [0, 255])
    points = "".join(
        f'<GCP Pixel="{col}" Line="{row}" X="{4e5 + 30 * col}" Y="{5e6 - 30 * row}"/>'
        for row in (0, HEIGHT) for col in (0, WIDTH)
    )  # fmt: skip
    root = ElementTree.parse(path).getroot()
    root.remove(root.find("GeoTransform"))
    root.insert(0, ElementTree.fromstring(f'<GCPList Projection="EPSG:32633">{points}</GCPList>'))
    path.write_bytes(ElementTree.tostring(root))
    with rasterio.open(path) as src:
        assert len(src.gcps[0]) == 4
        assert isinstance(src.gcps[0][0], GroundControlPoint)
    (data,) = read(str(path), grid=grid_at(-2, -2, WIDTH + 4, HEIGHT + 4), masked=True)
    for found, value in zip(data, (0, 255), strict=True):
        assert (found.data[0] == value).all()
        assert found.mask[0].all()
        assert (found[3:-3, 3:-3] == 5).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_the_functions_datasets_have_the_bands_of_the_input(make_raster, dtype):
    path = str(make_raster(count=3, dtype=dtype, transform=ORIGIN))
    sources = InputDatasets(ReadSpec([InputSpec(path)], "manual_read", grid_at(-1.3, 0)))
    (src,) = sources.read(None)
    assert (src.count, set(src.dtypes)) == (3, {dtype})
    sources.close()


def test_boundary_nodata_wants_nodata_in_all_bands(rio, module, make_vrt, make_raster):
    paths = [make_raster(f"{name}.tif") for name in "ab"]
    make_vrt("both.vrt", paths, [None, 255])
    module("def copy(data, *_):\n    return data[0][:, 1:-1, 1:-1]\n", "mod.py")
    options = ["--func", "mod:copy", "--overlap", "1", "--boundary", "nodata", "-j", "1"]
    result = rio("mucho", "both.vrt", "out.tif", *options)
    assert result.exit_code == 2
    assert "has none for band 1" in result.stderr
    assert rio("mucho", "both.vrt", "out.tif", *options, "--bidx", "2").exit_code == 0
