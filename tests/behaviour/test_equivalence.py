"""The master property: the output equals the whole-array computation.

For every executor, every number of jobs and every window size, the pixels are
those of the function applied to the whole arrays; with the same windows, the
bytes of the file are the same. Every new feature joins in here.
"""

import csv
import hashlib
import io
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from types import SimpleNamespace

import loky
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio import transform, warp
from rasterio.features import geometry_mask, rasterize
from rasterio.windows import Window
from stac_items import earth_search_v1, without_grids

from rio_mucho_cli import Job, Output, reduce, run
from rio_mucho_cli.reductions import Bounds, Counts, Histogram, Statistics, Zonal
from rio_mucho_cli.windows import Size, pairs_of, window_grid

WIDTH, HEIGHT = 300, 210
TRANSFORM = Affine(30, 0, 400000, 0, -30, 5000000)
MOVED = Affine(30, 0, 400000 - 20 * 30, 0, -30, 5000000 - 13 * 30)
WAYS = [("serial", 1), *product(["threads", "processes"], [2, 5])]
WINDOWS = [None, "blocks", Size(64, 64), Size(100, 37), Size(300, 16), Size(1000, 1000)]


def make_fields():
    """Return features across windows and beyond the raster; some have edges on pixels."""
    rng = np.random.default_rng(0)
    features = []
    for number in range(30):
        col, row = rng.uniform((-20, -20), (WIDTH - 60, HEIGHT))
        angles, radii = np.sort(rng.uniform(0, 2 * np.pi, 7)), rng.uniform(2, 50, 7)
        corners = np.stack([col + radii * np.cos(angles), row + radii * np.sin(angles)], axis=1)
        corners = np.round(corners * 2) / 2 if number % 3 == 0 else corners
        xs, ys = 400000 + 30 * corners[:, 0], 5000000 - 30 * corners[:, 1]
        ring = [*zip(xs.tolist(), ys.tolist(), strict=True)]
        shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
        if number % 5 == 4:
            shape = {"type": "LineString", "coordinates": ring}
        properties = {"height": number + 0.5}
        features.append({"type": "Feature", "geometry": shape, "properties": properties})
    return features


FIELDS = make_fields()
UTM = {"type": "name", "properties": {"name": "EPSG:32633"}}
AREA = {"type": "FeatureCollection", "crs": UTM, "features": FIELDS[5:8]}


def index(data, window, ij, global_args):
    a, b = (band[0].astype("float32") for band in data)
    return (a - b) / (a + b + global_args["eps"])


def stretch(data, window, ij, global_args):
    (rgb,) = data
    return np.clip(rgb.astype("float64") * global_args["gain"], 0, 255).astype("uint8")


def total(data, window, ij, global_args):
    return data.sum(axis=0, dtype="int32")


def slope(srcs, window, ij, global_args):
    """Look at neighbours: what is read depends on the window, the result must not."""
    (src,) = srcs
    row, col = window.row_off, window.col_off
    top, left = max(row - 1, 0), max(col - 1, 0)
    bottom = min(row + window.height + 1, src.height)
    right = min(col + window.width + 1, src.width)
    data = src.read(1, window=Window(left, top, right - left, bottom - top))
    pad = (
        (int(top == row), int(bottom == row + window.height)),
        (int(left == col), int(right == col + window.width)),
    )
    data = np.pad(data, pad, mode="edge")
    return np.hypot(data[2:, 1:-1] - data[:-2, 1:-1], data[1:-1, 2:] - data[1:-1, :-2])


def shade(data, window, ij, global_args):
    """Mask pixels, for which the output has no nodata."""
    return np.ma.masked_less(data[0], global_args["least"])


