"""What is built of this repository, and the lists of requirements that must agree."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt

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


@pytest.fixture(scope="module")
def source(sdist, tmp_path_factory):
    """Return the folder of the sdist's files."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return source


def test_the_sdist_has_what_it_takes_to_work_on_it_and_nothing_else(source):
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is not a git repository")
    ours = {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}
    of_services = {name for name in ours if name.startswith((".github/", ".readthedocs"))}
    names = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert names - {"PKG-INFO"} == ours - of_services


def test_the_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    assert contents_of(build(source, tmp_path, "--wheel")) == contents_of(wheel)


REPOSITORY = PROJECT["project"]["urls"]["Repository"]
# Where files of the repository are on the web.
ON_THE_WEB = {
    f"{REPOSITORY}/blob/v{PROJECT['project']['version']}/": "",
    f"{REPOSITORY}/blob/main/": "",
    f"{REPOSITORY}/tree/main/": "",
    f"{REPOSITORY}/raw/main/": "",
    REPOSITORY.replace("github.com", "raw.githubusercontent.com")
    + f"/v{PROJECT['project']['version']}/": "",
    PROJECT["project"]["urls"]["Documentation"] + "/en/stable/": "docs/",
}


def parse(page):
    """Return a page's blocks of code, its links, and its pictures."""
    tokens = [
        part
        for token in MarkdownIt().enable("table").parse(page)
        for part in (token, *(token.children or ()))
    ]
    html = "".join(token.content for token in tokens if token.type.startswith("html"))
    return (
        [token.content for token in tokens if token.type in {"fence", "code_block", "code_inline"}],
        [token.attrs["href"] for token in tokens if token.type == "link_open"]
        + re.findall(r'href="(.*?)"', html),
        [token.attrs["src"] for token in tokens if token.type == "image"]
        + re.findall(r'(?:src|srcset)="(.*?)"', html),
    )


def test_the_page_on_pypi_has_links_that_lead_somewhere(wheel):
    """The README is shown there, with absolute links, and without what its readers do not see."""
    (metadata,) = (text for name, text in contents_of(wheel).items() if name.endswith("/METADATA"))
    message = message_from_bytes(metadata)
    assert message["Description-Content-Type"] == "text/markdown"
    page = message.get_payload(decode=True).decode()
    assert "<!--" not in page
    code, links, pictures = parse(page)
    readme = re.sub("<!--.*?-->", "", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    assert code == parse(readme)[0]
    assert links
    assert pictures
    assert all(urlsplit(picture).netloc != "github.com" for picture in pictures)
    for link in links + pictures:
        assert link.startswith(("https://", "#")), link
        for address, folder in ON_THE_WEB.items():
            if link.startswith(address):
                path = folder + link.removeprefix(address).partition("#")[0]
                path = re.sub(r"\.html$", ".md", path) if folder else path
                assert (ROOT / path).exists(), link


def test_the_recipe_for_conda_needs_what_the_wheel_needs():
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
    project = PROJECT["project"]
    assert recipe["context"]["version"] == project["version"]
    assert f">={recipe['context']['python_min']}" == project["requires-python"]

    def needs(requirements):
        return {requirement.replace(" ", "") for requirement in requirements}

    extras = [project["optional-dependencies"][name] for name in ("dask", "vector")]
    asked = recipe["requirements"]
    run = set(map(str, asked["run"])) - {"python >=${{ python_min }}"}
    assert needs(run) == needs(project["dependencies"])
    assert needs(asked["run_constraints"]) == needs(chain(*extras))
    host = [name for name in asked["host"] if name.partition(" ")[0] not in {"python", "pip"}]
    assert needs(host) == needs(PROJECT["build-system"]["requires"])


def test_the_citation_names_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PROJECT["project"]["version"]


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
