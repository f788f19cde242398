"""Inputs on a real HTTP server, which counts the requests that it gets."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from stac_items import earth_search_v1

from rio_mucho_cli import InputError, Job, RioMucho, run
from rio_mucho_cli.engine.events import WindowDone
from rio_mucho_cli.inputs.datasets import asks_for_sidecars
from rio_mucho_cli.windows import Size

TRANSFORM = Affine(30, 0, 400000, 0, -30, 5000000)
SERVER = Path(__file__).with_name("range_server.py")
# What GDAL asks for to open a file: its size, and its first 16 KiB.
OPENING_OPTIONS = 2


def same(data, window, ij, global_args):
    return data[0]


@pytest.fixture
def folder(tmp_path):
    """What the server serves."""
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def serve(folder, tmp_path, monkeypatch):
    """Return a function that serves a file of the folder at an URL that nobody has seen yet."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    log = tmp_path / "requests.txt"
    log.touch()
    command = [sys.executable, str(SERVER), str(folder), str(log)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        port = process.stdout.readline().strip()

        def url(name):
            return f"http://127.0.0.1:{port}/{name}"

        url.requests = lambda: [line.split(" ", 2) for line in log.read_text().splitlines()]
        yield url
        process.kill()


@pytest.fixture
def cog(make_raster, folder):
    """A COG of 2048 x 2048 pixels, in blocks of 128: its name."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 2000, (1, 2048, 2048), "uint16")
    plain = make_raster("plain.tif", data=data)
    rasterio.shutil.copy(plain, folder / "cog.tif", driver="COG", compress="lzw", blocksize=128)
    return "cog.tif"


@pytest.fixture
def job(tmp_path):
    def make(url, **given):
        output = str(tmp_path / "out.tif")
        return Job(**{"inputs": [url], "output": output, "function": same, **given})

    return make


@pytest.mark.parametrize(("executor", "jobs"), [("serial", 1), ("threads", 2), ("processes", 2)])
@pytest.mark.parametrize("windows", [Size(128, 128), Size(1024, 128)], ids=str)
def test_few_requests_for_each_window(serve, cog, job, folder, read, executor, jobs, windows):
    done = []

    def listen(event):
        if isinstance(event, WindowDone):
            done.append(event)

    made = job(serve(cog), windows=windows, executor=executor, jobs=jobs)
    run(made, listen)
    np.testing.assert_array_equal(read(made.output), read(folder / cog))
    requests = serve.requests()
    assert {path for _, path, _ in requests} == {f"/{cog}"}
    assert len(requests) <= 1.2 * len(done)


@pytest.mark.parametrize(("executor", "jobs"), [("serial", 1), ("threads", 2), ("processes", 2)])
def test_windows_that_nobody_gives_are_one_request_each(serve, cog, job, executor, jobs):
    """Each is of blocks that lie one after the other in the file."""
    done = []
    run(job(serve(cog), executor=executor, jobs=jobs), done.append)
    windows = sum(isinstance(event, WindowDone) for event in done)
    openers = 1 + (jobs if executor == "processes" else 0)
    assert len(serve.requests()) <= windows + OPENING_OPTIONS * openers + 1


@pytest.mark.parametrize(("executor", "jobs"), [("serial", 1), ("processes", 2)])
def test_scenes_of_a_series_are_one_request_for_each_window(
    serve, cog, tmp_path, folder, read, executor, jobs
):
    """Also one that only adjoins the output, which its item may place a pixel off."""
    with rasterio.open(folder / cog) as src:
        data, profile = src.read(), src.profile
    with rasterio.open(tmp_path / "grid.tif", "w", **profile):
        pass
    profile["transform"] @= rasterio.Affine.translation(2048, 0)
    with rasterio.open(folder / "beside.tif", "w", **profile) as dst:
        dst.write(data)
    places = {cog: src.transform, "beside.tif": profile["transform"]}
    items = [
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "properties": {"proj:wkt2": profile["crs"].to_wkt()},
            "assets": {
                "red": {
                    "href": serve(name),
                    "proj:shape": [2048, 2048],
                    "proj:transform": list(transform)[:6],
                }
            },
        }
        for name, transform in places.items()
    ]
    output, done = tmp_path / "out.tif", []
    options = {"windows": Size(1024, 128), "executor": executor, "jobs": jobs}
    options["progress"] = done.append
    run(items, output, same, assets=["red"], like=tmp_path / "grid.tif", **options)
    np.testing.assert_array_equal(read(output), data)
    windows = sum(isinstance(event, WindowDone) for event in done)
    requests = [path for _, path, _ in serve.requests()]
    assert requests.count(f"/{cog}") <= 1.2 * windows + OPENING_OPTIONS * (jobs + 1)
    assert requests.count("/beside.tif") <= OPENING_OPTIONS * jobs


def test_local_inputs_have_what_lies_beside_them(serve, cog, job, make_raster, tmp_path, read):
    beside = make_raster("beside.tif", width=2048, height=2048)
    with rasterio.open(tmp_path / "beside.tif.msk", "w", driver="GTiff", width=2048, height=2048,
                       count=1, dtype="uint8") as dst:  # fmt: skip
        dst.update_tags(INTERNAL_MASK_FLAGS_1="2")
        dst.write(np.tile(np.uint8([0, 255]), (1, 2048, 1024)))

    def masks(data, window, ij, global_args):
        return np.stack([np.ma.getmaskarray(array)[0] for array in data]).astype("uint8")

    output = str(tmp_path / "out.tif")
    run(Job(inputs=[serve(cog), str(beside)], output=output, function=masks, masked=True))
    found = read(output)
    assert not found[0].any()
    np.testing.assert_array_equal(found[1], np.tile(np.uint8([1, 0]), (2048, 1024)))


def test_rio_muchos_class_asks_no_more(serve, cog, tmp_path, read):
    with RioMucho([serve(cog)], tmp_path / "out.tif", same) as rm:
        report = rm.run(1)
    assert report.windows == 256
    assert len(serve.requests()) <= 1.2 * 256
    assert {path for _, path, _ in serve.requests()} == {f"/{cog}"}


@pytest.mark.parametrize("how", ["environment", "Env"])
def test_what_the_user_says_counts(serve, cog, job, monkeypatch, how):
    given = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE"}
    if how == "environment":
        monkeypatch.setenv(*next(iter(given.items())))
        given = {}
    with rasterio.Env(**given):
        run(job(serve(cog), windows=Size(1024, 1024)))
    assert f"/{cog}.aux.xml" in {path for _, path, _ in serve.requests()}


def test_a_format_of_several_files_is_read_all_the_same(serve, job, make_raster, folder, read):
    make_raster("served/raw.img", driver="ENVI")
    made = job(serve("raw.img"), driver="GTiff")
    run(made)
    np.testing.assert_array_equal(read(made.output), read(folder / "raw.img"))


def test_a_file_that_is_not_there_is_one_line(serve, rio_program, module):
    module("def same(data, window, ij, global_args):\n    return data[0]\n", "mod.py")
    result = rio_program("mucho", serve("none.tif"), "out.tif", "--func", "mod:same")
    assert result.returncode == 1
    assert "none.tif" in result.stderr
    assert "404" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_server_that_is_not_there_is_named(job, monkeypatch):
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        run(job("http://127.0.0.1:9/in.tif"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("https://example.org/a.tif", True),
        ("s3://bucket/a.tif", True),
        ("/vsicurl/https://example.org/a.tif", True),
        ("/vsicurl?max_retry=3&url=https://example.org/a.tif", True),
        ("/vsiaz/container/a.tif", True),
        ("zip+https://example.org/a.zip!a.tif", False),
        ("/vsimem/a.tif", False),
        ("/vsizip/a.zip/a.tif", False),
        ("a.tif", False),
        ("file:///a.tif", False),
    ],
)
def test_of_what_a_server_would_be_asked_for_files_beside_it(path, expected):
    assert asks_for_sidecars(path) == expected


KILLED = """
import os
import numpy as np
from pathlib import Path

def median(data, window, ij, global_args):
    with Path("calls").open("a") as calls:
        calls.write(f"{ij[0]},{ij[1]}\\n")
    if ij == (2, 1) and not Path("allowed").exists():
        os.kill(os.getpid(), 9)
    return np.ma.median(np.ma.stack(data), axis=0)
"""


@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_a_killed_series_is_resumed_with_new_signatures(
    serve, folder, make_raster, module, tmp_path, rio_program, read, leftovers, output
):
    module(KILLED, "mod.py")
    paths = []
    for number in range(4):
        place = TRANSFORM @ Affine.translation(20 * number, 0)
        path = make_raster(
            f"served/{number}.tif", width=64, height=64, seed=number, transform=place, nodata=0
        )
        paths.append({"red": path})

    def call(signature):
        items = [
            earth_search_v1(f"S{number}", path, "2024-06-01T10:00:00Z")
            for number, path in enumerate(paths)
        ]
        for number, item in enumerate(items):
            item["assets"]["red"]["href"] = f"{serve(f'{number}.tif')}?se=2024&sig={signature}"
        (tmp_path / "calls").write_text("")
        return rio_program(
            "mucho", "--inputs", "-", output, "--assets", "red", "--like", "served/0.tif",
            "--func", "mod.py:median", "--masked", "-j", "1", "--windows", "16", "--resume",
            *(["--part-size", "32"] if output == "out.vrt" else []), input=json.dumps(items),
        )  # fmt: skip

    assert call("first").returncode == -9
    (tmp_path / "allowed").touch()
    done = call("second")
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().split()
    assert "2,1" in calls
    assert "0,0" not in calls
    stack = np.ma.masked_all((4, 64, 64), "uint16")
    for number, path in enumerate(paths):
        stack[number, :, 20 * number :] = read(path["red"])[0, :, : 64 - 20 * number]
    np.testing.assert_array_equal(read(output)[0], np.ma.median(stack, axis=0))
    assert not leftovers()
    for file in tmp_path.rglob("out*"):
        assert not file.is_file() or b"sig=" not in file.read_bytes()
