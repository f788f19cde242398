import gzip
import importlib
import json
import math
import operator
import os
import sys
import textwrap
import threading
import zipfile
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from rasterio.windows import Window

from rio_mucho_cli import Job, read_scenes
from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.outputs.run_diff import describe_changes
from rio_mucho_cli.planning.fingerprint import fingerprint
from rio_mucho_cli.windows import Size, WindowList, pairs_of, window_grid
from rio_mucho_cli.workers.functions import FunctionRef

WINDOWS = window_grid(90, 70, Size(64, 64))


def listed(*pairs):
    return WindowList.of(pairs, Size(90, 70))


def copy(data, window, ij, global_args):
    return data[0]


def other(data, window, ij, global_args):
    return data[0] + 1


@pytest.fixture
def make_job(make_raster, tmp_path):
    path = str(make_raster("in1.tif"))

    def make(kind=Job, **given):
        return kind(**{"inputs": [path], "output": "out.tif", "function": copy, **given})

    return make


def told(old, new, windows=WINDOWS):
    """Return what differs between two jobs, one of which has been written down."""
    before = old if isinstance(old, dict) else fingerprint(old, WINDOWS)
    return describe_changes(json.loads(json.dumps(before)), fingerprint(new, windows))


def test_a_run_is_itself(make_job, tmp_path):
    profile = {"dtype": np.uint8, "nodata": float("nan"), "crs": rasterio.CRS.from_epsg(4326)}
    given = {
        "profile": {**profile, "transform": rasterio.Affine.identity()},
        "resampling": {0: "nearest", 1: "cubic"},
        "bidx": {1: (1,)},
        "bounds": (0, 0, 1, 1.5),
        "nodata": np.float32(3),
        "global_args": {"a": np.arange(3), "b": {1, 2}, "c": float("inf"), 4: "x" * 5000},
    }
    assert told(make_job(**given), make_job(**given)) == ""


@pytest.mark.parametrize(
    "given",
    [
        {"output": "other.tif"},
        {"overwrite": True},
        {"executor": "threads"},
        {"jobs": 7},
        {"mem_limit": 4000},
    ],
)
def test_what_is_of_no_matter(make_job, given):
    assert told(make_job(), make_job(**given)) == ""


@pytest.mark.parametrize("name", ["creation_options", "profile"])
def test_the_case_of_keys_is_of_no_matter(make_job, name):
    upper, lower = make_job(**{name: {"COMPRESS": "lzw"}}), make_job(**{name: {"compress": "lzw"}})
    assert told(upper, lower) == ""


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ({"nodata": 0}, {"nodata": 255}, "options.nodata was 0 and is 255"),
        ({}, {"nodata": 255, "keep_nodata": False},
         "options.nodata was the first input's and is 255"),
        ({"nodata": 0}, {"nodata": float("nan")}, "options.nodata was 0 and is nan"),
        ({}, {"keep_nodata": False}, "options.nodata was the first input's and is none"),
        ({}, {"dtype": "uint8"}, "options.dtype was none and is uint8"),
        ({}, {"mode": "array_read"}, "options.mode was simple_read and is array_read"),
        ({}, {"skip_masked": True}, "options.skip_masked was false and is true"),
        ({}, {"metadata": False}, "options.metadata was true and is false"),
        ({}, {"windows": "blocks"}, "options.windows was none and is blocks"),
        (
            {"windows": Size(8, 4)},
            {"windows": pairs_of(WINDOWS)},
            "options.windows was [8, 4] and is a list",
        ),
        ({}, {"bidx": [1, 1]}, "options.bidx was none and is [1, 1]"),
        (
            {"creation_options": {"compress": "lzw", "tiled": "yes"}},
            {"creation_options": {"tiled": "yes", "compress": "zstd"}},
            "options.creation_options.compress was lzw and is zstd",
        ),
        (
            {},
            {"creation_options": {"tiled": "yes"}},
            "options.creation_options.tiled was absent and is yes",
        ),
        (
            {"resampling": {1: "cubic"}},
            {"resampling": {1: "average"}},
            "options.resampling.[1] was cubic and is average",
        ),
        ({}, {"resampling": {1: "cubic"}},
         'options.resampling was nearest and is {"[1]": "cubic"}'),
        ({"global_args": {"a": 1, "b": 2}}, {"global_args": {"a": 2, "b": 2}},
         "global_args.a was 1 and is 2"),
        ({"global_args": {}}, {"global_args": {"a": [0]}},
         "global_args.a was absent and is [0]"),
        ({"global_args": "x" * 2000}, {"global_args": 3},
         "global_args was {\"sha256\":"),
        ({"global_args": {"a": None}}, {"global_args": {}}, "global_args.a was none and is absent"),
        ({}, {"function": other}, f"function.name was {__name__}:copy and is {__name__}:other"),
    ],
)  # fmt: skip
def test_what_differs_is_named(make_job, was, now, expected):
    assert expected in told(make_job(**was), make_job(**now))


