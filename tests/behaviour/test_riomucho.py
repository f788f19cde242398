"""RioMucho stands in for rio-mucho's class: what programs written for that do."""

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile
from rasterio.windows import Window

import rio_mucho_cli as riomucho
from rio_mucho_cli.job_options import ClassOptions

both = pytest.mark.parametrize("processes", [1, 2])


def double(data, window, ij, g_args):
    return data[0] * 2


@both
def test_defaults_are_the_first_inputs(tif, out, read, profile_of, processes):
    with riomucho.RioMucho([tif], out, double) as rm:
        assert [tuple(pair) for pair in rm.windows] == [
            (Window(j * 16, i * 16, 16, 16), (i, j)) for i in range(3) for j in range(4)
        ]
        rm.run(processes)
    np.testing.assert_array_equal(read(out), read(tif) * 2)
    assert profile_of(out) == profile_of(tif)


def test_four_processes_is_the_default(tif, out):
    with riomucho.RioMucho((Path(tif),), Path(out), double, windows=[], options={}) as rm:
        report = rm.run()
    assert (report.jobs, report.executor, report.windows) == (4, "processes", 12)


@both
def test_options_by_hand(tif, out, profile_of, processes):
    options = {
        "driver": "GTiff", "width": 64, "height": 48, "count": 1, "dtype": np.float32,
        "crs": "EPSG:4326", "transform": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "compress": "deflate",
        "tiled": "yes", "blockxsize": "32", "blockysize": "16", "nodata": -1,
    }  # fmt: skip
    options["transform"] = rasterio.Affine(1, 0, 0, 0, -1, 0)
    with riomucho.RioMucho([tif], out, double, options=options) as rm:
        rm.run(processes)
    profile = profile_of(out)
    assert (profile["dtype"], profile["blockxsize"], profile["nodata"]) == ("float32", 32, -1)


@pytest.mark.parametrize("output", ["out.tif", "out.png"])
@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"dtype": "float32"}, "width, height, count"),
        ({"driver": "GTiff", "width": 64, "height": 48}, "count, dtype"),
    ],
)
def test_options_that_are_no_whole_profile(tif, tmp_path, leftovers, output, options, missing):
    says = rf"has no {missing}: .*rasterio\.open\(path\)\.profile"
    rm = riomucho.RioMucho([tif], tmp_path / output, double, options=options)
    with pytest.raises(riomucho.UsageError, match=says):
        rm.run(1)
    assert not leftovers()


def test_options_without_a_size_on_a_grid_that_has_one(tif, out, read):
    options = {"count": 1, "dtype": "uint16"}
    with riomucho.RioMucho([tif], out, double, options=options, like=tif) as rm:
        rm.run(1)
    assert (read(out) == 2 * read(tif)).all()


@both
def test_options_that_rasterio_understands_without_more(tif, out, profile_of, processes):
    gcps = [GroundControlPoint(row, col, col * 2.0, -row) for row in (0, 48) for col in (0, 64)]
    options = {
        "width": 64, "height": 48, "count": 1, "dtype": "uint16", "gcps": gcps, "crs": "EPSG:4326",
        "nodata": "7", "tiled": True, "blockxsize": 16, "blockysize": 16,
    }  # fmt: skip
    riomucho.RioMucho([tif], out, double, options=options).run(processes)
    with rasterio.open(out) as src:
        assert (src.driver, src.nodata, len(src.gcps[0])) == ("GTiff", 7, 4)


def test_meta_without_block_sizes(tif, out, read):
    with rasterio.open(tif) as src:
        options = src.meta
    options.update(count=2, dtype=rasterio.uint8)
    with riomucho.RioMucho(
        [tif, tif], out, lambda data, *args: data, mode="array_read", options=options
    ) as rm:
        rm.run(2)
    np.testing.assert_array_equal(read(out), np.repeat(read(tif).astype("uint8"), 2, axis=0))


