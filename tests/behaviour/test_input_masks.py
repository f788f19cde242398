"""What masks inputs, on their own grid and on others: equal to numpy alone."""

import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from rio_mucho_cli.errors import GridError
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.window_data import InputDatasets, ReadSpec
from rio_mucho_cli.windows import Size, pairs_of, window_grid

HEIGHT, WIDTH = 9, 12
PIXEL = 30.0
# So far from the input's first pixel, in pixels: not at all, by whole ones, and by parts of one.
GRIDS = {"own": (0, 0), "moved": (-2, 3), "warped": (-2.6, 3.3)}
DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64", "complex64"]

HIDDEN = np.zeros((HEIGHT, WIDTH), bool)
HIDDEN[2:5, 3:7] = True
OTHERS = np.zeros((HEIGHT, WIDTH), bool)
OTHERS[6:, ::3] = True


def band(dtype, seed=0):
    """Return pixels of which none is 0, nor 100."""
    pixels = 1 + (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 7 + seed) % 90
    return pixels.astype(dtype)


def write(make_raster, data, mask=None, alpha=0, **profile):
    """Write bands, a mask of hidden pixels into the file, and which band is opacity."""
    path = make_raster(data=np.stack(data), transform=Affine(PIXEL, 0, 4e5, 0, -PIXEL, 5e6),
                       **profile)  # fmt: skip
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
        if alpha:
            colours = [ColorInterp.gray, *[ColorInterp.undefined] * (len(data) - 1)]
            colours[alpha - 1] = ColorInterp.alpha
            dst.colorinterp = colours
        if mask is not None:
            dst.write_mask(~mask)
    return path


def nothing(make_raster, dtype):
    return write(make_raster, [band(dtype)]), [False]


def nodata(make_raster, dtype):
    data = np.where(HIDDEN, 100, band(dtype)).astype(dtype)
    return write(make_raster, [data], nodata=100), [HIDDEN]


def bands_with_nodata(make_raster, dtype):
    data = [np.where(hides, 100, band(dtype)).astype(dtype) for hides in (HIDDEN, OTHERS)]
    return write(make_raster, data, nodata=100), [HIDDEN, OTHERS]


def nan(make_raster, dtype):
    dtype = dtype if np.dtype(dtype).kind in "fc" else "float32"
    data = np.where(HIDDEN, np.nan, band(dtype)).astype(dtype)
    return write(make_raster, [data], nodata=np.nan), [HIDDEN]


def mask(make_raster, dtype):
    return write(make_raster, [band(dtype), band(dtype, 5)], HIDDEN), [HIDDEN] * 2


def mask_and_nodata(make_raster, dtype):
    data = np.where(OTHERS, 100, band(dtype)).astype(dtype)
    return write(make_raster, [data], HIDDEN, nodata=100), [HIDDEN | OTHERS]


def mask_and_nodata_of_bands(make_raster, dtype):
    data = [np.where(OTHERS, 100, band(dtype)).astype(dtype), band(dtype)]
    return write(make_raster, data, HIDDEN, nodata=100), [HIDDEN | OTHERS, HIDDEN]


def alpha_of(count, at=None):
    def make(make_raster, dtype):
        data = [band(dtype, seed) for seed in range(count)]
        place = (at or count) - 1
        data[place] = np.where(HIDDEN, 0, 255 if dtype == "uint8" else 120).astype(dtype)
        hidden = [HIDDEN] * count
        hidden[place] = False
        return write(make_raster, data, alpha=place + 1), hidden

    return make


def alpha_and_nodata(make_raster, dtype):
    data = [np.where(OTHERS, 100, band(dtype, seed)).astype(dtype) for seed in range(3)]
    data.append(np.where(HIDDEN, 0, 100).astype(dtype))
    return write(make_raster, data, alpha=4, nodata=100), [HIDDEN | OTHERS] * 3 + [False]


def alpha_and_mask(make_raster, dtype):
    data = [band(dtype, seed) for seed in range(3)]
    data.append(np.where(HIDDEN, 0, 100).astype(dtype))
    return write(make_raster, data, OTHERS, alpha=4), [HIDDEN | OTHERS] * 3 + [False]


def nodata_that_no_pixel_can_have(make_raster, dtype):
    path = write(make_raster, [band("uint8")])
    with rasterio.open(path) as src:
        vrt = f"""<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>{src.crs}</SRS>
            <GeoTransform>400000, 30, 0, 5000000, 0, -30</GeoTransform>
            <VRTRasterBand dataType="Byte" band="1"><NoDataValue>-9999</NoDataValue><SimpleSource>
            <SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>
            </SimpleSource></VRTRasterBand></VRTDataset>"""
    path.with_suffix(".vrt").write_text(vrt)
    return path.with_suffix(".vrt"), [False]