def darken(data, window, ij, global_args):
    """Darken what can be seen; opacity, the last band, stays."""
    (rgba,) = data
    return np.ma.concatenate([rgba[:3] // np.uint8(2), rgba[3:]])


def total_of_all(data, window, ij, global_args):
    """Add up inputs of several dtypes."""
    return sum(array.astype("float64") for array in data)


class Product:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, data, window, ij, global_args):
        return data[0] * np.uint16(self.factor)


def matmul(data, window, ij, global_args):
    """Use BLAS, whose last digits depend on its number of threads."""
    band = data[0][0].astype("float64")
    return band * (global_args["weights"] @ global_args["weights"]).trace()


@pytest.fixture
def inputs(make_raster, make_vrt):
    strips = {"tiled": False, "blockysize": 1}
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    size = {"height": HEIGHT, "width": WIDTH}
    rgba = make_raster("rgba.tif", count=4, dtype="uint8", photometric="rgb", alpha="yes", **size)
    with rasterio.open(rgba, "r+") as dst:
        dst.write(np.indices((HEIGHT, WIDTH)).sum(axis=0).astype("uint8") // 64 * 64, 4)
    of_dtypes = [
        make_raster(f"{dtype}.tif", dtype=dtype, nodata=100, **size) for dtype in ("uint8", "int16")
    ]
    fields = rgba.parent / "fields.geojson"
    fields.write_text(json.dumps({"type": "FeatureCollection", "crs": UTM, "features": FIELDS}))
    return {
        "fields": fields,
        "rgba": rgba,
        "dtypes": make_vrt("dtypes.vrt", of_dtypes, [100, -9]),
        "a": make_raster("a.tif", **size, **tiles),
        "b": make_raster("b.tif", seed=1, **size, **strips),
        "moved": make_raster("m.tif", seed=2, **size, **tiles, transform=MOVED),
        "rgb": make_raster("rgb.tif", count=3, dtype="uint8", interleave="pixel", **size, **strips),
        "holes": make_raster("holes.tif", seed=3, dtype="uint8", nodata=100, **size, **tiles),
        "dem": make_raster("dem.tif", dtype="float32", nodata=-9999, **size, **strips),
    }


def mean(data, window, ij, global_args):
    """Look at neighbours that come with the data; the padded size is returned."""
    total = data.astype("int64")
    for axis in (1, 2):
        total = np.roll(total, 1, axis) + total + np.roll(total, -1, axis)
    return total


def extremes(data, window, ij, global_args):
    """Return several arrays: each for an output of its own."""
    stack = np.stack([band[0] for band in data])
    return {"least": stack.min(axis=0), "both": stack.astype("float32"), "most": stack.max(axis=0)}


def smooth(data, window, ij, global_args):
    return mean(data, window, ij, global_args) / np.float32(9)


# What it needs and makes is its own affair: no option says so.
smooth.output = {
    "overlap": 2, "masked": True, "dtype": "float32", "nodata": -1, "count": 2, "units": "m",
    "descriptions": ["a", "b"], "band_tags": [{"OF": "a"}, {"OF": "b"}], "tags": {"TITLE": "x"},
}  # fmt: skip


class Difference:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, a, b):
        return a.astype("int32") - self.factor * b


class Buffer:
    """Return the same array for all windows of a size."""

    def __init__(self):
        self.results = {}

    def __call__(self, data, window, ij, global_args):
        result = self.results.setdefault(data[0].shape, np.ma.masked_all_like(data[0]))
        result.mask[:] = np.greater(data[0], 100)
        result.data[:] = data[0] + 1
        return result


def place(data, window, ij, global_args, *, info):
    """Compute from coordinates, margin included; the padded size is returned."""
    xs, ys = info.xy()
    lons, lats = info.lonlat()
    return np.stack([data[0][0] + xs / 7, ys * info.res[1] + info.shape[0], lons, lats])


class Place:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, dem, *, info):
        return (info.xy()[0] - info.grid_transform.c) * self.factor + dem


def around(array):
    """Add up a neighbourhood, in which NaN spreads; the padded size is returned."""
    rows, cols = array.shape[0] - 2, array.shape[1] - 2
    parts = [array[i : i + rows, j : j + cols] for i in range(3) for j in range(3)]
    return np.pad(np.sum(parts, axis=0), 1)


CASES = {
    "index": (["a", "b"], index, "simple_read", {"eps": 1}),
    "stretch": (["rgb"], stretch, "simple_read", {"gain": 1.3}),
    "total": (["a", "b", "rgb"], total, "array_read", {}),
    "slope": (["dem"], slope, "manual_read", {}),
    "mask": (["b"], shade, "simple_read", {"least": 100}),
    "cast": (["b"], shade, "simple_read", {"least": 100}),
    "overlap": (["a", "b"], mean, "array_read", {}),
    "declared": (["a", "b"], smooth, "array_read", {}),
    "masks": (["dem"], shade, "simple_read", {"least": 100}),
    "opacity": (["rgba"], darken, "simple_read", {}),
    "dtypes": (["a", "dtypes"], total, "array_read", {}),
    "bands": (["a", "rgb"], total, "array_read", {}),
    "bounds": (["a", "b"], index, "simple_read", {"eps": 1}),
    "union": (["a", "moved"], index, "simple_read", {"eps": 1}),
    "vectors": (["a", "fields"], mean, "array_read", {}),
    "burned": (["fields", "a", "fields"], total_of_all, "simple_read", {}),
    "area": (["a", "rgb"], total, "array_read", {}),
    "class": (["a"], Product, "simple_read", {"factor": 3}),
    "plain": (["a", "b"], np.hypot, "simple_read", {}),
    "plain class": (["a", "b"], Difference, "simple_read", {"factor": 3}),
    "outputs": (["a", "b"], extremes, "simple_read", {}),
    "overviews": (["rgb"], stretch, "simple_read", {"gain": 1.3}),
    "COG": (["a", "b", "rgb"], total, "array_read", {}),
    "COG with a mask": (["b"], shade, "simple_read", {"least": 100}),
    "buffer": (["b"], Buffer, "simple_read", {}),
    "fill": (["holes"], around, "simple_read", {}),
    "place": (["a"], place, "simple_read", {}),
    "plain place": (["dem"], Place, "simple_read", {"factor": 1.7}),
    "given nodata": (["b"], around, "simple_read", {}),
    "closure": (["b"], lambda data, window, ij, global_args: data[0] + 1, "simple_read", {}),
}


