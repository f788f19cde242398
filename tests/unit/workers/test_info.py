"""WindowInfo: coordinates as rasterio has them, metadata of the inputs, DataArrays."""

import builtins
import dataclasses
import pickle

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio import transform as transforms, warp
from rasterio.crs import CRS
from rasterio.windows import Window

import rio_mucho_cli
from rio_mucho_cli import InfoError, InputInfo, WindowInfo

UTM = CRS.from_epsg(32633)
SIN, COS = np.sin(0.6), np.cos(0.6)
GRIDS = {
    "north up": Affine(30.0, 0.0, 400000.0, 0.0, -30.0, 5000000.0),
    "south up": Affine(0.1, 0.0, 400000.3, 0.0, 0.3, 5000000.1),
    "rotated": Affine(12.5 * COS, 20.0 * SIN, 4e5, 12.5 * SIN, -20.0 * COS, 5e6),
    "sheared": Affine(10.0, 3.7, 4e5, 0.0, -10.0, 5e6),
    "transposed": Affine(0.0, 7.0, 4e5, 7.0, 0.0, 5e6),
}


WINDOW = Window(20, 30, 7, 5)


def info_on(affine, window=WINDOW, **given):
    return WindowInfo(**{
        "window": window, "grid_transform": affine, "shape": (200, 300), "crs": UTM, **given,
    })  # fmt: skip


@pytest.mark.parametrize("overlap", [0, 3])
@pytest.mark.parametrize("grid", GRIDS)
def test_coordinates_are_those_of_rasterio(grid, overlap):
    info = info_on(GRIDS[grid], overlap=overlap)
    rows, cols = 5 + 2 * overlap, 7 + 2 * overlap
    xs, ys = info.xy()
    assert (xs.shape, xs.dtype, xs.flags.c_contiguous) == ((rows, cols), np.float64, True)
    indexes = [index.ravel() for index in np.indices((rows, cols))]
    expected = transforms.xy(info.transform, *indexes)
    np.testing.assert_allclose([xs.ravel(), ys.ravel()], expected, rtol=0, atol=1e-9)
    lonlat = warp.transform(UTM, "EPSG:4326", xs.ravel(), ys.ravel())
    np.testing.assert_allclose(np.reshape(info.lonlat(), (2, -1)), lonlat, rtol=0, atol=1e-9)
    corner = info.transform.c, info.transform.f
    of_pixel = transforms.xy(GRIDS[grid], 30 - overlap, 20 - overlap, offset="ul")
    np.testing.assert_allclose(corner, of_pixel, rtol=0, atol=1e-9)


@pytest.mark.parametrize("grid", GRIDS)
def test_coordinates_do_not_depend_on_the_window(grid):
    """To the last bit: those of the same pixel, in windows that are elsewhere."""
    whole = info_on(GRIDS[grid], Window(0, 0, 90, 70)).xy()
    for overlap, window in [(0, Window(33, 17, 20, 30)), (5, Window(38, 22, 10, 20))]:
        part = info_on(GRIDS[grid], window, overlap=overlap).xy()
        for axis in (0, 1):
            np.testing.assert_array_equal(part[axis], whole[axis][17:47, 33:53])


@pytest.mark.parametrize("grid", GRIDS)
def test_bounds_are_those_of_the_window_and_contain_its_pixels(grid):
    info = info_on(GRIDS[grid], overlap=4)
    left, bottom, right, top = info.bounds
    assert (info.bounds.left, info.bounds.top) == (left, top)
    xs, ys = (axis[4:-4, 4:-4] for axis in info.xy())
    assert left < xs.min() < xs.max() < right
    assert bottom < ys.min() < ys.max() < top
    if grid == "north up":
        assert info.bounds == (400600, 4998950, 400810, 4999100)
    assert info.res == pytest.approx({
        "north up": (30, 30), "south up": (0.1, 0.3), "rotated": (12.5, 20), "transposed": (7, 7),
        "sheared": (10, np.hypot(3.7, 10)),
    }[grid])  # fmt: skip


def test_fractions_of_pixels_are_rounded_as_in_arrays(make_raster):
    window = Window(0.5, 0.5, 2.5, 1.4)
    with rasterio.open(make_raster()) as src:
        assert info_on(src.transform, window).xy()[0].shape == src.read(1, window=window).shape


def test_it_is_frozen_and_public():
    info = info_on(GRIDS["north up"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.index = 3
    assert pickle.loads(pickle.dumps(info)) == info
    assert {"WindowInfo", "InputInfo", "InfoError"} <= set(rio_mucho_cli.__all__)


def test_what_has_no_longitude():
    with pytest.raises(InfoError, match=r"needs a CRS, and the output has none: .* edit-info"):
        info_on(GRIDS["north up"], crs=None).lonlat()
    beyond = info_on(Affine(1e6, 0, 1.6e7, 0, -1e6, 9e6), crs=CRS.from_user_input("ESRI:54009"))
    with pytest.raises(InfoError, match="pixels of the window from ESRI:54009 to WGS 84: "):
        beyond.lonlat()


def test_inputs_have_the_metadata_of_their_bands(make_raster):
    path = make_raster("a.tif", count=3, dtype="int16", nodata=-9)
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("red", None, "blue")
        dst.scales, dst.offsets = (1.0, 2.0, 0.5), (0.0, 5.0, -1.0)
        dst.units = ("m", "", "K")
        dst.update_tags(sensor="X")
        dst.update_tags(3, wavelength="450")
        dst.update_tags(ns="OWN", a="b")
    with rasterio.open(path) as src:
        info = InputInfo(lambda: src, str(path), (3, 1))
        assert (info.path, info.indexes) == (str(path), (3, 1))
        assert info.nodata == (-9, -9)
        assert info.dtypes == ("int16", "int16")
        assert info.descriptions == ("blue", "red")
        assert info.scales == (0.5, 1.0)
        assert info.offsets == (-1.0, 0.0)
        assert info.units == ("K", "m")
        assert info.tags() == src.tags()
        assert info.tags(ns="OWN") == {"a": "b"}
        assert info.band_tags(3)["wavelength"] == "450"
        assert (info.res, info.crs) == (src.res, src.crs)
        assert InputInfo(lambda: src, str(path)).indexes == (1, 2, 3)
        assert repr(info) == f"InputInfo({str(path)!r}, indexes=(3, 1))"


def test_without_xarray(monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "xarray":
            raise ModuleNotFoundError("No module named 'xarray'")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InfoError) as caught:
        info_on(GRIDS["north up"]).to_xarray(np.zeros((5, 7)))
    assert str(caught.value) == (
        "info.to_xarray() needs xarray (No module named 'xarray'): pip install xarray"
    )


@pytest.mark.parametrize("shape", [(5, 6), (1, 7, 5), (7,), (2, 2, 5, 7)])
def test_arrays_of_another_size_have_no_coordinates(shape):
    with pytest.raises(InfoError, match=r"expected \(count, 5, 7\) or \(5, 7\)"):
        info_on(GRIDS["north up"]).to_xarray(np.zeros(shape))