PAIRS = [(((0, 5), (0, 64)), (0, 0)), (((20, 48), (7, 33)), (1, 0))]


@both
@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_windows_reach_the_function_untouched(tif, out, read, processes, kind):
    def check(data, window, ij, g_args):
        assert (window, ij) in PAIRS
        return data[0]

    with riomucho.RioMucho([tif], out, check, windows=kind(PAIRS)) as rm:
        rm.run(processes)
    source = read(tif)
    expected = np.full_like(source, 3)
    expected[:, :5] = source[:, :5]
    expected[:, 20:48, 7:33] = source[:, 20:48, 7:33]
    np.testing.assert_array_equal(read(out), expected)


def test_windows_with_open_ends(tif, out, read):
    windows = [(((0, 20), (0, None)), 0), ((slice(-28, None), slice(None)), 1)]
    for processes in (1, 2):
        riomucho.RioMucho([tif], out, double, windows=windows).run(processes)
        np.testing.assert_array_equal(read(out), read(tif) * 2)


def test_a_generator_without_windows_makes_an_output_of_nodata(tif, out, read):
    riomucho.RioMucho([tif], out, double, windows=iter(())).run(2)
    assert (read(out) == 3).all()


@both
def test_an_output_of_no_inputs(tif, out, read, profile_of, processes):
    windows = riomucho.utils.getWindows(tif)

    def make(srcs, window, ij, g_args):
        assert srcs == []
        return np.full((1, 16, 16), sum(ij))

    args = {"mode": "manual_read", "windows": windows, "options": profile_of(tif)}
    riomucho.RioMucho([], out, make, **args).run(processes)
    rows, cols = np.mgrid[0:48, 0:64] // 16
    np.testing.assert_array_equal(read(out)[0], rows + cols)


def test_inputs_in_memory_are_seen_by_all_workers(tif, out, read):
    with MemoryFile(Path(tif).read_bytes()) as memory:
        report = riomucho.RioMucho([memory.name], out, double).run(2)
    assert report.executor == "threads"
    np.testing.assert_array_equal(read(out), read(tif) * 2)


class Settings:
    gain = 2


@both
@pytest.mark.parametrize("g_args", [Settings(), [0, 2], 2])
def test_global_args_may_be_anything(tif, out, read, processes, g_args):
    def scale(data, window, ij, given):
        assert type(given) is type(g_args) or type(given).__name__ == "Settings"
        return data[0] * 2

    riomucho.RioMucho([tif], out, scale, global_args=g_args).run(processes)
    np.testing.assert_array_equal(read(out), read(tif) * 2)


def test_in_the_calling_process_global_args_are_the_callers_own(tif, out):
    def count(data, window, ij, g_args):
        g_args["windows"] += 1
        return data[0]

    g_args = {"windows": 0}
    riomucho.RioMucho([tif], out, count, global_args=g_args).run(1)
    assert g_args == {"windows": 12}


@both
def test_an_input_that_cannot_be_read_is_a_child_error(make_raster, out, processes):
    path = make_raster("cut.tif", width=64, height=64, tiled=True, blockxsize=16, blockysize=16)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(riomucho.MuchoChildError, match=r"cut\.tif cannot be read") as caught:
        riomucho.RioMucho([str(path)], out, double).run(processes)
    assert isinstance(caught.value.exception, RasterioIOError)


def test_overlapping_windows_are_written_in_order(tif, out, read):
    windows = [(Window(0, 0, 64, 48), 1), (Window(8, 8, 16, 16), 2)]
    with riomucho.RioMucho(
        [tif], out, lambda data, window, ij, g: np.full_like(data[0], ij), windows=windows
    ) as rm:
        rm.run(2)
    expected = np.ones((1, 48, 64))
    expected[:, 8:24, 8:24] = 2
    np.testing.assert_array_equal(read(out), expected)


