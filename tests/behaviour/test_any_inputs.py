"""Other grids, neighbourhoods, masks and parts: equal to rasterio alone on whole arrays."""

from itertools import product

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject
from rasterio.windows import Window

from rio_mucho_cli import RioMucho, UsageError, run
from rio_mucho_cli.windows import Size

HEIGHT, WIDTH = 110, 150
UTM = "EPSG:32633"


def shape(data, window, ij, global_args):
    """Check that the core's window and ij come with the padded data."""
    n = global_args["n"]
    assert data[0].shape[1:] == (window.height + 2 * n, window.width + 2 * n)
    return data[0][:, n : n + window.height, n : n + window.width]


def focal(data, window, ij, global_args):
    """Sum over all of a neighbourhood, exactly; the padded size is returned."""
    n = global_args["n"]
    (array,) = data
    values = np.ma.filled(array, 7).astype("int64")
    total = values.copy()
    for axis in (1, 2):
        parts = [np.roll(total, shift, axis) * (shift + n + 1) for shift in range(-n, n + 1)]
        total = sum(parts)
    return total


PADS = {
    "edge": {"mode": "edge"},
    "reflect": {"mode": "reflect"},
    "constant=9": {"constant_values": 9},
    "nodata": {"constant_values": 3},
}


@pytest.mark.sweep(2)
@pytest.mark.parametrize("boundary", PADS)
@pytest.mark.parametrize("overlap", [0, 1, 7, 300])
@pytest.mark.parametrize("windows", [Size(16, 16), Size(64, 48), Size(1000, 1000), Size(37, 20)])
@pytest.mark.parametrize("masked", [False, True])
def test_overlap_equals_one_whole_pad(job_on, tiled, read, boundary, overlap, windows, masked):
    path = tiled(nodata=3)
    given = {"overlap": overlap, "boundary": boundary, "masked": masked}
    function, n = (focal, overlap) if overlap < 20 else (shape, overlap)
    made = job_on([path], function, windows=windows, global_args={"n": n}, **given)
    run(made)
    array = read(path)
    padding = ((0, 0), (n, n), (n, n))
    padded = np.pad(array, padding, **PADS[boundary])
    if masked:
        is_filled = boundary == "nodata"
        mask = np.pad(array == 3, padding, constant_values=True) if is_filled else padded == 3
        padded = np.ma.array(padded, mask=mask)
    expected = function([padded], Window(0, 0, WIDTH, HEIGHT), (0, 0), {"n": n})
    if function is focal and n:
        expected = expected[:, n:-n, n:-n]
    np.testing.assert_array_equal(read(made.output), expected)


def test_the_boundary_is_nodata_if_there_is_one_else_the_edge(job_on, tiled, read):
    paths = [tiled("a.tif", nodata=3), tiled("b.tif")]
    seen = {}

    def look(data, window, ij, global_args):
        seen.update(enumerate(data))
        return data[0]

    run(job_on(paths, look, overlap=2, windows=Size(1000, 1000)))
    assert (seen[0][:, 0] == 3).all()
    np.testing.assert_array_equal(seen[1][:, 0, 2:-2], read(paths[1])[:, 0])


def test_array_read_with_overlap_and_masks(job_on, tiled):
    paths = [tiled("a.tif", nodata=3), tiled("b.tif", count=2)]

    def look(data, window, ij, global_args):
        assert np.ma.isMaskedArray(data)
        assert data.shape == (3, window.height + 4, window.width + 4)
        assert data.mask[0, 0].all() == (window.row_off == 0)
        assert not data.mask[1:].any()
        return data[0]

    run(job_on(paths, look, mode="array_read", overlap=2, masked=True))


def offsets(other, col, row):
    """Return where another array lies in the first one's pixels."""
    return slice(row, row + other.shape[1]), slice(col, col + other.shape[2])


