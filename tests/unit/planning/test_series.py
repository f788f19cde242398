"""How a series is planned: few files are opened, the rest is what items say."""

import numpy as np
import pytest
from affine import Affine
from rasterio.windows import Window
from stac_items import earth_search_v1, naip, usgs_landsat, without_grids

from rio_mucho_cli import InputError, Job, UsageError, read_scenes
from rio_mucho_cli.engine.run import run_job
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.planning import series as planning
from rio_mucho_cli.planning.memory import make_budget
from rio_mucho_cli.planning.series import read_series
from rio_mucho_cli.windows import Size, window_grid

PLACE = Affine(30, 0, 400000, 0, -30, 5000000)
WHEN = "2024-06-01T10:00:00Z"


def first(data, window, ij, global_args):
    return data[0]


@pytest.fixture
def make_scenes(make_raster):
    """Return a function that makes scenes of 40 x 40 pixels, each 20 columns from the last."""

    def make(maker, number=5, assets=("red", "nir"), **given):
        items = []
        for n in range(number):
            place = PLACE @ Affine.translation(20 * n, 0)
            paths = {
                kind: make_raster(f"{n}/{kind}.tif", width=40, height=40, transform=place, **given)
                for kind in ("red", "nir")
            }
            items.append(maker(f"S{n}", paths, WHEN))
        return items, read_scenes(items, assets)

    return make


@pytest.fixture
def opened(monkeypatch):
    """Return the paths that planning opens."""
    paths = []
    describe = DatasetInfo.of
    monkeypatch.setattr(
        DatasetInfo, "of", staticmethod(lambda path: [paths.append(path), describe(path)][1])
    )
    return paths


def make_job(scenes, **given):
    return Job(**{
        "inputs": scenes, "output": "out.tif", "function": first, "masked": True,
        "like": scenes[0].path, **given,
    })  # fmt: skip


def test_only_files_whose_place_is_not_known_are_opened(make_scenes, opened):
    for maker, number in ((earth_search_v1, 2), (usgs_landsat, 2), (without_grids, 10)):
        names = ["red", "nir08" if maker is usgs_landsat else "nir"]
        _, scenes = make_scenes(maker, assets=names)
        opened.clear()
        spec = read_series(make_job(scenes, like=None, extent="union"), None)[2].series
        assert len(opened) == number
        assert list(spec.are_claimed) == [False, *[maker is not without_grids] * 4]
        assert list(spec.counts) == [1, 1]
        assert spec.threads == 1


def test_scenes_of_a_window_and_their_memory(make_scenes):
    _, scenes = make_scenes(earth_search_v1)
    job, sources, reading = read_series(make_job(scenes, like=None, extent="union"), None)
    assert (reading.grid.width, reading.grid.height) == (120, 40)
    touching = reading.series.footprints.touching
    assert touching(Window(0, 0, 20, 40)) == [0]
    assert touching(Window(19, 0, 2, 1)) == [0, 1]
    assert touching(Window(40, 0, 10, 10)) == [1, 2]
    assert touching(Window(60, 39, 30, 1)) == [2, 3, 4]
    budget = make_budget(reading, sources, job.outputs, "serial", jobs=1, mem_limit=None)
    assert budget.scene_bytes == 2 * 2
    assert budget.read_bytes == 5 * budget.scene_bytes
    few = budget.for_scenes(reading, window_grid(120, 40, Size(16, 16)))
    assert 2 <= few.read_bytes // few.scene_bytes <= 4


def test_memory_of_the_largest_dtype(make_raster):
    paths = [
        make_raster(f"{dtype}.tif", np.ones((2, 40, 40), dtype)) for dtype in ("uint8", "float64")
    ]
    job, sources, reading = read_series(make_job(read_scenes(paths)), None)
    budget = make_budget(reading, sources, job.outputs, "serial", jobs=1, mem_limit=None)
    assert budget.read_bytes == 2 * 2 * 8


