"""The site is built without a warning, and has every option and every public name."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rasterio.rio.main import main_group

import rio_mucho_cli

ROOT = Path(__file__).parents[2]
COMMAND = main_group.get_command(None, "mucho")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of a site that was built as CONTRIBUTING says."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-d", folder / "trees"]
    done = subprocess.run(
        [*command, ROOT / "docs", folder / "html"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


@pytest.fixture(scope="module")
def text_of(site):
    """Return a function that gives the text of a page of the site."""

    def text(name):
        page = (site / name).read_text(encoding="utf-8")
        return html.unescape(re.sub("<[^>]+>", " ", page))

    return text


def test_every_option_is_on_the_page_of_the_command(text_of):
    text = text_of("reference/command.html")
    options = [name for param in COMMAND.params for name in param.opts if name.startswith("-")]
    assert "--func" in options
    for name in options:
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", text), name


def test_the_page_of_the_command_shows_the_help_of_every_option(text_of):
    text = " ".join(text_of("reference/command.html").split())
    for option in COMMAND.params[1:]:
        assert " ".join(option.help.partition("[default")[0].split()) in text


@pytest.mark.parametrize("name", rio_mucho_cli.__all__)
def test_every_public_name_is_on_the_page_of_the_api(site, name):
    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    ids = re.findall(r'id="([\w.-]+)"', page)
    assert any(
        re.fullmatch(rf"(module-)?rio_mucho_cli\.(\w+\.)?{name}(\.\w+)?", each) for each in ids
    )


def test_every_page_is_in_a_table_of_contents(site):
    start = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*/*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert f'href="{name}"' in start, name


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 250_000, picture.name