NORTH_UP = Affine(30, 0, 4e5, 0, -30, 5e6)


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "place",
    [NORTH_UP, NORTH_UP @ Affine.rotation(30), NORTH_UP @ Affine.scale(1, -1)],
    ids=["north up", "rotated", "south up"],
)
@pytest.mark.parametrize(
    ("executor", "windows"),
    [
        *product(["serial", "threads"], [None, Size(16, 16), Size(37, 20)]),
        ("processes", None),
    ],
    ids=str,
)
def test_inputs_that_lie_apart_by_whole_pixels(job_on, tiled, read, windows, executor, place):
    first = tiled("a.tif", nodata=0, transform=place)
    second = tiled("b.tif", seed=1, transform=place @ Affine.translation(20, -13))
    a, b = read(first)[0], read(second)[0]
    rows, cols = HEIGHT + 13, WIDTH + 20
    places = {
        "first": (slice(13, 13 + HEIGHT), slice(0, WIDTH)),
        "intersection": (slice(13, HEIGHT), slice(20, WIDTH)),
        "union": (slice(0, rows), slice(0, cols)),
    }
    on_union = np.zeros((2, rows, cols), a.dtype)
    on_union[0, 13:, :WIDTH] = a
    on_union[1, :HEIGHT, 20:] = b
    for extent, (place_rows, place_cols) in places.items():
        made = job_on([first, second], sum_of_both, extent=extent, windows=windows,
                   executor=executor, jobs=2, dtype="int32")  # fmt: skip
        run(made)
        expected = on_union.sum(axis=0, dtype="int32")[place_rows, place_cols]
        np.testing.assert_array_equal(read(made.output)[0], expected)
        with rasterio.open(made.output) as dst:
            moved = place @ Affine.translation(place_cols.start, place_rows.start - 13)
            assert dst.transform.almost_equals(moved, 1e-6)


def sum_of_both(data, window, ij, global_args):
    return data[0].astype("int32") + data[1]


@pytest.mark.sweep(2)
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
@pytest.mark.parametrize("pixel", [12.5, 30, 71.0])
@pytest.mark.parametrize("crs", [UTM, "EPSG:32634"])
def test_other_grids_are_warped_the_same_for_every_window(
    job_on, tiled, read, resampling, pixel, crs
):
    like = tiled("like.tif", dtype="uint8")
    other = tiled("b.tif", pixel=pixel, nodata=0, dtype="float32", crs=UTM)
    if crs != UTM:
        bounds = rasterio.warp.transform_bounds(UTM, crs, *rasterio.open(like).bounds)
        transform = Affine(30, 0, bounds[0], 0, -30, bounds[3])
        like = tiled("like.tif", dtype="uint8", crs=crs, transform=transform)
    outputs = []
    for windows in (Size(1000, 1000), Size(64, 48), Size(16, 16)):
        made = job_on([other], like=str(like), resampling=resampling, windows=windows)
        run(made)
        outputs.append(read(made.output))
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])
    with rasterio.open(like) as grid, rasterio.open(other) as src:
        expected = np.zeros((1, grid.height, grid.width), "float32")
        # By default GDAL takes the kernel's scale from how much of the grid an input covers.
        scale = {"XSCALE": repr(pixel / 30), "YSCALE": repr(pixel / 30)} if crs == UTM else {}
        reproject(rasterio.band(src, 1), expected, dst_transform=grid.transform, dst_crs=grid.crs,
                  dst_nodata=0, resampling=Resampling[resampling], **scale)  # fmt: skip
        assert profile_place(made.output) == (grid.crs, grid.transform, grid.width, grid.height)
    if crs == UTM:
        np.testing.assert_allclose(outputs[0], expected, rtol=1e-5, atol=1e-4)
    else:
        # reproject is up to an eighth of a pixel off between two CRSs.
        apart = np.abs(outputs[0] - expected)[(outputs[0] != 0) & (expected != 0)]
        assert np.median(apart) < 2
    assert (outputs[0] != 0).any()


def profile_place(path):
    with rasterio.open(path) as src:
        return src.crs, src.transform, src.width, src.height


@pytest.mark.parametrize("boundary", ["edge", "reflect", "nodata"])
def test_overlap_of_inputs_that_are_warped_or_moved(job_on, tiled, read, boundary):
    like, moved = tiled("like.tif"), tiled("moved.tif", col=20, row=-9, nodata=0)
    warped = tiled("warped.tif", pixel=50.0, nodata=0, dtype="float32")
    for path in (moved, warped):
        on_grid = job_on([path], like=str(like), resampling="bilinear")
        run(on_grid)
        padded = np.pad(read(on_grid.output), ((0, 0), (3, 3), (3, 3)), **{
            **PADS, "nodata": {"constant_values": 0},
        }[boundary])  # fmt: skip
        expected = focal([padded], None, None, {"n": 3})[:, 3:-3, 3:-3]
        for windows in (Size(16, 16), Size(37, 20), Size(1000, 1000)):
            made = job_on([path], focal, like=str(like), resampling="bilinear", windows=windows,
                          overlap=3, boundary=boundary, global_args={"n": 3})  # fmt: skip
            run(made)
            np.testing.assert_array_equal(read(made.output), expected)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
