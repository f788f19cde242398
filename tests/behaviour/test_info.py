"""What functions are told of their windows, wherever and however they are computed."""

import functools
import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rio_mucho_cli import InfoError, Job, ResultError, RioMucho, describe, run, testing
from rio_mucho_cli.windows import Size, pairs_of, window_grid

TRANSFORM = Affine(30.0, 0.0, 400000.0, 0.0, -30.0, 5000000.0)
WAYS = [("serial", 1), ("threads", 3), ("processes", 3)]


def told(data, window, ij, global_args, *, info):
    """Return what `info` says, in an output that the test reads."""
    array = data[0] if isinstance(data, list) else data
    if not isinstance(array, np.ndarray):
        array = array.read(window=window)
    xs, ys = info.xy()
    assert xs.shape == array.shape[1:]
    assert (info.window, info.ij) == (window, ij)
    n = info.overlap
    assert info.bounds.left == pytest.approx(xs[0, n] - info.res[0] / 2)
    assert info.bounds.top == pytest.approx(ys[n, 0] + info.res[1] / 2)
    numbers = [info.index, info.total, *info.shape, info.worker]
    return np.stack([xs, ys, *(np.full(xs.shape, float(number)) for number in numbers)])


class Told:
    def __init__(self, factor=1):
        self.factor = factor

    def __call__(self, data, window, ij, global_args, *, info):
        return told(data, window, ij, global_args, info=info)


@pytest.fixture
def job(job_on, make_raster):
    path = make_raster(width=150, height=110, transform=TRANSFORM)

    def make(function=told, inputs=(path,), **given):
        return job_on(inputs, function, **{"windows": Size(64, 48), **given})

    return make


def check_told(path, *, total=9, jobs=1, start=(0, 0), order=None):
    """Compare an output of `told` with its own georeferencing and windows."""
    with rasterio.open(path) as src:
        xs, ys, index, count, rows, cols, worker = src.read()
        offset = src.transform.c, src.transform.f
        across, down = np.arange(src.width) + 0.5, np.arange(src.height) + 0.5
        np.testing.assert_array_equal(xs[0], offset[0] + src.transform.a * across)
        np.testing.assert_array_equal(ys[:, 0], offset[1] + src.transform.e * down)
        assert (xs == xs[0]).all()
        assert (ys == ys[:, :1]).all()
        np.testing.assert_array_equal(np.unique(count), [total])
        assert (
            {(rows[0, 0], cols[0, 0])} == {src.shape} == {*zip(rows.flat, cols.flat, strict=True)}
        )
        assert 0 <= worker.min() <= worker.max() < jobs
        for number, (window, _) in enumerate(
            order or pairs_of(window_grid(*src.shape[::-1], Size(64, 48)))
        ):
            of_window = index[window.toslices()]
            assert (of_window == number).all()
            assert len(np.unique(worker[window.toslices()])) == 1


@pytest.mark.sweep(1)
@pytest.mark.parametrize(("executor", "jobs"), WAYS)
@pytest.mark.parametrize(
    "function",
    [told, Told, Told(), functools.partial(told)],
    ids=["function", "class", "instance", "partial"],
)
def test_every_executor_and_kind_of_function(executor, jobs, function, job):
    made = job(function, executor=executor, jobs=jobs)
    run(made)
    check_told(made.output, jobs=jobs)


def test_workers_of_other_executors(job):
    with ThreadPoolExecutor(2) as executor:
        made = job(executor=executor)
        run(made)
    check_told(made.output, jobs=2)


def test_workers_of_a_cluster(job, cluster):
    made = job(executor="dask", scheduler=cluster.address)
    run(made)
    check_told(made.output, jobs=2)


def test_processes_as_on_windows(job, monkeypatch):
    monkeypatch.delattr(socket, "send_fds")
    made = job(executor="processes", jobs=2)
    run(made)
    check_told(made.output, jobs=2)


def test_the_worker_that_replaces_a_dead_one_has_its_number(job, tmp_path):
    flag = tmp_path / "once"

    def dies(data, window, ij, global_args, *, info):
        if info.index >= 3 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return told(data, window, ij, global_args, info=info)

    made = job(dies, executor="processes", jobs=2)
    run(made)
    assert flag.exists()
    check_told(made.output, jobs=2)


@pytest.mark.parametrize(
    "given",
    [
        {"overlap": 3},
        {"overlap": 2, "boundary": "edge", "mode": "array_read"},
        {"mode": "manual_read"},
        {"masked": True, "overlap": 1},
    ],
    ids=str,
)
def test_ways_of_reading(given, job):
    made = job(**given)
    run(made)
    check_told(made.output)


def test_bounds(job):
    made = job(overlap=1, bounds=(400300, 4997500, 403000, 4999600))
    run(made)
    check_told(made.output, total=4)


