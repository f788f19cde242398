"""Internal masks: where a result is masked and the output has no nodata."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.windows import Window

from rio_mucho_cli import Job, Output, ResultError, run
from rio_mucho_cli.windows import Size, pairs_of, window_grid

WIDTH, HEIGHT = 101, 77


@pytest.fixture
def job(make_raster, tmp_path):
    source = make_raster(width=WIDTH, height=HEIGHT, count=2, dtype="uint8")

    def make(function, **given):
        return Job(**{
            "inputs": [str(source)],
            "output": str(tmp_path / "out.tif"),
            "function": function,
            "windows": Size(32, 32),
            "creation_options": {"tiled": "yes", "blockxsize": "32", "blockysize": "16"},
            **given,
        })  # fmt: skip

    return make


def hide(data, window, ij, global_args):
    """Mask what is dark in the first band, in both bands."""
    (array,) = data
    return np.ma.array(array, mask=np.broadcast_to(array[:1] < 100, array.shape))


def assert_hidden(job):
    with rasterio.open(job.inputs[0]) as src, rasterio.open(job.output) as dst:
        array, valid = src.read(), src.read(1) >= 100
        assert dst.mask_flag_enums[0] == [rasterio.enums.MaskFlags.per_dataset]
        np.testing.assert_array_equal(dst.dataset_mask() == 255, valid)
        np.testing.assert_array_equal(dst.read(), array * valid)
    assert valid.any()
    assert not valid.all()


STRIPS = {"tiled": "no", "blockysize": "8"}
TILES = {"tiled": "yes", "blockxsize": "16", "blockysize": "16"}


@pytest.mark.sweep(2)
@pytest.mark.parametrize("codec", ["none", "deflate", "zstd", "lzw"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("blocks", [STRIPS, TILES], ids=["strips", "tiles"])
@pytest.mark.parametrize("more", [{}, {"bigtiff": "yes"}, {"sparse_ok": "yes"}], ids=str)
def test_the_mask_is_that_of_gdal(job, tmp_path, codec, interleave, blocks, more):
    options = {"compress": codec, "interleave": interleave, **blocks, **more}
    made = job(
        hide, creation_options=options, windows=Size(WIDTH, 16) if blocks == STRIPS else None
    )
    run(made)
    assert_hidden(made)
    with rasterio.open(made.inputs[0]) as src, rasterio.open(made.output) as ours:
        masked = hide([src.read()], None, None, None)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(tmp_path / "gdal.tif", "w", **ours.profile) as dst,
        ):
            dst.write(masked.filled(0))
            dst.write_mask(~masked.mask[0])
    assert sorted(path.name for path in tmp_path.glob("*.msk")) == []
    with (
        tifffile.TiffFile(made.output) as ours,
        tifffile.TiffFile(tmp_path / "gdal.tif") as gdals,
    ):
        assert len(ours.pages) == len(gdals.pages) == 2
        for page, other in zip(ours.pages, gdals.pages, strict=True):
            np.testing.assert_array_equal(page.asarray(), other.asarray())
            assert (page.compression, page.subfiletype) == (other.compression, other.subfiletype)


@pytest.mark.parametrize(
    "given",
    [
        {"executor": "threads", "jobs": 2},
        {"executor": "processes", "jobs": 2},
        {"windows": Size(33, 10), "jobs": 2},  # GDAL writes these
        {"windows": Size(33, 10), "executor": "threads", "jobs": 2},
        {"dtype": "float32", "keep_nodata": False},
        {"driver": "COG", "creation_options": {}},
    ],
    ids=str,
)
def test_every_way_to_the_file_keeps_the_mask(job, given):
    made = job(hide, **given)
    run(made)
    assert_hidden(made)


def test_what_no_window_covers_is_masked(job):
    made = job(
        hide, windows=[p for p in pairs_of(window_grid(WIDTH, HEIGHT, Size(32, 32))) if p[1][1]]
    )
    run(made)
    with rasterio.open(made.output) as dst:
        assert not dst.dataset_mask()[:, :32].any()
        assert dst.dataset_mask()[:, 32:].any()


def test_plain_results_are_valid_everywhere(job, read):
    def first_only(data, window, ij, global_args):
        return hide(data, window, ij, global_args) if ij == (0, 0) else data[0]

    made = job(first_only)
    run(made)
    with rasterio.open(made.output) as dst:
        assert (dst.dataset_mask()[32:] == 255).all()
        assert not dst.dataset_mask()[:32, :32].all()
    np.testing.assert_array_equal(read(made.output)[:, 32:], read(made.inputs[0])[:, 32:])


@pytest.mark.parametrize("windows", [Size(32, 32), Size(33, 10)], ids=["blocks", "parts of blocks"])
def test_masks_that_come_too_late_or_differ_between_bands(job, leftovers, windows):
    def late(data, window, ij, global_args):
        return hide(data, window, ij, global_args) if ij == (1, 1) else data[0]

    def one_band(data, window, ij, global_args):
        return np.ma.masked_less(data[0], 100)

    with pytest.raises(ResultError, match="masked arrays from the first window on") as caught:
        run(job(late, windows=windows))
    assert caught.value.ij == (1, 1)
    with pytest.raises(ResultError, match="other pixels in one band than in another"):
        run(job(one_band, windows=windows))
    assert not leftovers()


def test_nodata_is_taken_where_there_is_one(job, read):
    made = job(hide, nodata=7, keep_nodata=False)
    run(made)
    with rasterio.open(made.output) as dst:
        assert dst.mask_flag_enums[0] == [rasterio.enums.MaskFlags.nodata]
        assert (dst.read(window=Window(0, 0, 40, 40)) == 7).any()


def hide_apart(data, window, ij, global_args):
    """Mask what is dark, in each band for itself; under the mask there are other numbers."""
    return np.ma.masked_less(data[0], 100).astype("float32")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"windows": Size(33, 10)},
        {"executor": "processes", "jobs": 2},
        {"driver": "COG", "creation_options": {}},
        {"overviews": (2,), "overview_resampling": "average", "stats": True},
        {"also": [Output(path="other.tif", name="other")]},
        {"output": "out.vrt", "part_size": 64, "creation_options": {}},
        {"nodata": -1},
    ],
    ids=str,
)
def test_masked_pixels_of_several_bands_become_nodata_of_each(job, tmp_path, monkeypatch, given):
    """NaN above all, which is not equal to itself."""
    monkeypatch.chdir(tmp_path)

    def both(*args):
        return {"first": hide_apart(*args), "other": hide_apart(*args)}

    made = job(both if "also" in given else hide_apart, **given)
    run(made)
    for output in made.outputs:
        with rasterio.open(made.inputs[0]) as src, rasterio.open(output.path) as dst:
            array = src.read()
            np.testing.assert_array_equal(
                dst.read(), np.where(array < 100, np.float32(dst.nodata), array)
            )
            np.testing.assert_array_equal(dst.read_masks() == 0, array < 100)
            if "stats" in given:
                assert float(dst.tags(1)["STATISTICS_MINIMUM"]) == array[0][array[0] >= 100].min()


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_an_open_dataset_with_nan_as_nodata(job, tmp_path, dtype):
    made = job(lambda data, *_: np.ma.masked_less(data[0], 100).astype(dtype))
    with rasterio.open(made.inputs[0]) as src:
        array, profile = src.read(), {**src.profile, "dtype": "float32", "nodata": np.nan}
    dst = rasterio.open(tmp_path / "open.tif", "w", **profile)
    run(replace(made, output=dst, creation_options={}))
    with rasterio.open(tmp_path / "open.tif") as dst:
        np.testing.assert_array_equal(dst.read(), np.where(array < 100, np.nan, array))


def test_a_copy_of_bands_with_nan_keeps_nan(make_raster, tmp_path):
    array = np.arange(40, dtype="float32").reshape(2, 4, 5)
    array[:, 1] = np.nan
    path = make_raster("nan.tif", array, nodata=np.nan)

    def copy(data, *_):
        assert np.isnan(data[0].fill_value)
        return data[0]

    run(Job(inputs=[str(path)], output=str(tmp_path / "out.tif"), function=copy, masked=True))
    with rasterio.open(tmp_path / "out.tif") as dst:
        np.testing.assert_array_equal(dst.read(), array)
