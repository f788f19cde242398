"""Nodata that is given for inputs: as if `rio edit-info --nodata` had written it into them."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from rio_mucho_cli import Job, MuchoError, Output, UsageError, describe, run
from rio_mucho_cli.errors import NodataError
from rio_mucho_cli.geotiff.gdal_io import write_exact_nodata
from rio_mucho_cli.windows import Size

HEIGHT, WIDTH = 23, 31
PIXEL = 30.0
BIG = 2**53 + 1

HIDDEN = np.zeros((HEIGHT, WIDTH), bool)
HIDDEN[2:9, 3:17] = True
MASKED = np.zeros((HEIGHT, WIDTH), bool)
MASKED[5:14, ::3] = True


def of_value(make_raster, dtype, value, count=1, mask=False, alpha=False, **profile):
    """Write pixels of which some have a value, some 7, and others are hidden otherwise."""
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    bands = [20 + (rows * 7 + cols * (3 + seed)) % 90 for seed in range(count)]
    data = np.stack(bands).astype(dtype)
    data[:, 15:20, 4:22] = 7
    for number in range(count):
        data[number, np.roll(HIDDEN, number, axis=1)] = value
    if data.dtype.kind == "f":  # GDAL also takes near values for nodata
        data[:, 20, :5] = np.nextafter(data.dtype.type(value), data.dtype.type(0))
    if alpha:
        data[-1] = np.where(MASKED, 0, 255)
    defaults = {"transform": Affine(PIXEL, 0, 4e5, 0, -PIXEL, 5e6)}
    path = make_raster(data=data, **{**defaults, **profile})
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
        if alpha:
            dst.colorinterp = [*[ColorInterp.gray] * (count - 1), ColorInterp.alpha]
        if mask:
            dst.write_mask(~MASKED)
    return path


KINDS = {
    "no tag": {},
    "a wrong tag": {"nodata": 7},
    "bands": {"nodata": 7, "count": 2},
    "a mask": {"mask": True},
    "a mask and a tag": {"mask": True, "nodata": 7},
    "opacity": {"count": 4, "alpha": True},
    "opacity and a tag": {"count": 4, "alpha": True, "nodata": 7},
    "opacity of 3": {"count": 3, "alpha": True, "nodata": 7},
}
GIVEN = {
    "uint8": 100, "int16": -9999, "int32": 0, "float32": -9999, "float64": 0.1, "int64": BIG,
    "complex64": 100,
}  # fmt: skip
NEAREST = {"like": True, "masked": True}
WAYS = {
    "arrays": {},
    "masked": {"masked": True},
    "filled": {"fill": 50},
    "of NaN": {"fill": np.nan, "dtype": "int16", "nodata": -1},
    "skipped": {"skip_masked": True},
    "overlap": {"overlap": 3, "masked": True},
    "boundary": {"overlap": 3, "boundary": "nodata"},
    "moved": {"bounds": (4e5 + 60, 5e6 - 540, 4e5 + 800, 5e6 - 90), "masked": True},
    "beyond": {"extent": "union", "masked": True},
    "nearest": NEAREST,
    "bilinear": {**NEAREST, "resampling": "bilinear"},
    "average": {**NEAREST, "resampling": {1: "average"}},
    "statistics": {"stats": True, "masked": True, "overviews": [2]},
}


def tagged(path, value):
    """Return a copy of a raster with this tag, as `rio edit-info --nodata` writes it."""
    copy = path.with_name("tagged.tif")
    shutil.copy(path, copy)
    with rasterio.open(copy, "r+") as dst:
        dst.nodata = None if value == "none" else value
        profile = {**dst.profile, "nodata": value}
    if value == BIG:  # rasterio has written another number
        write_exact_nodata(copy, profile)
    return copy


def seen(array):
    """Return what a function can see of an array, as bytes and text."""
    is_masked = isinstance(array, np.ma.MaskedArray)
    return (
        np.ma.getdata(array).tobytes(),
        np.ma.getmask(array).tobytes() if is_masked else None,
        str(array.fill_value) if is_masked else None,
        str(array.dtype),
    )


def outcome(inputs, folder, **options):
    """Return what a function gets, the bytes of the output, and what is reported; or the error."""
    got = []

    def record(data, window, ij, global_args):
        got.append([seen(array) for array in data])
        overlap = options.get("overlap", 0)
        inside = slice(overlap, -overlap or None)
        return data[0][:, inside, inside]

    output = folder / "out.tif"
    job = Job(
        inputs=[str(path) for path in inputs], output=str(output), function=record,
        windows=Size(16, 16), overwrite=True, metadata=False, **options,
    )  # fmt: skip
    try:
        report = run(job)
    except MuchoError as exc:
        return type(exc), str(exc).replace("tagged.tif", "in.tif")
    return got, output.read_bytes(), report.value_loss


@pytest.fixture
def other(make_raster):
    """Return a raster whose pixels are not those of the others."""
    transform = Affine(PIXEL * 1.3, 0, 4e5 - 70, 0, -PIXEL * 1.3, 5e6 + 50)
    return make_raster("other.tif", width=25, height=22, transform=transform)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_none", [False, True])
@pytest.mark.parametrize("dtype", GIVEN)
def test_it_is_as_the_tag(make_raster, tmp_path, other, dtype, is_none, kind, way):
    if dtype == "complex64" and way in {"of NaN", "statistics"}:
        pytest.skip("complex numbers are not cast")
    value = GIVEN[dtype]
    options = dict(WAYS[way])
    if options.pop("like", False):
        options["like"] = str(other)
    path = of_value(make_raster, dtype, value, **KINDS[kind])
    given = "none" if is_none else value
    more = []
    if way == "beyond":
        moved = Affine(PIXEL, 0, 4e5 - 300, 0, -PIXEL, 5e6 + 90)
        more = [make_raster("moved.tif", width=9, height=9, transform=moved)]
    if is_none and dtype == "int64":  # rasterio cannot remove its tag
        without = {**KINDS[kind], "nodata": None}
        twin = of_value(make_raster, dtype, value, name="tagged.tif", **without)
    else:
        twin = tagged(path, given)
    expected = outcome([twin, *more], tmp_path, **options)
    found = outcome([path, *more], tmp_path, **options, src_nodata={1: given})
    assert found[0] == expected[0]
    assert found[1:] == expected[1:]


def negate(data, window, ij, global_args):
    return -data[0]


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("kind", ["no tag", "a wrong tag", "a mask and a tag", "opacity of 3"])
@pytest.mark.parametrize("given", [100, "none"])
def test_where_gcps_place_an_input(make_raster, tmp_path, other, given, kind, resampling):
    path = of_value(make_raster, "uint8", 100, **KINDS[kind], transform=None)
    ends = [(0, 0), (0, WIDTH), (HEIGHT, 0), (HEIGHT, WIDTH)]
    with rasterio.open(path, "r+") as dst:
        dst.gcps = (
            [GroundControlPoint(r, c, 4e5 + PIXEL * c, 5e6 - PIXEL * r) for r, c in ends],
            "EPSG:32633",
        )
    options = {"like": str(other), "masked": True, "resampling": resampling}
    expected = outcome([tagged(path, given)], tmp_path, **options)
    assert isinstance(expected[0], list)  # and not an error
    found = outcome([path], tmp_path, **options, src_nodata=given)
    assert found[0] == expected[0]
    assert found[1:] == expected[1:]


@pytest.fixture
def gaps(make_raster):
    """Return a raster without a tag, in which 100 stands for nothing."""
    return of_value(make_raster, "int16", 100)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_workers_know_it(gaps, tmp_path, read, executor):
    given = {"inputs": [str(gaps)], "src_nodata": 100, "masked": True, "windows": Size(16, 16)}
    paths = [tmp_path / "serial.tif", tmp_path / "out.tif"]
    run(Job(**given, output=str(paths[0]), function=negate, executor="serial"))
    run(Job(**given, output=str(paths[1]), function=negate, executor=executor, jobs=2))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    np.testing.assert_array_equal(read(paths[1]) == 100, read(gaps) == 100)


def test_parts_of_a_mosaic_have_it_too(gaps, tmp_path, read, profile_of):
    given = {"inputs": [str(gaps)], "function": negate, "src_nodata": 100, "skip_masked": True}
    run(Job(**given, output=str(tmp_path / "out.vrt"), masked=True, windows=Size(16, 16),
            part_size=16))  # fmt: skip
    assert profile_of(tmp_path / "out.vrt")["nodata"] == 100
    np.testing.assert_array_equal(read(tmp_path / "out.vrt") == 100, read(gaps) == 100)


def test_the_output_inherits_it_where_the_dtype_is_the_same(gaps, tmp_path, profile_of):
    def function(data, window, ij, global_args):
        return {"out": data[0], "other": data[0].astype("float32")}

    also = [Output(name="other", path=str(tmp_path / "other.tif"))]
    run(Job(inputs=[str(gaps)], output=str(tmp_path / "out.tif"), function=function, also=also,
            src_nodata=100))  # fmt: skip
    assert profile_of(tmp_path / "out.tif")["nodata"] == 100
    assert np.isnan(profile_of(tmp_path / "other.tif")["nodata"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"src_nodata": "0"}, 'src_nodata is \'0\': expected a number or "none"'),
        ({"src_nodata": True}, "src_nodata is True: expected a number"),
        ({"src_nodata": {1: [0]}}, r"src_nodata is \[0\]: expected a number"),
        ({"src_nodata": {3: 0}}, "src_nodata is given for input 3: there is 1 input"),
        ({"src_nodata": 40_000}, "src_nodata is 40000, which int16 of .*in.tif cannot hold: give"),
        ({"src_nodata": 0.5}, "src_nodata is 0.5, which int16 of"),
        ({"src_nodata": float("nan")}, "src_nodata is nan, which int16 of"),
        ({"src_nodata": 0, "mode": "manual_read"}, "src_nodata cannot be used with manual_read"),
        ({"src_nodata": "none", "boundary": "nodata"}, "boundary is nodata, and .* has none: give"),
    ],
)  # fmt: skip
def test_what_cannot_be(gaps, tmp_path, given, says):
    with pytest.raises(UsageError, match=says):
        describe(
            Job(inputs=[str(gaps)], output=str(tmp_path / "out.tif"), function=negate, **given)
        )


def test_a_dtype_of_a_band_that_is_not_read_does_not_matter(make_raster, make_vrt, tmp_path):
    files = [make_raster(f"{dtype}.tif", dtype=dtype) for dtype in ("uint8", "int16")]
    path = make_vrt("in.vrt", files, [None, None])
    given = {"inputs": [str(path)], "output": str(tmp_path / "out.tif"), "function": negate}
    run(Job(**given, bidx=2, src_nodata=-5))
    with pytest.raises(NodataError, match=r"src_nodata is -5, which uint8 of .*in.vrt"):
        run(Job(**given, src_nodata=-5))


def test_the_command_line(rio, module, gaps, profile_of):
    module("def run(data, window, ij, global_args):\n    return data[1]\n", "user.py")
    command = ["mucho", gaps, gaps, "out.tif", "--func", "user:run", "--overlap", 0]
    done = rio(*command, "--src-nodata", "1=100", "--src-nodata", "2=nil")
    assert done.exit_code == 0, done.output
    assert profile_of("out.tif")["nodata"] == 100
    for text, says in [
        ("x=1", "--src-nodata is given for 'x': expected the number of an input, from 1"),
        ("2=", "'' is neither a number nor nan"),
        ("1.5", "src_nodata is 1.5, which int16 of"),
    ]:
        failed = rio(*command, "--overwrite", "--src-nodata", text)
        assert failed.exit_code == 2
        assert says in failed.stderr
        assert len(failed.stderr.strip().splitlines()[-1:]) == 1


def test_the_dry_run_shows_it(rio, module, gaps):
    module("def run(data, window, ij, global_args):\n    return data[0]\n", "user.py")
    command = ["mucho", gaps, gaps, "out.tif", "--func", "user:run", "--dry-run", "--no-probe"]
    shown = rio(*command, "--src-nodata", "1=100", "--src-nodata", "2=none")
    text = " ".join(shown.output.split())
    assert "nodata 100 (--src-nodata)" in text
    assert "nodata none (--src-nodata)" in text
    told = rio(*command, "--src-nodata", "1=nan", "--report", "-")
    assert told.exit_code == 2
    told = rio(*command, "--src-nodata", "1=100", "--src-nodata", "2=none", "--report", "-")
    inputs = json.loads(told.stdout)["plan"]["inputs"]
    assert [source["src_nodata"] for source in inputs] == [100, "none"]
    assert [source["nodata"] for source in inputs] == [100, None]


def test_a_run_with_another_one_is_another_run(rio, module, gaps):
    module(
        "def run(data, window, ij, global_args):\n"
        "    assert ij != (1, 0) or global_args['ok']\n    return data[0]\n",
        "user.py",
    )
    command = ["mucho", gaps, "out.tif", "--func", "user:run", "--resume", "--masked", "-j", 1,
               "--windows", 16]  # fmt: skip
    assert rio(*command, "--src-nodata", 100).exit_code == 1  # there is no 'ok'
    other = rio(*command, "--src-nodata", "none")
    assert other.exit_code == 2
    assert "src_nodata" in other.stderr
