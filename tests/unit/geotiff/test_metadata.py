"""What is said of the first input is said of the output, as far as it stays true."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from rio_mucho_cli import RioMucho, run
from rio_mucho_cli.windows import Size

EVERY_DRIVER = pytest.mark.parametrize("driver", ["GTiff", "COG"])
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


def points_of(width, height, projection):
    """Return XML of GCPs that lie elsewhere than a raster's transform says."""
    gcps = "".join(
        f'<GCP Id="{col}{row}" Pixel="{col}" Line="{row}" X="{15 + col}" Y="{45 - row}"/>'
        for col in (0, width)
        for row in (0, height)
    )
    return f"<GCPList{projection}>{gcps}</GCPList>"


@pytest.mark.parametrize("projection", ["", ' Projection="EPSG:4326"'], ids=["no CRS", "CRS"])
@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.vrt"])
@pytest.mark.parametrize("driver", [None, "COG"])
def test_a_geotransform_takes_precedence_over_points(
    job_on, tiled, tmp_path, projection, name, driver
):
    if driver == "COG" and name == "out.png":
        pytest.skip("one or the other")
    path = tiled("both.tif", dtype="uint8")
    with rasterio.open(path) as src:
        crs, transform, points = src.crs, src.transform, points_of(*src.shape[::-1], projection)
        rasterio.shutil.copy(src, tmp_path / "both.vrt", driver="VRT")
    text = (tmp_path / "both.vrt").read_text()
    band = text.index("<VRTRasterBand")
    (tmp_path / "both.vrt").write_text(f"{text[:band]}{points}{text[band:]}")
    with rasterio.open(tmp_path / "both.vrt") as src:
        assert (src.transform, len(src.gcps[0])) == (transform, 4)
    job = job_on([tmp_path / "both.vrt"], output=str(tmp_path / name), driver=driver)
    with opened(job) as dst:
        assert (dst.crs, dst.transform) == (crs, transform)
        assert dst.gcps[0] == []


def test_points_without_a_crs_stay(job_on, tiled, read):
    path = tiled("scanned.tif", transform=None, crs=None)
    with rasterio.open(path, "r+") as dst:
        dst.gcps = [GroundControlPoint(row, 3, row, 4) for row in (0, 9, 12)], CRS()
    for driver in ("GTiff", "COG"):
        with opened(job_on([path], driver=driver)) as dst:
            assert [point.row for point in dst.gcps[0]] == [0, 9, 12]
            assert dst.gcps[1] is None
            np.testing.assert_array_equal(dst.read(), read(path))


def test_points_do_not_replace_the_transform_of_a_whole_profile(tiled, tmp_path, profile_of):
    path = tiled("points.tif", transform=None, crs=None)
    with rasterio.open(path, "r+") as dst:
        dst.gcps = [GroundControlPoint(row, 3, row, 4) for row in (0, 9, 12)], "EPSG:32633"
    placed = {"crs": "EPSG:3857", "transform": Affine(2, 0, 7, 0, -2, 9)}
    for options, number in ({}, 3), (placed, 0):
        with RioMucho([path], tmp_path / "class.tif", lambda data, *args: data[0], metadata=True,
                      options={**profile_of(path), **options}) as rm:  # fmt: skip
            rm.run(1)
        with rasterio.open(tmp_path / "class.tif") as dst:
            assert len(dst.gcps[0]) == number
            assert dst.transform == options.get("transform", Affine.identity())


RPCS = {
    **{f"{part}_OFF": "1" for part in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")},
    **{f"{part}_SCALE": "2" for part in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")},
    **{f"{part}_COEFF": "1 " * 20 for part in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN")},
}


@pytest.fixture
def with_rpcs(tiled, tmp_path):
    """Return a function that makes a raster with RPCs, whatever they are."""

    def make(tags, **place):
        path = tiled("plain.tif", **place)
        with rasterio.open(path) as src:
            rasterio.shutil.copy(src, tmp_path / "rpcs.vrt", driver="VRT")
        items = "".join(f'<MDI key="{name}">{value}</MDI>' for name, value in tags.items())
        text = (tmp_path / "rpcs.vrt").read_text()
        band = text.index("<VRTRasterBand")
        (tmp_path / "rpcs.vrt").write_text(
            f'{text[:band]}<Metadata domain="RPC">{items}</Metadata>{text[band:]}'
        )
        return tmp_path / "rpcs.vrt"

    return make


@EVERY_DRIVER
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"HEIGHT_OFF": None}, "has incomplete RPCs (no HEIGHT_OFF): they are not copied"),
        ({"LINE_OFF": "pixels"}, "LINE_OFF is 'pixels', expected a number"),
        ({"LINE_NUM_COEFF": "1 2 3"}, "LINE_NUM_COEFF is '1 2 3', expected 20 numbers"),
    ],
)
def test_rpcs_that_are_incomplete_are_left_out(job_on, with_rpcs, caplog, driver, change, says):
    tags = {name: value for name, value in {**RPCS, **change}.items() if value is not None}
    with opened(job_on([with_rpcs(tags, transform=None, crs=None)], driver=driver)) as dst:
        assert dst.tags(ns="RPC") == {}
    assert says in caplog.text


