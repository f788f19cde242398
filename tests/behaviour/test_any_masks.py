"""Masked arrays, and windows in which all is masked."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import MaskFlags

from rio_mucho_cli import run
from rio_mucho_cli.windows import Size

HEIGHT, WIDTH = 110, 150


def mask_sources(tiled, tmp_path):
    """Make rasters that say in different ways which pixels are valid; return (path, mask)."""
    nodata = tiled("nodata.tif", nodata=100, count=2)
    nan = tiled("nan.tif", dtype="float32", nodata=np.nan)
    with rasterio.open(nan, "r+") as dst:
        array = dst.read(1)
        array[5:30, 10:90] = np.nan
        dst.write(array, 1)
    alpha = tiled("alpha.tif", count=4, dtype="uint8", photometric="rgb", alpha="yes")
    with rasterio.open(alpha, "r+") as dst:
        dst.write((np.indices((HEIGHT, WIDTH)).sum(axis=0) % 3 > 0).astype("uint8") * 255, 4)
    internal = tiled("internal.tif", dtype="uint8", count=3)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(internal, "r+") as dst:
        dst.write_mask(np.indices((HEIGHT, WIDTH)).sum(axis=0) % 5 > 1)
    return {"nodata": nodata, "nan": nan, "alpha": alpha, "internal": internal}


@pytest.mark.parametrize("kind", ["nodata", "nan", "alpha", "internal"])
@pytest.mark.parametrize("windows", [Size(64, 48), Size(37, 20)])
def test_masks_are_rasterios(job_on, tiled, tmp_path, kind, windows):
    path = mask_sources(tiled, tmp_path)[kind]

    def look(data, window, ij, global_args):
        return np.ma.getmaskarray(data[0]).astype("uint8")

    made = job_on([path], look, masked=True, windows=windows, nodata=None, keep_nodata=False)
    run(made)
    with rasterio.open(path) as src, rasterio.open(made.output) as dst:
        expected = np.ma.getmaskarray(src.read(masked=True))
        np.testing.assert_array_equal(dst.read(), expected)
    assert 0 < expected.mean() < 1


@pytest.mark.sweep(2)
@pytest.mark.parametrize("nodata", [0, None])
@pytest.mark.parametrize("executor", ["serial", "processes"])
@pytest.mark.parametrize("windows", [Size(16, 16), Size(50, 33)])
def test_windows_that_are_all_masked_are_not_computed(
    job_on, tiled, read, tmp_path, nodata, executor, windows
):
    path = tiled(nodata=255)
    with rasterio.open(path, "r+") as dst:
        array = dst.read()
        array[:, :70] = 255
        dst.write(array)
    calls = tmp_path / "calls"

    def count(data, window, ij, global_args):
        with calls.open("a") as file:
            file.write(f"{window.row_off}\n")
        assert not np.ma.isMaskedArray(data[0])
        return data[0] * 0 + 5

    given = {"nodata": nodata, "keep_nodata": False, "executor": executor, "jobs": 2}
    made = job_on([path], count, skip_masked=True, windows=windows, **given)
    run(made)
    starts = {int(line) for line in calls.read_text().split()}
    assert min(starts) + windows.height > 70
    first = min(starts)
    with rasterio.open(made.output) as dst:
        flag = MaskFlags.nodata if nodata == 0 else MaskFlags.per_dataset
        assert dst.mask_flag_enums[0] == [flag]
        mask = dst.read_masks(1)
        np.testing.assert_array_equal(mask[:first], 0)
        np.testing.assert_array_equal(mask[first:], 255)
        assert (dst.read()[:, first:] == 5).all()


def test_a_raster_that_is_all_masked(job_on, tiled, tmp_path):
    path = tiled(nodata=255)
    with rasterio.open(path, "r+") as dst:
        dst.write(np.full((1, HEIGHT, WIDTH), 255, dst.dtypes[0]))
    made = job_on([path], lambda *args: 1 / 0, skip_masked=True)
    assert run(made).windows > 0
    with rasterio.open(made.output) as dst:
        assert (dst.read() == 255).all()
        assert dst.nodata == 255
