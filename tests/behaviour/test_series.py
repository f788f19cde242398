"""Series of scenes: the function gets those that touch its window, as if all inputs were there."""

import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform
from stac_items import CATALOGUES, collection, earth_search_v1, naip, without_grids

from rio_mucho_cli import InputError, Job, MuchoChildError, UsageError, describe, read_scenes, run
from rio_mucho_cli.testing import check
from rio_mucho_cli.windows import Size

WIDTH, HEIGHT = 120, 90
PLACE = Affine(30, 0, 400000, 0, -30, 5000000)
WAYS = [("serial", 1), ("threads", 3), ("processes", 2)]
WINDOWS = [Size(32, 32), Size(50, 17), Size(200, 16), Size(200, 200)]

# Columns and rows of the output's grid at which scenes begin, and their CRS; the last one is
# beyond the output, and the fourth is not on its pixels.
PLACES = [(0, 0, 32633), (70, -20, 32633), (30, 25, 32634), (-20.3, 40.6, 32633), (90, 60, 32633),
          (300, 300, 32633)]  # fmt: skip


def composite(data, window, ij, global_args):
    """Return the median of red and nir where qa is not 3."""
    scenes = [np.ma.masked_where(np.repeat(qa == 3, 2, 0), rg) for rg, qa in map(_parts, data)]
    return np.ma.median(np.ma.stack(scenes), axis=0)


def _parts(scene):
    return scene[:2], scene[2:].filled(3)


def composite_of_inputs(data, window, ij, global_args):
    """Return the same from inputs of which three are a scene."""
    scenes = [np.ma.concatenate(data[n : n + 3]) for n in range(0, len(data), 3)]
    return composite(scenes, window, ij, global_args)


def numbers(data, window, ij, global_args, *, info):
    """Return which scenes a window has, as a bit each."""
    bits = sum(1 << item.properties["number"] for item in info.items)
    assert len(info.items) == len(data)
    return np.full(data[0].shape[-2:], bits, "uint8")


@pytest.fixture
def grid(make_raster):
    """Return the path of a raster with the output's grid."""
    data = np.zeros((1, HEIGHT, WIDTH), "uint8")
    return str(make_raster("grid.tif", data, transform=PLACE))