TILES = {"blocksize": "128", "compress": "deflate"}
DESCRIBED = {"overviews": (2, 4), "overview_resampling": "average", "stats": True}

FILLED = {"plain": True, "fill": np.nan, "overlap": 1, "boundary": "edge", "dtype": "int32"}

# What is asked for beside the function.
GIVEN = {
    "cast": {"dtype": "int8", "nodata": -1},
    "overlap": {"overlap": 2, "boundary": "reflect"},
    "place": {"overlap": 2, "boundary": "reflect"},
    "plain place": {"plain": True},
    "declared": {"boundary": "reflect", "stats": True},
    "masks": {"overlap": 40, "boundary": "constant=7", "masked": True},
    "opacity": {"masked": True, "stats": True},
    "dtypes": {"overlap": 1},
    "bands": {"bidx": {2: "3,1"}},
    "bounds": {"bounds": (400290, 4996100, 406001, 4999330)},
    "union": {"extent": "union"},
    "vectors": {"overlap": 2, "boundary": "reflect"},
    "burned": {"burn": {1: "height", 3: ",all_touched"}},
    "area": {"aoi": AREA, "bounds": (400290, 4996100, 406001, 4999330), **DESCRIBED},
    "plain": {"plain": True},
    "plain class": {"plain": True},
    "fill": FILLED,
    "given nodata": {**FILLED, "src_nodata": 100},
    "outputs": DESCRIBED,
    "overviews": DESCRIBED,
    "COG": {"driver": "COG", "creation_options": TILES, **DESCRIBED},
    "COG with a mask": {"driver": "COG", "creation_options": TILES, "stats": True},
}

# Further outputs.
ALSO = {
    "outputs": {"both": {}, "most": {"driver": "COG", "dtype": "int32", "creation_options": TILES}},
}


def burn_fields(case, position):
    """Burn fields into the whole grid with rasterio alone."""
    by_height = case == "burned" and position == 0
    shapes = [
        (feature["geometry"], feature["properties"]["height"] if by_height else number)
        for number, feature in enumerate(FIELDS, 1)
    ]
    return rasterize(
        shapes,
        out_shape=(HEIGHT, WIDTH),
        transform=TRANSFORM,
        all_touched=case == "burned" and position > 0,
        dtype="float64" if by_height else "uint32",
    )[np.newaxis]


def read_whole(names, inputs, case):
    """Read whole arrays as a case's options have them, with numpy alone."""
    arrays = []
    for position, name in enumerate(names):
        if name == "fields":
            arrays.append(burn_fields(case, position))
            continue
        with rasterio.open(inputs[name]) as src:
            if name == "dtypes":
                arrays.append(np.stack([src.read(1), src.read(2)]))
            else:
                arrays.append(src.read(masked=case in {"masks", "opacity"}))
    if case == "dtypes":
        a, (first, second) = (
            np.pad(array, ((0, 0), (1, 1), (1, 1)), mode="edge") for array in arrays
        )
        inside = np.pad(np.ones((HEIGHT, WIDTH), bool), 1)
        return [a, np.stack([np.where(inside, first, 100), np.where(inside, second, -9)])]
    if case in {"overlap", "place", "declared", "vectors"}:
        return [np.pad(array, ((0, 0), (2, 2), (2, 2)), mode="reflect") for array in arrays]
    if case == "masks":
        pad = ((0, 0), (40, 40), (40, 40))
        return [
            np.ma.array(
                np.pad(array.data, pad, constant_values=7),
                mask=np.pad(np.ma.getmaskarray(array), pad),
            )
            for array in arrays
        ]
    if "fill" in GIVEN.get(case, {}):
        padded = np.pad(arrays[0], ((0, 0), (1, 1), (1, 1)), mode="edge").astype("float32")
        return [np.where(padded == 100, np.nan, padded)]
    if case == "bands":
        return [arrays[0], arrays[1][[2, 0]]]
    if case in {"bounds", "area"}:
        return [array[:, 22:130, 9:201] for array in arrays]
    if case == "union":  # "moved" begins 20 columns before and 13 rows below the others
        return [
            np.pad(array, ((0, 0), (13, 0), (0, 20)))
            if name == "moved"
            else np.pad(array, ((0, 0), (0, 13), (20, 0)))
            for name, array in zip(names, arrays, strict=True)
        ]
    return arrays


