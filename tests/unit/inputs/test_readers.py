"""Pixels of warped inputs, compared with formulas and with GDAL's own warping."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform

from rio_mucho_cli import run
from rio_mucho_cli.windows import Size

PLACE = Affine(10, 0, 500000, 0, -10, 5000000)


@pytest.fixture
def noise(make_raster):
    data = np.random.default_rng(1).random((1, 200, 200), "float32") * 1000
    return make_raster("noise.tif", data, transform=PLACE, nodata=-9)


def b_spline(x):
    x = abs(x)
    return 2 / 3 - x**2 + x**3 / 2 if x < 1 else (2 - x) ** 3 / 6 if x < 2 else 0


def at(array, x, y):
    """Interpolate at a place in pixels, by the formula of the cubic B-spline."""
    col, row = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
    return sum(
        b_spline(x - 0.5 - i) * b_spline(y - 0.5 - j) * float(array[j, i])
        for j in range(row - 1, row + 3)
        for i in range(col - 1, col + 3)
    )


@pytest.mark.parametrize("size", [9.7, 9.999999, 10.000001, 10.001, 10.4])
def test_a_cubic_spline_of_about_the_same_scale(job_on, make_raster, noise, read, size):
    place = Affine(size, 0, 500003, 0, -size, 4999996)
    like = make_raster("like.tif", height=180, width=180, transform=place)
    run(job_on([noise], like=str(like), resampling="cubic_spline", windows=Size(64, 48)))
    found, array = read(like.with_name("out.tif"))[0], read(noise)[0]
    for row in range(5, 175, 13):
        for col in range(5, 175, 11):
            expected = at(array, *(~PLACE @ (place @ (col + 0.5, row + 0.5))))
            assert found[row, col] == pytest.approx(expected, abs=1e-2)


@pytest.mark.filterwarnings("ignore:Use `@`")  # rasterio's own
@pytest.mark.parametrize("crs", ["EPSG:32634", "EPSG:3857"])
@pytest.mark.parametrize("resampling", ["cubic_spline", "cubic", "lanczos", "bilinear", "average"])
def test_another_crs_with_about_the_same_scale(job_on, make_raster, noise, read, crs, resampling):
    bounds = 500000, 4998000, 502000, 5000000
    place, width, height = calculate_default_transform("EPSG:32633", crs, 200, 200, *bounds)
    like = make_raster("like.tif", height=height, width=width, transform=place, crs=crs)
    run(job_on([noise], like=str(like), resampling=resampling, windows=Size(64, 48)))
    with (
        rasterio.open(noise) as src,
        WarpedVRT(
            src, crs=crs, transform=place, width=width, height=height, tolerance=1e-6,
            resampling=Resampling[resampling], XSCALE=1, YSCALE=1,
        ) as vrt,
    ):  # fmt: skip
        expected = vrt.read()
    np.testing.assert_allclose(read(like.with_name("out.tif")), expected, atol=0.02)


@pytest.mark.parametrize("size", [20.3, 29.6, 40])
def test_whole_scales_are_as_gdal_has_them(job_on, make_raster, noise, read, size):
    place = Affine(size, 0, 500000, 0, -size, 5000000)
    like = make_raster("like.tif", height=40, width=40, transform=place)
    run(job_on([noise], like=str(like), resampling="cubic_spline", windows=Size(16, 32)))
    scale = 1 / round(size / 10)
    with (
        rasterio.open(noise) as src,
        WarpedVRT(
            src, transform=place, width=40, height=40, tolerance=1e-6,
            resampling=Resampling.cubic_spline, XSCALE=scale, YSCALE=scale,
        ) as vrt,
    ):  # fmt: skip
        np.testing.assert_allclose(read(like.with_name("out.tif")), vrt.read(), atol=0.02)
