"""Inputs and outputs in object storage, on a real S3 server: whole, or not there."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import numpy as np
import pytest
import rasterio
from rasterio.session import AWSSession
from waiting import wait_until

from rio_mucho_cli import InputError, Job, MuchoChildError, Output, OutputError, UsageError, run
from rio_mucho_cli.outputs import object_storage
from rio_mucho_cli.windows import Size

WAYS = [("serial", 1), ("threads", 2), ("processes", 2)]


def double(data, window, ij, global_args):
    return data[0] * 2


def both(data, window, ij, global_args):
    return {"one": data[0], "two": data[0] * 2}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder in which outputs are made."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    assert not list(folder.glob(".mucho*"))


@pytest.fixture
def source(tiled):
    return tiled(compress="deflate")


@pytest.fixture
def job(source, bucket):
    def make(**given):
        return Job(**{
            "inputs": [bucket.put("in.tif", source)],
            "output": bucket.url("out.tif"),
            "function": double,
            "windows": Size(64, 48),
            **given,
        })  # fmt: skip

    return make


@pytest.fixture
def read_object(bucket, tmp_path):
    """Return a function that downloads a raster, and gives its pixels."""

    def read(key="out.tif"):
        path = tmp_path / f"got-{key}"
        path.write_bytes(bucket.get(key))
        with rasterio.open(path) as src:
            return src.read()

    return read


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_bytes_are_those_of_local_files(job, bucket, source, tmp_path, executor, jobs):
    given = {"executor": executor, "jobs": jobs, "overviews": [2], "stats": True}
    given["metadata"] = False  # it has the names of inputs
    local = tmp_path / "local.tif"
    run(job(inputs=[str(source)], output=str(local), **given))
    run(job(**given))
    assert bucket.get("out.tif") == local.read_bytes()
    assert bucket.keys() == ["in.tif", "out.tif"]
    assert not bucket.pending()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("out.tif", {"driver": "COG"}),
        ("out.tif", {"driver": "COG", "windows": Size(50, 30)}),
        ("out.tif", {"windows": Size(50, 30), "overviews": [2]}),
        ("out.png", {}),
        ("out.tif", {"driver": "COG", "overview_resampling": "cubic"}),
    ],
)
def test_outputs_of_every_kind_are_made_as_local_ones(
    job, bucket, source, read, tmp_path, name, given
):
    run(job(output=bucket.url(name), **given))
    run(job(output=str(tmp_path / name), **given))
    local = {path.name: path.read_bytes() for path in tmp_path.glob(f"{Path(name).stem}.*")}
    keys = [key for key in bucket.keys() if key.startswith("out")]  # noqa: SIM118
    assert {key: bucket.get(key) for key in keys} == local


def test_what_lies_beside_it_is_uploaded_first(job, bucket, monkeypatch):
    completed = []
    complete = object_storage.Upload.complete
    monkeypatch.setattr(
        object_storage.Upload,
        "complete",
        lambda self: completed.append(self.path) or complete(self),
    )
    run(job(output=bucket.url("folder/out.img"), driver="ENVI"))
    assert set(bucket.keys()) > {"folder/out.img", "folder/out.hdr"}
    assert completed[-1] == bucket.url("folder/out.img")
    with rasterio.open(bucket.url("folder/out.img")) as src:
        assert src.driver == "ENVI"


def test_several_outputs_here_and_there(job, bucket, source, read, read_object, tmp_path):
    also = [
        Output(name="two", path=bucket.url("two.tif"), driver="COG"),
    ]
    run(job(function=both, output=str(tmp_path / "one.tif"), also=also))
    np.testing.assert_array_equal(read(tmp_path / "one.tif"), read(source))
    np.testing.assert_array_equal(read_object("two.tif"), read(source) * 2)


class TestAnObjectThatExists:
    def test_is_not_replaced(self, job, bucket, source):
        bucket.put("out.tif", source)
        with pytest.raises(OutputError, match=r"out\.tif exists: pass overwrite=True"):
            run(job())
        assert bucket.get("out.tif") == source.read_bytes()

    def test_is_replaced_if_asked_for(self, job, bucket, source, read, read_object):
        for key in ("out.tif", "out.tif.ovr", "out.tif.aux.xml"):
            bucket.put(key, source)
        run(job(overwrite=True))
        np.testing.assert_array_equal(read_object(), read(source) * 2)
        # They spoke of the old one.
        assert bucket.keys() == ["in.tif", "out.tif"]

    def test_may_be_the_input(self, job, bucket, source, read, read_object):
        with pytest.raises(OutputError, match=r"in\.tif is the input: pass overwrite=True"):
            run(job(output=bucket.url("in.tif")))
        run(job(output=bucket.url("in.tif"), overwrite=True))
        np.testing.assert_array_equal(read_object("in.tif"), read(source) * 2)

    @pytest.mark.parametrize("step", ["send", "complete"])
    def test_stays_as_it_was_if_the_upload_fails(self, job, bucket, source, monkeypatch, step):
        bucket.put("out.tif", source)
        monkeypatch.setattr(object_storage.Upload, step, self.fail)
        with pytest.raises(OutputError, match="no more"):
            run(job(overwrite=True))
        assert bucket.get("out.tif") == source.read_bytes()
        assert not bucket.pending()

    @staticmethod
    def fail(*args):
        raise OutputError("no more")

    def test_stays_as_it_was_if_the_function_raises(self, job, bucket, source):
        bucket.put("out.tif", source)
        with pytest.raises(MuchoChildError):
            run(job(overwrite=True, function=lambda *args: 1 / 0))
        assert bucket.get("out.tif") == source.read_bytes()


@pytest.mark.parametrize("step", ["send", "complete"])
def test_of_several_outputs_all_appear_or_none(job, bucket, source, tmp_path, monkeypatch, step):
    do = getattr(object_storage.Upload, step)

    def fail_for_the_last(upload, *args):
        if upload.path.endswith("two.tif"):
            raise OutputError("no more")
        return do(upload, *args)

    monkeypatch.setattr(object_storage.Upload, step, fail_for_the_last)
    local = tmp_path / "local.tif"
    also = [
        Output(name="two", path=bucket.url("two.tif")),
        Output(name="three", path=str(local)),
    ]
    function = lambda data, *args: {"three": data[0], **both(data, *args)}  # noqa: E731
    with pytest.raises(OutputError, match="no more"):
        run(job(function=function, also=also))
    assert bucket.keys() == ["in.tif"]
    assert not bucket.pending()
    assert not local.exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("s3://no-such-bucket/out.tif", "cannot be written: The specified bucket does not exist"),
        ("s3://out.tif", "nothing can be written to s3://out.tif"),
        ("https://example.org/out.tif", "nothing can be written to https"),
        ("/vsicurl/https://example.org/out.tif", "nothing can be written to /vsicurl"),
        ("zip+s3://b/a.zip!out.tif", "nothing can be written to zip"),
    ],
)
def test_where_nothing_can_be_written_is_known_before_anything_is_read(job, output, words):
    with pytest.raises(OutputError, match=words):
        run(job(output=output, function=lambda *args: pytest.fail("it was called")))


def test_an_upload_cannot_be_resumed(job):
    with pytest.raises(UsageError, match="can only be resumed if its outputs are local files"):
        run(job(resume=True))


def test_two_names_of_one_object_are_two_outputs_of_one_path(job, bucket):
    also = [Output(name="two", path=f"/vsis3/{bucket.name}/out.tif")]
    with pytest.raises(UsageError, match="two outputs have the path"):
        job(function=both, also=also)


def test_a_url_of_a_file_is_a_file(job, source, read, tmp_path, leftovers):
    run(job(output=f"file://{tmp_path}/out.tif"))
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), read(source) * 2)
    assert not leftovers()


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
WHERE = ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING")


@pytest.mark.parametrize(("executor", "jobs"), WAYS)
def test_workers_have_the_callers_credentials(
    job, source, read, read_object, monkeypatch, executor, jobs
):
    made = job(executor=executor, jobs=jobs)
    keys = {name.lower(): os.environ[name] for name in KEYS}
    where = {name: os.environ[name] for name in WHERE}
    for name in (*KEYS, *WHERE):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    with rasterio.Env(**where), pytest.raises(InputError, match="AWS_SECRET_ACCESS_KEY"):
        run(made)
    with rasterio.Env(session=AWSSession(**keys), **where):
        run(made)
    np.testing.assert_array_equal(read_object(), read(source) * 2)


@pytest.fixture
def users(bucket, s3_server):
    """Return a function that makes a user with some rights; the server asks for them then."""
    server = f"http://127.0.0.1:{s3_server}"
    iam = boto3.client(
        "iam",
        endpoint_url=server,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )

    def ask_after(requests):
        header = {"Content-Type": "text/plain"}
        url = f"{server}/moto-api/reset-auth"
        data = str(requests).encode()
        urllib.request.urlopen(urllib.request.Request(url, data, header)).close()

    def make(*actions):
        name = f"user-{time.time_ns()}"
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        iam.put_user_policy(
            UserName=name,
            PolicyName="rights",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        ask_after(0)
        return key["AccessKeyId"], key["SecretAccessKey"]

    yield make
    ask_after("inf")


class TestOneLine:
    """What the command says if it is not let in."""

    @pytest.fixture
    def call(self, rio_program, module, bucket, source):
        module("def double(data, window, ij, global_args):\n    return data[0] * 2\n", "mod.py")
        bucket.put("in.tif", source)

        def call(*args, inputs=None, output=None):
            inputs = inputs or bucket.url("in.tif")
            output = output or bucket.url("out.tif")
            return rio_program(
                "mucho", "-q", inputs, output, "--func", "mod:double", "-j", 1, *args
            )

        return call

    def test_it_works(self, call, source, read, read_object):
        result = call()
        assert (result.returncode, result.stdout + result.stderr) == (0, "")
        np.testing.assert_array_equal(read_object(), read(source) * 2)

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"inputs": "s3://no-such-bucket/in.tif"}, "The specified bucket does not exist"),
            ({"output": "s3://no-such-bucket/out.tif"}, "The specified bucket does not exist"),
            ({"output": "https://example.org/out.tif"}, "nothing can be written to https"),
        ],
        ids=str,
    )
    def test_names_that_lead_nowhere(self, call, given, words):
        result = call(**given)
        assert result.returncode == 1
        assert words in result.stderr
        assert result.stderr.count("\n") == 1

    def test_a_key_that_is_not_there(self, call, bucket):
        result = call(inputs=bucket.url("none.tif"))
        assert result.returncode == 1
        assert "none.tif" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_credentials_that_nobody_knows(self, call, users, monkeypatch):
        users("s3:*")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
        result = call()
        assert result.returncode == 1
        assert "Access Key Id you provided does not exist" in result.stderr
        assert result.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        ("rights", "words"),
        [
            (["s3:GetObject", "s3:ListBucket"], "out.tif cannot be written: "),
            (["s3:PutObject"], "in.tif"),
        ],
        ids=str,
    )
    def test_rights_that_do_not_reach(self, call, users, monkeypatch, bucket, rights, words):
        key, secret = users(*rights)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        result = call()
        assert result.returncode == 1
        assert words in result.stderr
        assert result.stderr.count("\n") == 1

    def test_rights_to_write_alone(self, call, users, monkeypatch, bucket, source):
        key, secret = users("s3:PutObject", "s3:AbortMultipartUpload")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        result = call(inputs=str(source))
        assert result.returncode == 1
        assert "pass --overwrite to write it without looking" in result.stderr
        assert result.stderr.count("\n") == 1
        result = call("--overwrite", inputs=str(source))
        assert (result.returncode, result.stderr) == (0, "")


SLOW = """
import pathlib, time

