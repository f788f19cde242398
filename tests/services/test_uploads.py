"""Objects of a real S3 server: made of files, found, removed, by GDAL alone."""

import os
from types import SimpleNamespace

import pytest

from rio_mucho_cli import OutputError
from rio_mucho_cli.outputs import object_storage, vsi


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.xml"
    path.write_bytes(os.urandom(3000))
    return path


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file of three parts: the least that S3 takes is 5 MiB."""
    monkeypatch.setattr(object_storage, "PART", 5 * 1024 * 1024)
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(11 * 1024 * 1024))
    return path


def test_any_file_becomes_an_object(bucket, file):
    object_storage.upload(file, bucket.url("a/b.vrt"))
    assert bucket.get("a/b.vrt") == file.read_bytes()
    assert not bucket.pending()


def test_a_large_one_is_sent_in_parts(bucket, large):
    object_storage.upload(large, bucket.url("large.bin"))
    head = bucket.client.head_object(Bucket=bucket.name, Key="large.bin")
    assert head["ETag"].strip('"').endswith("-3")
    assert bucket.get("large.bin") == large.read_bytes()


def test_gdals_own_names_are_taken(bucket, file):
    object_storage.upload(file, f"/vsis3/{bucket.name}/x y.xml")
    assert bucket.keys() == ["x y.xml"]


def test_nothing_shows_before_all_is_sent_and_complete(bucket, large):
    upload = object_storage.Upload(bucket.url("out.bin"))
    upload.send(large)
    assert not bucket.keys()
    upload.complete()
    assert bucket.keys() == ["out.bin"]


def test_what_is_aborted_leaves_nothing_and_the_old_as_it_was(bucket, large, file):
    object_storage.upload(file, bucket.url("out.bin"))
    upload = object_storage.Upload(bucket.url("out.bin"))
    upload.send(large)
    upload.abort()
    assert bucket.get("out.bin") == file.read_bytes()
    assert not bucket.pending()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError])
def test_an_upload_that_fails_halfway_leaves_nothing(bucket, large, monkeypatch, error):
    def fail(*args):
        assert bucket.pending() == ["out.bin"]
        raise error

    monkeypatch.setattr(object_storage.Upload, "complete", fail)
    with pytest.raises(error):
        object_storage.upload(large, bucket.url("out.bin"))
    assert not bucket.keys()
    assert not bucket.pending()


@pytest.fixture(params=["s3", "gs"])
def store(request, bucket, s3_server, monkeypatch):
    """A kind of store: Google's has an interface like Amazon's, which the server speaks."""
    monkeypatch.setenv("GS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("GS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("CPL_GS_ENDPOINT", f"http://127.0.0.1:{s3_server}/")
    return request.param


def test_what_is_there_is_found(bucket, file, store):
    url = f"{store}://{bucket.name}/folder/x.xml"
    assert not object_storage.exists(url)
    object_storage.upload(file, url)
    assert bucket.get("folder/x.xml") == file.read_bytes()
    assert object_storage.exists(url)
    assert not object_storage.exists(f"{store}://{bucket.name}/folder")
    object_storage.remove(url)
    assert not bucket.keys()
    assert not object_storage.exists(url)
    object_storage.remove(url)  # and again: there is none


@pytest.mark.parametrize(
    "act", [object_storage.exists, object_storage.remove, object_storage.check]
)
def test_a_bucket_that_is_not_there_is_named(bucket, act):
    with pytest.raises(OutputError, match=r"s3://no-such-bucket/x\.tif cannot .*bucket does not"):
        act("s3://no-such-bucket/x.tif")


def test_a_bucket_of_googles_that_is_not_there_takes_nothing(store, file):
    with pytest.raises(OutputError, match=r"no-such-bucket/x\.xml cannot be written"):
        object_storage.upload(file, f"{store}://no-such-bucket/x.xml")


def test_credentials_that_are_missing_are_named(bucket, file, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(OutputError, match=r"x\.tif cannot be written: .*AWS_SECRET_ACCESS_KEY"):
        object_storage.upload(file, bucket.url("x.tif"))


def test_an_empty_file_is_no_output(bucket, tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(OutputError, match="would be empty"):
        object_storage.upload(tmp_path / "empty", bucket.url("x"))
    assert not bucket.pending()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket/key.tif", True),
        ("gs://bucket/key.tif", True),
        ("az://container/key.tif", True),
        ("/vsis3/bucket/folder/key.tif", True),
        ("s3://bucket", False),
        ("s3://bucket/folder/", False),
        ("https://example.org/key.tif", False),
        ("zip+s3://bucket/archive.zip!key.tif", False),
        ("/vsimem/key.tif", False),
        ("key.tif", False),
    ],
)
def test_paths_of_objects_are_known(path, expected):
    assert object_storage.is_object(path) == expected


def test_a_signal_while_a_part_is_sent_is_what_is_raised(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"abc")

    def interrupt(*args):
        raise KeyboardInterrupt

    gdal = SimpleNamespace(
        VSIErrorReset=bool, CPLErrorReset=bool, VSIMultipartUploadAddPart=interrupt
    )
    monkeypatch.setattr(vsi, "_gdal", lambda: gdal)
    with file.open("rb") as opened, pytest.raises(KeyboardInterrupt):
        object_storage._send_parts("/vsis3/bucket/file", b"id", opened.fileno(), 3)