@pytest.mark.parametrize("change", [{"LINE_OFF": "1 pixels"}, {"SENSOR": "x"}, {}])
def test_rpcs_and_a_geotransform_stay_together(job_on, with_rpcs, change):
    path = with_rpcs({**RPCS, **change})
    with rasterio.open(path) as src:
        place = src.crs, src.transform
    with opened(job_on([path])) as dst:
        assert (dst.crs, dst.transform) == place
        assert dst.rpcs.line_off == 1
    bounds = (400030, 4999000, 400300, 4999900)
    for other in {"bounds": bounds}, {"like": str(path), "bounds": bounds}:
        with opened(job_on([path], **other)) as dst:
            assert dst.tags(ns="RPC") == {}
    with opened(job_on([path], like=str(path))) as dst:
        assert dst.rpcs.line_off == 1


def test_parts_of_a_mosaic_do_not_have_the_places_of_the_whole(job_on, with_rpcs, tmp_path):
    path = with_rpcs(RPCS)
    run(job_on([path], output=str(tmp_path / "out.vrt"), part_size=64, windows=Size(64, 48)))
    with rasterio.open(tmp_path / "out.vrt") as dst:
        assert dst.rpcs.line_off == 1
    parts = sorted(tmp_path.rglob("out*.parts/**/*.tif"))
    assert parts
    for part in parts:
        with rasterio.open(part) as dst:
            assert dst.tags(ns="RPC") == {}


VALUES = {
    "TIFFTAG_MINSAMPLEVALUE": "0", "TIFFTAG_MAXSAMPLEVALUE": "99", "STATISTICS_MEAN": "3",
    "Band1#valid_range": "{0,9}", "Band1#_FillValue": "0",
}  # fmt: skip
PLACE = {
    "TIFFTAG_XRESOLUTION": "300", "TIFFTAG_YRESOLUTION": "300",
    "TIFFTAG_RESOLUTIONUNIT": "2 (pixels/inch)",
    "utm#spatial_ref": "PROJCS", "utm#long_name": "CRS definition", "NITF_IGEOLO": "500000N",
    "x#standard_name": "projection_x_coordinate", "x#units": "m",
    "NC_GLOBAL#geospatial_lat_min": "45",
}  # fmt: skip
SCENE = {"SENSOR": "OLI", "time#units": "days", "NC_GLOBAL#title": "x", "TIFFTAG_ARTIST": "me"}
OF_BANDS = {"NETCDF_DIM_time_VALUES": "{1,2}", "Band_1": "red"}


@EVERY_DRIVER
@pytest.mark.parametrize("stats", [False, True])
def test_tags_that_are_no_longer_true_are_left_out(job_on, tiled, driver, stats):
    path = tiled("tags.tif", dtype="uint16")
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(**VALUES, **PLACE, **SCENE, **OF_BANDS)
        dst.update_tags(ns="GEOLOCATION", LINE_STEP="1", X_DATASET="lon.tif")
        dst.update_tags(ns="TILING_SCHEME", NAME="GoogleMapsCompatible")
        dst.update_tags(1, _FillValue="0", scale_factor="2", units="K")
    bounds = 400030, 4999000, 400300, 4999900
    for given, function, kept, bands in (
        ({}, None, {**SCENE, **PLACE, **OF_BANDS}, {"units": "K"}),
        ({"bounds": bounds}, None, {**SCENE, **OF_BANDS}, {"units": "K"}),
        ({}, both, {**SCENE, **PLACE}, {}),
    ):
        job = job_on([path], *([function] if function else []), driver=driver, stats=stats, **given)
        with opened(job) as dst:
            assert dst.tags() == {**kept, "AREA_OR_POINT": "Area"}
            tags = dst.tags(1).items()
            assert {name: value for name, value in tags if "STATISTICS" not in name} == bands
            if driver == "GTiff":  # GDAL's COG driver drops it
                assert bool(dst.tags(ns="GEOLOCATION")) == ("bounds" not in given)
            assert dst.tags(ns="TILING_SCHEME") == {}


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


EVERY_WINDOW = pytest.mark.parametrize("windows", [None, Size(37, 20)], ids=["blocks", "parts"])


@EVERY_DRIVER
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


@EVERY_DRIVER
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