def slow(data, window, ij, global_args):
    pathlib.Path("started").touch()
    time.sleep(0.2)
    return data[0]
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_a_run_that_is_ended_leaves(job, bucket, tmp_path, module, temporary, signum):
    module(SLOW, "mod.py")
    url = job().inputs[0]
    command = [
        str(Path(sys.executable).with_name("rio")), "mucho", url, bucket.url("out.tif"),
        "--func", "mod:slow", "-j", "1", "--windows", "16",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    wait_until((tmp_path / "started").exists, "it has not begun")
    assert len(list(temporary.glob(".mucho-out.tif-*"))) == 1
    process.send_signal(signum)
    process.communicate(timeout=20)
    assert process.returncode not in (0, 1)
    left = list(temporary.glob(".mucho*"))
    assert bool(left) == (signum == signal.SIGKILL)
    assert bucket.keys() == ["in.tif"]
    assert not bucket.pending()
    run(job())  # which removes what is left


def test_a_signal_ends_an_upload(job, bucket, monkeypatch):
    """One that comes between two parts."""

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(object_storage.Upload, "send", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(job())
    assert bucket.keys() == ["in.tif"]
    assert not bucket.pending()


def test_a_temporary_folder_that_takes_nothing_is_named(job, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    with pytest.raises(OutputError, match=r"temporary folder /proc .* set TMPDIR"):
        run(job())


WHO_IMPORTS = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("boto3", "botocore", "dask", "distributed"):
            frame = sys._getframe()
            while frame.f_code.co_name == "find_spec" or "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            print(name, frame.f_globals.get("__name__"))
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import rio_mucho_cli.cli
from rasterio.rio.main import main_group
main_group(sys.argv[1:], standalone_mode=False)
"""


def test_neither_boto3_nor_dask_is_imported(source, module, tmp_path):
    """But by rasterio itself, where it finds boto3."""
    module("def same(data, window, ij, global_args):\n    return data[0]\n", "mod.py")
    command = [sys.executable, "-c", WHO_IMPORTS, "mucho", str(source), "out.tif", "-j", "1"]
    done = subprocess.run(
        [*command, "--func", "mod:same"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (tmp_path / "out.tif").exists()
    assert set(done.stdout.splitlines()) <= {"boto3 rasterio.session"}