def test_options_that_are_yet_to_come(make_job):
    @dataclass(frozen=True, kw_only=True)
    class NextJob(Job):
        sharpen_twice: bool = False
        resume: bool = False

    before, after = (make_job(NextJob, sharpen_twice=each, resume=each) for each in (False, True))
    assert told(before, after) == "options.sharpen_twice was false and is true"


def test_inputs_that_changed(make_job, make_raster, tmp_path):
    before = fingerprint(make_job(), WINDOWS)
    path = tmp_path / "in1.tif"
    os.utime(path, ns=(0, 10**18))
    changes = told(before, make_job())
    assert changes.startswith(f"inputs.1.files.{path}.modified was 20")
    assert changes.endswith(" and is 2001-09-09 01:46:40.000000000 UTC")


def test_inputs_that_are_others(make_job, make_raster, tmp_path):
    second = str(make_raster("in2.tif"))
    first = str(tmp_path / "in1.tif")
    assert f"inputs.1.path was {first} and is {second}" in told(
        make_job(), make_job(inputs=[second])
    )
    assert told(make_job(), make_job(inputs=[first] * 2)).startswith("inputs.2 was absent and is {")


def test_the_same_input_by_another_name(make_job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.tif").symlink_to("in1.tif")
    assert told(make_job(), make_job(inputs=["in1.tif"])) == ""
    assert told(make_job(), make_job(inputs=["link.tif"])) == ""


def test_files_that_an_input_comes_with(make_job, make_raster, tmp_path):
    vrt = tmp_path / "mosaic.vrt"
    rasterio.shutil.copy(str(tmp_path / "in1.tif"), str(vrt), driver="VRT")
    job = make_job(inputs=[str(vrt)])
    before = fingerprint(job, WINDOWS)
    (tmp_path / "in1.tif.aux.xml").write_text("<PAMDataset/>")
    assert told(before, job) == ""
    os.utime(tmp_path / "in1.tif", ns=(0, 10**18))
    assert told(before, job).startswith(f"inputs.1.files.{tmp_path / 'in1.tif'}.modified was ")


def test_a_file_that_was_not_there(make_job, tmp_path):
    before = fingerprint(make_job(), WINDOWS)
    with rasterio.open(tmp_path / "in1.tif") as src:
        src.dataset_mask()
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(tmp_path / "in1.tif", "r+") as dst:
        dst.build_overviews([2])
    assert f"inputs.1.files.{tmp_path / 'in1.tif.ovr'} was absent and is {{" in told(
        before, make_job()
    )


def test_the_raster_that_gives_the_grid(make_job, make_raster, tmp_path):
    grid = make_raster("grid.tif")
    job = make_job(like=str(grid))
    before = fingerprint(job, WINDOWS)
    assert told(before, make_job()).startswith(f'like.1 was {{"path": "{grid}", ')
    os.utime(grid, ns=(0, 10**18))
    assert told(before, job).startswith(f"like.1.files.{grid}.modified was ")


@pytest.fixture
def item(make_raster):
    """Return an item with two bands of one file, and one on a server."""
    image = str(make_raster("image.tif", count=2))
    return {
        "id": "S1",
        "properties": {"datetime": "2024-06-01T10:00:00Z", "eo:cloud_cover": 5},
        "assets": {
            "image": {"href": image, "bands": [{"name": "red"}, {"name": "nir"}], "nodata": 0},
            "qa": {"href": "https://x.org/qa.tif?st=1&sig=abc"},
        },
    }


def test_scenes_that_changed(make_job, item, tmp_path):
    def job(names="red,nir,qa", **changes):
        return make_job(inputs=read_scenes([{**item, **changes}], names))

    before = fingerprint(job(), WINDOWS)
    assert told(before, job()) == ""
    assert "inputs.1.files.1.band was 1 and is 2" in told(before, job("nir,red,qa"))
    assert "inputs.1.files.2.band was 2 and is 1" in told(before, job("red,red,qa"))
    assert "inputs.1.files.3 was {" in told(before, job("red,nir"))
    assert told(before, job(properties={"eo:cloud_cover": 6})) == "inputs.1 changed"
    assets = deepcopy(item["assets"])
    assets["image"]["nodata"] = "nan"
    assert "inputs.1.files.1.nodata was 0.0 and is nan" in told(before, job(assets=assets))
    assert told(job(assets=assets), job(assets=assets)) == ""
    # Signatures expire.
    assets = deepcopy(item["assets"])
    assets["qa"]["href"] = "https://x.org/qa.tif?st=3&sig=def"
    assert told(before, job(assets=assets)) == ""
    assert "sig" not in json.dumps(before)
    os.utime(tmp_path / "image.tif", ns=(0, 10**18))
    assert "inputs.1.files.1.modified was " in told(before, job())


def test_scenes_by_other_names(make_job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = make_job(inputs=read_scenes(["in1.tif"]))
    assert told(one, make_job(inputs=read_scenes([tmp_path / "in1.tif"]))) == ""
    assert told(one, make_job(inputs=["in1.tif"])) != ""


@pytest.mark.parametrize("path", ["/vsicurl/http://x/a.tif", "https://x/a.tif", "s3://x/a.tif"])
def test_remote_inputs_are_not_asked(make_job, path):
    found = fingerprint(make_job(inputs=[path]), WINDOWS)
    assert found["inputs"] == [{"path": path, "files": {}}]


@pytest.mark.parametrize(
    "path",
    ["/vsizip/HERE/in.zip/a.tif", "zip://HERE/in.zip!a.tif", "/vsizip/in.zip/a.tif",
     "/vsizip/{/vsizip/{HERE/outer.zip}/in.zip}/a.tif", "file://HERE/in1.tif",
     "/vsigzip/HERE/in1.tif.gz", "around.vrt", "GTIFF_DIR:1:HERE/in1.tif"],
)  # fmt: skip
def test_archives_and_other_names_of_files_that_changed(make_job, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    for name, within, member in [("in.zip", "in1.tif", "a.tif"), ("outer.zip", "in.zip", "in.zip")]:
        with zipfile.ZipFile(name, "w") as archive:
            archive.write(within, member)
    Path("in1.tif.gz").write_bytes(gzip.compress(Path("in1.tif").read_bytes()))
    rasterio.shutil.copy(f"/vsizip/{tmp_path}/in.zip/a.tif", "around.vrt", driver="VRT")
    job = make_job(inputs=[path.replace("HERE", str(tmp_path))])
    before = fingerprint(job, WINDOWS)
    assert told(before, job) == ""
    for name in ("in1.tif", "in1.tif.gz", "in.zip", "outer.zip"):
        os.utime(name, ns=(0, 10**18))
    assert told(before, job).startswith(f"inputs.1.files.{tmp_path}/")


def test_an_archive_by_a_relative_name_is_the_same(make_job, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(tmp_path / "in1.tif", "a.tif")
    before = make_job(inputs=[f"/vsizip/{tmp_path}/in.zip/a.tif"])
    before = fingerprint(before, WINDOWS)
    monkeypatch.chdir(tmp_path)
    assert told(before, make_job(inputs=["/vsizip/in.zip/a.tif"])) == ""


def test_inputs_that_are_missing(make_job):
    with pytest.raises(InputError, match=r"missing\.tif"):
        fingerprint(make_job(inputs=["missing.tif"]), WINDOWS)


def test_what_cannot_be_compared(make_job):
    with pytest.raises(UsageError, match=r"global_args\.a is of type lock, and resume=True needs"):
        fingerprint(make_job(global_args={"a": threading.Lock()}), WINDOWS)


def test_a_function_by_name_that_changed(make_job, tmp_path):
    (tmp_path / "ndvi.py").write_text("def run(*args): ...")
    for name, full in [("ndvi:run", "ndvi:run"), ("ndvi.py:run", f"{tmp_path / 'ndvi.py'}:run")]:
        job = make_job(function=FunctionRef(name, str(tmp_path)))
        before = fingerprint(job, WINDOWS)
        assert told(before, job) == ""
        (tmp_path / "ndvi.py").write_text(f"def run(*args): return {name!r}")
        assert told(before, job) == "function.code changed"
        assert fingerprint(job, WINDOWS)["function"]["name"] == full


def test_a_function_by_path_is_the_same_from_everywhere(make_job, tmp_path):
    (tmp_path / "ndvi.py").write_text("def run(*args): ...")
    (tmp_path / "sub").mkdir()
    here = make_job(function=FunctionRef("ndvi.py:run", str(tmp_path)))
    there = make_job(function=FunctionRef("../ndvi.py:run", str(tmp_path / "sub")))
    assert told(here, there) == ""


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (window_grid(90, 70, Size(64, 32)),
         "windows.number was 4 and is 6; windows.size was [64, 64] and is [64, 32]"),
        (WINDOWS[::-1], "windows.size was [64, 64] and is [26, 6]"),
        (listed(*pairs_of(WINDOWS[:3]), (Window(64, 64, 26, 5), (1, 1))), "windows changed"),
        (listed(*pairs_of(WINDOWS[:3]), (WINDOWS[3].window, (9, 9))), "windows changed"),
        (listed((((0, 1), (0, 1)), (0, 0))),
         "windows.number was 4 and is 1; windows.size was [64, 64] and is [1, 1]"),
        (listed(), "windows.number was 4 and is 0; windows.size was [64, 64] and is none"),
    ],
)  # fmt: skip
def test_other_windows(make_job, windows, expected):
    assert told(make_job(), make_job(), windows) == expected


def test_versions(make_job):
    before = fingerprint(make_job(), WINDOWS)
    assert set(before["versions"]) == {"rio-mucho-cli", "GDAL", "rasterio", "numpy"}
    before["versions"]["GDAL"] = "2.4.4"
    assert told(before, make_job()) == f"versions.GDAL was 2.4.4 and is {rasterio.__gdal_version__}"


def test_every_difference_is_named(make_job, tmp_path):
    job = make_job(nodata=3, dtype="uint8", global_args={"a": 1}, function=other)
    changes = told(make_job(), job, WINDOWS[:1]).split("; ")
    assert [change.split()[0] for change in changes] == [
        "function.name", "global_args.a", "options.dtype", "options.nodata", "windows.number",
    ]  # fmt: skip
    assert Path(tmp_path / "in1.tif").exists()


OWN = {
    "user.py": """
        import functools
        import helper

        def run(*args): return helper.value()
        class Own:
            def __call__(self, *args): return helper.value()
            def method(self, *args): return 1
            @classmethod
            def made(cls, *args): return 2
        @functools.lru_cache
        def cached(*args): return helper.value()
        @helper.wrapped
        def decorated(*args): return 3
        def make():
            def closed(*args): return 4
            return closed
        old = run
        def twice(*args): return 5
        first = twice
        def twice(*args): return 6
    """,
    "helper.py": """
        import functools
        from package import part
        def value(): return part.FACTOR
        def wrapped(func):
            @functools.wraps(func)
            def inner(*args): return func(*args) + 1
            return inner
    """,
    "package/__init__.py": "",
    "package/part.py": "FACTOR = 16\n",
    "unused.py": "",
}
FUNCTIONS = ["run", "Own", "Own.method", "Own.made", "cached", "decorated"]


@pytest.fixture
def user(module, tmp_path, monkeypatch):
    """Return a function that imports a module of the user's."""
    (tmp_path / "package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in OWN.items():
        module(textwrap.dedent(text), name)

    def imported():
        for name in ("user", "helper", "package", "package.part"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("user")

    return imported


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_is_handed_over_is_its_name_and_its_files(user, make_job, tmp_path, name):
    def job():
        return make_job(function=operator.attrgetter(name)(user()))

    before = fingerprint(job(), WINDOWS)
    assert told(before, make_job(function=FunctionRef(f"user:{name}", str(tmp_path)))) == ""
    for file in OWN:
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(f"{text}# changed\n")
        assert told(before, job()) == ("" if file == "unused.py" else "function.code changed")
        (tmp_path / file).write_text(text)
    assert told(before, job()) == ""


def test_functions_that_are_installed_or_built_in(make_job):
    for function in (math.hypot, json.dumps, np.mean, np.ndarray):
        name = f"{function.__module__}:{function.__qualname__}"
        assert fingerprint(make_job(function=function), WINDOWS)["function"]["name"] == name


def test_a_partial_is_its_function_and_its_arguments(user, make_job):
    run = user().run
    changes = told(make_job(function=partial(run, 1, b=2)), make_job(function=partial(run, 1, b=3)))
    assert changes == "function.keywords.b was 2 and is 3"
    with pytest.raises(
        UsageError, match=r"keywords of a partial\.b is of type lock, and resume=True"
    ):
        fingerprint(make_job(function=partial(run, b=threading.Lock())), WINDOWS)


@pytest.mark.parametrize(
    ("take", "found"),
    [
        (lambda user: lambda *args: 1, "a lambda"),
        (lambda user: user.make(), r"make\.<locals>\.closed, which is defined in a function"),
        (lambda user: partial(user.make()), r"make\.<locals>\.closed"),
        (lambda user: user.Own(), "an object of the class Own"),
        (lambda user: user.Own().method, "user:Own.method, which is not what importing it gives"),
        (lambda user: user.first, "user:twice, which is not what importing it gives"),
    ],
)
def test_a_function_that_cannot_be_imported_is_refused(user, make_job, take, found):
    message = f"^resume=True needs a function that can be imported, found {found}.*: move it into"
    with pytest.raises(UsageError, match=message):
        fingerprint(make_job(function=take(user())), WINDOWS)


@pytest.mark.parametrize(
    ("name", "found"), [("__main__", "run of a script or notebook"), ("nowhere", "nowhere:run")]
)
def test_a_function_of_a_script_is_refused(make_job, name, found):
    names = {"__name__": name}
    exec("def run(*args): return 1", names)
    with pytest.raises(UsageError, match=f"can be imported, found {found}"):
        fingerprint(make_job(function=names["run"]), WINDOWS)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("user.py", "return 1", "return 0"),
        ("user.py", "def run", "\ndef run"),
        ("helper.py", "return part.FACTOR", "return -part.FACTOR"),
        ("helper.py", "import", "import import"),
    ],
)
def test_a_module_that_changed_since_it_was_imported(user, make_job, tmp_path, file, old, new):
    job = make_job(function=user().run)
    before = fingerprint(job, WINDOWS)
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=f"{file[:-3]} has changed since it was imported: import"):
        fingerprint(job, WINDOWS)
    if new != "import import":
        assert told(before, make_job(function=user().run)) == "function.code changed"


def test_what_the_function_declares(make_job):
    """It may come from anywhere: the code alone does not say what it is."""
    before = fingerprint(make_job(), WINDOWS)
    assert "output" not in before
    try:
        copy.output = {"units": "m", "colormap": {1: (1, 2, 3)}, "nodata": math.nan}
        declared = fingerprint(make_job(), WINDOWS)
        assert told(declared, make_job()) == ""
        copy.output = {**copy.output, "units": "s"}
        assert told(declared, make_job()) == "output.first.described.units was m and is s"
    finally:
        del copy.output


def test_the_time_of_outputs(make_job, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    before = fingerprint(make_job(), WINDOWS)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert told(before, make_job()) == "date was 1970-01-01T00:00:00Z and is 1970-01-01T00:00:01Z"
    assert "date" not in fingerprint(make_job(metadata=False), WINDOWS)
