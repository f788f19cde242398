import numpy as np
import pytest
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from rio_mucho_cli.errors import GridError, InputError
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.open_inputs import InputSpec
from rio_mucho_cli.inputs.window_data import InputDatasets, ReadSpec, stack
from rio_mucho_cli.windows import Size

WINDOW = Window(3, 4, 5, 6)


@pytest.fixture
def paths(make_raster):
    return [str(make_raster("a.tif", count=2)), str(make_raster("b.tif", dtype="float32"))]


def test_simple_read_gives_an_array_for_each_input(paths, read):
    data = InputDatasets(ReadSpec([InputSpec(path) for path in paths], "simple_read")).read(WINDOW)
    for array, path in zip(data, paths, strict=True):
        np.testing.assert_array_equal(array, read(path)[:, 4:10, 3:8])


def test_array_read_gives_the_bands_of_all(paths, read):
    data = InputDatasets(ReadSpec([InputSpec(path) for path in paths], "array_read")).read(
        ((4, 10), (3, 8))
    )
    assert data.shape == (3, 6, 5)
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data[2], read(paths[1])[0, 4:10, 3:8])


def test_manual_read_gives_open_datasets_until_they_are_closed(paths):
    sources = InputDatasets(ReadSpec([InputSpec(path) for path in paths], "manual_read"))
    srcs = sources.read(WINDOW)
    assert [src.name for src in srcs] == paths
    assert not any(src.closed for src in srcs)
    sources.close()
    assert all(src.closed for src in srcs)


def test_arrays_are_the_functions_own(paths):
    sources = InputDatasets(ReadSpec([InputSpec(path) for path in paths], "simple_read"))
    first = sources.read(WINDOW)[0]
    first[:] = 0
    assert sources.read(WINDOW)[0].any()


@pytest.mark.parametrize("name", ["missing.tif", "text.tif", "folder"])
def test_what_is_no_raster_is_an_input_error_and_rasterios(tmp_path, name):
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=name) as caught:
        DatasetInfo.of(str(tmp_path / name))
    assert isinstance(caught.value, RasterioIOError)


def test_a_truncated_raster_is_named_with_the_window(make_raster):
    path = make_raster(height=300, width=300, tiled=True, blockxsize=64, blockysize=64)
    path.write_bytes(path.read_bytes()[:60000])
    sources = InputDatasets(ReadSpec([InputSpec(path) for path in [str(path)]], "simple_read"))
    assert sources.read(Window(0, 0, 64, 64))[0].any()
    with pytest.raises(InputError, match=r"in\.tif cannot be read at window rows 256:300"):
        sources.read(Window(256, 256, 44, 44))


def test_source_knows_strips_from_tiles(make_raster):
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 16}
    strips = DatasetInfo.of(str(make_raster("s.tif", tiled=False, blockysize=3)))
    tiled = DatasetInfo.of(str(make_raster("t.tif", **tiles)))
    one = DatasetInfo.of(str(make_raster("o.tif", height=16, width=32, **tiles)))
    assert strips.is_striped
    assert strips.block == Size(90, 3)
    assert not tiled.is_striped
    assert not one.is_striped


@pytest.mark.parametrize("other", [(1, 3, 5), (1, 2, 4), (3, 4)])
def test_stack_wants_one_size(other):
    with pytest.raises(GridError, match="cannot be stacked") as caught:
        stack([np.zeros((1, 3, 4)), np.zeros(other)])
    assert isinstance(caught.value, ValueError)


def test_stack_gives_a_new_array():
    array = np.zeros((1, 3, 4))
    assert not np.shares_memory(stack([array]), array)


def test_a_source_of_some_bands_has_what_those_have(make_raster, make_vrt):
    bands = make_raster("a.tif", dtype="uint8", nodata=0), make_raster("b.tif", dtype="int16")
    both = DatasetInfo.of(str(make_vrt("both.vrt", bands, [0, -5])))
    assert (both.dtypes, both.nodatavals, both.alpha) == (("uint8", "int16"), (0, -5), 0)
    for indexes, count, dtype, nodata in (
        ((), 2, "int16", 0),
        ((2,), 1, "int16", -5),
        ((1,), 1, "uint8", 0),
        ((2, 1), 2, "int16", -5),
        ((1, 1, 1), 3, "uint8", 0),
    ):
        profile = both.with_bands(indexes).profile
        assert (profile["count"], profile["dtype"], profile["nodata"]) == (count, dtype, nodata)


def test_where_the_band_of_opacity_is(make_raster):
    path = make_raster(count=4, dtype="uint8", photometric="rgb", alpha="yes")
    source = DatasetInfo.of(str(path))
    assert source.alpha == 4
    assert [source.with_bands(indexes).alpha for indexes in ((), (4, 1), (1, 2))] == [4, 1, 0]
