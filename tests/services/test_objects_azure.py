"""Outputs in Azure's storage, on Azurite, Microsoft's emulator of it."""

import base64
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
import uuid
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from rasterio.session import AzureSession

from rio_mucho_cli import Job, MuchoChildError, OutputError, run
from rio_mucho_cli.outputs import object_storage
from rio_mucho_cli.windows import Size

pytestmark = pytest.mark.service

# The account of every Azurite.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def double(data, window, ij, global_args):
    return data[0] * 2


def fail(data, window, ij, global_args):
    if ij == (1, 1):
        raise ValueError("that is enough")
    return data[0]


@pytest.fixture(scope="session")
def azurite(tmp_path_factory):
    """Return the address of the account; skip without Azurite, unless it is required."""
    program = shutil.which("azurite-blob")
    if program is None:
        reason = "azurite-blob is not on the PATH: npm install azurite"
        if os.environ.get("MUCHO_NEEDS_AZURITE"):
            pytest.fail(reason)
        pytest.skip(reason)
    command = [
        program,
        "--blobPort",
        "0",
        "--inMemoryPersistence",
        "--silent",
        "--disableTelemetry",
    ]
    folder = tmp_path_factory.mktemp("azurite")
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        listens = (
            re.search(r"listens on (http://127\.0\.0\.1:\d+)", line) for line in process.stdout
        )
        address = next(filter(None, listens), None)
        assert address, "Azurite did not start"
        yield f"{address[1]}/{ACCOUNT}"
        process.kill()


class Container:
    """A container of an Azurite, which is asked without GDAL."""

    def __init__(self, address):
        self.address, self.name = address, f"container-{uuid.uuid4().hex}"
        self._ask("PUT", restype="container")

    def url(self, blob):
        return f"az://{self.name}/{blob}"

    def put(self, blob, file):
        self._ask("PUT", blob, file.read_bytes())
        return self.url(blob)

    def get(self, blob):
        return self._ask("GET", blob)

    def blobs(self):
        listed = self._ask("GET", comp="list", restype="container")
        return [name.text for name in ElementTree.fromstring(listed).iter("Name")]

    def _ask(self, method, blob="", data=b"", **query):
        """Return the answer to a request that is signed with the account's key."""
        path = urllib.parse.quote(f"/{self.name}/{blob}".rstrip("/"))
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "x-ms-date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "x-ms-version": "2021-12-02",
        }
        content = "application/octet-stream" if data else ""
        lines = [method, "", "", str(len(data) or ""), "", content, *[""] * 6]
        lines += [f"{name}:{value}" for name, value in headers.items()]
        lines += [f"/{ACCOUNT}/{ACCOUNT}{path}"]
        lines += [f"{name}:{value}" for name, value in sorted(query.items())]
        digest = hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        if data:
            headers["Content-Type"] = content
        url = f"{self.address}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, data or None, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


def connection_string(address):
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint={address};"
    )


def account_and_key(address):
    return {
        "AZURE_STORAGE_ACCOUNT": ACCOUNT,
        "AZURE_STORAGE_ACCESS_KEY": KEY,
        "CPL_AZURE_ENDPOINT": address,
        "CPL_AZURE_USE_HTTPS": "NO",
    }


@pytest.fixture
def no_credentials(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_CONFIG_DIR", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")