def info_of(src, overlap):
    """Return what a function is told of a whole raster, by rasterio."""
    rows, cols = (length + 2 * overlap for length in src.shape)
    down, across = np.indices((rows, cols)) - overlap
    xy = [
        np.reshape(axis, (rows, cols))
        for axis in transform.xy(src.transform, down.ravel(), across.ravel())
    ]
    lonlat = warp.transform(src.crs, "EPSG:4326", xy[0].ravel(), xy[1].ravel())
    return SimpleNamespace(
        xy=lambda: xy,
        lonlat=lambda: [np.reshape(axis, (rows, cols)) for axis in lonlat],
        res=src.res,
        shape=src.shape,
        grid_transform=src.transform,
    )


def whole(names, function, mode, global_args, inputs, case):
    """Apply a function to the whole arrays, without this package's engine: by output."""
    is_class = isinstance(function, type)
    call = function(**global_args) if is_class else function
    window = Window(0, 0, WIDTH, HEIGHT)
    srcs = [rasterio.open(inputs[name]) for name in names if name != "fields"]
    arrays = read_whole(names, inputs, case)
    data = {"manual_read": srcs, "simple_read": arrays}.get(mode)
    if data is None:
        data = np.ma.concatenate(arrays) if case == "masks" else np.concatenate(arrays)
    info = {}
    if "place" in case:
        info["info"] = info_of(srcs[0], GIVEN[case].get("overlap", 0))
    if GIVEN.get(case, {}).get("plain"):
        flat = [band[0] if len(band) == 1 else band for band in data]
        result = call(*flat, **({} if is_class else global_args), **info)
    else:
        result = call(data, window, (0, 0), global_args, **info)
    for src in srcs:
        src.close()
    results = result if isinstance(result, dict) else {"out": result}
    given = {**getattr(function, "output", {}), **GIVEN.get(case, {})}
    n = given.get("overlap", 0)
    found = {}
    for name, array in results.items():
        array = array if array.ndim == 3 else array[np.newaxis]
        if case == "area":
            shapes = [feature["geometry"] for feature in AREA["features"]]
            outside = geometry_mask(shapes, (HEIGHT, WIDTH), TRANSFORM)[22:130, 9:201]
            array = np.ma.array(array, mask=[outside] * len(array))
        if "fill" in GIVEN.get(case, {}):
            array = np.ma.array(np.nan_to_num(array), mask=np.isnan(array))
        also = ALSO.get(case, {})
        asked = also.get(name, given).get("dtype")
        array = array.astype(asked or array.dtype)
        found[name if name in also else "out"] = array[:, n:-n, n:-n] if n else array
    return found


def assert_equal(path, expected):
    with rasterio.open(path) as src:
        result = src.read()
        assert result.dtype == expected.dtype
        filled = np.ma.filled(expected, 0 if src.nodata is None else src.nodata)
        np.testing.assert_array_equal(result, filled)
        np.testing.assert_array_equal(src.read_masks(1) == 0, np.ma.getmaskarray(expected)[0])


def rounded(tag):
    name, text = tag
    return name, f"{float(text):.12g}" if name.startswith("STATISTICS_") else text


def description(path):
    """Return a hash of what a GeoTIFF has beside its pixels: overviews, and statistics of integers.

    Overviews of COGs are left out: GDAL's driver, which makes some, rounds their sizes down.
    Windows change the last digits of statistics: 12 of 14 are compared.
    """
    with rasterio.open(path) as src:
        is_cog = src.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
        tags = [src.tags(index) for index in src.indexes]
        levels = range(0 if is_cog else len(src.overviews(1)))
        statistics = (
            []
            if "float" in src.dtypes[0]
            else [sorted(map(rounded, band.items())) for band in tags]
        )
    overviews = []
    for level in levels:
        with rasterio.open(path, overview_level=level) as src:
            overviews.append(src.read().tobytes())
    return hashlib.sha256(repr([statistics, overviews]).encode()).hexdigest()


def job_of(case, inputs, paths, **given):
    """Return the job of a case, whose outputs go to paths by their names."""
    names, function, mode, global_args = CASES[case]
    return Job(
        inputs=[str(inputs[name]) for name in names],
        output=str(paths["out"]),
        function=function,
        mode=mode,
        global_args=global_args,
        overwrite=True,
        also=[
            Output(name=name, path=paths[name], **more) for name, more in ALSO.get(case, {}).items()
        ],
        **given,
        **GIVEN.get(case, {}),
    )