KINDS = {
    "nothing": nothing, "nodata": nodata, "bands with nodata": bands_with_nodata, "nan": nan,
    "mask": mask, "mask and nodata": mask_and_nodata,
    "mask and nodata of bands": mask_and_nodata_of_bands, "alpha and nodata": alpha_and_nodata,
    "alpha and mask": alpha_and_mask,
    "alpha of 2": alpha_of(2), "alpha of 3": alpha_of(3), "alpha of 4": alpha_of(4),
    "alpha of 5": alpha_of(5), "alpha first": alpha_of(3, at=1),
    "nodata that no pixel can have": nodata_that_no_pixel_can_have,
}  # fmt: skip

MASK_AND_MORE = ("mask and nodata", "mask and nodata of bands", "alpha and mask")


def on_grid(path, offset, resampling="nearest", **given):
    """Read the whole of a grid that begins before the input, window by window."""
    row, col = offset
    transform = Affine(PIXEL, 0, 4e5 + col * PIXEL, 0, -PIXEL, 5e6 - row * PIXEL)
    size = Size(WIDTH, HEIGHT) if offset == (0, 0) else Size(WIDTH + 3, HEIGHT + 6)
    with rasterio.open(path) as src:
        grid = Grid(src.crs, transform, *size)
    reading = {"grid": grid, "masked": True, **given}
    found = []
    for step in (Size(5, 4), size):
        sources = InputDatasets(ReadSpec([InputSpec(str(path), resampling=resampling)], **reading))
        parts = {}
        for window, _ in pairs_of(window_grid(*size, step)):
            (array,) = sources.read(window)
            parts[window] = array
        sources.close()
        shape = len(array), size.height, size.width
        whole = np.ma.array(np.zeros(shape, array.dtype), mask=np.zeros(shape, bool))
        for window, array in parts.items():
            whole[:, *window.toslices()] = array
        found.append(whole)
    np.testing.assert_array_equal(found[0].mask, found[1].mask)
    np.testing.assert_array_equal(found[0].data, found[1].data)
    return found[0]


def nearest(array, offset, beyond):
    """Return the pixels of a grid that begins so far from an array, without GDAL."""
    if offset == (0, 0):
        return array
    shape = HEIGHT + 6, WIDTH + 3
    rows, cols = (np.floor(np.arange(length) + 0.5 + start).astype(int)
                  for length, start in zip(shape, offset, strict=True))  # fmt: skip
    inside = ((rows >= 0) & (rows < HEIGHT))[:, None] & ((cols >= 0) & (cols < WIDTH))
    found = array[rows.clip(0, HEIGHT - 1)[:, None], cols.clip(0, WIDTH - 1)]
    return np.where(inside, found, beyond).astype(array.dtype)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pixel_is_masked_if_anything_hides_it(make_raster, dtype, kind, grid):
    path, hidden = KINDS[kind](make_raster, dtype)
    if dtype == "complex64" and grid == "warped" and kind in MASK_AND_MORE:
        with pytest.raises(GridError, match="complex pixels, and a mask beside nodata or opacity"):
            on_grid(path, GRIDS[grid])
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = on_grid(path, GRIDS[grid])
    with rasterio.open(path) as src:
        data = src.read()
        is_alpha = [colour == ColorInterp.alpha for colour in src.colorinterp]
    assert found.dtype == data.dtype
    assert len(found) == len(data)
    for number, (array, mask) in enumerate(zip(data, hidden, strict=True)):
        mask = np.broadcast_to(mask, array.shape)
        expected = nearest(mask, GRIDS[grid], beyond=not is_alpha[number])
        np.testing.assert_array_equal(np.ma.getmaskarray(found)[number], expected)
        values = nearest(array, GRIDS[grid], beyond=0)
        seen = ~expected
        if is_alpha[number]:
            seen = ~nearest(np.broadcast_to(hidden[number - 1], array.shape), GRIDS[grid], True)
            assert not found.data[number][values == 0].any()
        np.testing.assert_array_equal(found.data[number][seen], values[seen])


@pytest.mark.sweep(2)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average", "lanczos"])
@pytest.mark.parametrize(
    "kind",
    ["mask", "mask and nodata", "mask and nodata of bands", "alpha of 3", "alpha of 4",
     "alpha and nodata", "alpha and mask"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_what_is_hidden_makes_no_difference(make_raster, dtype, kind, resampling, grid):
    path, hidden = KINDS[kind](make_raster, dtype)
    before = on_grid(path, GRIDS[grid], resampling)
    with rasterio.open(path, "r+") as dst:
        data = dst.read()
        for array, mask in zip(data, hidden, strict=True):
            array[mask & ~OTHERS] = 99
        dst.write(data)
    after = on_grid(path, GRIDS[grid], resampling)
    assert 0 < before.mask[0].mean() < 1
    np.testing.assert_array_equal(before.mask, after.mask)
    np.testing.assert_array_equal(before.filled(0), after.filled(0))


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_nodata_of_one_band_is_not_mixed_with_its_pixels(make_raster, dtype, resampling):
    path, _ = bands_with_nodata(make_raster, dtype)
    with rasterio.open(path, "r+") as dst:
        data = dst.read()
        data[data == 100] = -9999
        dst.nodata = -9999
        dst.write(data)
    found = on_grid(path, GRIDS["warped"], resampling)
    assert (found.mask[0] != found.mask[1]).any()
    assert found.min() >= -10