@pytest.fixture
def rasters(make_raster):
    """Return a function that makes red, nir and qa of six scenes."""

    def make(dtype="uint16", qa_step=2, **profile):
        scenes = []
        for number, (col, row, epsg) in enumerate(PLACES):
            rng = np.random.default_rng(number)
            left, top = PLACE @ (col, row)
            if epsg != 32633:
                (left,), (top,) = transform("EPSG:32633", f"EPSG:{epsg}", [left], [top])
            scenes.append({})
            for kind, step in (("red", 1), ("nir", 1), ("qa", qa_step)):
                values = rng.integers(0, 8, (1, 50 // step, 60 // step))
                values = values.astype("uint8" if kind == "qa" else dtype)
                scenes[-1][kind] = make_raster(
                    f"scene_{number}/{kind}.tif", values, crs=f"EPSG:{epsg}",
                    transform=Affine(30 * step, 0, left, 0, -30 * step, top), **profile,
                )  # fmt: skip
        return scenes

    return make


def make_items(maker, scenes):
    items = [
        maker(f"S{n}", paths, f"2024-06-{n + 1:02}T10:00:00Z") for n, paths in enumerate(scenes)
    ]
    for number, item in enumerate(items):
        item["properties"]["number"] = number
    return items


def assert_same(path, other):
    with rasterio.open(path) as one, rasterio.open(other) as two:
        found, expected = one.read(masked=True), two.read(masked=True)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
        np.testing.assert_array_equal(found.compressed(), expected.compressed())
    assert 0.05 < np.ma.getmaskarray(found).mean() < 0.8


NODATA = {
    "earth_search_v1": (0, 0, 0),
    "planetary_landsat": (0, 0, 1),
    "usgs_landsat": (0, 0, 1),
    "stac_1_1": (0, 0, 0),
}


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_items_give_what_positional_inputs_give(catalogue, grid, rasters, tmp_path, leftovers):
    maker, names = CATALOGUES[catalogue]
    scenes = rasters(qa_step=1 if "landsat" in catalogue else 2)
    given = {"like": grid, "masked": True, "nodata": -1, "dtype": "float32"}
    nodata = dict(enumerate(NODATA.get(catalogue, ()) * len(scenes), 1))
    positional = [path for paths in scenes for path in paths.values()]
    resampling = {n: "nearest" if n % 3 == 0 else "bilinear" for n in range(1, 19)}
    expected, out = tmp_path / "expected.tif", tmp_path / "out.tif"
    run(
        positional, expected, composite_of_inputs, **given, jobs=1, resampling=resampling,
        src_nodata=nodata or None,
    )  # fmt: skip
    # In this order everything of two parameters occurs together.
    for windows, (executor, jobs) in zip(WINDOWS, [*WAYS, WAYS[0]], strict=True):
        run(
            collection(make_items(maker, scenes)), out, composite, **given, assets=names,
            resampling={names[2]: "nearest", 0: "bilinear"}, overwrite=True,
            windows=tuple(windows), executor=executor, jobs=jobs,
        )  # fmt: skip
        assert_same(out, expected)
    assert not leftovers()


@pytest.fixture
def items(rasters):
    """Return six items whose numbers are in their properties."""
    return make_items(earth_search_v1, rasters())


@pytest.fixture
def around(grid):
    """Return options for a run on the grid with the function's arrays masked."""
    return {"like": grid, "masked": True, "assets": ["red", "nir", "scl"], "jobs": 1}


def bits(*numbers):
    return sum(1 << number for number in numbers)


def pixels_of(path):
    """Return which pixels of the grid have values in a raster: (rows, cols)."""
    vrt = {"crs": "EPSG:32633", "transform": PLACE, "width": WIDTH, "height": HEIGHT}
    with rasterio.open(path) as src, WarpedVRT(src, add_alpha=True, **vrt) as warped:
        return warped.read(warped.count) > 0


@pytest.mark.parametrize("maker", [earth_search_v1, without_grids], ids=["claimed", "opened"])
@pytest.mark.parametrize("overlap", [0, 7])
def test_the_function_gets_the_scenes_that_touch_its_window(
    maker, overlap, around, rasters, tmp_path, read
):
    scenes = rasters()
    around["assets"] = ["red"]
    for side in (6, 32):
        run(
            make_items(maker, scenes), tmp_path / "out.tif", numbers, **around, windows=side,
            overlap=overlap, nodata=0, overwrite=True,
        )  # fmt: skip
        (found,) = read(tmp_path / "out.tif")
        for number, paths in enumerate(scenes):
            within = pixels_of(paths["red"])
            has = np.zeros_like(within)
            for row, col in product(range(0, HEIGHT, side), range(0, WIDTH, side)):
                top, left = max(row - overlap, 0), max(col - overlap, 0)
                window = np.s_[top : row + side + overlap, left : col + side + overlap]
                has[row : row + side, col : col + side] = within[window].any()
            # A scene on another grid may touch a window in a part of a pixel.
            got = found & (1 << number) > 0
            assert not (has & ~got).any(), number
            if number in {0, 1, 4, 5}:
                assert not (got & ~has).any(), number


def test_what_the_function_is_told(around, items, tmp_path):
    seen = {}

    def note(data, window, ij, global_args, *, info):
        for array, scene in zip(data, info.items, strict=True):
            seen[scene.properties["number"]] = scene
            assert array.shape == (3, *window_shape(window))
            assert array.dtype == "uint16"
        assert not info.inputs
        with pytest.raises(TypeError):
            scene.properties["number"] = scene.properties = 5  # frozen
        return data[0]

    run(items, tmp_path / "out.tif", note, **around, windows=50, executor="threads")
    assert sorted(seen) == [0, 1, 2, 3, 4]
    for number, scene in seen.items():
        assert scene.name == f"S{number}"
        assert scene.path == items[number]["assets"]["red"]["href"]
        assert scene.datetime.isoformat() == f"2024-06-0{number + 1}T10:00:00+00:00"
        assert scene.properties == items[number]["properties"]
        assert (scene.scales, scene.offsets) == ((1e-4, 1e-4, 1), (-0.1, -0.1, 0))
        assert repr(scene) == f"Scene('S{number}')"


def window_shape(window):
    return window.height, window.width


def stacked(data, window, ij, global_args):
    assert data.ndim == 4
    return np.ma.median(data, axis=0)


def listed(data, window, ij, global_args):
    return np.ma.median(np.ma.stack(data), axis=0)


def plain_stacked(scenes):
    assert scenes.ndim == 3
    return np.ma.median(scenes, axis=0)


def plain_listed(*scenes):
    assert {scene.ndim for scene in scenes} == {2}
    return np.ma.median(np.ma.stack(scenes), axis=0)


def test_modes_and_plain_functions_give_the_same(around, items, tmp_path, read):
    results = []
    for number, (function, given) in enumerate(
        [
            (listed, {}),
            (stacked, {"mode": "array_read"}),
            (plain_listed, {"plain": True}),
            (plain_stacked, {"plain": True, "mode": "array_read"}),
        ]
    ):
        around["assets"] = "red"
        out = tmp_path / f"{number}.tif"
        run(items, out, function, **around, **given, windows=32, dtype="float32", nodata=-1)
        results.append(read(out))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def filled(data, window, ij, global_args):
    assert not any(map(np.ma.isMaskedArray, data))
    return np.nanmedian(np.stack(data), axis=0)


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize(
    "given",
    [
        {"bounds": (400300, 4998000, 402400, 4999700)},
        {"skip_masked": True},
        {"bidx": {"red": "1", "nir": "1,1"}, "resampling": {"nir": "cubic", 0: "bilinear"}},
        {"src_nodata": {"red": 3, "nir": 0, "scl": "none"}},
        {"src_nodata": {0: "none", 1: 5}},
        {"overlap": 3},
        {"overlap": 4, "boundary": "reflect"},
        {"aoi": {"type": "Polygon", "coordinates": [
            [(400100, 4997500), (403000, 4997600), (402000, 4999990), (400100, 4997500)]]}},
    ],
    ids=str,
)  # fmt: skip
def test_options_give_what_they_give_to_positional_inputs(
    given, around, items, rasters, tmp_path, leftovers
):
    names = ["red", "nir", "scl"]
    positional, out = tmp_path / "expected.tif", tmp_path / "out.tif"
    about = {"nodata": -1, "dtype": "float32", "windows": 32}
    if "aoi" in given:
        crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
        given = {"aoi": {**given["aoi"], "crs": crs}}

    def by_input(values):
        numbered = {names.index(k) + 1 if isinstance(k, str) else k: v for k, v in values.items()}
        rest = {number: numbered.get(number, numbered.get(0)) for number in (1, 2, 3)}
        return {3 * n + k: v for n in range(6) for k, v in rest.items() if v is not None}

    as_positional = {k: by_input(v) if k in {"bidx", "resampling", "src_nodata"} else v
                     for k, v in given.items()}  # fmt: skip
    # What items say counts where nothing is given.
    said = by_input({0: 0}) | as_positional.pop("src_nodata", {})
    paths = [item["assets"][name]["href"] for item in items for name in names]

    def joined(data, window, ij, global_args):
        scenes = [np.ma.concatenate(data[n : n + 3]) for n in range(0, len(data), 3)]
        return listed(scenes, window, ij, global_args)

    shared = {k: v for k, v in around.items() if k != "assets"}
    run(paths, positional, joined, **shared, **about, **as_positional, src_nodata=said)
    run(items, out, listed, **around, **about, **given)
    assert_same(out, positional)
    assert not leftovers()


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_fill(around, items, tmp_path):
    around.pop("masked")
    masked, plain = tmp_path / "masked.tif", tmp_path / "plain.tif"
    about = {"windows": 32, "dtype": "float32", "nodata": float("nan")}
    run(items, plain, filled, **around, **about, fill=np.nan)
    run(items, masked, listed, **around, **about, masked=True)
    assert_same(plain, masked)


def test_a_scene_that_touches_only_the_margin(make_raster, grid, tmp_path, read):
    """Its pixels are in the overlap; beyond the output, there are none."""
    beside, beyond = (
        make_raster(name, np.full((1, 90, 9), 7, "uint8"), transform=PLACE @ place)
        for name, place in (
            ("beside.tif", Affine.translation(60, 0)),
            ("beyond.tif", Affine.translation(WIDTH, 0)),
        )
    )
    seen = []

    def shifted(data, window, ij, global_args):
        seen.append(ij)
        assert len(data) == 1
        return np.ma.filled(np.roll(data[0], -2, axis=-1), 9)

    given = {"like": grid, "masked": True, "nodata": 0, "windows": 30, "executor": "serial"}
    run(read_scenes([beside, beyond]), tmp_path / "out.tif", shifted, overlap=2, **given)
    (found,) = read(tmp_path / "out.tif")
    assert seen == list(product(range(3), (1, 2)))
    assert (found[:, 58:67] == 7).all()
    assert (found[:, 30:58] == 9).all()
    assert (found[:, :30] == 0).all()
    assert (found[:, 90:] == 0).all()


@pytest.mark.parametrize("resampling", ["average", "mode"])
def test_pixels_that_end_where_a_scene_begins(make_raster, grid, tmp_path, read, resampling):
    """GDAL's resamplings by area give them values, in whichever window they are."""
    place = PLACE @ Affine.translation(60, 0) @ Affine.scale(2)
    path = make_raster("scene.tif", np.full((1, 45, 9), 7, "uint8"), transform=place)
    given = {"like": grid, "masked": True, "nodata": 0, "resampling": resampling}
    for name, source in (("one.tif", path), ("two.tif", read_scenes([path]))):
        run(
            source, tmp_path / name, lambda data, *_: data[0].filled(0), windows=30, jobs=1, **given
        )
    (expected,), (found,) = (read(tmp_path / name) for name in ("one.tif", "two.tif"))
    assert set(expected[:, 59]) == {7}
    np.testing.assert_array_equal(found, expected)


def test_windows_without_scenes_cost_nothing(make_raster, grid, tmp_path, caplog, read):
    far = make_raster("far.tif", np.ones((1, 9, 9), "uint8"),
                      transform=PLACE @ Affine.translation(500, 500))  # fmt: skip

    def never(data, window, ij, global_args):
        raise AssertionError

    run(read_scenes([far]), tmp_path / "out.tif", never, like=grid, dtype="uint8", nodata=255)
    assert (read(tmp_path / "out.tif") == 255).all()
    assert "no scene touches the output" in caplog.text


def total(data, window, ij, global_args):
    return sum(int(scene.filled(0).sum()) for scene in data)


def test_values(around, items, tmp_path):
    around["assets"] = ["red"]
    totals = set()
    for windows in (16, 50):
        report = run(
            items, tmp_path / "sum.json", total, **around, windows=windows, merge="sum",
            overwrite=True,
        )  # fmt: skip
        totals.add(json.dumps(report.values, sort_keys=True))
    assert len(totals) == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_mosaics(around, items, tmp_path, leftovers, jobs):
    around["jobs"] = jobs
    about = {**around, "windows": 32, "dtype": "float32", "nodata": -1}
    run(items, tmp_path / "out.tif", listed, **about)
    run(items, tmp_path / "out.vrt", listed, **about, part_size=64)
    assert_same(tmp_path / "out.vrt", tmp_path / "out.tif")
    assert not leftovers()


def test_dask_and_executors_elsewhere(around, items, tmp_path, cluster, monkeypatch):
    """Workers have another working directory, and paths are relative."""
    monkeypatch.chdir(tmp_path)
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = asset["href"].removeprefix(f"{tmp_path}/")
    about = {**around, "windows": 32, "dtype": "float32", "nodata": -1, "like": "grid.tif"}
    run(items, "out.tif", listed, **about)
    run(items, "dask.tif", listed, **about, scheduler=cluster.address)
    assert Path("dask.tif").read_bytes() == Path("out.tif").read_bytes()


RESUMABLE = """
import numpy as np
from pathlib import Path

def median(data, window, ij, global_args):
    with Path("calls").open("a") as calls:
        calls.write(f"{ij[0]},{ij[1]}\\n")
    if ij == (1, 1) and not Path("allowed").exists():
        raise ValueError("not yet")
    return np.ma.median(np.ma.stack(data), axis=0)
"""


@pytest.fixture
def resume(module, around, tmp_path):
    """Return a function that resumes a run, and tells how many windows were computed."""
    module(RESUMABLE, "resumable.py")

    def call(items, output="out.tif", **given):
        (tmp_path / "calls").write_text("")
        about = {**around, "windows": 32, "dtype": "float32", "nodata": -1, **given}
        try:
            run(items, output, "resumable:median", resume=True, **about)
        finally:
            call.number = len((tmp_path / "calls").read_text().splitlines())

    return call


@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_resumed(resume, items, tmp_path, around, leftovers, output):
    given = {"part_size": 32} if output.endswith(".vrt") else {}
    with pytest.raises(MuchoChildError, match="not yet"):
        resume(items, output, **given)
    assert resume.number > 1
    first = resume.number
    (tmp_path / "allowed").touch()
    swapped = [*items[1:], items[0]]
    for changed, options, says in (
        (swapped, {}, r"from a different run .*inputs\.1\.files\.1\.path was "),
        (items[:-1], {}, r"inputs\.6 was "),
        (items, {"assets": ["nir", "red", "scl"]}, r"inputs\.1\.files\.1\.path was "),
    ):
        with pytest.raises(UsageError, match=says):
            resume(changed, output, **given, **options)
    resume(items, output, **given)
    assert 0 < resume.number < first + 12
    run(items, "whole.tif", "resumable:median", **around, windows=32, dtype="float32", nodata=-1)
    assert_same(output, "whole.tif")
    resume(items, output, **given)  # nothing is to be done
    assert resume.number == 0
    assert not leftovers()


def test_resumed_after_a_scene_changed(resume, items, tmp_path):
    with pytest.raises(MuchoChildError, match="not yet"):
        resume(items)
    os.utime(items[3]["assets"]["nir"]["href"], ns=(0, 10**18))
    (tmp_path / "allowed").touch()
    with pytest.raises(UsageError, match=r"inputs\.4\.files\.2\.modified was "):
        resume(items)
    assert not (tmp_path / "out.tif").exists()


def test_what_is_written_of_a_series(around, items, tmp_path):
    items[1]["id"] = "/home/someone/secret/S1"
    items[2]["id"] = "https://x.org/S2?sig=abc"
    run(items, tmp_path / "out.tif", listed, **around, dtype="float32")
    with rasterio.open(tmp_path / "out.tif") as src:
        text = str([src.tags(ns=ns) for ns in ("", *src.tag_namespaces()) if "DERIVED" not in ns])
    assert '["S0", "S1", "S2", "S3", "S4", "S5"]' in text
    for secret in ("someone", "sig=", "abc", str(tmp_path)):
        assert secret not in text


def test_descriptions_and_reports(around, items, tmp_path, rio):
    scenes = read_scenes(items, around.pop("assets"))
    job = Job(inputs=scenes, output="out.tif", function=listed, **around, windows=Size(32, 32))
    assert "6 scenes, at most 3 in a window" in " ".join(str(describe(job)).split())
    assert len(repr(job)) < 1000
    items[2]["assets"]["red"]["href"] += "?sig=abc"  # GDAL takes it for a part of the name
    (tmp_path / "scene_2/red.tif").rename(tmp_path / "scene_2/red.tif?sig=abc")
    (tmp_path / "items.json").write_text(json.dumps(collection(items)))
    (tmp_path / "mod.py").write_text(
        "import numpy as np\ndef median(data, *_):\n    return np.ma.median(np.ma.stack(data), 0)\n"
    )
    for name in ("report.json", "report.html"):
        done = rio(
            "mucho", "--inputs", "items.json", "out.tif", "--assets", "red,nir,scl", "--masked",
            "--like", "grid.tif", "--func", "mod.py:median", "-j", "1", "--windows", "32",
            "--report", name, "--overwrite",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        text = (tmp_path / name).read_text()
        assert "sig=" not in text
        assert "scene_0" in text
        assert "scene_1" not in text  # what is told of files is of the first scene's
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["plan"]["series"] == {"scenes": 6, "files": 18, "most": 3}


def test_check_takes_a_series(items, around, tmp_path, read):
    scenes = read_scenes(items, around.pop("assets"))
    result = check(listed, scenes, like=around["like"], masked=True, dtype="float32", nodata=-1)
    run(scenes, tmp_path / "out.tif", listed, **around, dtype="float32", nodata=-1)
    np.testing.assert_array_equal(np.ma.filled(result, -1), read(tmp_path / "out.tif"))


def test_bands_of_one_image(make_raster, grid, tmp_path, read):
    images = [
        make_raster(f"naip_{n}.tif", count=4, dtype="uint8", seed=n, width=60, height=50)
        for n in range(3)
    ]
    items = [naip(f"m_{n}", image, "2024-06-01T10:00:00Z") for n, image in enumerate(images)]
    about = {"windows": 20, "jobs": 1, "dtype": "uint8"}
    run(items, tmp_path / "out.tif", listed, assets=["nir", "red"], masked=True, **about)
    expected = np.median([read(image)[[3, 0]] for image in images], axis=0).astype("uint8")
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), expected)
    run(items, tmp_path / "out.tif", listed, assets="image", bidx="4,1", overwrite=True, **about)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), expected)
    with pytest.raises(UsageError, match=r"assets chooses band 4 of .* by its name nir, and bidx"):
        run(items, tmp_path / "no.tif", listed, assets=["nir", "red"], bidx="1", **about)


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_items_that_are_wrong_about_their_place(items, around, tmp_path, executor, leftovers):
    for asset in items[1]["assets"].values():
        if "proj:transform" in asset:
            asset["proj:transform"][2] -= 20 * 30
    with pytest.raises(InputError, match=r"scene_1/\w+\.tif is not where the item S1 says: its"):
        run(items, tmp_path / "out.tif", listed, **around, windows=32, executor=executor)
    assert not leftovers()
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.filterwarnings("ignore:Use `@`")  # of rasterio, for turned rasters
@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(40))
def test_any_series_gives_what_positional_inputs_give(seed, grid, make_raster, tmp_path):
    """Scenes anywhere, in several CRS, turned and of any size, read in any way."""
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(7):
        epsg = int(rng.choice([32633, 32633, 32634, 32632, 3035, 3857]))
        left, top = PLACE @ (rng.integers(-60, WIDTH), rng.integers(-50, HEIGHT))
        (left,), (top,) = transform("EPSG:32633", f"EPSG:{epsg}", [left], [top])
        size = float(rng.choice([10, 30, 30, 47]))
        place = Affine(size, 0, left, 0, -size, top) @ Affine.rotation(rng.choice([0, 0, 25]))
        values = rng.integers(0, 9, (1, *rng.integers(3, 60, 2))).astype(
            rng.choice(["uint8", "int16"])
        )
        nodata = None if rng.random() < 0.5 else 0
        paths.append(make_raster(
            f"{number}.tif", values, crs=f"EPSG:{epsg}", transform=place, nodata=nodata
        ))  # fmt: skip
    given = {
        "like": grid, "masked": True, "nodata": -1, "dtype": "float32", "jobs": 1,
        "resampling": str(rng.choice(["nearest", "bilinear", "cubic", "average", "lanczos"])),
    }  # fmt: skip
    run(paths, tmp_path / "expected.tif", listed, **given)
    items = [
        (earth_search_v1 if rng.random() < 0.7 else without_grids)(f"S{n}", {"red": path}, None)
        for n, path in enumerate(paths)
    ]
    for item in items:
        item["assets"]["red"].pop("raster:bands", None)
    overlap = int(rng.choice([0, 5]))
    for windows in (16, 50, 200):
        run(
            items, tmp_path / "out.tif", listed, assets="red", **given, windows=windows,
            overlap=overlap, overwrite=True,
        )  # fmt: skip
        with (
            rasterio.open(tmp_path / "out.tif") as one,
            rasterio.open(tmp_path / "expected.tif") as two,
        ):
            np.testing.assert_array_equal(one.read(), two.read())
