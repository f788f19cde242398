import contextlib
import math
import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio._env import get_gdal_config, set_gdal_config
from rasterio.enums import Compression
from rasterio.windows import Window

from rio_mucho_cli import (
    FormatError,
    Job,
    MuchoChildError,
    NodataError,
    Output,
    OutputError,
    ResultError,
    UsageError,
    WorkerDiedError,
    run,
)
from rio_mucho_cli.engine import run as engine
from rio_mucho_cli.engine.events import RunStarted, WindowDone
from rio_mucho_cli.windows import Size
from rio_mucho_cli.workers import executor


def copy(data, window, ij, global_args):
    return data[0]


@pytest.fixture
def job(make_raster, tmp_path):
    def make(function=copy, **given):
        return Job(**{
            "inputs": [str(make_raster(width=64, height=48, nodata=0))],
            "output": str(tmp_path / "out.tif"),
            "function": function,
            "windows": Size(16, 16),
            **given,
        })  # fmt: skip

    return make


def test_events_come_in_the_order_of_the_windows(job):
    events = []
    report = run(job(executor="threads", jobs=3), events.append)
    assert events[0] == RunStarted(12, pixels=64 * 48, jobs=3)
    assert [event.ij for event in events[1:]] == [(i, j) for i in range(3) for j in range(4)]
    assert [event.done for event in events[1:]] == list(range(1, 13))
    assert isinstance(events[-1], WindowDone)
    assert (report.windows, report.executor, report.jobs) == (12, "threads", 3)
    assert min(each.seconds for each in (report.stages.read, report.stages.function)) > 0
    assert report.stages.write.seconds > 0


@pytest.mark.parametrize(("jobs", "windows"), [(1, Size(16, 16)), (5, Size(100, 100))])
def test_one_job_or_one_window_is_worked_on_in_the_calling_process(job, jobs, windows):
    report = run(job(jobs=jobs, windows=windows, executor="processes"))
    assert (report.executor, report.jobs) == ("serial", 1)


def test_few_windows_are_in_flight_and_none_is_handed_out_too_early(job, monkeypatch):
    in_flight, most = set(), []

    class Counting(ThreadPoolExecutor):
        def submit(self, fn, key, batch):
            future: Future = super().submit(fn, key, batch)
            in_flight.add(batch[-1].ij)
            most.append((len(in_flight), len(batch)))
            return future

    open_executor = executor.open_executor

    @contextlib.contextmanager
    def counting(*given):
        with open_executor(*given) as executor:
            executor.__class__ = Counting
            yield executor

    def written(event):
        if isinstance(event, WindowDone):
            in_flight.discard(event.ij)

    monkeypatch.setattr(engine, "open_executor", counting)
    run(job(windows=Size(16, 2), executor="threads", jobs=2), written)
    assert sum(size for _, size in most) == 4 * 24
    assert max(most)[0] == 4
    assert [size for _, size in most[:4]] == [1] * 4  # nothing is known of them yet
    assert most[5][1] > 1


def end_late(data, window, ij, global_args):
    if ij == (20, 1):
        os._exit(7)
    return data[0]


def test_the_window_that_ended_its_worker_is_named_within_a_batch(job):
    with pytest.raises(WorkerDiedError, match=r"exit status 7.* while it worked on") as caught:
        run(job(end_late, windows=Size(32, 2), executor="processes", jobs=2))
    assert caught.value.ij == (20, 1)


def test_a_memory_limit_makes_windows_smaller(make_raster, tmp_path, caplog):
    caplog.set_level("INFO", "rio_mucho_cli")
    source = make_raster("large.tif", width=2100, height=2100, tiled=True)
    sizes = {}
    for limit in (None, 205, 150):
        seen = sizes[limit] = []
        given = {"executor": "threads", "jobs": 4, "mem_limit": limit, "overwrite": True}
        output = str(tmp_path / "out.tif")
        run(Job(inputs=[str(source)], output=output, function=copy, **given), seen.append)
    windows = {limit: len(seen) - 1 for limit, seen in sizes.items()}
    assert windows[None] == 9
    assert (windows[205], windows[150]) == (27, 81)
    assert "jobs instead of 4, because of the memory limit" in caplog.text