# Windows for which threads are tried as well, by their number.
THREADS = {2: [Size(64, 64)], 5: [Size(100, 37)]}


@pytest.mark.parametrize("case", CASES)
def test_pixels_equal_the_whole_array_computation(case, inputs, tmp_path, leftovers):
    names, function, mode, global_args = CASES[case]
    expected = whole(names, function, mode, global_args, inputs, case)
    paths = {name: tmp_path / f"{name}.tif" for name in expected}
    descriptions = set()
    for windows in WINDOWS:
        digests = set()
        for executor, jobs in WAYS:
            if executor == "processes":
                continue  # starting them takes most of a test's time: see the tests below
            if executor == "threads" and windows not in THREADS[jobs]:
                continue
            job = job_of(case, inputs, paths, windows=windows, executor=executor, jobs=jobs)
            report = run(job)
            for name, array in expected.items():
                assert_equal(paths[name], array)
            contents = b"".join(path.read_bytes() for path in paths.values())
            digests.add((hashlib.sha256(contents).hexdigest(), report.value_loss))
        assert (case == "cast") == any(report.value_loss)
        assert len(digests) == 1, f"bytes differ for windows {windows}"
        descriptions.add(tuple(map(description, paths.values())))
    assert len(descriptions) == 1
    assert not leftovers()


@pytest.fixture(scope="module")
def elsewhere(cluster):
    """Return workers that are there already: dask's, loky's, and threads."""
    with loky.ProcessPoolExecutor(2) as processes, ThreadPoolExecutor(2) as threads:
        yield [
            {"executor": "dask", "scheduler": cluster.address},
            {"executor": processes},
            {"executor": threads},
        ]


SOME = ["index", "slope", "outputs", "COG", "plain class", "place", "closure", "declared"]
SAMPLE = [
    case if case in SOME else pytest.param(case, marks=pytest.mark.campaign) for case in CASES
]


@pytest.mark.parametrize("case", SAMPLE)
def test_workers_elsewhere_give_the_same_bytes(case, inputs, tmp_path, elsewhere, leftovers):
    check_bytes(case, inputs, tmp_path, elsewhere)
    assert not leftovers()


@pytest.mark.sweep(1)
@pytest.mark.parametrize("as_on_windows", [True, False])
@pytest.mark.parametrize("case", SAMPLE)
def test_processes_give_the_same_bytes(
    case, as_on_windows, inputs, tmp_path, leftovers, monkeypatch
):
    if as_on_windows:
        monkeypatch.delattr(socket, "send_fds")
    timeout = None if as_on_windows else 600.0
    check_bytes(case, inputs, tmp_path, [{"executor": "processes", "timeout": timeout}])
    assert not leftovers()


def check_bytes(case, inputs, tmp_path, ways):
    """Run a case in several ways, and compare what they write with what `serial` does."""
    paths = {name: tmp_path / f"{name}.tif" for name in ["out", *ALSO.get(case, {})]}
    digests = set()
    for where in [{"executor": "serial"}, *ways]:
        run(job_of(case, inputs, paths, windows=Size(64, 64), jobs=2, **where))
        contents = b"".join(path.read_bytes() for path in paths.values())
        digests.add(hashlib.sha256(contents).hexdigest())
    assert len(digests) == 1


# Windows, side of parts, executor, jobs.
MOSAICS = [
    (None, 128, "processes", 2),
    (Size(64, 64), 64, "serial", 1),
    (Size(100, 37), 111, "serial", 1),
    (Size(100, 37), 111, "threads", 2),
]


