"""README, changelog and help text say what the program does."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rasterio.rio.main import main_group

import rio_mucho_cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMAND = main_group.get_command(None, "mucho")


def test_every_option_has_help_and_details():
    for option in COMMAND.params[1:]:
        assert option.help.partition("[default")[0].strip(), option.name
        assert option.details.strip(), option.name


TOOL = ROOT / "docs" / "_tools" / "option_reference.py"


def test_every_option_is_on_the_page_of_the_command_once():
    """If not: an entry in docs/_tools/option_reference.toml, then the next test."""
    tool = runpy.run_path(str(TOOL))
    assert list(tool["DATA"]) == [option.name for option in COMMAND.params[1:]]
    headings = re.findall(r"^### `(-.*?)`$", tool["PAGE"].read_text("utf-8"), flags=re.MULTILINE)
    assert headings == [max(option.opts, key=len) for option in COMMAND.params[1:]]


def test_the_page_of_the_command_shows_options_and_messages_as_they_are():
    """If not: python docs/_tools/option_reference.py."""
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_help_shows_its_example_as_it_is_written(rio):
    text = rio("mucho", "--help").stdout
    assert "\n      def run(data, window, ij, global_args):\n" in text
    assert "\n      $ rio mucho nir.tif red.tif ndvi.tif --func index.py:run -j 8\n" in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_fits_two_screens_in_groups(rio):
    lines = rio("mucho", "--help").stdout.splitlines()
    assert len(lines) <= 100
    titles = [line for line in lines if line.endswith(":") and not line.startswith((" ", "Usage"))]
    assert titles == [
        "Function:", "Series of scenes:", "Windows and grid:", "Output:", "Running:", "Reporting:"
    ]  # fmt: skip


def test_the_functions_of_the_readme_work(rio, make_raster, tmp_path, read):
    code = re.search(r"```python\n# index\.py\n(.*?)```", README, flags=re.DOTALL)[1]
    (tmp_path / "index.py").write_text(code)
    for name in ("nir.tif", "red.tif"):
        make_raster(name, seed=ord(name[0]))
    command = re.search(r"^    rio (mucho nir\.tif .*)$", README, flags=re.MULTILINE)[1]
    result = rio(*command.split())
    assert result.exit_code == 0, result.output
    nir, red = read("nir.tif").astype("float32"), read("red.tif").astype("float32")
    assert (read("ndvi.tif") == (nir - red) / (nir + red)).all()


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/*/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path = link.partition("#")[0]
        assert link.startswith("https://") or (page.parent / path).exists(), link


def test_ci_finds_both_commands():
    section = README.partition("## Two commands")[2].partition("\n## ")[0]
    first, second = re.findall(r"```sh\n(.*?)\n```", section, flags=re.DOTALL)
    assert "\n" not in first + second
    script = (ROOT / ".ci" / "run").read_text()
    function = re.search(r"^command_of_readme\(\) \{.*?^\}", script, re.DOTALL | re.MULTILINE)[0]
    for number, command in enumerate((first, second), start=1):
        done = subprocess.run(
            ["bash", "-c", f"{function}\ncommand_of_readme {number}"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == command + "\n"


def test_both_versions_are_the_same():
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert metadata["project"]["version"] == rio_mucho_cli.__version__