@both
def test_manual_read_of_inputs_of_other_sizes(make_raster, tif, out, read, processes):
    small = str(make_raster("small.tif", width=32, height=24))

    def sharpen(srcs, window, ij, g_args):
        ((top, bottom), (left, right)) = window.toranges()
        half = ((top // 2, bottom // 2), (left // 2, right // 2))
        return srcs[0].read(window=window) + srcs[1].read(window=half, out_shape=(1, 16, 16))

    with riomucho.RioMucho([tif, small], out, sharpen, mode="manual_read") as rm:
        rm.run(processes)
    expected = read(tif) + read(small).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(read(out), expected)


@both
@pytest.mark.parametrize("mode", ["w", "r+"])
def test_open_datasets_are_written_and_closed(tif, out, read, profile_of, processes, mode):
    with rasterio.open(out, "w", **profile_of(tif)):
        pass
    dst = rasterio.open(out, mode, **(profile_of(tif) if mode == "w" else {}))
    with riomucho.RioMucho([tif], dst, double) as rm:
        rm.run(processes)
    assert dst.closed
    np.testing.assert_array_equal(read(out), read(tif) * 2)


def test_datasets_in_memory(tif, read, profile_of):
    with MemoryFile() as memory:
        with riomucho.RioMucho([tif], memory.open(**profile_of(tif)), double) as rm:
            rm.run(2)
        with memory.open() as src:
            np.testing.assert_array_equal(src.read(), read(tif) * 2)


@both
def test_results_are_cast_and_masked_ones_filled(tif, out, read, processes):
    def masked(data, window, ij, g_args):
        return np.ma.masked_less(data[0].astype("float64") + 0.7, 100)

    with riomucho.RioMucho([tif], out, masked) as rm:
        rm.run(processes)
    source = read(tif)
    np.testing.assert_array_equal(read(out), np.where(source + 0.7 < 100, 3, source))


def test_an_existing_output_is_replaced(tif, out, read):
    Path(out).write_text("old")
    riomucho.RioMucho([tif], out, double).run(1)
    np.testing.assert_array_equal(read(out), read(tif) * 2)


def test_a_missing_input_is_rasterios_error_in_the_constructor(tif, out):
    windows, options = [(Window(0, 0, 16, 16), (0, 0))], {"driver": "GTiff"}
    for inputs in (["missing.tif"], [tif, "missing.tif"]):
        with pytest.raises(RasterioIOError, match=r"missing\.tif: No such file"):
            riomucho.RioMucho(inputs, out, double, windows=windows, options=options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("overlpa", "a RioMucho has no 'overlpa': did you mean 'overlap'?"),
        ("retries", r"a RioMucho has no 'retries': see help\(RioMucho\)"),
    ],
)
def test_another_option_is_refused_by_the_constructor(tif, out, name, message):
    with pytest.raises(riomucho.UsageError, match=message):
        riomucho.RioMucho([tif], out, double, **{name: 3})


def test_help_has_every_option():
    parameters = inspect.signature(riomucho.RioMucho).parameters
    assert parameters.keys() > ClassOptions.__annotations__.keys()
    assert parameters["overlap"].default is None
    assert parameters["metadata"].default is False
    text = inspect.getdoc(riomucho.RioMucho)
    for name in parameters:
        assert re.search(rf"^(\w+, )*{name}(, \w+)* : ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"overlap": 0.5}, r"^overlap is 0.5: expected a whole number"),
        ({"like": 5}, "^like is 5: expected a path"),
        ({"executor": "threds"}, "executor is 'threds'"),
    ],
)
def test_options_are_checked_as_those_of_a_job(tif, out, given, message):
    with pytest.raises(riomucho.UsageError, match=message):
        riomucho.RioMucho([tif], out, double, **given).run(1)