@pytest.mark.sweep(1)
@pytest.mark.parametrize(("windows", "part_size", "executor", "jobs"), MOSAICS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_mosaics_equal_the_whole_array_computation(
    case, windows, part_size, executor, jobs, inputs, tmp_path, leftovers
):
    names, function, mode, global_args = CASES[case]
    expected = whole(names, function, mode, global_args, inputs, case)
    paths = {name: tmp_path / f"{name}.vrt" for name in expected}
    given = {"windows": windows, "part_size": part_size, "executor": executor, "jobs": jobs}
    run(job_of(case, inputs, paths, **given))
    for name, array in expected.items():
        assert_equal(paths[name], array)
    assert not leftovers()
    for path in paths.values():
        assert len(list(path.with_name(f"{path.name}.parts").iterdir())) == 1


# Columns and rows at which scenes of 180 x 120 pixels begin.
SCENES = [(0, 0), (-90, 40), (150, -60), (100, 100), (-20, 130), (280, 200), (400, 0)]


def median(data, window, ij, global_args):
    return np.ma.median(np.ma.stack(data), axis=0)


@pytest.fixture
def series(make_raster):
    """Return items of scenes, with what a median of all has to be: (2, rows, cols)."""
    items, stack = [], np.ma.masked_all((len(SCENES), 2, HEIGHT, WIDTH), "uint16")
    rows, cols = np.indices((HEIGHT, WIDTH))
    for number, (col, row) in enumerate(SCENES):
        values = np.random.default_rng(number).integers(90, 110, (2, 120, 180), "uint16")
        place = TRANSFORM @ Affine.translation(col, row)
        paths = {
            kind: make_raster(f"{number}/{kind}.tif", band[np.newaxis], transform=place, nodata=100)
            for kind, band in zip(("red", "nir"), values, strict=True)
        }
        maker = earth_search_v1 if number % 2 else without_grids
        items.append(maker(f"S{number}", paths, "2024-06-01T10:00:00Z"))
        inside = (rows >= row) & (rows < row + 120) & (cols >= col) & (cols < col + 180)
        stack[number][:, inside] = values[:, rows[inside] - row, cols[inside] - col]
    return items, np.ma.median(np.ma.masked_equal(stack, 100), axis=0)


@pytest.mark.parametrize("name", ["out.tif", "out.vrt"])
def test_series_equal_the_whole_array_computation(series, name, inputs, tmp_path, leftovers):
    items, expected = series
    assert 0.1 < np.ma.getmaskarray(expected).mean() < 0.9
    given = {"like": str(inputs["a"]), "masked": True, "assets": ["red", "nir"], "nodata": -1}
    for windows in WINDOWS:
        digests = set()
        for executor, jobs in WAYS:
            if executor == "threads" and windows not in THREADS[jobs]:
                continue
            if executor == "processes" and (jobs, windows) != (2, WINDOWS[2]):
                continue
            job = {"windows": windows, "executor": executor, "jobs": jobs, "overwrite": True}
            run(items, tmp_path / name, median, **given, **job, part_size=None)
            assert_equal(tmp_path / name, expected)
            if name == "out.tif":
                digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        assert len(digests) <= 1
    assert not leftovers()


def test_series_in_workers_elsewhere(series, inputs, tmp_path, elsewhere):
    items, expected = series
    given = {"like": str(inputs["a"]), "masked": True, "assets": ["red", "nir"], "nodata": -1}
    for where in elsewhere:
        run(items, tmp_path / "out.tif", median, **given, **where, windows=64, overwrite=True)
        assert_equal(tmp_path / "out.tif", expected)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("jobs", [2, 5])
@pytest.mark.parametrize("windows", WINDOWS, ids=str)
def test_windows_and_jobs_make_no_difference_to_processes(windows, jobs, inputs, tmp_path):
    outputs = []
    for executor in ("serial", "processes"):
        outputs.append(tmp_path / f"{executor}.tif")
        job = Job(
            inputs=[str(inputs["a"]), str(inputs["b"])],
            output=str(outputs[-1]),
            function=index,
            windows=windows,
            global_args={"eps": 1},
            executor=executor,
            jobs=jobs,
        )
        run(job)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_numeric_libraries_give_the_same_digits_everywhere(inputs, tmp_path):
    weights = np.random.default_rng(0).random((400, 400))
    contents = set()
    for executor, jobs in WAYS:
        output = tmp_path / "out.tif"
        job = Job(
            inputs=[str(inputs["a"])],
            output=str(output),
            function=matmul,
            windows=Size(160, 128),
            global_args={"weights": weights},
            executor=executor,
            jobs=jobs,
            overwrite=True,
        )
        run(job)
        contents.add(output.read_bytes())
    assert len(contents) == 1


def test_windows_may_be_listed_in_any_order_and_cover_a_part(inputs, tmp_path, read):
    pairs = pairs_of(window_grid(WIDTH, HEIGHT, Size(64, 64)))
    chosen = [pair for pair in pairs if sum(pair[1]) % 2][::-1]
    expected = np.zeros((1, HEIGHT, WIDTH), "uint16")
    source = read(inputs["a"])
    for window, _ in chosen:
        part = (slice(None), *window.toslices())
        expected[part] = source[part]
    for executor, jobs in WAYS:
        output = tmp_path / "out.tif"
        job = Job(
            inputs=[str(inputs["a"])],
            output=str(output),
            function=lambda data, window, ij, global_args: data[0],
            windows=chosen,
            executor=executor,
            jobs=jobs,
            overwrite=True,
        )
        run(job)
        np.testing.assert_array_equal(read(output), expected)


@pytest.mark.skipif(
    tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) < (3, 10),
    reason="outputs in object storage take GDAL 3.10",
)
@pytest.mark.parametrize("case", ["index", "COG"])
def test_objects_are_as_files(case, inputs, bucket, tmp_path):
    """Inputs and output in object storage: the pixels, and the bytes of a local file."""
    names, function, mode, global_args = CASES[case]
    expected = whole(names, function, mode, global_args, inputs, case)["out"]
    given = {"mode": mode, "global_args": global_args, "function": function, "overwrite": True}
    urls = [bucket.put(f"{name}.tif", inputs[name]) for name in names]
    local, got = tmp_path / "local.tif", tmp_path / "got.tif"
    for windows in WINDOWS[2:4]:
        files = [str(inputs[name]) for name in names]
        run(Job(inputs=files, output=str(local), windows=windows, **given, **GIVEN.get(case, {})))
        ways = WAYS[:2] if windows != WINDOWS[2] else [("processes", 2)]
        for executor, jobs in ways:
            run(Job(
                inputs=urls, output=bucket.url("out.tif"), windows=windows, executor=executor,
                jobs=jobs, **given, **GIVEN.get(case, {}),
            ))  # fmt: skip
            got.write_bytes(bucket.get("out.tif"))
            assert_equal(got, expected)
            assert got.read_bytes() == local.read_bytes()


