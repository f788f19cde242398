import ctypes
import os
import subprocess
import sys
import warnings
from contextlib import ExitStack, nullcontext

import pytest
import rasterio
from rasterio.session import Session
from threadpoolctl import threadpool_info

from rio_mucho_cli import env as e, run
from rio_mucho_cli.windows import Size

MALLOC = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in (*e.THREAD_VARIABLES, *MALLOC, "GDAL_CACHEMAX"):
        monkeypatch.delenv(name, raising=False)


class FakeSession(Session):
    """Gives credentials, as AWSSession does when its Env is entered."""

    def get_credential_options(self):
        return {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_credentials_of_a_session_are_carried():
    with rasterio.Env(session=FakeSession()):
        options = e.env_options()
    assert not rasterio.env.hasenv()
    with e.gdal_config(options):
        assert rasterio.env.getenv()["AWS_SECRET_ACCESS_KEY"] == "secret"


def test_without_an_env_there_is_nothing_to_carry():
    assert e.env_options() == {}


def test_workers_get_one_thread_and_a_small_cache():
    variables = e.process_variables({})
    assert variables["OPENBLAS_NUM_THREADS"] == "1"
    assert variables["GDAL_CACHEMAX"] == "16000000"


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "GDAL_CACHEMAX" not in e.process_variables({"GDAL_CACHEMAX": 512})
    assert set(e.process_variables({})) == {"GDAL_CACHEMAX", *MALLOC}
    for name in ("GDAL_CACHEMAX", *MALLOC):
        monkeypatch.setenv(name, "100")
    assert e.process_variables({}) == {}


def test_libraries_are_held_to_one_thread_meanwhile(monkeypatch):
    before = [pool["num_threads"] for pool in threadpool_info()]
    if max(before, default=1) == 1:
        pytest.skip("this machine's numpy has one thread anyway")
    with e.single_threaded_libraries():
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    with e.single_threaded_libraries():
        with e.single_threaded_libraries():
            pass
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with e.single_threaded_libraries():
        assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_overlapping_runs_leave_no_trace():
    """The first in is the first out: neither restores the other's state."""
    warnings.resetwarnings()  # until the end of the test: pytest keeps its own
    threads = [pool["num_threads"] for pool in threadpool_info()]
    first, second = ExitStack(), ExitStack()
    for stack in (first, second):
        stack.enter_context(e.single_threaded_libraries())
        stack.enter_context(e.without_georeferencing_warnings())
    first.close()
    assert len(warnings.filters) == 2
    second.close()
    assert not warnings.filters
    assert [pool["num_threads"] for pool in threadpool_info()] == threads


PEAKS = """
import sys
import numpy as np
from rio_mucho_cli.env import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def faults():
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    arrays = [np.ones(1_000_000) for _ in range(10)]

for _ in range(3):
    work()
before = faults()
for _ in range(5):
    work()
print(faults() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc here")
def test_kept_memory_is_not_taken_page_by_page_again():
    def page_faults(how):
        command = [sys.executable, "-c", PEAKS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert page_faults("keep") < page_faults("give back") / 10


FILTERS = """
import warnings

warnings.simplefilter("{action}")

def copy(data, window, ij, global_args):
    if global_args.get("again"):
        warnings.simplefilter("{action}")
    return data[0].astype("float32")

def warn(data, window, ij, global_args):
    warnings.warn("of the function")
    return data[0]
"""


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "executor",
    ["serial", "processes", "threads", pytest.param("dask", marks=pytest.mark.campaign)],
)
@pytest.mark.parametrize("action", ["error", "always"])
@pytest.mark.parametrize("again", [False, True])
def test_filters_of_a_module_are_about_its_own_warnings(
    rio_program, module, make_raster, executor, action, again
):
    """Nothing else fails or is told for them, with plain images and nodata beside alpha."""
    if again and executor == "threads":
        pytest.skip("a thread's function sets filters while another one reads")
    module(FILTERS.format(action=action), "mod.py")
    make_raster(
        "in.tif", count=4, width=64, height=64, dtype="uint8", nodata=0, crs=None,
        transform=rasterio.Affine.identity(), photometric="RGB", alpha="YES",
    )  # fmt: skip
    args = ["--executor", executor, "-j", "2", "--windows", "16", "--masked", "--overviews", "2,4"]
    args += ["--stats", "--arg", f"again={int(again)}", "-q", "--overwrite"]
    done = rio_program("mucho", "in.tif", "out.tif", "--func", "mod:copy", *args)
    assert (done.returncode, done.stderr) == (0, "")
    if again:
        return
    done = rio_program("mucho", "in.tif", "out.tif", "--func", "mod:warn", *args)
    if action == "error":
        assert done.returncode == 1
        assert "the function raised UserWarning: of the function" in done.stderr
    else:
        assert done.returncode == 0
        assert done.stderr.count("UserWarning: of the function") == 16


def test_filters_that_are_there_stay_as_they_are():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            e.ignore_georeferencing_warnings()
            warnings.warn("once", stacklevel=1)
    assert len(told) == 1


def test_options_about_layout_are_taken_away_and_given_back(monkeypatch):
    monkeypatch.setenv("USE_RRD", "YES")
    with rasterio.Env(COMPRESS_OVERVIEW="LZW", TIFF_USE_OVR=True):
        before = e.layout_options()
        assert sorted(before) == ["COMPRESS_OVERVIEW", "TIFF_USE_OVR", "USE_RRD"]
        with e.without_layout_options(), e.without_layout_options():
            assert e.layout_options() == []
            assert not set(before) & set(e.env_options())
        assert e.layout_options() == before
        assert os.environ["USE_RRD"] == "YES"
    assert e.layout_options() == ["USE_RRD"]


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("USE_RRD", "YES"),
        ("TIFF_USE_OVR", "YES"),
        ("COMPRESS_OVERVIEW", "LZW"),
        ("COMPRESS_OVERVIEW", "JPEG"),
        ("PHOTOMETRIC_OVERVIEW", "YCBCR"),
        ("GTIFF_DONT_WRITE_BLOCKS", "YES"),
        ("GDAL_TIFF_INTERNAL_MASK", "NO"),
        ("GDAL_TIFF_OVR_BLOCKSIZE", "64"),
        ("GDAL_PAM_ENABLED", "NO"),
    ],
)
@pytest.mark.parametrize("is_variable", [True, False])
@pytest.mark.parametrize(
    "more",
    [
        {"overviews": [2, 4]},
        {"overviews": [2, 4], "windows": Size(20, 20)},
        {"overviews": [2, 4], "overview_resampling": "cubic"},
        {"driver": "COG"},
        {"overviews": [2], "output": "out.vrt", "part_size": 32, "stats": True},
        {"overviews": [2], "executor": "threads", "jobs": 2},
    ],
    ids=str,
)
def test_files_are_the_same_whatever_options_about_layout_are_set(
    tif, job_on, tmp_path, monkeypatch, name, value, is_variable, more
):
    def files(folder):
        output = str(tmp_path / folder / more.get("output", "out.tif"))
        (tmp_path / folder).mkdir()
        run(job_on([tif], **{"windows": Size(16, 16), "jobs": 1, **more, "output": output}))
        return {
            (path.name, path.read_bytes())
            for path in (tmp_path / folder).rglob("*.*")
            if path.is_file() and path.suffix != ".vrt"
        }

    expected = files("as it is")
    if is_variable:
        monkeypatch.setenv(name, value)
    with nullcontext() if is_variable else rasterio.Env(**{name: value}):
        assert files("with it") == expected


def test_that_options_about_layout_are_set_in_vain_is_said(tif, job_on, monkeypatch, caplog):
    monkeypatch.setenv("TIFF_USE_OVR", "YES")
    run(job_on([tif]))
    assert not caplog.messages
    run(job_on([tif], overviews=[2]))
    assert caplog.messages == [
        "overviews are stored in the file and compressed like the raster: TIFF_USE_OVR is ignored"
    ]
