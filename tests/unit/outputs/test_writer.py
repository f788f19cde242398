import logging
import os
import resource
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.writer import discarded_on_error, finish_all, open_writer, publish_all

PROFILE = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
WHOLE = Window(0, 0, 8, 8)
ONES = np.ones((1, 8, 8), "uint8")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def opened(output, overwrite=False, inputs=(), options=None):
    writer = open_writer(output, overwrite=overwrite, inputs=inputs, options=options or {})
    with discarded_on_error([writer]):
        yield writer


def write(output, profile=PROFILE, array=ONES, window=WHOLE, **given):
    with opened(output, **given) as writer:
        writer.begin(profile)
        writer.append(window, array)
        finish_all([writer])
        publish_all([writer])


def fail_half_way(output, **given):
    with opened(output, **given) as writer:
        writer.begin(PROFILE)
        writer.append(WHOLE, ONES)
        raise RuntimeError("half way")


def test_the_output_shows_only_after_commit(tmp_path, read):
    path = tmp_path / "out.tif"
    with opened(str(path)) as writer:
        writer.begin(PROFILE)
        writer.append(WHOLE, ONES)
        assert not path.exists()
        finish_all([writer])
        publish_all([writer])
    assert names(tmp_path) == ["out.tif"]
    assert (read(path) == 1).all()


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.tif"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way(str(path), overwrite=True)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.tif"]


def test_an_existing_file_wants_overwrite(tmp_path, read):
    path = tmp_path / "out.tif"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"the output .*out\.tif exists: pass overwrite=True"):
        write(str(path))
    assert path.read_text() == "old"
    path.chmod(0o640)
    write(str(path), overwrite=True)
    assert (read(path) == 1).all()
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_output_that_is_an_input_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.tif").write_text("old")
    os.link("in.tif", "hard.tif")
    (tmp_path / "soft.tif").symlink_to("in.tif")
    for output in ("in.tif", "./in.tif", "hard.tif", "soft.tif"):
        with pytest.raises(OutputError, match=r"is the input .*in\.tif: pass overwrite=True"):
            write(output, inputs=["other.tif", str(tmp_path / "in.tif")])


def test_a_link_stays_a_link(tmp_path, read):
    (tmp_path / "deep").mkdir()
    link, target = tmp_path / "link.tif", tmp_path / "deep" / "file.tif"
    link.symlink_to(target)
    write(str(link))
    assert link.is_symlink()
    assert (read(target) == 1).all()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("missing/out.tif", "the folder of .* does not exist: make .*missing first"),
        ("/proc/out.tif", "the folder /proc takes no such file"),
        (".", "is a folder"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_places_that_cannot_be_written(tmp_path, monkeypatch, path, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=says):
        write(path, overwrite=True)
    assert not names(tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"compress": "foo"}, "'foo' is an unexpected value for COMPRESS"),
        ({"nonsense": "1"}, "does not support .*NONSENSE|NONSENSE"),
        ({"compress": "deflate", "zlevel": "99"}, "ZLEVEL"),
        ({"tiled": "yes", "blockxsize": "100", "blockysize": "100"}, "multiples of 16"),
        ({"compress": "lzw", "predictor": "3"}, "PREDICTOR=3"),
    ],
)
def test_creation_options_that_the_driver_rejects(tmp_path, options, says, caplog):
    with pytest.raises(OutputError, match=says):
        write(str(tmp_path / "out.tif"), {**PROFILE, **options}, options=options)
    assert not names(tmp_path)
    assert not caplog.records


def test_what_gdal_says_of_other_options_is_a_warning(tmp_path, caplog):
    write(str(tmp_path / "out.tif"), {**PROFILE, "nonsense": 1})
    assert "NONSENSE" in caplog.text
    assert logging.getLogger("rasterio._env").propagate


def test_a_window_that_gdal_refuses(tmp_path):
    with opened(str(tmp_path / "out.tif")) as writer:
        writer.begin(PROFILE)
        with pytest.raises(OutputError, match="cannot be written at window rows 4:12"):
            writer.append(Window(4, 4, 8, 8), ONES)
        finish_all([writer])
        publish_all([writer])


def test_a_disk_that_is_full_is_an_error_although_gdal_only_logs_it(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    big = {**PROFILE, "width": 1000, "height": 1000}
    noise = np.random.default_rng(0).integers(0, 255, (1, 1000, 1000), "uint8")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OutputError):
            write(str(tmp_path / "out.tif"), big, noise, Window(0, 0, 1000, 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not names(tmp_path)


def test_an_open_dataset_is_written_and_closed():
    with MemoryFile() as memory:
        dst = memory.open(**PROFILE)
        write(dst)
        assert dst.closed
        with memory.open() as src:
            assert (src.read() == 1).all()


def test_an_open_dataset_is_closed_after_a_failure(tmp_path):
    with rasterio.open(tmp_path / "out.tif", "w", **PROFILE) as dst:
        with pytest.raises(RuntimeError, match="half way"):
            fail_half_way(dst)
        assert dst.closed


def test_virtual_files_are_written_in_place_and_deleted_after_a_failure(read):
    path = "/vsimem/test_writers.tif"
    write(path)
    assert (read(path) == 1).all()
    with pytest.raises(OutputError, match="exists"):
        write(path)
    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way(path, overwrite=True)
    assert not rasterio.shutil.exists(path)
