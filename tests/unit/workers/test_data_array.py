"""DataArrays are as rioxarray opens them; the extra `test` does not install it."""

from functools import partial

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from rio_mucho_cli import InputInfo, WindowInfo

rioxarray = pytest.importorskip("rioxarray")

GRIDS = {
    "north up": Affine(30.0, 0.0, 400000.0, 0.0, -30.0, 5000000.0),
    "rotated": Affine(10.3, 11.3, 4e5, 7.1, -16.5, 5e6),
}


def info_on(affine, window=Window(20, 30, 7, 5), **given):  # noqa: B008
    return WindowInfo(**{
        "window": window, "grid_transform": affine, "shape": (200, 300),
        "crs": CRS.from_epsg(32633), **given,
    })  # fmt: skip


# affine's new operator, which rioxarray does not use yet
@pytest.mark.filterwarnings("ignore:Use `@` matmul")
@pytest.mark.parametrize("grid", ["north up", "rotated"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 7])
@pytest.mark.parametrize("masked", [True, False])
def test_arrays_are_as_rioxarray_opens_them(grid, dtype, nodata, masked, make_raster):
    path = make_raster(
        data=np.arange(24, dtype=dtype).reshape(2, 3, 4), nodata=nodata, transform=GRIDS[grid]
    )
    with rasterio.open(path) as src, rioxarray.open_rasterio(path, masked=masked) as expected:
        info = info_on(
            src.transform,
            Window(0, 0, 4, 3),
            inputs=[InputInfo(lambda: src, str(path))],
            crs=src.crs,
        )
        found = info.to_xarray(src.read(masked=masked))
        if masked and nodata is None:  # rioxarray reads integers without nodata as they are
            expected = expected.astype(found.dtype)
        assert (found.dims, found.dtype) == (expected.dims, expected.dtype)
        np.testing.assert_array_equal(found, expected)
        assert set(found.coords) == set(expected.coords)
        for name, coordinate in expected.coords.items():
            np.testing.assert_allclose(found[name], coordinate, rtol=0, atol=1e-9)
            assert found[name].dtype == coordinate.dtype
            assert found[name].attrs == coordinate.attrs
        assert found.encoding["grid_mapping"] == "spatial_ref"
        assert found.rio.crs == expected.rio.crs
        assert found.rio.transform() == expected.rio.transform() == src.transform
        if nodata is not None:
            np.testing.assert_equal(found.rio.nodata, expected.rio.nodata)
            np.testing.assert_equal(found.rio.encoded_nodata, expected.rio.encoded_nodata)
            assert found.attrs.get("_FillValue") == expected.attrs.get("_FillValue")


def test_a_data_array_may_have_the_margin_or_not():
    info = info_on(GRIDS["north up"], overlap=2)
    with_margin, without = (info.to_xarray(np.zeros(shape)) for shape in [(9, 11), (5, 7)])
    assert (with_margin.dims, with_margin.shape) == (("band", "y", "x"), (1, 9, 11))
    np.testing.assert_array_equal(with_margin.x[2:-2], without.x)
    np.testing.assert_array_equal(with_margin.y[2:-2], without.y)
    assert float(without.x[0]) == 400000 + 20.5 * 30


def test_nodata_of_a_data_array_is_that_of_all_inputs_of_its_dtype(make_raster):
    paths = [
        make_raster(f"{number}.tif", dtype=dtype, nodata=nodata)
        for number, (dtype, nodata) in enumerate([("int16", 1), ("uint8", 2), ("uint8", 3)])
    ]
    with rasterio.open(paths[0]) as a, rasterio.open(paths[1]) as b, rasterio.open(paths[2]) as c:
        info = info_on(
            GRIDS["north up"],
            inputs=[InputInfo(partial(lambda src: src, src), src.name) for src in (a, b, c)],
        )
        found = {
            dtype: info.to_xarray(np.zeros((5, 7), dtype)).attrs.get("_FillValue")
            for dtype in ("int16", "uint8", "float32")
        }
    assert found == {"int16": 1, "uint8": None, "float32": None}