def test_a_part_of_a_grid_has_the_pixels_of_the_whole(job_on, tiled, read, resampling):
    world = Affine(0.05, 0, 5, 0, -0.05, 75)
    like = tiled("like.tif", crs="EPSG:4326", transform=world, width=300, height=700)
    north = tiled("north.tif", dtype="float32", transform=Affine(500, 0, 4e5, 0, -500, 7.8e6))
    made = job_on([north], like=str(like), resampling=resampling)
    run(made)
    whole = read(made.output)[:, 80:110, 140:200]
    made = job_on([north], like=str(like), resampling=resampling, bounds=(12, 69.5, 15, 71))
    run(made)
    np.testing.assert_array_equal(read(made.output), whole)
    assert whole.any()


def test_complex_integers(job_on, make_raster, tiled, read):
    array = np.ones((1, HEIGHT, WIDTH), "complex64")
    path = make_raster(
        "c.tif", array, dtype="complex_int16", transform=Affine(30, 0, 4e5, 0, -30, 5e6)
    )
    like = tiled("like.tif", col=5)
    for given in ({"like": str(like)}, {"overlap": 1, "boundary": "constant=3"}):
        made = job_on([path], **given)
        run(made)
        assert (read(made.output)[:, :, 5:145] == 1).all()


@pytest.mark.parametrize(
    "given",
    [
        {"bounds": (1, 2, 3)},
        {"bounds": (None, 1, 2, 3)},
        {"overlap": 1.5},
        {"overlap": "3"},
        {"boundary": 5},
        {"resampling": {"1": "nearest"}},
    ],
    ids=str,
)
def test_values_of_another_type(job_on, tiled, given):
    with pytest.raises(UsageError):
        run(job_on([tiled()], **given))


def test_each_input_has_its_resampling(job_on, tiled, read):
    like, coarse = tiled("like.tif"), tiled("b.tif", pixel=90.0, width=50, height=37)
    made = job_on([coarse, coarse, like], lambda data, *args: np.concatenate(data[:2]),
               like=str(like), resampling={2: "bilinear"})  # fmt: skip
    run(made)
    nearest, bilinear = read(made.output)
    assert (nearest[:, 0] == nearest[:, 1]).all()
    assert (bilinear != nearest).any()


def test_overviews_make_no_difference(job_on, tiled, read):
    like, other = tiled("like.tif", pixel=120.0, width=40, height=30), tiled("b.tif")
    digests = []
    for _ in range(2):
        made = job_on([other], like=str(like), resampling="average")
        run(made)
        digests.append(read(made.output).tobytes())
        with rasterio.open(other, "r+") as dst:
            dst.build_overviews([2, 4], Resampling.nearest)
    assert digests[0] == digests[1]


def test_what_no_input_covers_is_masked(job_on, tiled):
    like, other = tiled("like.tif"), tiled("b.tif", col=40.3, row=20.7, pixel=31.0)

    def look(data, window, ij, global_args):
        return np.ma.getmaskarray(data[0]).astype("uint8")

    made = job_on([other], look, like=str(like), masked=True)
    run(made)
    with rasterio.open(made.output) as dst:
        mask = dst.read(1)
    assert mask[:20].all()
    assert mask[:, :40].all()
    assert not mask[25:, 45:].any()


def test_manual_read_gets_datasets_on_the_grid(job_on, tiled, read):
    like, other = tiled("like.tif"), tiled("b.tif", col=20)

    def look(srcs, window, ij, global_args):
        assert isinstance(srcs[0], WarpedVRT)
        return srcs[0].read(window=window)

    made = job_on([other], look, like=str(like), mode="manual_read")
    run(made)
    np.testing.assert_array_equal(read(made.output)[0, :, 20:], read(other)[0, :, :-20])


def test_gcps_with_a_target(job_on, tiled, read, tmp_path):
    like = tiled("like.tif")
    path = tmp_path / "gcps.tif"
    with rasterio.open(like) as src:
        points = [
            rasterio.control.GroundControlPoint(row, col, 4e5 + 30 * col, 5e6 - 30 * row)
            for row in (0, HEIGHT)
            for col in (0, WIDTH)
        ]
        profile = {**src.profile, "transform": None, "crs": None}
        with rasterio.open(path, "w", **profile) as dst:
            dst.write(src.read())
            dst.gcps = points, src.crs
    made = job_on([path], like=str(like))
    run(made)
    np.testing.assert_array_equal(read(made.output)[:, 1:-1, 1:-1], read(like)[:, 1:-1, 1:-1])


