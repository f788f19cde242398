"""What is said of the first input is said of the output, as far as it stays true."""

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from rio_mucho_cli import RioMucho, run
from rio_mucho_cli.inputs.windows import Size

GRAY = ColorInterp.gray, ColorInterp.undefined
COLOURS = {value: (value, 255 - value, 7, 255) for value in range(256)}


def both(data, window, ij, global_args):
    return np.concatenate([data[0], data[0]])


@pytest.fixture
def described(tiled):
    """A raster of which much is said."""
    path = tiled("described.tif", count=2, dtype="int16", nodata=-1)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(SCENE="LC08", AREA_OR_POINT="Point")
        dst.update_tags(ns="SENSOR", NAME="OLI")
        dst.update_tags(1, BAND="B5", STATISTICS_MEAN="12", STATISTICS_VALID_PERCENT="90")
        dst.update_tags(2, ns="BAND", GAIN="2")
        dst.descriptions = "near infrared", "red"
        dst.units = "W", ""
        dst.scales, dst.offsets = (0.1, 0.2), (1.0, -1.0)
    return path


def opened(job):
    run(job)
    return rasterio.open(job.output)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"windows": Size(37, 20)},  # GDAL writes
        {"executor": "processes", "jobs": 2},
        {"driver": "COG"},
        {"creation_options": {"bigtiff": "yes", "compress": "zstd"}},
    ],
    ids=str,
)
def test_what_stays_true_is_kept(job_on, described, read, given):
    with opened(job_on([described], **given)) as dst, rasterio.open(described) as src:
        tags = dst.tags()
        assert (tags["SCENE"], tags["AREA_OR_POINT"]) == ("LC08", "Point")
        if dst.driver == "GTiff" and "driver" not in given:  # GDAL's COG driver drops it
            assert dst.tags(ns="SENSOR") == {"NAME": "OLI"}
            assert dst.tags(2, ns="BAND") == {"GAIN": "2"}
        assert dst.tags(1) == {"BAND": "B5"}
        assert dst.descriptions == ("near infrared", "red")
        assert dst.units[0] == "W"
        assert (dst.scales, dst.offsets) == ((0.1, 0.2), (1.0, -1.0))
        assert dst.transform == src.transform
        assert dst.colorinterp == src.colorinterp
        np.testing.assert_array_equal(dst.read(), src.read())


def test_bands_that_are_selected_keep_their_names(job_on, described):
    with opened(job_on([described], bidx="2,1")) as dst:
        assert dst.descriptions == ("red", "near infrared")
        assert dst.scales == (0.2, 0.1)


def test_bands_that_do_not_correspond_have_none(job_on, described):
    with opened(job_on([described], both)) as dst:
        assert dst.tags()["SCENE"] == "LC08"
        assert dst.descriptions == (None,) * 4
        assert dst.tags(1) == {}
        assert dst.scales == (1.0,) * 4


def test_another_dtype_has_no_scales(job_on, described):
    with opened(job_on([described], dtype="float32")) as dst:
        assert dst.descriptions == ("near infrared", "red")
        assert (dst.scales, dst.offsets) == ((1.0, 1.0), (0.0, 0.0))


def test_nothing_is_carried_over_if_nobody_wants_it(job_on, described, tmp_path):
    with opened(job_on([described], metadata=False)) as dst:
        assert "SCENE" not in dst.tags()
        assert dst.descriptions == (None, None)
    for wanted in (False, True):
        with RioMucho([described], tmp_path / "class.tif", lambda data, *args: data[0],
                      metadata=wanted) as rm:  # fmt: skip
            rm.run(1)
        with rasterio.open(tmp_path / "class.tif") as dst:
            assert ("SCENE" in dst.tags()) == wanted


@pytest.mark.parametrize("windows", [Size(64, 48), Size(37, 20)], ids=["blocks", "parts"])
@pytest.mark.parametrize("codec", ["deflate", "none", "lzw"])
def test_colour_tables(job_on, tiled, read, windows, codec):
    path = tiled("classes.tif", dtype="uint8")
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, COLOURS)
    options = {"compress": codec}
    with opened(job_on([path], windows=windows, creation_options=options)) as dst:
        assert dst.colormap(1) == COLOURS
        assert dst.colorinterp == (ColorInterp.palette,)
        np.testing.assert_array_equal(dst.read(), read(path))
    with opened(job_on([path], dtype="int32")) as dst:
        assert dst.colorinterp == (ColorInterp.gray,)
        with pytest.raises(ValueError, match="color table"):
            dst.colormap(1)


