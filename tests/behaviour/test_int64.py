"""Nodata of 64-bit integers is the same number from the input to every kind of output."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from rio_mucho_cli import InputError, Job, MuchoError, NodataError, Output, RioMucho, describe, run
from rio_mucho_cli.geotiff.gdal_io import creation_profile, is_inexact_in_gdal, write_exact_nodata
from rio_mucho_cli.geotiff.ifd import IFD
from rio_mucho_cli.inputs.bands import exact_nodatavals
from rio_mucho_cli.windows import Size

VALUES = [
    ("int64", -9999),
    ("int64", -(2**63)),
    ("int64", 2**63 - 1),
    ("int64", 2**53 + 1),
    ("int64", 10**17),
    ("uint64", 2**64 - 1),
    ("uint64", 0),
]
BEYOND = [each for each in VALUES if abs(each[1]) > 9999]


def unchanged(data, window, ij, global_args):
    return data[0]


def written(path):
    """Return the text of a file's nodata, as the file has it."""
    if str(path).endswith(".vrt"):
        return re.findall("<NoDataValue>(.*)</NoDataValue>", Path(path).read_text())[0]
    data = Path(path).read_bytes()
    field = IFD.read(data).tags[42113]
    return data[field.offset : field.offset + field.count].decode().rstrip("\0")


@pytest.fixture
def wide(tmp_path):
    """Return a function that writes 64-bit integers, with pixels that are near nodata, or it."""

    def make(dtype, nodata, name="wide.tif", **given):
        info = np.iinfo(dtype)
        data = np.arange(64 * 80, dtype=dtype).reshape(1, 64, 80)
        near = [value for value in (nodata - 1, nodata + 1) if info.min <= value <= info.max]
        data[0, 5, : len(near)] = near
        data[0, 10:20, 30:60] = nodata
        data[0, 40, 70] = nodata
        profile = {
            "driver": "GTiff", "dtype": dtype, "count": 1, "width": 80, "height": 64,
            "crs": "EPSG:32633", "transform": Affine(30, 0, 4e5, 0, -30, 5e6), "tiled": True,
            "blockxsize": 16, "blockysize": 16, "nodata": nodata, **given,
        }  # fmt: skip
        path = tmp_path / name
        with rasterio.open(path, "w", **creation_profile(profile)) as dst:
            dst.write(data)
        write_exact_nodata(path, profile)
        assert written(path) == str(nodata)
        return str(path), data

    return make


def assert_exact(path, data, nodata):
    assert written(path) == str(nodata)
    with rasterio.open(path) as dst:
        np.testing.assert_array_equal(dst.read(), data)
        np.testing.assert_array_equal(dst.read_masks(1) == 0, data[0] == nodata)


@pytest.mark.parametrize(("dtype", "nodata"), VALUES)
@pytest.mark.parametrize("bigtiff", ["no", "yes"])
def test_inputs(wide, dtype, nodata, bigtiff):
    path, _ = wide(dtype, nodata, bigtiff=bigtiff)
    with rasterio.open(path) as src:
        assert exact_nodatavals(src) == (nodata,)


@pytest.mark.sweep(1)
@pytest.mark.parametrize(("dtype", "nodata"), VALUES)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"executor": "processes", "jobs": 2},
        {"executor": "threads", "jobs": 2},
        {"masked": True},
        {"masked": True, "windows": Size(33, 20)},
        {"windows": Size(33, 20), "executor": "processes", "jobs": 2},
        {"driver": "COG", "creation_options": {"overviews": "none"}},
        {"creation_options": {"bigtiff": "yes", "compress": "zstd"}},
        {"creation_options": {"sparse_ok": "yes"}},
        {"output": "out.vrt", "part_size": 32},
        {"output": "out.vrt", "part_size": 32, "masked": True, "skip_masked": True},
        {"skip_masked": True, "windows": Size(16, 16)},
        {"stats": True},
        {"resume": True},
    ],
    ids=str,
)
def test_outputs_inherit_it(wide, job_on, tmp_path, dtype, nodata, given):
    path, data = wide(dtype, nodata)
    given = {**given, "output": str(tmp_path / given.get("output", "out.tif"))}
    made = job_on([path], **given)
    describe(made)
    run(made)
    assert_exact(made.output, data, nodata)