def test_inputs_on_another_grid(job, make_raster):
    """Coordinates are those of the output, metadata is that of the files."""
    finer = make_raster(
        "finer.tif", width=310, height=230, transform=Affine(15, 0, 400010, 0, -15, 4999990),
        nodata=5, dtype="uint8",
    )  # fmt: skip
    first = job().inputs[0]

    def both(data, window, ij, global_args, *, info):
        like, warped = info.inputs
        assert (like.res, warped.res, info.res) == ((30, 30), (15, 15), (30, 30))
        assert (like.nodata, warped.nodata) == ((None,), (5,))
        assert (like.dtypes, warped.dtypes) == (("uint16",), ("uint8",))
        assert warped.path == str(finer)
        return told(data, window, ij, global_args, info=info)

    made = job(both, [first, finer], like=first, resampling="bilinear")
    run(made)
    check_told(made.output)


def test_bands_that_are_read(job, make_raster):
    path = make_raster("bands.tif", count=3, width=150, height=110, transform=TRANSFORM)
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("red", "green", "blue")

    def named(data, window, ij, global_args, *, info):
        assert info.inputs[0].indexes == (3, 1)
        assert info.inputs[0].descriptions == ("blue", "red")
        return told(data, window, ij, global_args, info=info)

    made = job(named, [path], bidx="3,1")
    run(made)
    check_told(made.output)


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_windows_in_any_order(executor, jobs, job):
    pairs = pairs_of(window_grid(150, 110, Size(64, 48)))[::-1]
    made = job(windows=pairs, executor=executor, jobs=jobs)
    run(made)
    check_told(made.output, jobs=jobs, order=pairs)


@pytest.mark.parametrize("windows", [Size(64, 48), pairs_of(window_grid(150, 110, Size(64, 48)))])
def test_mosaics_are_one_output(windows, job, tmp_path):
    """Parts know nothing of parts: index, total and grid are those of the whole."""
    made = job(output=str(tmp_path / "out.vrt"), windows=windows, part_size=64, overlap=1)
    run(made)
    check_told(tmp_path / "out.vrt")
    assert len(list((tmp_path / "out.vrt.parts").glob("*/*.tif"))) > 1


def test_resumed_windows_have_the_same_numbers(module, job, tmp_path):
    (tmp_path / "fail").touch()
    module(
        "import numpy as np\nfrom pathlib import Path\n"
        f"flag = Path({str(tmp_path / 'fail')!r})\n"
        "def run(data, window, ij, global_args, *, info):\n"
        "    if info.index == 4 and flag.exists():\n"
        "        raise ValueError('once')\n"
        "    return np.full(data[0].shape, info.index + 100 * info.total, 'int16')\n",
        "failing.py",
    )
    given = {"windows": (64, 48), "resume": True, "jobs": 1}
    path, source = tmp_path / "out.tif", job().inputs[0]
    with pytest.raises(Exception, match="once"):
        run(source, path, "failing.py:run", **given)
    (tmp_path / "fail").unlink()
    report = run(source, path, "failing.py:run", **given)
    assert report.resumed == 4
    with rasterio.open(path) as src:
        assert sorted(np.unique(src.read())) == [900 + index for index in range(9)]


def test_outputs_that_are_open(job, tmp_path):
    """The grid is that of the output, which the first input does not have."""
    first = job().inputs[0]
    profile = {
        "driver": "GTiff", "width": 150, "height": 110, "count": 7, "dtype": "float64",
        "crs": "EPSG:32633", "transform": Affine(10, 0, 1000, 0, -10, 2000),
    }  # fmt: skip
    dataset = rasterio.open(tmp_path / "opened.tif", "w", **profile)
    pairs = pairs_of(window_grid(150, 110, Size(64, 48)))
    with RioMucho([first], dataset, told, windows=pairs) as rm:
        rm.run(2)
    check_told(tmp_path / "opened.tif", jobs=2)
    with RioMucho([first], tmp_path / "profile.tif", told, windows=pairs, options=profile) as rm:
        rm.run(1)
    check_told(tmp_path / "profile.tif")


def test_without_inputs(tmp_path):
    def made(data, window, ij, global_args, *, info):
        return info.xy()[0][np.newaxis]

    profile = {
        "driver": "GTiff", "width": 20, "height": 10, "count": 1, "dtype": "float64",
        "transform": TRANSFORM, "crs": "EPSG:32633",
    }  # fmt: skip
    windows = [(Window(0, 0, 20, 10), (0, 0))]
    output = str(tmp_path / "out.tif")
    run(Job(inputs=[], output=output, function=made, windows=windows, profile=profile))
    with rasterio.open(output) as src:
        np.testing.assert_array_equal(src.read(1)[0], 400000 + 30 * (np.arange(20) + 0.5))


def test_nodata_that_the_job_gives(job, make_raster):
    def nodata(data, *_, info):
        return np.full(data[0].shape, info.inputs[0].nodata[0])

    source = make_raster("tagged.tif", width=64, height=48, nodata=3)
    for options, expected in [({}, 3), ({"src_nodata": 7}, 7)]:
        made = job(nodata, [source], **options)
        run(made)
        with rasterio.open(made.output) as src:
            assert (src.read() == expected).all()