@pytest.mark.parametrize("codec", ["deflate", "jpeg"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(
    "kind",
    [
        {"photometric": "rgb", "count": 3},
        {"photometric": "minisblack", "count": 3},
        {"photometric": "rgb", "count": 4, "alpha": "yes"},
        {"photometric": "rgb", "count": 4, "alpha": "no"},
        {"photometric": "minisblack", "count": 2, "alpha": "yes"},
    ],
    ids=str,
)
def test_what_bands_are_does_not_change_pixels(job_on, tiled, read, kind, codec, interleave):
    path = tiled("bands.tif", dtype="uint8", interleave=interleave, **kind)
    options = {"compress": codec, "interleave": interleave}
    with opened(job_on([path], creation_options=options)) as dst, rasterio.open(path) as src:
        if codec == "deflate":
            assert dst.colorinterp == src.colorinterp
            np.testing.assert_array_equal(dst.read(), src.read())
        else:
            assert np.abs(dst.read().astype(int) - src.read()).mean() < 20


def test_points_stay_where_pixels_do(job_on, tiled):
    path = tiled("points.tif", transform=None, crs=None)
    points = [
        GroundControlPoint(row, col, 400 + col, 500 - row) for row in (0, 9) for col in (0, 9)
    ]
    with rasterio.open(path, "r+") as dst:
        dst.gcps = points, "EPSG:32633"
    like = tiled("like.tif")
    with opened(job_on([path])) as dst:
        found, crs = dst.gcps
        assert [(point.row, point.col, point.x, point.y) for point in found] == [
            (point.row, point.col, point.x, point.y) for point in points
        ]
        assert crs == "EPSG:32633"
    with opened(job_on([path], like=str(like))) as dst:
        assert dst.gcps == ([], None)


def test_rpcs_stay(job_on, tiled):
    path = tiled("rpcs.tif", transform=None, crs=None)
    numbers = {
        f"{name}_{kind}": 1.0 for name in ("lat", "long", "height") for kind in ("off", "scale")
    }
    rpcs = RPC(
        **numbers, line_off=1.0, line_scale=1.0, samp_off=1.0, samp_scale=1.0,
        line_num_coeff=[1.0] * 20, line_den_coeff=[1.0] * 20,
        samp_num_coeff=[1.0] * 20, samp_den_coeff=[1.0] * 20,
    )  # fmt: skip
    with rasterio.open(path, "r+") as dst:
        dst.rpcs = rpcs
    with opened(job_on([path])) as dst:
        assert dst.rpcs.lat_off == 1.0
        assert list(dst.rpcs.line_num_coeff) == [1.0] * 20


def test_no_metadata_on_the_command_line(mucho, tmp_path):
    with rasterio.open(tmp_path / "a.tif", "r+") as dst:
        dst.update_tags(SCENE="LC08")
    for args, there in (([], True), (["--no-metadata"], False)):
        result = mucho("--func", "mod:copy", "--overwrite", "-j", "1", *args)
        assert result.exit_code == 0, result.output
        with rasterio.open(tmp_path / "out.tif") as dst:
            assert ("SCENE" in dst.tags()) == there


EVERY_WAY = pytest.mark.parametrize("driver", ["GTiff", "COG"])
EVERY_WINDOW = pytest.mark.parametrize("windows", [None, Size(37, 20)], ids=["blocks", "parts"])


@EVERY_WAY
@EVERY_WINDOW
def test_a_mask_that_the_function_gives_back_stays(job_on, tiled, read, driver, windows):
    path = tiled("mask.tif", count=3, dtype="uint8", photometric="rgb")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
        dst.write_mask(dst.read(1) > 100)
        dst.descriptions = "one", "two", "three"
    given = {"windows": windows, "driver": driver, "masked": True}
    with opened(job_on([path], **given)) as dst, rasterio.open(path) as src:
        assert dst.mask_flag_enums == src.mask_flag_enums
        np.testing.assert_array_equal(dst.dataset_mask(), src.dataset_mask())
        np.testing.assert_array_equal(dst.read(masked=True), src.read(masked=True))
        assert dst.colorinterp == src.colorinterp
        assert dst.descriptions == src.descriptions
        assert dst.nodata is None


@EVERY_WAY
@EVERY_WINDOW
def test_colours_and_points_of_every_format(job_on, tiled, read, driver, windows):
    path = tiled("classes.tif", dtype="uint8", transform=None, crs=None, nodata=9)
    points = [
        GroundControlPoint(row, col, 400 + col, 500 - row) for row in (0, 9) for col in (0, 9)
    ]
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, COLOURS)
        dst.gcps = points, "EPSG:32633"
        dst.units, dst.scales, dst.offsets = ("K",), (0.5,), (270.0,)
    with opened(job_on([path], windows=windows, driver=driver)) as dst, rasterio.open(path) as src:
        assert (dst.colormap(1), dst.colorinterp) == (src.colormap(1), src.colorinterp)
        assert len(dst.gcps[0]) == 4
        assert dst.gcps[1] == "EPSG:32633"
        assert (dst.units, dst.scales, dst.offsets) == (("K",), (0.5,), (270.0,))
        assert dst.nodata == 9
        np.testing.assert_array_equal(dst.read(), src.read())


@EVERY_WINDOW
def test_grey_with_alpha_stays_so(job_on, tiled, windows):
    path = tiled("alpha.tif", count=2, dtype="uint8", photometric="minisblack", alpha="yes")
    for metadata in (True, False):
        with opened(job_on([path], windows=windows, metadata=metadata)) as dst:
            assert dst.colorinterp == (ColorInterp.gray, ColorInterp.alpha)
