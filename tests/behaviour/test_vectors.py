"""Vector inputs are burned into windows, whatever they come from, and in their place."""

import json
import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.features import rasterize

from rio_mucho_cli import run
from rio_mucho_cli.errors import InputError, MuchoError, UsageError

SQUARE = [(1, 1), (20, 1), (20, 12.5), (1, 12.5), (1, 1)]
TRANSFORM = Affine(30, 0, 4e5, 0, -30, 5e6)
UTM = {"type": "name", "properties": {"name": "EPSG:32633"}}


def feature(corners, **properties):
    ring = [(4e5 + 30 * col, 5e6 - 30 * row) for col, row in corners]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


FIELDS = {
    "type": "FeatureCollection",
    "crs": UTM,
    "features": [
        feature(SQUARE, crop=7, name="ä"),
        feature([(x + 10, y + 5) for x, y in SQUARE], crop=-3),
    ],
}


def last(data, window, ij, global_args):
    return data[-1]


def first(data, window, ij, global_args):
    return data[0]


def whole(**given):
    shapes = [(each["geometry"], number) for number, each in enumerate(FIELDS["features"], 1)]
    return rasterize(shapes, out_shape=(48, 64), transform=TRANSFORM, **given)


def read(path):
    with rasterio.open(path) as src:
        return src.read(1)


class Layer:
    """Like a GeoDataFrame of a CRS."""

    class crs:  # noqa: N801
        to_wkt = staticmethod(lambda: rasterio.crs.CRS.from_epsg(32633).to_wkt())

    __geo_interface__ = FIELDS


@pytest.mark.parametrize("source", [FIELDS, Layer()])
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_objects(source, executor, tif, out):
    run([tif, source], out, last, windows=16, executor=executor, jobs=2)
    np.testing.assert_array_equal(read(out), whole(dtype="uint32"))


def test_an_attribute_and_the_order_of_inputs(tif, out):
    run([FIELDS, tif], out, first, burn={1: "crop"}, windows=16, jobs=1)
    burned = read(out)
    assert burned.dtype == "int32"
    assert sorted(np.unique(burned)) == [-3, 0, 7]


def test_without_a_raster(tif, out):
    """The grid is that of `like`; its nodata and its metadata are not the output's."""
    run(FIELDS, out, last, like=tif, windows=16, jobs=1)
    with rasterio.open(out) as src:
        assert src.nodata is None
        np.testing.assert_array_equal(src.read(1), whole(dtype="uint32"))


def test_masks_and_fill_leave_numbers_alone(tif, out):
    def check(data, window, ij, global_args):
        assert data[1].dtype == "uint32"
        assert np.ma.isMaskedArray(data[1]) == np.ma.isMaskedArray(data[0])
        assert not np.ma.getmaskarray(data[1]).any()
        return np.ma.getdata(data[1])

    for options in ({"masked": True}, {"fill": np.nan}, {"skip_masked": True}):
        run([tif, FIELDS], out, check, windows=16, jobs=1, overwrite=True, **options)
        np.testing.assert_array_equal(read(out), whole(dtype="uint32"))


def test_beyond_the_raster(tif, out):
    """Margins beyond the raster are 0, as of a raster with nodata 0; others are burned."""
    seen = {}

    def look(data, window, ij, global_args):
        seen[ij] = data[1][0]
        return data[0][:, 2:-2, 2:-2]

    run([tif, FIELDS], out, look, windows=16, overlap=2, jobs=1)
    padded = np.pad(whole(dtype="uint32"), 2)
    np.testing.assert_array_equal(seen[0, 0], padded[:20, :20])
    np.testing.assert_array_equal(seen[1, 1], padded[16:36, 16:36])


def test_a_file_that_changes_ends_a_resumed_run(tif, out, tmp_path, module):
    """Of a vector input, the content counts, and not the time of the file."""
    module("def last(data, window, ij, global_args):\n    return data[-1]\n", "of_fields.py")
    path = tmp_path / "fields.geojson"
    path.write_text(json.dumps(FIELDS))
    options = {"windows": 16, "jobs": 1, "resume": True}
    run([tif, str(path)], out, "of_fields:last", **options)
    os.utime(path, (1, 1))
    assert run([tif, str(path)], out, "of_fields:last", **options).resumed == 12
    path.write_text(json.dumps({**FIELDS, "features": FIELDS["features"][:1]}))
    with pytest.raises(Exception, match="exists"):
        run([tif, str(path)], out, "of_fields:last", **options)


def test_what_cannot_be(tif, out, tmp_path):
    with pytest.raises(UsageError, match="there is no raster: give one as an input, or its grid"):
        run(FIELDS, out, last)
    with pytest.raises(UsageError, match="manual_read"):
        run([tif, FIELDS], out, last, mode="manual_read")
    with pytest.raises(UsageError, match="burn is given for input 1"):
        run([tif, FIELDS], out, last, burn={1: "crop"})
    with pytest.raises(UsageError, match="bidx is given for input 2, features, a vector input"):
        run([tif, FIELDS], out, last, bidx={2: 1})
    with pytest.raises(UsageError, match="burn is 3"):
        run([tif, FIELDS], out, last, burn=3)
    with pytest.raises(InputError, match="did you mean 'crop'"):
        run([tif, FIELDS], out, last, burn="crops")
    (tmp_path / "a.json").write_text('{"a": 1}')  # not features: GDAL's message
    with pytest.raises(InputError, match="not recognized"):
        run([tif, str(tmp_path / "a.json")], out, last)


def test_options_for_rasters_count_all_inputs(make_raster, tif, out):
    bands = str(make_raster("bands.tif", count=3, width=64, height=48, seed=4))
    run([tif, FIELDS, bands], out, last, bidx={3: 2}, windows=16, jobs=1)
    with rasterio.open(bands) as src:
        np.testing.assert_array_equal(read(out), src.read(2))


def look_up(data, window, ij, global_args, *, info):
    """Burn crops by the properties of features, and check what they are."""
    numbers = [feature["number"] for feature in info.features]
    assert set(np.unique(data[1])) - {0} <= set(numbers)
    crops = {each["number"]: each["properties"]["crop"] for each in info.features}
    if 1 in crops:
        (ring,) = info.feature_of(1)["geometry"]["coordinates"]
        assert ring == FIELDS["features"][0]["geometry"]["coordinates"][0]
    return np.array([crops.get(n, 0) for n in data[1].ravel()], "int32").reshape(data[1].shape)


class LookUp:
    def __call__(self, data, window, ij, global_args, *, info):
        return look_up(data, window, ij, global_args, info=info)


@pytest.mark.parametrize("function", [look_up, LookUp])
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_functions_get_shapes_and_properties(function, executor, tif, out, tmp_path):
    run([tif, FIELDS], out, function, windows=16, executor=executor, jobs=2)
    expected = tmp_path / "crops.tif"
    run([tif, FIELDS], str(expected), last, burn="crop", jobs=1)
    np.testing.assert_array_equal(read(out), read(expected))


def test_there_is_no_such_feature(tif, out):
    def ask(data, window, ij, global_args, *, info):
        return info.feature_of(global_args["number"])

    with pytest.raises(MuchoError, match="there is no feature 3: expected a number from 1 to 2"):
        run([tif, FIELDS], out, ask, global_args={"number": 3}, jobs=1)
    with pytest.raises(MuchoError, match=r"info\.features needs a vector input"):
        run(tif, out, ask, global_args={"number": 1}, jobs=1)