def histogram(data, window, ij, global_args):
    return {"counts": np.bincount(data[0].ravel(), minlength=256), "pixels": data[0].size}


def lowest(data, window, ij, global_args):
    return {"least": data[0].min(), "by column": {int(ij[1]) * 0: data[0].min()}}


def places(data, window, ij, global_args):
    """Return where a value is, by row and column of the raster."""
    rows, cols = np.nonzero(data[0][0] == 7)
    return [
        {"row": int(row + window.row_off), "col": int(col + window.col_off)}
        for row, col in zip(rows, cols, strict=True)
    ]


class Mean:
    """Return sum and count, whose quotient is the mean."""

    def __call__(self, data, window, ij, global_args):
        return [int(data[0].sum()), data[0].size]

    @staticmethod
    def merge(total, value):
        return [a + b for a, b in zip(total, value, strict=True)]

    @staticmethod
    def finish(total):
        return total[0] / total[1]


# The function, the options of its output, and the value of the whole array.
VALUES = {
    "histogram": (
        histogram,
        "json",
        "sum",
        lambda array: {"counts": np.bincount(array.ravel(), minlength=256).tolist(),
                       "pixels": array.size},
    ),
    "lowest": (
        lowest,
        "json",
        "min",
        lambda array: {"least": int(array.min()), "by column": {"0": int(array.min())}},
    ),
    "mean": (Mean, "json", None, lambda array: float(array.mean())),
    "places": (places, "ndjson", None, lambda array: np.argwhere(array[0] == 7).tolist()),
    "table": (places, "csv", None, lambda array: np.argwhere(array[0] == 7).tolist()),
}  # fmt: skip


def read_value(path):
    """Return a value from a file; rows and columns are sorted."""
    text = path.read_text()
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".csv":
        return sorted(
            [int(row["row"]), int(row["col"])] for row in csv.DictReader(io.StringIO(text))
        )
    return sorted([line["row"], line["col"]] for line in map(json.loads, text.splitlines()))


def value_job(case, inputs, path, **given):
    function, _, merge, _ = VALUES[case]
    return Job(
        inputs=[str(inputs["rgb"])],
        output=str(path),
        function=function,
        bidx=1,
        merge=merge,
        overwrite=True,
        **given,
    )


@pytest.mark.parametrize("case", VALUES)
def test_values_equal_the_whole_array_computation(case, inputs, tmp_path, leftovers):
    _, suffix, _, expected = VALUES[case]
    path = tmp_path / f"out.{suffix}"
    with rasterio.open(inputs["rgb"]) as src:
        whole_value = expected(src.read([1]))
    for windows in WINDOWS:
        contents = set()
        for executor, jobs in [("serial", 1), ("threads", 5)]:
            run(value_job(case, inputs, path, windows=windows, executor=executor, jobs=jobs))
            assert read_value(path) == whole_value
            contents.add(path.read_bytes())
        assert len(contents) == 1
    assert not leftovers()


@pytest.mark.parametrize("case", VALUES)
def test_values_of_processes_and_other_workers(case, inputs, tmp_path, elsewhere, leftovers):
    path = tmp_path / f"out.{VALUES[case][1]}"
    contents = set()
    for where in [{"executor": "serial"}, {"executor": "processes"}, *elsewhere]:
        run(value_job(case, inputs, path, windows=Size(64, 64), jobs=2, **where))
        contents.add(path.read_bytes())
    assert len(contents) == 1
    assert not leftovers()