def test_items_may_be_mistaken_by_a_pixel_where_the_first_one_is(make_scenes):
    items, _ = make_scenes(earth_search_v1)
    for asset in (items[0]["assets"][name] for name in ("red", "nir")):
        asset["proj:transform"][2] -= 15
    scenes = read_scenes(items, ["red", "nir"])
    touching = read_series(make_job(scenes, extent="union", like=None), None)[
        2
    ].series.footprints.touching
    # The first scene's files were opened.
    assert touching(Window(0, 0, 19, 40)) == [0]
    assert touching(Window(19, 0, 1, 1)) == [0, 1]
    assert touching(Window(60, 39, 30, 1)) == [1, 2, 3, 4]


def test_nodata_of_options_comes_before_that_of_files_and_items(make_scenes):
    for own, given, expected in (
        (None, None, 0), (7, None, 7), (None, 5, 5), (7, 5, 5), (7, "none", None),
    ):  # fmt: skip
        _, scenes = make_scenes(earth_search_v1, nodata=own)
        asked = None if given is None else {0: given}
        _, sources, reading = read_series(make_job(scenes, src_nodata=asked), None)
        assert [source.nodatavals for source in sources] == [(expected,)] * 2
        for spec in reading.series.files:
            assert (spec.nodata, spec.default_nodata) == (given, 0)


def test_several_files_on_servers_are_read_at_once(make_scenes, monkeypatch):
    items, scenes = make_scenes(earth_search_v1)
    assert read_series(make_job(scenes), None)[2].series.threads == 1
    items[3]["assets"]["nir"]["href"] = "https://x.org/nir.tif"
    scenes = read_scenes(items, ["red", "nir"])
    assert read_series(make_job(scenes), None)[2].series.threads == planning._THREADS


def test_scenes_with_other_bands(make_scenes, make_raster):
    _, scenes = make_scenes(without_grids, 2, ["red"])
    two = str(make_raster("two.tif", count=2, width=40, height=40))
    with pytest.raises(InputError, match=r"two\.tif has 2 bands, and .*0/red\.tif 1: scenes need"):
        read_series(make_job(read_scenes([scenes[0].path, two])), None)
    both = read_scenes([two, scenes[0].path])
    with pytest.raises(InputError, match=r"red\.tif has 1 band, and .*two\.tif 2: scenes need"):
        read_series(make_job(both), None)
    assert read_series(make_job(both, bidx="1"), None)[2].series.counts == [1]
    with pytest.raises(InputError, match=r"1 band"):
        read_series(make_job(both, bidx="2"), None)


def test_bands_by_name_and_by_number(make_raster):
    items = [naip(f"m{n}", make_raster(f"{n}.tif", count=4, dtype="uint8"), WHEN) for n in (1, 2)]
    scenes = read_scenes(items, "nir,red")
    _, sources, reading = read_series(make_job(scenes), None)
    assert [spec.indexes for spec in reading.series.files] == [(4,), (1,)] * 2
    assert len(sources) == 2
    with pytest.raises(UsageError, match=r"assets chooses band 4 of .*1\.tif by its name nir"):
        read_series(make_job(scenes, bidx="1"), None)


def test_a_file_with_fewer_bands_than_its_item_says(make_raster, tmp_path):
    items = [naip(f"m{n}", make_raster(f"{n}.tif", count=4, dtype="uint8"), WHEN) for n in (1, 2)]
    items[1]["assets"]["image"]["href"] = str(make_raster("3.tif", count=3, dtype="uint8"))
    job = make_job(read_scenes(items, "nir"), output=str(tmp_path / "out.tif"))
    with pytest.raises(InputError, match=r"3\.tif has 3 bands: there is no band 4"):
        run_job(job)
    assert not (tmp_path / "out.tif").exists()


def test_what_workers_get_of_scenes(make_scenes):
    _, scenes = make_scenes(earth_search_v1, 2)
    spec = read_series(make_job(scenes), None)[2].series
    assert not any(asset.grid for scene in spec.scenes for asset in scene.assets)
    assert [scene.scales for scene in spec.scenes] == [(1e-4, 1e-4)] * 2
    paths = read_series(make_job(read_scenes([scene.path for scene in scenes])), None)[2].series
    assert [scene.scales for scene in paths.scenes] == [(1.0,)] * 2
    np.testing.assert_equal([scene.offsets for scene in paths.scenes], [(0.0,)] * 2)
