"""Runs where what Windows lacks is taken away, and files behave as they do there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AS_WINDOWS = Path(__file__).with_name("as_windows")

FUNCTIONS = """
import os
from pathlib import Path

def twice(data, window, ij, global_args):
    return data[0] * 2

def bad(data, window, ij, global_args):
    raise ValueError("no")

def once_bad(data, window, ij, global_args):
    if ij == (1, 2) and not Path("again").exists():
        raise ValueError("not yet")
    return data[0] * 2

def die(data, window, ij, global_args):
    os._exit(7)
"""

SCRIPT = """
from rio_mucho_cli import RioMucho

def twice(data, window, ij, global_args):
    return data[0] * 2

with RioMucho(["in.tif"], "out.tif", twice) as rm:
    rm.run(2)
print("ran")
"""


@pytest.fixture
def windows():
    """The environment variables of programs that run as on Windows."""
    path = [str(AS_WINDOWS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


@pytest.fixture
def mucho(rio_program, make_raster, module):
    module(FUNCTIONS, "mod.py")
    make_raster(width=96, height=64, tiled=True, blockxsize=16, blockysize=16)

    def call(output, *args, **kwargs):
        given = ["--windows", "32", "-j", "2", *args]
        return rio_program("mucho", "-q", "in.tif", output, *given, **kwargs)

    return call


@pytest.fixture
def contents(tmp_path):
    """Return a function that gives all files below tmp_path, but compiled ones."""

    def read_all():
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(tmp_path)): path.read_bytes()
            for path in files
            if path.suffix != ".pyc"
        }

    return read_all


@pytest.mark.parametrize(
    "given",
    [
        ["out.tif"],
        ["out.tif", "--executor", "threads", "--resume"],
        ["out.tif", "--resume", "--overviews", "2,4"],
        ["out.tif", "-f", "COG", "--stats", "-j", "1"],
        ["out.png", "-j", "1"],
        ["in.tif", "-j", "1"],
    ],
    ids=" ".join,
)
def test_outputs_are_the_same(given, mucho, rio, windows, contents, tmp_path):
    command = [*given, "--func", "mod:twice", "--overwrite"]
    source = (tmp_path / "in.tif").read_bytes()
    result = rio("mucho", "-q", "in.tif", *command, "--windows", "32", "-j", "1")
    assert result.exit_code == 0
    expected = contents()
    for output in [given[0], None]:  # a new output, and one that is replaced
        if output not in {None, "in.tif"}:
            (tmp_path / output).unlink()
        if given[0] == "in.tif":
            (tmp_path / "in.tif").write_bytes(source)
        result = mucho(*command, env=windows)
        assert (result.returncode, result.stderr) == (0, "")
        assert contents() == expected


def test_mosaics(mucho, windows, tmp_path, read):
    for _ in range(2):
        result = mucho(
            *["out.vrt", "--func", "mod:twice", "--part-size", "32", "--resume", "--overwrite"],
            env=windows,
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert (read(tmp_path / "out.vrt") == read(tmp_path / "in.tif") * 2).all()
        assert len(list((tmp_path / "out.vrt.parts").iterdir())) == 1
        assert len(list((tmp_path / "out.vrt.parts").rglob("*.*"))) == 6


@pytest.mark.parametrize("output", ["out.tif", "out.vrt"])
def test_a_run_is_resumed(output, mucho, windows, tmp_path, read):
    command = [output, "--func", "mod:once_bad", "--resume"]
    command += ["--part-size", "32"] if output == "out.vrt" else ["-j", "1"]
    failed = mucho(*command, env=windows)
    assert failed.returncode == 1
    assert not (tmp_path / output).exists()
    (tmp_path / "again").touch()
    result = mucho(*command, env=windows)
    assert (result.returncode, result.stderr) == (0, "")
    assert (read(tmp_path / output) == read(tmp_path / "in.tif") * 2).all()
    assert not list(tmp_path.rglob("*mucho-partial*"))


@pytest.mark.parametrize("more", [[], ["-f", "COG"], ["--resume"]], ids=" ".join)
def test_an_output_that_is_open_elsewhere_stays(more, mucho, windows, contents, tmp_path):
    (tmp_path / "out.tif").write_bytes(b"old")
    before = contents()
    command = ["out.tif", "--func", "mod:twice", "--overwrite", "-j", "1", *more]
    with (tmp_path / "out.tif").open("rb"):
        result = mucho(*command, env=windows)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: out.tif cannot be put into place")
    assert "close it there, or give another name" in line
    left = {path: data for path, data in contents().items() if "mucho-partial" not in path}
    assert left == before
    result = mucho(*command, env=windows)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_file_beside_it_that_is_open_elsewhere_stays(mucho, windows, contents, tmp_path):
    (tmp_path / "out.tif").write_bytes(b"old")
    (tmp_path / "out.tif.aux.xml").write_bytes(b"<old/>")
    before = contents()
    with (tmp_path / "out.tif.aux.xml").open("rb"):
        result = mucho("out.tif", "--func", "mod:twice", "--overwrite", "-j", "1", env=windows)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert contents() == before


@pytest.mark.parametrize(
    ("function", "said"),
    [("bad", "the function raised ValueError: no"), ("die", "a worker process was lost while")],
)
def test_failures_leave_nothing(function, said, mucho, windows, contents):
    before = contents()
    result = mucho("out.tif", "--func", f"mod:{function}", env=windows)
    assert result.returncode == 1
    assert said in result.stderr.splitlines()[-1]
    assert contents() == before


@pytest.mark.parametrize("by", ["file", "standard input"])
def test_a_script_without_a_guard_runs_once(by, mucho, windows, tmp_path, read):
    (tmp_path / "script.py").write_text(SCRIPT)
    command, given = ([sys.executable, "script.py"], "")
    if by == "standard input":
        command, given = [sys.executable, "-"], SCRIPT
    result = subprocess.run(
        command, input=given, env=windows, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (result.stdout, result.stderr) == ("ran\n", "")
    assert (read(tmp_path / "out.tif") == read(tmp_path / "in.tif") * 2).all()


IMPORT_ALL = """
import importlib, json, pkgutil, sys
import rio_mucho_cli

posix = {"bootstrap", "fork_server", "fork_server_main"}
posix |= {"process", "process_pool", "process_main"}
dask = {"dask_executor", "dask_cluster"}  # psutil knows which system this is
for module in pkgutil.walk_packages(rio_mucho_cli.__path__, "rio_mucho_cli."):
    if module.name.rpartition(".")[2] not in posix | dask:
        importlib.import_module(module.name)
print(json.dumps([name for name in sys.modules if name.startswith("rio_mucho_cli.")]))
"""


def test_all_is_imported_but_what_only_our_own_processes_need(windows):
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], env=windows, capture_output=True, text=True, check=True
    )
    found = set(json.loads(result.stdout))
    assert {"rio_mucho_cli.cli", "rio_mucho_cli.workers.any_executor"} <= found
    assert not {f"rio_mucho_cli.workers.{name}" for name in ("process", "process_pool")} & found