@pytest.mark.parametrize(("dtype", "nodata"), VALUES)
def test_what_no_window_covers_is_nodata(wide, job_on, dtype, nodata):
    path, data = wide(dtype, nodata)
    for windows in ([(((0, 32), (0, 80)), (0, 0))], [(((3, 20), (5, 41)), (0, 0))]):
        made = job_on([path], windows=windows, strict=False)
        run(made)
        expected = np.full_like(data, nodata)
        (rows, cols), _ = windows[0]
        place = (0, slice(*rows), slice(*cols))
        expected[place] = data[place]
        assert_exact(made.output, expected, nodata)


@pytest.mark.parametrize(("dtype", "nodata"), VALUES)
@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_it_can_be_asked_for(rio, wide, dtype, nodata, output, tmp_path):
    path, data = wide(dtype, nodata)
    result = rio("mucho", path, output, "--func", "numpy:positive", "--plain", "-j", "1",
                 "--nodata", str(nodata), "--also", f"b=b-{output},nodata={nodata}",
                 "--dry-run")  # fmt: skip
    assert result.exit_code == 1  # there is one array
    result = rio("mucho", path, output, "--func", "numpy:positive", "--plain", "-j", "1",
                 "--nodata", str(nodata))  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert_exact(output, data, nodata)
    result = rio("mucho", path, "dry.tif", "--func", "numpy:positive", "--plain", "--nodata",
                 str(nodata), "--dry-run")  # fmt: skip
    assert f"nodata {nodata}" in " ".join(result.stdout.split())


@pytest.mark.parametrize("nodata", [2**63, -(2**63) - 1, 2**64, 0.5, math.nan])
def test_what_the_dtype_cannot_hold_is_refused(wide, job_on, nodata):
    path, _ = wide("int64", -9999)
    with pytest.raises(NodataError, match="does not fit int64"):
        run(job_on([path], nodata=nodata))


@pytest.mark.sweep(1)
@pytest.mark.parametrize(("dtype", "nodata"), VALUES)
@pytest.mark.parametrize("processes", [1, 2])
def test_the_class_keeps_the_first_inputs(wide, tmp_path, dtype, nodata, processes):
    path, data = wide(dtype, nodata)
    with RioMucho([path], tmp_path / "out.tif", unchanged) as rm:
        rm.run(processes)
    assert_exact(tmp_path / "out.tif", data, nodata)
    with RioMucho([path], tmp_path / "out.tif", unchanged, masked=True) as rm:
        rm.run(1)
    assert_exact(tmp_path / "out.tif", data, nodata)
    profile = {**rm.options, "nodata": str(nodata)}
    with RioMucho([path], tmp_path / "out.tif", unchanged, options=profile) as rm:
        rm.run(1)
    assert_exact(tmp_path / "out.tif", data, nodata)


@pytest.mark.parametrize(("dtype", "nodata"), VALUES)
def test_neighbours_and_other_extents(wide, job_on, make_raster, dtype, nodata):
    path, data = wide(dtype, nodata)
    seen = {}

    def look(data, window, ij, global_args):
        seen["array"] = data[0]
        return data[0]

    run(job_on([path], look, overlap=2, windows=Size(80, 64)))
    np.testing.assert_array_equal(seen["array"], np.pad(data, ((0, 0), (2, 2), (2, 2)),
                                  constant_values=nodata))  # fmt: skip
    run(job_on([path], look, overlap=1, boundary=f"constant={nodata}", windows=Size(80, 64)))
    assert (seen["array"][0, 0] == nodata).all()
    like = make_raster("like.tif", width=90, height=70,
                       transform=Affine(30, 0, 4e5 - 90, 0, -30, 5e6 + 60))  # fmt: skip
    made = job_on([path], like=str(like))
    run(made)
    expected = np.pad(data, ((0, 0), (2, 4), (3, 7)), constant_values=nodata)
    assert_exact(made.output, expected, nodata)