def test_rotated_grids_that_are_the_same(job_on, tiled, read):
    rotated = Affine(26, 15, 4e5, 15, -26, 5e6)
    paths = [
        tiled(name, transform=rotated, seed=seed) for seed, name in enumerate(("a.tif", "b.tif"))
    ]
    made = job_on(paths, sum_of_both, overlap=0)
    run(made)
    np.testing.assert_array_equal(read(made.output), sum_of_both(list(map(read, paths)), 0, 0, 0))
    with rasterio.open(made.output) as dst:
        assert tuple(dst.transform) == tuple(rotated)


def test_bands(job_on, tiled, read):
    paths = [tiled("a.tif", count=3), tiled("b.tif", count=4, seed=1)]
    made = job_on(paths, lambda data, *args: np.concatenate(data), bidx={0: "3,1", 2: "2..4"})
    run(made)
    a, b = map(read, paths)
    np.testing.assert_array_equal(read(made.output), np.concatenate([a[[2, 0]], b[1:4]]))
    made = job_on(paths, lambda data, *args: data, mode="array_read", bidx=2, overlap=0)
    run(made)
    np.testing.assert_array_equal(read(made.output), np.stack([a[1], b[1]]))


@pytest.mark.parametrize("overlap", [0, 3])
@pytest.mark.parametrize("windows", [None, Size(16, 16), "blocks"])
def test_bounds_are_snapped_outward_and_nothing_else_is_read(job_on, tiled, read, overlap, windows):
    path = tiled()
    seen = []

    def look(data, window, ij, global_args):
        seen.append(data[0].shape)
        return data[0]

    bounds = (4e5 + 10 * 30 + 1, 5e6 - 70 * 30 + 1, 4e5 + 90 * 30 - 1, 5e6 - 20 * 30 - 1)
    made = job_on([path], look, bounds=bounds, windows=windows, overlap=overlap, boundary="edge")
    run(made)
    np.testing.assert_array_equal(read(made.output), read(path)[:, 20:70, 10:90])
    with rasterio.open(made.output) as dst:
        assert dst.bounds == (4e5 + 300, 5e6 - 2100, 4e5 + 2700, 5e6 - 600)
    side = 2 * overlap
    assert sum((r - side) * (c - side) for _, r, c in seen) == 50 * 80


def test_bounds_within_another_grid(job_on, tiled, read):
    like, other = tiled("like.tif"), tiled("b.tif", col=5, row=5)
    bounds = (4e5 + 300, 5e6 - 2100, 4e5 + 2700, 5e6 - 600)
    made = job_on([other], like=str(like), bounds=bounds)
    run(made)
    np.testing.assert_array_equal(read(made.output), read(other)[:, 15:65, 5:85])


def test_the_class_takes_them_too(tiled, read, tmp_path):
    first, second = tiled("a.tif"), tiled("b.tif", seed=1, col=20)
    with RioMucho([first, second], tmp_path / "out.tif", sum_of_both, extent="union",
                  options={"driver": "GTiff", "count": 1, "dtype": "int32"}) as rm:  # fmt: skip
        rm.run(1)
    expected = np.zeros((HEIGHT, WIDTH + 20), "int32")
    expected[:, :WIDTH] += read(first)[0]
    expected[:, 20:] += read(second)[0]
    np.testing.assert_array_equal(read(tmp_path / "out.tif")[0], expected)
    with RioMucho([first], tmp_path / "out.tif", shape, overlap=4, boundary="reflect",
                  bidx=[1], global_args={"n": 4}) as rm:  # fmt: skip
        rm.run(2)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), read(first))


def test_the_output_has_the_nodata_of_the_first_band_that_is_read(job_on, make_vrt, tiled):
    paths = [tiled("a.tif", dtype="uint8"), tiled("b.tif", dtype="int16", seed=1)]
    both = make_vrt("both.vrt", paths, [0, -5])
    for bidx, nodata, dtype in ((2, -5, "int16"), (1, 0, "uint8")):
        made = job_on([both], bidx=bidx)
        run(made)
        with rasterio.open(made.output) as dst:
            assert (dst.nodata, dst.dtypes[0]) == (nodata, dtype)