@pytest.fixture
def container(azurite, no_credentials, monkeypatch):
    """Return an empty container, whose account's connection string is in the environment."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string(azurite))
    return Container(azurite)


@pytest.fixture
def source(tiled):
    return tiled(compress="deflate")


@pytest.fixture
def job(source, container):
    def make(**given):
        return Job(**{
            "inputs": [str(source)],
            "output": container.url("a b/out.tif"),
            "function": double,
            "windows": Size(64, 48),
            **given,
        })  # fmt: skip

    return make


@pytest.fixture(params=["connection string", "account and key", "session"])
def way(request, container, azurite, monkeypatch):
    """Give the credentials in one of the ways, and return what computes the windows."""
    if request.param == "connection string":
        yield {"executor": "serial"}
        return
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    if request.param == "account and key":
        for name, value in account_and_key(azurite).items():
            monkeypatch.setenv(name, value)
        yield {"executor": "threads", "jobs": 2}
        return
    with rasterio.Env(AzureSession(connection_string(azurite))):
        yield {"executor": "processes", "jobs": 2}


def test_bytes_are_those_of_local_files(way, job, container, source, read, tmp_path):
    given = {"driver": "COG", "overviews": [2], "stats": True, **way}
    run(job(inputs=[container.put("in.tif", source)], **given))
    run(job(output=str(tmp_path / "out.tif"), driver="COG", overviews=[2], stats=True))
    assert container.get("a b/out.tif") == (tmp_path / "out.tif").read_bytes()
    assert container.blobs() == ["a b/out.tif", "in.tif"]
    np.testing.assert_array_equal(read(container.url("a b/out.tif")), read(source) * 2)


def test_a_mosaic_is_written_read_and_replaced(way, job, container, source, read):
    mosaic = {"output": container.url("out.vrt"), "windows": Size(32, 32), "part_size": 96}
    run(job(**mosaic, **way))
    np.testing.assert_array_equal(read(container.url("out.vrt")), read(source) * 2)
    old = container.blobs()
    assert len(old) == 1 + 4
    run(job(**mosaic, inputs=[container.url("out.vrt")], overwrite=True))
    np.testing.assert_array_equal(read(container.url("out.vrt")), read(source) * 4)
    assert len(container.blobs()) == 1 + 4
    assert set(container.blobs()) & set(old) == {"out.vrt"}


def test_a_blob_is_replaced_only_if_asked_for(rio, module, container, source):
    module("def same(data, window, ij, global_args):\n    return data[0]\n", "mod.py")
    container.put("out.tif.aux.xml", source)
    url = container.put("out.tif", source)
    command = ["mucho", "-q", source, url, "--func", "mod:same", "-j", 1]
    result = rio(*command)
    assert result.exit_code == 1
    assert "out.tif exists: pass --overwrite" in result.output
    assert container.get("out.tif") == source.read_bytes()
    result = rio(*command, "--overwrite")
    assert (result.exit_code, result.output) == (0, "")
    assert container.get("out.tif") != source.read_bytes()
    assert container.blobs() == ["out.tif"]


@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_a_run_that_fails_changes_nothing(job, container, source, output):
    given = {"function": fail, "output": container.url(output), "windows": Size(64, 64)}
    if output == "out.vrt":
        given["part_size"] = 64
    with pytest.raises(MuchoChildError):
        run(job(**given))
    assert container.blobs() == []
    container.put(output, source)
    with pytest.raises(MuchoChildError):
        run(job(**given, overwrite=True))
    assert container.blobs() == [output]
    assert container.get(output) == source.read_bytes()


@pytest.mark.parametrize("step", ["send", "complete"])
def test_an_upload_that_fails_changes_nothing(job, container, source, monkeypatch, step):
    def refuse(upload, *args):
        raise OutputError("no more")

    container.put("a b/out.tif", source)
    monkeypatch.setattr(object_storage.Upload, step, refuse)
    with pytest.raises(OutputError, match="no more"):
        run(job(overwrite=True))
    assert container.get("a b/out.tif") == source.read_bytes()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_container_that_does_not_exist_is_known_at_once(job, overwrite):
    made = job(
        output="az://no-such-container/out.tif",
        overwrite=overwrite,
        function=lambda *args: pytest.fail("it was called"),
    )
    with pytest.raises(OutputError, match=r"cannot be written: .*; expected a container that is"):
        run(made)


def test_a_key_that_is_wrong_is_known_at_once(job, azurite, monkeypatch):
    wrong = base64.b64encode(b"x" * 64).decode()
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING", connection_string(azurite).replace(KEY, wrong)
    )
    with pytest.raises(OutputError, match=r"cannot be written: .* code: 403; expected"):
        run(job(function=lambda *args: pytest.fail("it was called")))


def test_a_check_disturbs_no_upload(container, tmp_path, monkeypatch):
    monkeypatch.setattr(object_storage, "PART", 64 * 1024)
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 * 64 * 1024 + 1))
    upload = object_storage.Upload(container.url("file"))
    upload.send(file)
    object_storage.check(container.url("file"))
    assert container.blobs() == []
    upload.complete()
    assert container.get("file") == file.read_bytes()
    object_storage.check(container.url("file"))
    assert container.get("file") == file.read_bytes()
    assert object_storage.exists(container.url("file"))
    object_storage.remove(container.url("file"))
    assert container.blobs() == []
    object_storage.remove(container.url("file"))  # and again: there is none
