"""Many inputs, and few files that may be open."""

import os
from itertools import product

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import run, system
from rio_mucho_cli.errors import InputError, MuchoError
from rio_mucho_cli.system import _OPEN_FILES_ADVICE, allow_open_files, open_file_errors_explained

INPUTS = 50  # with as many masks
FUNCTION = """
import numpy as np

def mean(data, *_):
    return np.ma.stack(data).mean(axis=0).astype("float32")
"""


def few_files(kind, number):
    return ["sh", "-c", f'ulimit {kind} -n {number}; exec "$@"', "sh"]


@pytest.fixture
def scenes(tmp_path, make_raster, module):
    """Return the names of rasters with a mask beside each, whose mean is the first one."""
    module(FUNCTION, "mod.py")
    path = make_raster("scene_0.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dst:
        mask = np.full(dst.shape, 255, "uint8")
        mask[:20, 30:] = 0
        dst.write_mask(mask)
    names = [f"scene_{number}.tif" for number in range(INPUTS)]
    for name, end in product(names[1:], ("", ".msk")):
        os.link(f"scene_0.tif{end}", f"{name}{end}")
    return names


WAYS = {
    "serial": ["-j", "1"],
    "threads": ["-j", "3", "--executor", "threads"],
    "processes": ["-j", "2"],
    "dask": ["-j", "2", "--executor", "dask"],
    "resumed": ["-j", "2", "--resume"],
    "a COG": ["-j", "1", "-f", "COG"],
    "a mosaic": ["-j", "2", "--part-size", "64"],
}


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.campaign) if way == "dask" else way for way in WAYS]
)
@pytest.mark.parametrize("kind", ["-S", ""], ids=["soft", "hard"])
def test_fewer_open_files_than_inputs(scenes, rio_program, leftovers, way, kind):
    output = "out.vrt" if way == "a mosaic" else "out.tif"
    options = ["-o", output, "--func", "mod:mean", "--masked", "--windows", "64", *WAYS[way]]
    done = rio_program("mucho", *scenes, *options, before=few_files(kind, 80))
    assert done.returncode == 0, done.stderr
    with rasterio.open(output) as dst, rasterio.open("scene_0.tif") as src:
        found, expected = dst.read(masked=True), src.read(masked=True)
    assert np.array_equal(found.mask, expected.mask)
    assert np.array_equal(found.compressed(), expected.compressed())
    assert not leftovers()


@pytest.mark.parametrize("step", [5, pytest.param(2, marks=pytest.mark.campaign)])
def test_masks_beside_rasters_are_never_left_out(scenes, rio_program, read, step):
    """GDAL takes a mask that it cannot open for one that is not there, without an error."""
    options = ["-o", "out.tif", "--func", "mod:mean", "--masked", "-j", "1", "--overwrite"]
    done = rio_program("mucho", *scenes[:12], *options)
    assert done.returncode == 0, done.stderr
    expected = read("out.tif")
    ended = set()
    for number in range(18, 44, step):
        done = rio_program("mucho", *scenes[:12], *options, before=few_files("", number))
        ended.add(done.returncode)
        assert np.array_equal(read("out.tif"), expected, equal_nan=True)
        assert done.returncode == 0 or _OPEN_FILES_ADVICE in done.stderr, done.stderr
    assert ended == {0, 1}


@pytest.fixture
def limits_of_system(monkeypatch):
    """Limits of a system that there is not: (soft, hard), and the highest that it takes."""

    class System:
        RLIMIT_NOFILE, RLIM_INFINITY = 7, 2**63 - 1
        limits, most = (256, RLIM_INFINITY), 2**63 - 2

        def getrlimit(self, which):
            return self.limits

        def setrlimit(self, which, limits):
            if limits[0] > self.most:
                raise ValueError("current limit exceeds maximum limit")
            self.limits = limits

    made = System()
    monkeypatch.setattr(system, "resource", made)
    return made


def test_a_limit_is_raised_only_when_it_comes_near(limits_of_system):
    limits_of_system.limits = 1024, 4096
    allow_open_files(100)
    assert limits_of_system.limits == (1024, 4096)
    allow_open_files(2000)
    raised = limits_of_system.limits[0]
    assert 2000 < raised < 4096
    allow_open_files(0)
    assert limits_of_system.limits == (raised, 4096)
    allow_open_files(10_000)
    assert limits_of_system.limits == (4096, 4096)


def test_a_limit_below_the_one_that_is_said(limits_of_system):
    """On macOS the hard limit is infinite, and what is taken is not."""
    limits_of_system.most = 10_240
    allow_open_files(20_000)
    assert limits_of_system.limits == (10_240, limits_of_system.RLIM_INFINITY)
    limits_of_system.limits, limits_of_system.most = (256, limits_of_system.RLIM_INFINITY), 256
    allow_open_files(1000)
    assert limits_of_system.limits == (256, limits_of_system.RLIM_INFINITY)


def test_a_program_that_has_all_files_open(limits_of_system, scenes, tmp_path):
    """A run of its own gets the advice, too."""
    limits_of_system.limits = 3, 3
    with pytest.raises(InputError, match=r"Too many open files: .*ulimit -n"):
        run(scenes, tmp_path / "out.tif", lambda data, *_: data[0], jobs=1)


def test_no_limit(limits_of_system):
    limits_of_system.limits = limits_of_system.RLIM_INFINITY, limits_of_system.RLIM_INFINITY
    allow_open_files(10**9)
    assert limits_of_system.limits[0] == limits_of_system.RLIM_INFINITY


def test_advice_is_given_once_and_where_it_helps():
    for text in ("in.tif: Too many open files", f"in.tif: Too many open files{_OPEN_FILES_ADVICE}"):
        with pytest.raises(InputError) as caught, open_file_errors_explained():
            raise InputError(text)
        assert str(caught.value) == f"in.tif: Too many open files{_OPEN_FILES_ADVICE}"
    with pytest.raises(InputError, match=r"^in.tif: no$"), open_file_errors_explained():
        raise InputError("in.tif: no")
    with pytest.raises(MuchoError, match="ulimit -n"), open_file_errors_explained():
        raise OSError(24, "Too many open files")