@pytest.mark.parametrize("path", ["out.tif", "out.vrt"])
def test_values_beside_a_raster(path, inputs, tmp_path, leftovers):
    """Values of mosaics are merged by part, then over the parts."""
    expected = VALUES["histogram"][3]
    with rasterio.open(inputs["rgb"]) as src:
        array = src.read([1])
    function = partial(with_values, function=histogram)
    for executor, jobs in [("serial", 1), ("threads", 2), ("processes", 2)]:
        report = run(
            str(inputs["rgb"]),
            tmp_path / path,
            function,
            bidx=1,
            windows=Size(32, 48),
            also=[
                Output(name="counts", path=tmp_path / "counts.json", merge="sum"),
                Output(name="rows", path=tmp_path / "rows.csv"),
            ],
            executor=executor,
            jobs=jobs,
            overwrite=True,
            **({"part_size": 96} if path == "out.vrt" else {}),
        )
        assert_equal(tmp_path / path, array)
        assert read_value(tmp_path / "counts.json") == expected(array)
        assert read_value(tmp_path / "rows.csv") == np.argwhere(array[0] == 7).tolist()
        assert report.values["counts"]["counts"].sum() == array.size
    assert not leftovers()


def with_values(data, window, ij, global_args, *, function):
    return {
        "out": data[0],
        "counts": function(data, window, ij, global_args),
        "rows": places(data, window, ij, global_args),
    }


@pytest.mark.parametrize("reduction", [Statistics, Histogram, Counts, Bounds])
def test_reductions_are_the_same_to_the_last_bit(reduction, inputs, leftovers):
    """They do not depend on windows either, unlike other merges of floats."""
    values = set()
    for windows, (executor, jobs) in product(WINDOWS, [("serial", 1), ("threads", 5)]):
        value = reduce(
            [inputs["holes"], inputs["b"]], reduction, windows=windows, executor=executor, jobs=jobs
        )
        values.add(json.dumps(value))
    for options in [{"executor": "processes", "jobs": 2}, {"jobs": 1, "masked": False}]:
        values.add(json.dumps(reduce([inputs["holes"], inputs["b"]], reduction, **options)))
    assert len(values) == 1
    (band, *_) = json.loads(values.pop()).get("bands", [{}])
    with rasterio.open(inputs["holes"]) as src:
        valid = src.read(1, masked=True).compressed()
    assert band.get("count", valid.size) == valid.size
    assert band.get("max", valid.max()) == valid.max()
    assert sum(band.get("counts", [valid.size])) == valid.size
    assert not leftovers()


def test_zonal_statistics_are_the_same_to_the_last_bit(inputs, tmp_path, leftovers):
    with rasterio.open(inputs["b"]) as src:
        corners = [src.transform @ at for at in ((20, 15), (210, 40), (150, 180), (20, 15))]
        band = src.read(1)
        crs, transform = src.crs, src.transform
    polygon = {"type": "Polygon", "coordinates": [[list(corner) for corner in corners]]}
    square = [list(transform @ at) for at in ((5, 5), (5, 9), (9, 9), (9, 5), (5, 5))]
    features = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": crs.to_string()}},
        "features": [
            {"type": "Feature", "properties": {"name": name}, "geometry": geometry}
            for name, geometry in [
                ("wide", polygon),
                ("small", {"type": "Polygon", "coordinates": [square]}),
                ("outside", {"type": "Point", "coordinates": list(transform @ (-9, 5))}),
            ]
        ],
    }
    rows = set()
    arguments = {"stats": ["count", "sum", "mean", "median"]}
    ways = [("serial", 1), ("threads", 5), ("processes", 2)]
    for windows, (executor, jobs) in [*product(WINDOWS, ways[:2]), (Size(64, 64), ways[2])]:
        path = tmp_path / "zonal.ndjson"
        run(
            [inputs["b"], features], path, Zonal, windows=windows, executor=executor, jobs=jobs,
            global_args=arguments, overwrite=True,
        )  # fmt: skip
        rows.add(path.read_bytes())
    assert len(rows) == 1
    *lines, outside = map(json.loads, rows.pop().splitlines())
    assert (outside["name"], outside["count"], outside["sum"]) == ("outside", 0, None)
    for line, geometry in zip(lines, (polygon, features["features"][1]["geometry"]), strict=True):
        inside = geometry_mask([geometry], band.shape, transform, invert=True)
        assert line["count"] == inside.sum()
        assert line["sum"] == band[inside].sum()
        assert line["median"] == np.median(band[inside])
    assert not leftovers()
