"""Scenes of a series in a worker: which files windows open."""

import json
import threading
from dataclasses import replace

import pytest
import rasterio
from rasterio.windows import Window

from rio_mucho_cli import InputError, read_scenes
from rio_mucho_cli.inputs import series
from rio_mucho_cli.inputs.open_inputs import OpenInputs
from rio_mucho_cli.inputs.series import SceneDatasets
from rio_mucho_cli.job import Job
from rio_mucho_cli.planning.plan import make_plan


def first(data, window, ij, global_args):
    return data[0]


@pytest.fixture
def adjoining(make_raster, tmp_path):
    """Return the items of two scenes, of which the second begins where the first ends."""
    items = []
    for number in (0, 1):
        path = make_raster(f"scene_{number}.tif", width=64, height=64)
        with rasterio.open(path, "r+") as dst:
            dst.transform @= rasterio.Affine.translation(64 * number, 0)
            properties = {"proj:wkt2": dst.crs.to_wkt(), "proj:shape": [64, 64]}
            properties["proj:transform"] = list(dst.transform)[:6]
        item = {"id": path.name, "properties": properties, "assets": {"red": {"href": str(path)}}}
        items.append({"type": "Feature", "stac_version": "1.0.0", **item})
    return json.loads(json.dumps(items))


@pytest.mark.parametrize(("off", "times"), [(0, 0), (0.5, 1)])
def test_a_scene_that_adjoins_windows_is_opened_at_most_once(
    adjoining, tmp_path, monkeypatch, off, times
):
    # Whether the first item is true decides how far the others are trusted.
    adjoining[0]["properties"]["proj:transform"][2] += off
    scenes = read_scenes(adjoining, ["red"])
    job = Job(inputs=scenes, output=str(tmp_path / "out.tif"), function=first, extent="first")
    used = []
    using = OpenInputs.using

    def noted(self, number):
        used.append(number)
        return using(self, number)

    monkeypatch.setattr(OpenInputs, "using", noted)
    datasets = SceneDatasets(make_plan(job).reading)
    try:
        for row in range(4):
            (array,) = datasets.read(Window(48, 16 * row, 16, 16))
            assert array.shape[1:] == (16, 16)
            assert [scene.name for scene in datasets.scenes] == ["scene_0.tif"]
    finally:
        datasets.close()
    assert used.count(0) == 4
    assert used.count(1) == times


def test_no_thread_still_reads_after_an_error(adjoining, tmp_path, monkeypatch):
    scenes = read_scenes(adjoining, ["red"])
    job = Job(inputs=scenes, output=str(tmp_path / "out.tif"), function=first, extent="union")
    reading = make_plan(job).reading
    has_begun, may_end, has_ended = threading.Event(), threading.Event(), threading.Event()

    def read_pixels(opened, spec, window, reading):
        if spec.path == scenes[0].path:
            has_begun.wait(60)
            threading.Timer(0.1, may_end.set).start()
            raise InputError("a block is damaged")
        has_begun.set()
        may_end.wait(60)
        has_ended.set()

    monkeypatch.setattr(series, "read_pixels", read_pixels)
    datasets = SceneDatasets(replace(reading, series=replace(reading.series, threads=2)))
    try:
        with pytest.raises(InputError, match="damaged"):
            datasets.read(Window(0, 0, 128, 64))
        assert has_ended.is_set()
    finally:
        datasets.close()
