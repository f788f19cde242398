"""With an area of interest, only what touches it is computed, and the rest is nodata."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom
from rasterio.windows import Window

from rio_mucho_cli import Output, reduce, run
from rio_mucho_cli.errors import GridError, InputError

# By rasterio's own mask.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

# In pixels: a polygon with a hole, another one, and neither touches the right half.
OUTER = [(8.3, 9.2), (40.7, 12.1), (30.2, 44.9), (12, 40), (8.3, 9.2)]
HOLE = [(16.2, 18.1), (30.4, 19), (25, 30.3), (16.2, 18.1)]
OTHER = [(50.1, 70.2), (66.6, 71.3), (60, 90.7), (50.1, 70.2)]


def placed(ring):
    return [(4e5 + 30 * col, 5e6 - 30 * row) for col, row in ring]


AREA = {
    "type": "MultiPolygon",
    "coordinates": [[placed(OUTER), placed(HOLE)], [placed(OTHER)]],
}
CRS = {"type": "name", "properties": {"name": "EPSG:32633"}}
FEATURE = {"type": "Feature", "geometry": AREA, "properties": {}, "crs": CRS}


def double(data, window, ij, global_args):
    return data[0] * 2


def plain(data, window, ij, global_args):
    return np.ma.getdata(data[0])


@pytest.fixture
def raster(tiled):
    return str(tiled(nodata=0))


def crop(path):
    """Return what rio mask --crop makes of a raster, as (masked array, transform)."""
    from rasterio.mask import mask

    with rasterio.open(path) as src:
        return mask(src, [AREA], crop=True, filled=False)


def read(path):
    with rasterio.open(path) as src:
        return src.read(masked=True), src.transform


def assert_as_mask(path, raster, function=lambda pixels: pixels * 2):
    expected, transform = crop(raster)
    found, own = read(path)
    assert own.almost_equals(transform)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(found.compressed(), function(expected.compressed()))


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("windows", [16, 1000, (64, 16)])
def test_an_area_is_as_by_rio_mask(executor, windows, raster, out):
    run(raster, out, double, aoi=FEATURE, windows=windows, executor=executor, jobs=2)
    assert_as_mask(out, raster)


@pytest.mark.parametrize(
    "options",
    [
        {"driver": "COG", "creation_options": {"blocksize": "128"}},
        {"nodata": None},
        {"overlap": 3, "boundary": "reflect"},
        {"masked": True},
        {"fill": 7.0},
        {"dtype": "int32", "nodata": -1},
        {"creation_options": {"compress": "lzw"}, "mem_limit": 4000},
    ],
    ids=str,
)
def test_whatever_the_output(options, raster, out):
    run(raster, out, double, aoi=FEATURE, windows=16, jobs=1, stats=True, **options)
    assert_as_mask(out, raster)
    expected, _ = crop(raster)
    with rasterio.open(out) as src:
        tags = src.tags(1)
    assert float(tags["STATISTICS_MEAN"]) == pytest.approx(float(expected.mean()) * 2)


def test_an_open_output_and_a_complete_profile(raster, out):
    with rasterio.open(raster) as src:
        grid = {"transform": src.transform, "crs": src.crs}
    shape = (110, 150)
    outside = geometry_mask([AREA], shape, grid["transform"])
    with rasterio.open(raster) as src:
        expected = np.where(outside, 0, src.read(1))
    bounds = (4e5, 5e6 - 110 * 30, 4e5 + 150 * 30, 5e6)
    profile = {
        "driver": "GTiff", "width": 150, "height": 110, "count": 1, "dtype": "uint16",
        "tiled": True, "blockxsize": 16, "blockysize": 16, **grid,
    }  # fmt: skip
    run(raster, out, plain, aoi=FEATURE, bounds=bounds, profile=profile, windows=16, jobs=1)
    found, _ = read(out)
    np.testing.assert_array_equal(np.ma.getmaskarray(found)[0], outside)
    np.testing.assert_array_equal(found.filled(0)[0], expected)


def test_a_mosaic_has_no_parts_outside(raster, tmp_path):
    out = str(tmp_path / "out.vrt")
    run(raster, out, double, aoi=FEATURE, windows=16, part_size=16, jobs=1)
    assert_as_mask(out, raster)
    assert len(list(tmp_path.rglob("*_*.tif"))) < 24


def test_several_outputs_and_values(raster, out, tmp_path):
    seen = []

    def both(data, window, ij, global_args):
        seen.append(ij)
        return {"a": data[0], "n": {"pixels": int(data[0].count())}}

    values = tmp_path / "n.json"
    also = [
        Output(name="n", path=str(values), merge=lambda a, b: {"pixels": a["pixels"] + b["pixels"]})
    ]
    run(raster, out, both, aoi=FEATURE, windows=16, jobs=1, masked=True, also=also)
    assert len(seen) < 20
    assert json.loads(values.read_text())["pixels"] == crop(raster)[0].count()
    total = reduce(
        raster, lambda data, *_: int(data[0].sum()), aoi=FEATURE, masked=True, merge="sum"
    )
    assert total == crop(raster)[0].sum()


def test_what_is_outside_is_not_read(raster, out):
    """Windows outside the area may be damaged: here, the function looks at nothing else."""
    calls = []

    def look(data, window, ij, global_args):
        calls.append(window)
        return data[0]

    run(raster, out, look, aoi=FEATURE, windows=16, jobs=1)
    with rasterio.open(out) as src:
        outside = geometry_mask([AREA], src.shape, src.transform)
        total = -(-src.width // 16) * -(-src.height // 16)
    assert len(calls) < total
    assert all(not outside[window.toslices()].all() for window in calls)


def test_masks_reach_the_function(raster, out):
    masks = {}

    def look(data, window, ij, global_args):
        masks[ij] = np.ma.getmaskarray(data[0])[0]
        return data[0][:, 1:-1, 1:-1]

    bounds = (4e5, 5e6 - 110 * 30, 4e5 + 150 * 30, 5e6)
    run(raster, out, look, aoi=FEATURE, bounds=bounds, windows=16, overlap=1, masked=True, jobs=1)
    with rasterio.open(raster) as src:
        whole = geometry_mask([AREA], src.shape, src.transform) | (src.read(1) == 0)
    np.testing.assert_array_equal(masks[1, 1], whole[15:33, 15:33])


@pytest.mark.parametrize("kind", ["LineString", "MultiPoint"])
def test_lines_and_points_are_as_by_rio_mask(kind, raster, out):
    shape = {"type": kind, "coordinates": placed(OUTER)}
    run(raster, out, double, aoi={**shape, "crs": CRS}, windows=16, jobs=1)
    with rasterio.open(out) as src:
        outside = geometry_mask([shape], src.shape, src.transform)
        np.testing.assert_array_equal(src.read_masks(1) == 0, outside | (src.read(1) == 0))


def test_an_area_in_degrees(raster, out):
    """The extent is that of the area in the CRS of the raster."""
    degrees = transform_geom("EPSG:32633", "EPSG:4326", AREA)
    run(raster, out, double, aoi=degrees, windows=16, jobs=1)
    expected, transform = crop(raster)
    found, own = read(out)
    assert own.almost_equals(transform)
    assert (np.ma.getmaskarray(found) != np.ma.getmaskarray(expected)).sum() <= 2


def test_an_area_on_a_rotated_grid(make_raster, out):
    from affine import Affine

    turned = str(make_raster(
        "turned.tif", width=90, height=70, nodata=0, tiled=True, blockxsize=16, blockysize=16,
        transform=Affine(25, 12, 4e5, 12, -25, 5e6),
    ))  # fmt: skip
    run(turned, out, double, aoi=FEATURE, windows=16, jobs=1)
    with rasterio.open(out) as src, rasterio.open(turned) as whole:
        outside = geometry_mask([AREA], src.shape, src.transform)
        col, row = (round(each) for each in ~whole.transform @ (src.transform.c, src.transform.f))
        pixels = whole.read(1, window=Window(col, row, src.width, src.height))
        np.testing.assert_array_equal(src.read(1), np.where(outside, 0, pixels * 2))


def test_an_area_elsewhere(raster, out, tmp_path):
    far = {"type": "Point", "coordinates": (170, -40)}
    with pytest.raises(GridError, match=r"the area of interest is at .* in EPSG:32633, and the r"):
        run(raster, out, double, aoi=far)
    with pytest.raises(GridError, match="has no geometries"):
        run(raster, out, double, aoi={"type": "FeatureCollection", "features": []})
    with pytest.raises(InputError, match="No such file"):
        run(raster, out, double, aoi=str(tmp_path / "a.geojson"))
    with pytest.raises(GridError, match="the area of interest is at"):
        run(raster, out, double, aoi=FEATURE, bounds=(4e5 + 3600, 5e6 - 600, 4e5 + 4200, 5e6))
