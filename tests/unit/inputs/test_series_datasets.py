"""Scenes of a series in a worker: which files windows open."""

import json

import pytest
import rasterio
from rasterio.windows import Window

from rio_mucho_cli import read_scenes
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


def test_a_scene_that_adjoins_windows_is_opened_once(adjoining, tmp_path, monkeypatch):
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
    assert used.count(1) == 1