def test_several_outputs(wide, job_on, tmp_path):
    def both(data, window, ij, global_args):
        return {"a": data[0], "b": data[0].astype("uint64"), "c": data[0].astype("float64")}

    path, data = wide("int64", 2**53 + 1)
    others = [
        Output(path=str(tmp_path / "b.tif"), name="b", nodata=2**64 - 1),
        Output(path=str(tmp_path / "c.tif"), name="c"),
    ]
    made = job_on([path], both, also=others)
    run(made)
    assert_exact(made.output, data, 2**53 + 1)
    assert_exact(others[0].path, data.astype("uint64"), 2**64 - 1)
    assert written(others[1].path) == "nan"


def fail_at_first(data, window, ij, global_args):
    if ij == (1, 1) and not Path(global_args).exists():
        raise ValueError("not now")
    return data[0]


def test_an_interrupted_run_goes_on(wide, job_on, tmp_path):
    path, data = wide("int64", -(2**63))
    again = tmp_path / "again"
    given = {"global_args": str(again), "resume": True, "windows": Size(32, 32)}
    made = job_on([path], fail_at_first, **given, overwrite=False)
    with pytest.raises(MuchoError):
        run(made)
    again.touch()
    assert run(made).resumed
    assert_exact(made.output, data, -(2**63))


@pytest.mark.parametrize(("dtype", "nodata"), BEYOND)
def test_virtual_files_refuse_what_would_be_another_number(wide, dtype, nodata):
    path, _ = wide(dtype, nodata)
    with pytest.raises(NodataError, match=f"nodata {nodata} of {dtype} reaches GDAL as another"):
        run(Job(inputs=[path], output="/vsimem/exact.tif", function=unchanged))


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize("masked", [False, True])
def test_resampled_integers_are_exact_or_refused(job_on, make_raster, resampling, masked, read):
    data = np.full((1, 40, 40), 2**50 + 1, "int64")
    path = make_raster("in.tif", data, nodata=-1)
    like = make_raster("like.tif", width=20, height=20,
                       transform=Affine(45, 0, 4e5, 0, -45, 5e6))  # fmt: skip
    given = {"like": str(like), "resampling": resampling, "masked": masked}
    made = job_on([str(path)], **given)
    run(made)
    assert (read(made.output) == 2**50 + 1).all()
    for value in (2**52, 2**53 + 1, -(2**53) - 1, 2**60):
        data[0, 20:, 20:] = value
        path = make_raster("in.tif", data, nodata=-1)
        with pytest.raises(InputError, match="GDAL resamples int64 as float64, which is exact"):
            run(job_on([str(path)], **given))
    run(job_on([str(path)]))  # nothing is resampled


def test_nodata_that_the_warper_cannot_hold_is_refused(wide, job_on, make_raster):
    like = make_raster("like.tif", width=20, height=20,
                       transform=Affine(45, 0, 4e5, 0, -45, 5e6))  # fmt: skip
    for dtype, nodata in BEYOND:
        path, _ = wide(dtype, nodata)
        job = job_on([path], like=str(like))
        with pytest.raises(InputError, match=r"has nodata .* exact below"):
            run(job)


@pytest.mark.parametrize(
    ("nodata", "dtype", "inexact"),
    [
        (None, "int64", False),
        (2**53, "int64", False),
        (2**53 + 2, "int64", False),
        (2**53 + 1, "int64", True),
        (-(2**63), "int64", True),
        (1e17, "uint64", True),
        (99999999999999984, "int64", False),
        (2**31, "uint32", False),
        (-3.4e38, "float32", False),
        (1e300, "float64", False),
        (0, "complex_int16", False),
    ],
)
def test_is_inexact_in_gdal(nodata, dtype, inexact):
    assert is_inexact_in_gdal(nodata, dtype) is inexact