def test_a_memory_limit_that_is_too_small_leaves_nothing(job, tmp_path, leftovers):
    with pytest.raises(UsageError, match="the memory limit is 50 MB, and one job needs about"):
        run(job(mem_limit=50))
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


@pytest.mark.parametrize("asked", [None, 12345678])
def test_gdals_cache_is_held_during_a_run_and_then_as_it_was(job, asked):
    seen = []

    def look(data, window, ij, global_args):
        seen.append(get_gdal_config("GDAL_CACHEMAX"))
        return data[0]

    before = get_gdal_config("GDAL_CACHEMAX")
    with rasterio.Env(**{} if asked is None else {"GDAL_CACHEMAX": asked}):
        run(job(look, executor="threads", jobs=3))
    assert set(seen) == {3 * 16_000_000 if asked is None else asked}
    set_gdal_config("GDAL_CACHEMAX", before)


def fail_late(data, window, ij, global_args):
    if ij == (1, 2):
        raise ValueError("no good")
    return data[0]


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_function_that_raises(job, tmp_path, executor, leftovers):
    with pytest.raises(MuchoChildError, match="no good") as caught:
        run(job(fail_late, executor=executor, jobs=2))
    assert caught.value.ij == (1, 2)
    assert caught.value.done == 6
    assert isinstance(caught.value.exception, ValueError)
    assert caught.value.formatted.splitlines()[1].endswith("in fail_late")
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def changes(what):
    def function(data, window, ij, global_args):
        if ij != (2, 1):
            return data[0]
        return data[0].astype("int64") if what == "dtype" else np.concatenate([data[0]] * 2)

    return function


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("dtype", "1 bands of int64, but 1 of uint16 for the first window"),
        ("count", "2 bands of uint16, but 1 of uint16 for the first window"),
    ],
)
def test_results_unlike_the_first_one_are_refused(job, what, says):
    with pytest.raises(ResultError) as caught:
        run(job(changes(what), executor="threads", jobs=3))
    assert says in str(caught.value)
    assert caught.value.ij == (2, 1)


def test_a_dtype_that_is_asked_for_evens_results_out(job, read):
    made = job(changes("dtype"), dtype="float32")
    run(made)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]).astype("float32"))


def die(data, window, ij, global_args):
    if ij == (1, 1):
        if global_args["how"] == "exit":
            os._exit(7)
        os.kill(os.getpid(), getattr(signal, global_args["how"]))
    return data[0]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("SIGKILL", "the usual cause is a lack of memory"),
        ("SIGSEGV", "that is usually native code"),
        ("exit", "the function, or a library that it calls, ended the process"),
    ],
)
def test_a_worker_that_dies_is_noticed_and_its_window_named(job, tmp_path, how, says, leftovers):
    with pytest.raises(WorkerDiedError) as caught:
        run(job(die, global_args={"how": how}, executor="processes", jobs=2, retries=0))
    assert says in str(caught.value)
    assert ("with exit status 7" if how == "exit" else f"by {how}") in str(caught.value)
    assert "while it worked on window rows 16:32, columns 16:32 (ij (1, 1)): " in str(caught.value)
    assert caught.value.ij == (1, 1)
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def test_nodata_is_kept_where_the_dtype_is_kept(job, profile_of, caplog):
    made = job(lambda *args: args[0][0] + np.uint16(1))
    run(made)
    assert profile_of(made.output)["nodata"] == 0
    run(replace(made, dtype="float32", overwrite=True))
    assert math.isnan(profile_of(made.output)["nodata"])
    assert not caplog.records


def test_nodata_that_does_not_fit_is_dropped_with_a_warning(make_raster, job, profile_of, caplog):
    source = make_raster("dem.tif", dtype="float32", nodata=-9999)
    made = job(lambda *args: args[0][0].astype("uint8"), inputs=[str(source)])
    run(made)
    assert profile_of(made.output)["nodata"] is None
    assert "nodata -9999 of the first input does not fit uint8" in caplog.text


