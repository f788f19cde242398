"""What masks an input and not the output is mentioned, once."""

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import RioMucho, run

FUNCTIONS = """
import numpy as np

def copy(data, *_):
    return data[0]

def first(data, *_):
    return data[0][0]

def hide(data, *_):
    return np.ma.masked_less(data[0][:1], 100)

def both(data, *_):
    return {"this": data[0], "other": data[0]}

def read(srcs, window, ij, global_args):
    return srcs[0].read(window=window)
"""
LOST = "pass --masked"


@pytest.fixture
def hidden(make_raster, module):
    """Make rasters whose pixels are hidden, each in one way."""
    module(FUNCTIONS, "mod.py")
    size = {"width": 300, "height": 200, "dtype": "uint8"}
    for name, within in (("mask.tif", True), ("beside.tif", False)):
        path = make_raster(name, count=3, **size)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=within), rasterio.open(path, "r+") as dst:
            dst.write_mask(np.indices((200, 300)).sum(axis=0) % 5 > 1)
    make_raster("alpha.tif", count=4, photometric="rgb", alpha="yes", **size)
    make_raster("nodata.tif", nodata=100, **size)
    make_raster("plain.tif", **size)


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("mask.tif", [], "a mask"),
        ("beside.tif", [], "a mask"),
        ("mask.tif", ["--dry-run"], "a mask"),
        ("mask.tif", ["-f", "COG"], "a mask"),
        ("mask.tif", ["--also", "other=other.tif"], "a mask"),
        ("mask.tif", ["-j", "2"], "a mask"),
        ("mask.tif", ["--skip-masked"], "a mask"),
        ("mask.tif", ["--overlap", "0", "--bidx", "2"], "a mask"),
        ("mask.tif", ["--func", "mod:first"], "a mask"),
        ("alpha.tif", ["--func", "mod:first"], "an alpha band"),
        ("alpha.tif", ["--bidx", "1,2,3"], "an alpha band"),
        ("mask.tif", ["--masked"], None),
        ("mask.tif", ["--func", "mod:hide"], None),
        ("mask.tif", ["--no-metadata"], "a mask"),
        ("mask.tif", ["--func", "mod:read", "--mode", "manual_read"], None),
        ("alpha.tif", [], None),
        ("alpha.tif", ["--masked", "--func", "mod:first"], None),
        ("nodata.tif", [], None),
        ("plain.tif", [], None),
    ],
    ids=str,
)
def test_a_mask_that_gets_lost_is_mentioned_once(rio, hidden, caplog, name, options, what):
    if "--also" in options:
        options = ["--func", "mod:both", *options]
    options = ["--func", "mod:copy", "-j", "1", *options]
    result = rio("mucho", name, "out.tif", *options)
    assert result.exit_code == 0, result.stderr
    said = [line for line in caplog.messages if LOST in line]
    assert len(said) == (what is not None)
    if what:
        assert f"{name} has {what}, and the output does not" in said[0]


def test_a_mosaic_mentions_it_once(rio, hidden, caplog):
    result = rio("mucho", "mask.tif", "out.vrt", "--part-size", "64", "--windows", "64",
                 "--func", "mod:copy", "-j", "1")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert caplog.text.count(LOST) == 1


def test_the_class_is_quiet_unless_it_carries_metadata(hidden, tmp_path, caplog, read):
    path = str(tmp_path / "mask.tif")
    for given, number in (({}, 0), ({"metadata": True}, 1)):
        with RioMucho([path], tmp_path / "out.tif", lambda data, *_: data[0], **given) as rm:
            rm.run(1)
        assert caplog.text.count("pass masked=True") == number
    run([path], tmp_path / "other.tif", lambda data, *_: data[0])
    assert caplog.text.count("pass masked=True") == 2


@pytest.mark.parametrize(
    ("nodata", "options", "said"),
    [
        (
            [0, 255],
            [],
            "nodata 255 of band 2 is lost, because all bands of the output have nodata 0",
        ),
        ([0, 255], ["--masked"], "nodata 255 of band 2 is lost"),
        (
            [None, 255],
            [],
            "nodata 255 of band 2 is lost, because all bands of the output have none",
        ),
        ([0, 255], ["--bidx", "2,1"], "nodata 0 of band 2 is lost"),
        ([0, 255], ["--dry-run"], "nodata 255 of band 2 is lost"),
        ([0, 255], ["--bidx", "2"], None),
        ([0, 255], ["--nodata", "7"], None),
        ([0, 255], ["--func", "mod:first"], None),
        ([7, 7], [], None),
        ([0, None], [], None),
    ],
    ids=str,
)
def test_nodata_that_gets_lost_is_mentioned(
    rio, module, make_raster, make_vrt, caplog, nodata, options, said
):
    module(FUNCTIONS, "mod.py")
    paths = [make_raster(name, dtype="uint8") for name in ("a.tif", "b.tif")]
    make_vrt("both.vrt", paths, nodata)
    result = rio("mucho", "both.vrt", "out.tif", "--func", "mod:copy", "-j", "1", *options)
    assert result.exit_code == 0, result.stderr
    assert caplog.text.count("is lost") == (said is not None)
    assert said is None or said in caplog.text
