import gzip
import importlib
import json
import os
import sys
import textwrap
import threading
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from rasterio.windows import Window

from rio_mucho_cli import Job
from rio_mucho_cli.differences import describe_changes
from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.fingerprint import fingerprint
from rio_mucho_cli.inputs.windows import Size, cover
from rio_mucho_cli.work.functions import FunctionRef

WINDOWS = cover(90, 70, Size(64, 64))


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
        ({"windows": Size(8, 4)}, {"windows": WINDOWS}, "options.windows was [8, 4] and is a list"),
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
        ({"function": partial(copy, ij=1)}, {"function": partial(copy, ij=2)},
         "function.code changed"),
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
    with pytest.raises(UsageError, match="a run with a lock cannot be resumed"):
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
        (cover(90, 70, Size(64, 32)),
         "windows.number was 4 and is 6; windows.size was [64, 64] and is [64, 32]"),
        (WINDOWS[::-1], "windows.size was [64, 64] and is [26, 6]"),
        ([*WINDOWS[:3], (Window(64, 64, 26, 5), (1, 1))], "windows changed"),
        ([*WINDOWS[:3], (WINDOWS[3][0], (9, 9))], "windows changed"),
        ([(((0, 1), (0, 1)), (0, 0))],
         "windows.number was 4 and is 1; windows.size was [64, 64] and is none"),
        ([], "windows.number was 4 and is 0; windows.size was [64, 64] and is none"),
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
        "function.code", "function.name", "global_args.a", "options.dtype", "options.nodata", "and",
    ]  # fmt: skip
    assert Path(tmp_path / "in1.tif").exists()


OWN = {
    "user.py": """
        import functools
        import helper
        import package.part
        from helper import Base, make, number as taken
        from elsewhere import shift

        def by_module(*args): return helper.value()
        def by_name(*args): return taken()
        def by_package(*args): return package.part.value()
        def lazily(*args):
            import lazy
            return lazy.value()
        def from_elsewhere(*args): return shift(1)
        class Own(Base):
            @staticmethod
            def __call__(*args): return Own().value()
        instance = Own()
        closed = make(3)
        part = functools.partial(by_module, 1)
    """,
    "helper.py": """
        import settings
        def value(): return settings.limit
        def number(): return 10
        def unused(): return 11
        def make(n):
            def made(*args): return n * 12
            return made
        class Base:
            factor = 13
            def value(self): return self.factor + 14
    """,
    "settings.py": "limit = 15\n",
    "package/__init__.py": "",
    "package/part.py": "def value(): return inner()\ndef inner(): return 16\n",
    "lazy.py": "from deep import value\n",
    "deep.py": "def value(): return 17\n",
    "other/elsewhere.py": "STEP = 18\ndef shift(x): return x + STEP\n",
}
FUNCTIONS = ["by_module", "by_name", "by_package", "lazily", "from_elsewhere", "instance", "closed",
             "part"]  # fmt: skip


@pytest.fixture
def of_own(module, make_job, tmp_path, monkeypatch):
    """Return a function that gives the fingerprints of functions in modules of one's own."""
    for folder in ("package", "other"):
        (tmp_path / folder).mkdir()
        monkeypatch.syspath_prepend(tmp_path / folder)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in OWN.items():
        module(textwrap.dedent(text), name)

    def fingerprints(change=None):
        for name, each in list(sys.modules.items()):
            if str(getattr(each, "__file__", None)).startswith(str(tmp_path)):
                del sys.modules[name]
        importlib.invalidate_caches()
        user = importlib.import_module("user")
        if change is not None:
            change()
        jobs = {name: make_job(function=getattr(user, name)) for name in FUNCTIONS}
        jobs["args"] = make_job(global_args={"call": user.by_name})
        return {name: fingerprint(job, WINDOWS) for name, job in jobs.items()}

    return fingerprints


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("user.py", "\n\ndef by_module", "\n\n# a line more\ndef by_module", set()),
        ("helper.py", "return 11", "return 0", set()),
        ("helper.py", "return 10", "return 0", {"by_name", "args"}),
        ("helper.py", "n * 12", "n * 0", {"closed"}),
        ("helper.py", "13", "0", {"instance"}),
        ("helper.py", "14", "0", {"instance"}),
        ("helper.py", "return settings.limit", "return -settings.limit", {"by_module", "part"}),
        ("settings.py", "15", "0", {"by_module", "part"}),
        ("package/part.py", "16", "0", {"by_package"}),
        ("deep.py", "17", "0", {"lazily"}),
        ("lazy.py", "\n", "\n\n", {"lazily"}),
        ("other/elsewhere.py", "18", "0", {"from_elsewhere"}),
    ],
)
def test_a_function_is_what_it_uses_of_ones_own_modules(of_own, tmp_path, name, old, new, expected):
    before = of_own()
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    after = of_own()
    assert {each for each in after if before[each] != after[each]} == expected


def test_a_function_is_what_was_imported_and_not_what_is_in_the_file_since(of_own, tmp_path):
    before = of_own()

    def edit():
        for name in ("user.py", "helper.py"):
            path = tmp_path / name
            path.write_text("\n\n" + path.read_text().replace("return", "return 0 or"))

    assert of_own(edit) == before
    assert of_own() != before


def test_what_the_program_sets_in_a_module_counts(of_own):
    before = of_own()
    after = of_own(lambda: setattr(sys.modules["settings"], "limit", 3))
    assert {each for each in after if before[each] != after[each]} == {"by_module", "part"}


def test_chains_of_functions_may_be_long(make_job):
    names = {}
    text = "\n".join(f"def f{n}(*args): return f{n + 1}()" for n in range(1000))
    exec(f"{text}\ndef f1000(): return 1", names)
    before = fingerprint(make_job(function=names["f0"]), WINDOWS)
    exec("def f1000(): return 2", names)
    assert fingerprint(make_job(function=names["f0"]), WINDOWS) != before
