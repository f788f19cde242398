"""Results of rasters with a band of opacity, through masked arrays."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from rio_mucho_cli import Job, Output, ResultError, run
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.window_data import InputDatasets, ReadSpec
from rio_mucho_cli.windows import Size

WIDTH, HEIGHT = 101, 77
RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
GREY = [ColorInterp.gray, *[ColorInterp.undefined] * 3]


@pytest.fixture
def transparent(make_raster):
    """Return a function that makes a raster whose last band is opacity."""

    def make(count=4, dtype="uint8", **profile):
        given = {"photometric": "rgb" if count == 4 else "minisblack", **profile}
        path = make_raster(width=WIDTH, height=HEIGHT, count=count, dtype=dtype, **given)
        with rasterio.open(path, "r+") as dst:
            dst.colorinterp = RGBA if count == 4 else [*GREY[: count - 1], ColorInterp.alpha]
            alpha = np.indices((HEIGHT, WIDTH)).sum(axis=0) % 4 * 40
            alpha[:, 60:] = 0
            dst.write(alpha.astype(dtype), count)
        return str(path)

    return make


@pytest.fixture
def made(tmp_path):
    """Return a function that runs a job of one raster, and returns the path of its output."""

    def make(path, function, name="out.tif", **given):
        run(Job(**{
            "inputs": [path], "output": str(tmp_path / name), "function": function,
            "windows": Size(48, 32), "masked": True, "overwrite": True, **given,
        }))  # fmt: skip
        return str(tmp_path / name)

    return make


def copy(data, window, ij, global_args):
    return data[0]


def darker(data, window, ij, global_args):
    return np.ma.concatenate([data[0][:-1] // 2, data[0][-1:]]).astype(data[0].dtype)


def read_masked(path):
    """Read a raster as a function gets it."""
    sources = InputDatasets(ReadSpec([InputSpec(path)], masked=True))
    (data,) = sources.read(((0, HEIGHT), (0, WIDTH)))
    sources.close()
    return data


def assert_transparent(path, source, function=copy):
    given = read_masked(source)
    expected = function([given], None, None, None)
    found = read_masked(path)
    hidden = given.data[-1] == 0
    assert 0 < hidden.mean() < 1
    with rasterio.open(path) as dst, rasterio.open(source) as src:
        assert dst.colorinterp == src.colorinterp
        np.testing.assert_array_equal(dst.read_masks(1) == 0, hidden)
        np.testing.assert_array_equal(dst.read(), np.where(hidden, 0, expected.data))
    np.testing.assert_array_equal(found.mask[:-1], np.broadcast_to(hidden, found[:-1].shape))
    np.testing.assert_array_equal(found.data[-1], given.data[-1])


@pytest.mark.sweep(2)
@pytest.mark.parametrize("function", [copy, darker])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("windows", [Size(48, 32), Size(33, 10)], ids=["blocks", "no blocks"])
def test_the_output_is_transparent_where_the_input_is(
    transparent, made, dtype, count, function, windows
):
    source = transparent(count, dtype)
    path = made(source, function, windows=windows)
    assert_transparent(path, source, function)
    if dtype.startswith("uint") and count in {2, 4}:
        with rasterio.open(path) as dst:
            assert rasterio.enums.MaskFlags.alpha in dst.mask_flag_enums[0]


@pytest.mark.parametrize(
    "given",
    [
        {"driver": "COG"},
        {"driver": "COG", "creation_options": {"compress": "deflate", "blocksize": "128"}},
        {"executor": "threads", "jobs": 2},
        {"executor": "processes", "jobs": 2},
        {"metadata": False},
        {"name": "out.vrt"},
        {"name": "out.png"},
        {"overviews": ()},
        {"stats": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_way_to_the_file_keeps_it_transparent(transparent, made, dtype, given):
    source = transparent(4, dtype)
    path = made(source, copy, **given)
    with rasterio.open(path) as dst, rasterio.open(source) as src:
        hidden = src.read(4) == 0
        np.testing.assert_array_equal(dst.read(), np.where(hidden, 0, src.read()))
        np.testing.assert_array_equal(dst.read_masks(1) == 0, hidden)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_the_function_masks_becomes_transparent(transparent, made, dtype):
    def hide(data, window, ij, global_args):
        (array,) = data
        colours = np.ma.masked_where(np.broadcast_to(array.data[:1] < 0.4 * array.data.max(),
                                                     array[:3].shape), array[:3])  # fmt: skip
        return np.ma.concatenate([colours, array[3:]])

    source = transparent(4, dtype)
    path = made(source, hide, windows=Size(1000, 1000))
    expected = np.ma.getmaskarray(hide([read_masked(source)], None, None, None))[0]
    with rasterio.open(path) as dst, rasterio.open(source) as src:
        np.testing.assert_array_equal(dst.read(4), np.where(expected, 0, src.read(4)))
        np.testing.assert_array_equal(dst.read_masks(1) == 0, expected)
        assert (expected & (src.read(4) > 0)).any()


def test_what_the_function_fills_stays_transparent_if_it_says_so(transparent, made):
    def fill(data, window, ij, global_args):
        return np.ma.filled(data[0], 9)

    source = transparent()
    with rasterio.open(made(source, fill)) as dst, rasterio.open(source) as src:
        np.testing.assert_array_equal(dst.read(4), src.read(4))
        assert (dst.read(1)[src.read(4) == 0] == 9).all()


def test_the_same_mask_in_all_bands(transparent, made):
    def hide(data, window, ij, global_args):
        return np.ma.array(
            data[0].data, mask=np.broadcast_to(data[0].data[3] == 0, (4, *data[0].shape[1:]))
        )

    source = transparent()
    assert_transparent(made(source, hide), source)


def test_other_masks_in_one_colour_are_refused(transparent, made):
    def hide(data, window, ij, global_args):
        return np.ma.masked_less(data[0], 100)

    with pytest.raises(ResultError, match="other pixels in one band than in another"):
        made(transparent(), hide)


def test_outputs_without_opacity_have_a_mask(transparent, made, tmp_path):
    def apart(data, window, ij, global_args):
        return {"colours": data[0][:3], "all": data[0]}

    source = transparent()
    also = [Output(name="all", path=tmp_path / "all.tif")]
    path = made(source, apart, also=also)
    assert_transparent(str(tmp_path / "all.tif"), source)
    with rasterio.open(path) as dst, rasterio.open(source) as src:
        assert dst.mask_flag_enums[0] == [rasterio.enums.MaskFlags.per_dataset]
        np.testing.assert_array_equal(dst.dataset_mask(), np.where(src.read(4), 255, 0))


@pytest.mark.parametrize(
    ("bidx", "count"), [("1,4", 2), ("4", 1), ("1,2,3", 3), ("4,1,2", 3), ("4,1,2,3", 4)]
)
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_some_bands_of_it(transparent, made, bidx, count, dtype):
    source = transparent(4, dtype)
    path = made(source, copy, bidx=bidx)
    indexes = [int(index) for index in bidx.split(",")]
    with rasterio.open(path) as dst, rasterio.open(source) as src:
        hidden = src.read(4) == 0
        np.testing.assert_array_equal(dst.read(), np.where(hidden, 0, src.read(indexes)))
        if count > 1:
            np.testing.assert_array_equal(read_masked(path).mask[indexes.index(1)], hidden)


@pytest.mark.parametrize("given", [{"skip_masked": True}, {"on_error": "nodata"}], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_windows_that_are_left_out_are_transparent(transparent, made, dtype, given):
    def fail(data, window, ij, global_args):
        assert window.col_off < 50
        return data[0]

    source = transparent(4, dtype)
    path = made(source, fail, windows=Size(16, 16), **given)
    with rasterio.open(path) as dst, rasterio.open(source) as src:
        valid = src.read(4) > 0
        valid[:, 64:] = False
        if "on_error" in given:
            valid[:, 50 // 16 * 16 + 16 :] = False
        np.testing.assert_array_equal(dst.read_masks(1) > 0, valid)
        assert (dst.read(4)[:, 64:] == 0).all()


def test_statistics_are_of_what_can_be_seen(transparent, made):
    for dtype in ("uint8", "uint16"):
        source = transparent(4, dtype)
        with rasterio.open(made(source, copy, stats=True)) as dst:
            tags, array = dst.tags(1), dst.read(1, masked=True)
            assert float(tags["STATISTICS_MINIMUM"]) == array.min()
            assert float(tags["STATISTICS_MEAN"]) == pytest.approx(array.mean())