def test_values_of_windows(job, tmp_path):
    """Without a raster among the outputs, the grid is that of the inputs."""

    def where(data, window, ij, global_args, *, info):
        return [info.index, info.total, *info.shape, info.bounds.left, info.crs.to_epsg()]

    run(job(where, output=str(tmp_path / "out.json"), executor="processes", jobs=2))
    found = json.loads((tmp_path / "out.json").read_text())
    lefts = [400000 + 30 * col for col in (0, 64, 128)] * 3
    numbers = [[index, 9, 110, 150, left, 32633] for index, left in enumerate(lefts)]
    assert np.ravel(found).tolist() == np.ravel(numbers).tolist()


def test_dry_runs(job):
    seen = []

    def look(data, window, ij, global_args, *, info):
        seen.append(info)
        return told(data, window, ij, global_args, info=info)

    describe(job(look, overlap=1))
    assert {(info.index, info.total, info.worker) for info in seen} == {(4, 9, 0)}


def nested(data, window, ij, global_args, *, info):
    """Run a job of two threads in a worker process."""
    numbers = []

    def inner(data, window, ij, global_args, *, info):
        numbers.append(info.worker)
        return data[0]

    with MemoryFile(ext=".tif") as memory:
        given = {"inputs": [info.inputs[0].path], "output": memory.name, "overwrite": True}
        run(Job(**given, function=inner, executor="threads", jobs=2, windows="blocks"))
    return np.full(data[0].shape, max(numbers), "uint8")


def test_a_run_within_a_worker_has_workers_of_its_own(job, read):
    made = job(nested, executor="processes", jobs=3)
    run(made)
    assert read(made.output).max() <= 1


# A test of a function.


def shade(dem, *, info):
    return dem + info.xy()[0] / info.res[0]


def test_check_takes_a_transform_and_a_crs():
    dem = np.random.default_rng(0).random((60, 40))
    result = testing.check(shade, dem, plain=True, transform=TRANSFORM, crs="EPSG:32633")
    np.testing.assert_allclose(result[0], dem + 400000 / 30 + np.arange(40) + 0.5)
    north = testing.check(
        lambda a, *, info: info.lonlat()[1], dem, plain=True, transform=TRANSFORM, crs=32633
    )
    assert 45.1 < north.min() < north.max() < 45.2


class Indexed:
    def __call__(self, data, window, ij, global_args, *, info):
        return data[0] + info.index


@pytest.mark.parametrize(
    ("function", "plain"), [(Indexed, False), (lambda a, *, info: a + info.total, True)]
)
def test_check_finds_pixels_that_depend_on_the_number_of_the_window(function, plain):
    with pytest.raises(AssertionError) as caught:
        testing.check(function, np.zeros((60, 40)), plain=plain)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("the result depends on the windows")
    assert lines[-1].endswith("the function uses the number of its window")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"crs": "EPSG:0"}, r"crs is 'EPSG:0' \(.*\): expected one such as EPSG:32633"),
        ({"transform": "30"}, "transform is '30': expected an Affine"),
    ],
)
def test_check_refuses_what_is_no_grid(given, says, make_raster):
    with pytest.raises(ValueError, match=says):
        testing.check(shade, np.zeros((9, 9)), plain=True, **given)
    path = make_raster()
    with pytest.raises(ValueError, match=r"are for arrays, which take those of .*: leave them out"):
        testing.check(shade, [np.zeros((9, 9)), path], plain=True, crs="EPSG:32633")


# What bad input gets.


def test_no_longitude_without_a_crs(job, make_raster, leftovers):
    path = make_raster("bare.tif", crs=None, transform=None)
    made = job(lambda *_, info: np.stack(info.lonlat()), [path], on_error="nodata")
    with pytest.raises(InfoError, match=r"^info.lonlat\(\) needs a CRS") as caught:
        run(made)
    assert caught.value.ij == (0, 0)
    assert not leftovers()


def test_a_positional_parameter(job, leftovers):
    with pytest.raises(ResultError, match="positional parameter info: make it keyword-only"):
        run(job(lambda data, window, ij, global_args, info: data[0]))
    assert not leftovers()


# Results that convert themselves.


class Tensor:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **given):
        return self.array.__dlpack__(**given)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("given", [{}, {"dtype": "int32", "stats": True}, {"driver": "COG"}])
def test_tensors_are_arrays(given, job, read):
    made = job(lambda data, *_: Tensor(data[0].astype("float32") * 2), **given)
    run(made)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]) * 2)


def test_data_arrays_are_arrays(job, read):
    pytest.importorskip("xarray")

    def double(data, window, ij, global_args, *, info):
        array = info.to_xarray(data[0])
        return (array * 2).where(array.x > 402000, 0).astype("uint16")

    made = job(double, overlap=2)
    run(made)
    expected = read(made.inputs[0]) * 2
    expected[:, :, : round(2000 / 30 - 0.5) + 1] = 0
    np.testing.assert_array_equal(read(made.output), expected)
