"""How an output was made, without folders and secrets, and in few bytes."""

import datetime
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.job import Job
from rio_mucho_cli.planning.provenance import file_name, provenance_of
from rio_mucho_cli.workers.functions import FunctionRef


def ones(data, window, ij, global_args):
    return data[0]


def tags_of(inputs=("in.tif",), function=ones, **given):
    return provenance_of(Job(inputs=inputs, output="out.tif", function=function, **given))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("in.tif", "in.tif"),
        ("/home/me/my folder/in.tif", "in.tif"),
        (r"C:\data\in.tif", "in.tif"),
        ("../a/b/index.py:run", "index.py:run"),
        ("https://user:pw@host/deep/in.tif?signature=x", "in.tif"),
        ("/vsicurl/https://host/in.tif?token=x", "in.tif"),
        ("s3://bucket/folder/cube.zarr/", "cube.zarr"),
        ('NETCDF:"/home/me/sst.nc":sst', 'NETCDF:"sst.nc":sst'),
        ("NETCDF:/home/me/sst.nc:sst", "NETCDF:sst.nc:sst"),
        ("/vsizip//home/me/a.zip/in.tif", "in.tif"),
        ("<VRTDataset><a>/home/me</a></VRTDataset>", "(XML)"),
        ("x" * 300, "x" * 97 + "..."),
    ],
)
def test_names_without_folders(path, name):
    assert file_name(path) == name


def test_function_and_inputs(module, tmp_path):
    module("def run(data, *_):\n    return data[0]\n", "mod.py")
    by_name = tags_of(["/a/in.tif", "b/in2.tif"], FunctionRef("./mod.py:run", str(tmp_path)))
    assert by_name["FUNCTION"] == "mod.py:run"
    assert len(by_name["FUNCTION_SHA256"]) == 64
    assert json.loads(by_name["INPUTS"]) == ["in.tif", "in2.tif"]
    assert set(by_name) == {"VERSION", "FUNCTION", "FUNCTION_SHA256", "INPUTS"}
    assert json.loads(tags_of(["/vsimem/123.tif"])["INPUTS"]) == ["(in memory)"]
    nameless = tags_of(function=lambda data, *_: data[0])
    assert nameless["FUNCTION"].endswith(":test_function_and_inputs.<locals>.<lambda>")
    assert "FUNCTION_SHA256" not in nameless
    assert tags_of(function=functools.partial(ones))["FUNCTION"].endswith(":ones")
    assert tags_of(function=np.hypot, plain=True)["FUNCTION"] == "numpy:hypot"


SECRET = {"token": "abc", "api_key": "abc", "apikey": "abc", "inner": [{"PASSWORD": "abc"}]}


def args_of(global_args):
    return json.loads(tags_of(global_args=global_args)["GLOBAL_ARGS"])


def test_global_args_have_neither_secrets_nor_folders():
    assert args_of(SECRET) == {
        "token": "***", "api_key": "***", "apikey": "***", "inner": [{"PASSWORD": "***"}],
    }  # fmt: skip
    given = {
        "model": "/home/me/my models/net.pt",
        "url": "https://me:abc@host/secret/net.pt?sig=abc",
        "units": "m/s",
        "text": "read data/old/net.pt, and ../x.tif",
        "path": Path("/home/me/x.json"),
        "password=abc": 1,
    }
    text = json.dumps(args_of(given))
    assert args_of(given)["model"] == "net.pt"
    assert args_of(given)["text"] == "read net.pt, and x.tif"
    assert args_of(given)["units"] == "m/s"
    assert args_of(given)["path"] == "x.json"
    for hidden in ("abc", "home", "me/", "host", "old"):
        assert hidden not in text


def test_global_args_of_any_kind_are_brief_json():
    given = {
        "b": np.float32(0.5), "a": (1, None, True), "nan": np.nan, "array": np.zeros((3, 4)),
        "when": datetime.date(2024, 1, 1), "set": {3, 1, 2}, 5: "x",
    }  # fmt: skip
    assert args_of(given) == {
        "5": "x", "a": [1, None, True], "array": "(array of float64, 3 x 4)", "b": 0.5,
        "nan": "nan", "set": [1, 2, 3], "when": "(date)",
    }  # fmt: skip
    assert list(args_of(given)) == sorted(map(str, given))
    assert args_of([1, 2]) == [1, 2]
    assert args_of(object()) == ["(object)"]
    assert "GLOBAL_ARGS" not in tags_of() | tags_of(global_args=None)
    nested = []
    for _ in range(5000):
        nested = [nested]
    long = {f"k{i}": "x" * 500 for i in range(500)} | {"z": list(range(10**6)), "n": nested}
    for tags in tags_of(global_args=long), tags_of(global_args=list(range(10**5))):
        assert len(tags["GLOBAL_ARGS"]) <= 1000
        json.loads(tags["GLOBAL_ARGS"])
    many = json.loads(tags_of([f"/d/scene_{i:04}.tif" for i in range(500)])["INPUTS"])
    assert (many[0], many[-1]) == ("scene_0000.tif", f"... {501 - len(many)} more")


def test_time_is_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert tags_of()["TIME"] == "2023-11-14T22:13:20Z"
    for wrong in ("yesterday", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(UsageError, match=f"SOURCE_DATE_EPOCH is '{wrong}': expected whole sec"):
            tags_of()
