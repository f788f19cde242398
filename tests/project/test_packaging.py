"""What is built of this repository, and the lists of requirements that must agree."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def build(source, folder, *what):
    command = [sys.executable, "-m", "build", "--no-isolation", *what, "--outdir", str(folder)]
    subprocess.run([*command, str(source)], check=True, capture_output=True, text=True)
    (made,) = folder.iterdir()
    return made


def contents_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "--sdist")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "--wheel")


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")
    names = contents_of(wheel)
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "rio_mucho_cli").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert package >= {"rio_mucho_cli/py.typed", "rio_mucho_cli/workers/bootstrap.py"}
    info = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    assert set(names) - info == package
    assert {name.partition("/")[2] for name in info} == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE",
    }  # fmt: skip


def test_the_sdist_has_what_it_takes_to_work_on_it_and_builds_the_same_wheel(
    sdist, wheel, tmp_path
):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    tracked = {
        "tests/conftest.py",
        "tests/behaviour/as_windows/sitecustomize.py",
        "examples/ndvi.py",
    }
    tracked |= {"examples/ndvi.py", "README.md", "CHANGELOG.md", "LICENSE", ".ci/lowest.txt"}
    tracked |= {"docs/explanation/reliability.md", "docs/_tools/blocks.py"}
    assert {name for name in tracked if not (source / name).is_file()} == set()
    assert not list(source.rglob("*.tif"))
    (tmp_path / "built").mkdir()
    again = build(source, tmp_path / "built", "--wheel")
    assert contents_of(again) == contents_of(wheel)


def test_the_installed_wheel_adds_the_command_to_rio(wheel, make_raster, tmp_path, read):
    """The program is run with the wheel's files first, and none of the tree's."""
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True)
    make_raster(width=64, height=48)
    (tmp_path / "mod.py").write_text(
        "import rio_mucho_cli\n"
        "def twice(data, window, ij, global_args):\n"
        '    print(rio_mucho_cli.__file__ + chr(10), end="")\n'
        "    return data[0] * 2\n"
    )
    rio = [str(Path(sys.executable).with_name("rio")), "mucho"]
    result = subprocess.run(
        [*rio, "in.tif", "out.tif", "--func", "mod:twice", "--jobs", "2", "--windows", "32"],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(result.stdout.split()) == {str(target / "rio_mucho_cli" / "__init__.py")}
    assert (read(tmp_path / "out.tif") == read(tmp_path / "in.tif") * 2).all()
    subprocess.run(
        [sys.executable, "-m", "rio_mucho_cli.examples", "made"],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    assert (tmp_path / "made" / "ndvi.py").is_file()


def test_the_lowest_versions_are_those_that_are_asked_for():
    extras = PROJECT["project"]["optional-dependencies"]
    asked = {}
    for requirement in [*PROJECT["project"]["dependencies"], *chain(*extras.values())]:
        if requirement.startswith("rio-mucho-cli["):
            continue  # other extras
        name, version = re.fullmatch(
            r"([\w-]+)(?:\[.*\])? >= ([\d.]+)(?:,.*)?", requirement
        ).groups()
        asked[name] = numbers(version)
    lines = (ROOT / ".ci" / "lowest.txt").read_text("utf-8").splitlines()
    assert {name: numbers(version) for name, version in (x.split("==") for x in lines)} == asked


def numbers(version):
    """Return a version's numbers; 1.4 is 1.4.0."""
    found = [int(part) for part in version.split(".")]
    return (*found, *[0] * (3 - len(found)))