def test_nodata_that_was_asked_for_must_fit(job, tmp_path, leftovers):
    with pytest.raises(NodataError, match="nodata 300 does not fit uint8"):
        job(dtype="uint8", nodata=300, keep_nodata=False)
    with pytest.raises(NodataError, match="nodata -1 does not fit uint16"):
        run(job(nodata=-1, keep_nodata=False))
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def test_nodata_can_be_taken_away(job, profile_of):
    made = job(nodata=None, keep_nodata=False)
    run(made)
    assert profile_of(made.output)["nodata"] is None


def test_masked_results_are_filled_with_nodata(job, read):
    made = job(lambda data, *args: np.ma.masked_greater(data[0], 100), nodata=7, keep_nodata=False)
    run(made)
    source = read(made.inputs[0])
    np.testing.assert_array_equal(read(made.output), np.where(source > 100, 7, source))


def test_a_dtype_that_gdal_does_not_have(job):
    with pytest.raises(OutputError, match=r"longdouble|float128"):
        run(job(lambda data, *args: data[0].astype("longdouble")))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"inputs": []}, "no input"),
        ({"mode": "read"}, "mode is 'read'"),
        ({"executor": "cluster"}, "executor is 'cluster'"),
        ({"jobs": 0}, "jobs is 0"),
        ({"count": 0}, "count is 0"),
        ({"function": 3}, "3 is not callable: expected a function"),
    ],
)
def test_jobs_that_make_no_sense(job, given, says):
    with pytest.raises(UsageError, match=says):
        job(**given)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint64", "float64", "complex64"])
def test_dtypes_that_the_function_returns_are_the_outputs(job, read, dtype):
    made = job(lambda data, *args: data[0].astype(dtype))
    run(made)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]).astype(dtype))


def test_strips_as_input_do_not_make_strips_of_windows(make_raster, job, profile_of):
    source = make_raster("strips.tif", width=512, height=1536, tiled=False, blockysize=1)
    made = job(inputs=[str(source)], windows=None)
    assert run(made).windows == 1
    profile = profile_of(made.output)
    assert (profile["tiled"], profile["blockxsize"], profile["blockysize"]) == (True, 256, 256)


CODED = {"tiled": True, "blockxsize": 16, "blockysize": 16, "driver": "GTiff"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, None),
        ({"windows": Size(20, 16)}, "windows are not whole blocks of the output"),
        ({"output": "/vsimem/engine.tif"}, "the output is not a local file"),
        ({"driver": "ENVI"}, None),
        ({"driver": "PNG", "output": "/vsimem/engine.png"}, "the output is not a local file"),
        ({"creation_options": {"streamable_output": "yes"}}, "of STREAMABLE_OUTPUT"),
    ],
)
def test_workers_encode_where_they_can_and_the_log_says_why_not(job, caplog, given, reason):
    caplog.set_level("INFO", "rio_mucho_cli")
    run(job(overwrite=True, **given))
    assert ("GDAL writes in the main process" in caplog.text) == bool(reason)
    if reason:
        assert reason in caplog.text


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (CODED, None),
        ({**CODED, "blockxsize": 32}, "windows are not whole blocks of the output"),
        ({"driver": "GTiff"}, "the profile has no block size"),
        ({**CODED, "dtype": "complex_int16"}, "numpy has no complex_int16"),
    ],
)
def test_workers_encode_for_a_given_profile(job, read, caplog, profile, reason):
    caplog.set_level("INFO", "rio_mucho_cli")
    whole = {"width": 64, "height": 48, "count": 1, "dtype": "uint16", **profile}
    made = job(profile=whole, strict=False)
    run(made)
    assert ("GDAL writes in the main process" in caplog.text) == bool(reason)
    if reason:
        assert reason in caplog.text
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))


def test_overlapping_windows_are_left_to_gdal(job, caplog):
    caplog.set_level("INFO", "rio_mucho_cli")
    windows = [(Window(0, 0, 32, 16), (0, 0)), (Window(16, 0, 16, 16), (0, 1))]
    whole = {"width": 64, "height": 48, "count": 1, "dtype": "uint16", **CODED}
    run(job(windows=windows, profile=whole, strict=False))
    assert "or overlap" in caplog.text


