"""Mosaics in object storage: workers upload their parts, and the VRT comes last."""

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Job, MuchoChildError, Output, OutputError, UsageError, run
from rio_mucho_cli.outputs import object_storage
from rio_mucho_cli.windows import Size

WAYS = [("serial", 1), ("threads", 3), ("processes", 2)]


def plus_one(data, window, ij, global_args):
    return data[0] + 1


def fail(data, window, ij, global_args):
    if ij == (2, 3):
        raise ValueError("that is enough")
    return data[0]


@pytest.fixture
def source(make_raster):
    return make_raster(width=300, height=210, tiled=True, blockxsize=64, blockysize=64)


@pytest.fixture
def job(source, bucket):
    def make(function=plus_one, **given):
        return Job(**{
            "inputs": [str(source)],
            "output": bucket.url("a b/out.vrt"),
            "function": function,
            "part_size": 128,
            "windows": Size(64, 64),
            **given,
        })  # fmt: skip

    return make


def contents(bucket):
    names = bucket.keys()
    return {name: bucket.get(name) for name in names}


def folders(bucket):
    return {name.split("/")[2] for name in contents(bucket) if name.count("/") == 3}


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_parts_are_uploaded_by_workers(executor, jobs, job, bucket, source, read, tmp_path):
    run(job(executor=executor, jobs=jobs, driver="COG", stats=True))
    (folder,) = folders(bucket)
    assert bucket.keys() == [
        "a b/out.vrt",
        *(f"a b/out.vrt.parts/{folder}/{i}_{j}.tif" for i in range(2) for j in range(3)),
    ]
    np.testing.assert_array_equal(read(bucket.url("a b/out.vrt")), read(source) + 1)
    assert not bucket.pending()
    # It is the same as a local one, and can be moved there.
    run(job(driver="COG", stats=True, output=str(tmp_path / "out.vrt")))
    local = (tmp_path / "out.vrt").read_text()
    (path,) = (tmp_path / "out.vrt.parts").iterdir()
    assert bucket.get("a b/out.vrt").decode().replace(folder, path.name) == local
    for part in path.iterdir():
        assert bucket.get(f"a b/out.vrt.parts/{folder}/{part.name}") == part.read_bytes()


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_a_run_that_fails_leaves_what_was_there(executor, jobs, job, bucket):
    with pytest.raises(MuchoChildError):
        run(job(fail, executor=executor, jobs=jobs))
    assert bucket.keys() == []
    run(job())
    before = contents(bucket)
    with pytest.raises(MuchoChildError):
        run(job(fail, executor=executor, jobs=jobs, overwrite=True))
    assert contents(bucket) == before
    with pytest.raises(OutputError, match=r"out\.vrt exists: pass overwrite=True"):
        run(job())


def test_an_old_mosaic_is_replaced_with_its_parts(job, bucket, source, read):
    run(job())
    old = folders(bucket)
    run(job(overwrite=True, inputs=[bucket.url("a b/out.vrt")]))
    np.testing.assert_array_equal(read(bucket.url("a b/out.vrt")), read(source) + 2)
    assert len(bucket.keys()) == 7
    assert not folders(bucket) & old


def test_something_else_that_is_replaced_keeps_what_it_is_made_of(job, bucket, tmp_path, source):
    """A VRT of somebody else's files, and no VRT at all."""
    bucket.put("a b/in.tif", source)
    with rasterio.open(source) as src:
        rasterio.shutil.copy(src, tmp_path / "old.vrt", driver="VRT")
    bucket.put("a b/out.vrt", tmp_path / "old.vrt")
    run(job(overwrite=True))
    (tmp_path / "old.vrt").write_text("no VRT")
    bucket.put("a b/out.vrt", tmp_path / "old.vrt")
    run(job(overwrite=True))
    assert "a b/in.tif" in contents(bucket)
    # Nothing says what the first mosaic was made of, since it was replaced by a text.
    assert len(folders(bucket)) == 2


def test_an_upload_that_fails(job, bucket, monkeypatch):
    complete, count = object_storage.Upload.complete, []

    def some(upload):
        count.append(upload.path)
        if len(count) == 4:
            raise OutputError(f"{upload.path} cannot be written: no")
        complete(upload)

    monkeypatch.setattr(object_storage.Upload, "complete", some)
    with pytest.raises(OutputError, match=r"1_0\.tif cannot be written: no"):
        run(job())
    assert not bucket.keys()
    assert not bucket.pending()


def test_local_and_remote_mosaics_together(job, bucket, tmp_path, read, source):
    def both(data, *args):
        return {"a": data[0], "b": data[0] + 1}

    run(job(both, also=[Output(name="b", path=tmp_path / "b.vrt")]))
    np.testing.assert_array_equal(read(bucket.url("a b/out.vrt")), read(source))
    np.testing.assert_array_equal(read(tmp_path / "b.vrt"), read(source) + 1)


def test_what_cannot_be(job, bucket):
    with pytest.raises(UsageError, match="can only be resumed if its outputs are local files"):
        run(job(resume=True))
    with pytest.raises(OutputError, match="expected a bucket that is there"):
        run(job(output="s3://nowhere-at-all/out.vrt"))
    with pytest.raises(OutputError, match="nothing can be written to http"):
        run(job(output="http://127.0.0.1:9/out.vrt"))
    assert not bucket.keys()
