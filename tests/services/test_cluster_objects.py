"""All of it at once: inputs and outputs in object storage, workers of a cluster."""

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from rio_mucho_cli import Job, run
from rio_mucho_cli.engine.events import WindowDone
from rio_mucho_cli.windows import Size

TILES = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


def index(data, window, ij, global_args):
    a, b = (band[0].astype("float32") for band in data)
    return (a - b) / (a + b + global_args["eps"])


@pytest.fixture
def job(bucket, make_raster, cluster, tmp_path):
    """Return a function that makes a job on a cluster, and the same one of files alone."""
    files = [
        make_raster(f"{seed}.tif", seed=seed, height=210, width=300, **TILES) for seed in (0, 1)
    ]

    def make(output, **given):
        common = {
            "function": index,
            "global_args": {"eps": 1},
            "windows": Size(64, 64),
            "keep_nodata": False,
            "nodata": float("nan"),
            **given,
        }
        there = Job(
            inputs=[bucket.put(file.name, file) for file in files],
            output=bucket.url(output),
            executor="dask",
            scheduler=cluster.address,
            **common,
        )
        here = Job(inputs=list(map(str, files)), output=str(tmp_path / output), **common)
        return there, here

    return make


def test_a_cog(job, bucket, tmp_path):
    there, here = job("out.tif", driver="COG", creation_options={"blocksize": "128"}, stats=True)
    run(there)
    run(here)
    assert bucket.get("out.tif") == (tmp_path / "out.tif").read_bytes()
    is_valid, errors, warnings = cog_validate(tmp_path / "out.tif", strict=True)
    assert (is_valid, errors, warnings) == (True, [], [])


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_a_mosaic(job, bucket, read, driver):
    options = {"blocksize": "64"} if driver == "COG" else {"blockxsize": "64", "blockysize": "64"}
    there, here = job("out.vrt", driver=driver, creation_options=options, part_size=128)
    done = []
    run(there, lambda event: done.append(event) if isinstance(event, WindowDone) else None)
    run(here)
    assert len(done) == 20
    np.testing.assert_array_equal(read(there.output), read(here.output))
    with rasterio.open(there.output) as src:
        assert len(src.files) == 1 + 6
        assert all(name.startswith("/vsis3/") for name in src.files)


def test_a_mosaic_in_a_folder_that_all_share(job, cluster, tmp_path, read):
    _, here = job("out.vrt", part_size=128)
    run(here)
    expected = read(here.output)
    run(Job(**{**vars(here), "executor": "dask", "scheduler": cluster.address, "overwrite": True}))
    np.testing.assert_array_equal(read(here.output), expected)