@pytest.mark.parametrize("nodata", [9, float("nan")])
def test_a_nodata_value_that_is_given_counts(job, tmp_path, nodata):
    run(job(nodata=nodata, dtype="float32"))
    with rasterio.open(tmp_path / "out.tif") as src:
        np.testing.assert_equal(src.nodata, nodata)


@pytest.mark.parametrize(
    ("driver", "given", "as_text"),
    [
        ("GTiff", {"TILED": "NO"}, {"tiled": "no"}),
        ("GTiff", {"Tiled": False, "BLOCKYSIZE": 8}, {"tiled": "no", "blockysize": "8"}),
        ("GTiff", {"BLOCKXSIZE": 32, "blockYsize": 48}, {"blockxsize": "32", "blockysize": "48"}),
        ("GTiff", {"COMPRESS": Compression.deflate}, {"compress": "deflate"}),
        ("GTiff", {"COMPRESS": "DEFLATE", "ZLEVEL": 9}, {"compress": "deflate", "zlevel": "9"}),
        ("GTiff", {"COMPRESS": None}, {"compress": "none"}),
        ("COG", {"BLOCKSIZE": 128, "OVERVIEWS": "NONE"}, {"blocksize": "128", "overviews": "none"}),
        ("COG", {"COMPRESS": "LZW", "BIGTIFF": True}, {"compress": "lzw", "bigtiff": "yes"}),
        ("PNG", {"ZLEVEL": 1}, {"zlevel": "1"}),
    ],
)
def test_creation_options_in_any_case(job, tmp_path, driver, given, as_text):
    """Python programs give them as GDAL's pages have them, with numbers and flags."""
    files = []
    for number, options in enumerate((given, as_text)):
        paths = [tmp_path / f"{name}{number}.tif" for name in "ab"]
        others = [Output(name="b", path=paths[1], driver=driver, creation_options=options)]
        run(
            job(
                lambda data, *args: {"a": data[0], "b": data[0]},
                output=str(paths[0]), driver=driver, creation_options=options, also=others,
            )
        )  # fmt: skip
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "options",
    [
        {"TILED": True, "BlockXSize": 16, "BLOCKYSIZE": 16, "compress": "LZW", "BIGTIFF": "YES"},
        {"compress": "zstd", "COMPRESS": "DEFLATE", "SPARSE_OK": True},
        {"TILED": True, "BLOCKYSIZE": 16, "APPEND_SUBDATASET": "NO"},
    ],
)
def test_keys_of_a_profile_in_any_case(job, tmp_path, options):
    size = {"width": 64, "height": 48, "count": 1, "dtype": "uint16"}
    files = []
    for keys in (options, {key.lower(): value for key, value in options.items()}):
        run(job(profile={**size, **keys}, overwrite=True))
        files.append((tmp_path / "out.tif").read_bytes())
    assert files[0] == files[1]


def test_unknown_creation_options_are_refused_in_any_case(job):
    for options in ({"COMPRES": "LZW"}, {"compres": "lzw"}):
        with pytest.raises(FormatError, match="did you mean 'COMPRESS'"):
            run(job(creation_options=options))
    for options in ({"DTYPE": "uint8"}, {"dtype": "uint8"}):
        with pytest.raises(UsageError, match="dtype is not a creation option"):
            run(job(creation_options=options))


def fails(*args, **given):
    raise OSError("no such luck")


@pytest.mark.parametrize("name", ["warn_of_leftovers", "OutputStream.warn"])
def test_nothing_turns_an_output_that_is_there_into_a_failure(
    job, monkeypatch, caplog, read, tmp_path, name
):
    owner, _, attribute = f"rio_mucho_cli.engine.run.{name}".rpartition(".")
    monkeypatch.setattr(f"{owner}.{attribute}", fails)
    assert run(job(jobs=1)).windows == 12
    assert caplog.messages == ["the output is complete, but then: no such luck"]
    assert read(tmp_path / "out.tif").shape == (1, 48, 64)