def test_options_may_be_changed_before_the_run(tif, out):
    rm = riomucho.RioMucho([tif], out, double, executor="threads")
    assert rm.run(2).executor == "threads"
    rm.job_options["executor"] = "serial"
    assert rm.run(2).executor == "serial"
    assert rm.run(-1, executor="threads").executor in {"threads", "serial"}


def test_another_mode_is_a_value_error(tif, out):
    with pytest.raises(ValueError, match="mode is 'mucho_gusto'"):
        riomucho.RioMucho([tif], out, double, mode="mucho_gusto")


def test_inputs_that_are_not_paths(tif, out):
    for source in (*riomucho.read_scenes([tif]), {"type": "Feature"}):
        with pytest.raises(riomucho.UsageError, match=r"inpaths has .+: RioMucho takes paths of"):
            riomucho.RioMucho([source], out, double)


@both
def test_what_the_function_raises(tif, out, leftovers, processes):
    Path(out).write_text("old")

    def fail(data, window, ij, g_args):
        return data * (1 / 0)

    with (
        riomucho.RioMucho([tif], out, fail) as rm,
        pytest.raises(riomucho.MuchoChildError) as caught,
    ):
        rm.run(processes)
    assert isinstance(caught.value.exception, ZeroDivisionError)
    assert "return data * (1 / 0)" in caught.value.formatted
    assert "ZeroDivisionError: division by zero" in str(caught.value)
    assert caught.value.formatted in str(caught.value)
    assert Path(out).read_text() == "old"
    assert not leftovers()


def test_a_result_of_another_shape_is_not_stretched(tif, out):
    with pytest.raises(riomucho.ResultError, match=r"\(1, 15, 16\), expected \(1, 16, 16\)"):
        riomucho.RioMucho([tif], out, lambda data, *args: data[0][:, 1:]).run(1)


def test_what_cannot_be_sent_to_processes_can_be_used_by_threads(tif, out, read):
    with rasterio.open(tif) as src:
        g_args = {"src": src, "gain": 2}
        with pytest.raises(riomucho.UsageError, match="global_args cannot be sent"):
            riomucho.RioMucho([tif], out, double, global_args=g_args).run(2)
        riomucho.RioMucho([tif], out, double, global_args=g_args, executor="threads").run(2)
    np.testing.assert_array_equal(read(out), read(tif) * 2)


def test_attributes_may_be_changed_before_the_run(tif, out, profile_of):
    with riomucho.RioMucho([tif], out, double) as rm:
        rm.options["compress"] = "lzw"
        rm.windows = rm.windows[:3]
        report = rm.run(1)
    assert report.windows == 3
    assert profile_of(out)["compress"] == "lzw"


def test_tb_capture():
    @riomucho.tb_capture
    def foo(value):
        """Divide."""
        return 1 / value

    assert foo(1) == 1
    assert foo.__doc__ == "Divide."
    with pytest.raises(riomucho.MuchoChildError, match="ZeroDivisionError"):
        foo(0)


def test_mock_tub():
    from rio_mucho_cli.single_process_pool import MockTub

    started = []
    pool = MockTub(lambda *args: started.append(args), ("paths", {}))
    assert started == [("paths", {})]
    assert list(pool.imap_unordered(abs, [-1, 2])) == [1, 2]
    pool.close()
    pool.join()
    assert riomucho.MockTub is MockTub


def test_utils(tif):
    assert riomucho.utils.getWindows(tif)[1] == [Window(16, 0, 16, 16), (0, 1)]
    assert riomucho.utils.getOptions(tif)["width"] == 64
    arrays = [np.zeros((2, 3, 4)), np.ones((1, 3, 4), "uint8")]
    assert riomucho.utils.array_stack(arrays).shape == (3, 3, 4)
    with pytest.raises(ValueError, match="rows"):
        riomucho.utils.array_stack([*arrays, np.zeros((1, 1, 1))])


def test_every_public_name_is_there_and_no_other():
    package = importlib.import_module("rio_mucho_cli")
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    assert package.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'tub'"):
        _ = package.tub
