"""Every code block of README and docs does what its page says, or says why it is not run."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rasterio.rio.main import main_group

ROOT = Path(__file__).parents[2]
SITE = runpy.run_path(str(ROOT / "docs" / "_tools" / "blocks.py"))
PAGES, SHELL = SITE["PAGES"], SITE["SHELL"]
BlockError, blocks_of, run_page = SITE["BlockError"], SITE["blocks_of"], SITE["run_page"]
OPTIONS = {name for param in main_group.get_command(None, "mucho").params for name in param.opts}


def page_name(page):
    return page.name


def options_of(script):
    """Return the options that a script gives to `rio mucho`."""
    lexer = shlex.shlex(script.replace("\\\n", " "), posix=True, punctuation_chars="|<>;&\n")
    lexer.whitespace, lexer.whitespace_split = " \t", True
    found, inside = [], False
    for word in lexer:
        if not word.strip("|<>;&\n"):
            inside = False
        elif word == "mucho":
            inside = True
        elif inside and re.match("--?[a-zA-Z]", word):
            found.append(word.partition("=")[0])
    return found


# The default run takes this one, and hillshade.md in test_tutorial; the campaign takes the others.
ALWAYS = ["model.md"]


@pytest.mark.parametrize(
    "page",
    [
        page if page.name in ALWAYS else pytest.param(page, marks=pytest.mark.campaign)
        for page in PAGES
        if page.name != "hillshade.md"
    ],
    ids=page_name,
)
def test_blocks_do_what_the_page_says(page, tmp_path, request):
    if "rio cogeo" in page.read_text("utf-8"):
        request.getfixturevalue("all_packages")
    run_page(page, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_blocks_that_are_not_run_could_be(page):
    for block in blocks_of(page):
        if block.not_run is not None:
            assert len(block.not_run) > 3, f"{block.where}: say why it is not run"
            if block.language == "python":
                compile(block.text, block.where, "exec")
            if block.language == "sh":
                subprocess.run(["bash", "-nc", block.text], check=True)
        if block.language in SHELL and block.file_name is None:
            assert set(options_of(block.text)) <= OPTIONS | {"--help"}, block.where


def test_options_are_found_wherever_they_stand():
    script = (
        "rio -v mucho a b \\\n  --func 'f:g' -j 2 | cat -n\nrio info --stats a; rio mucho --co=A=B"
    )
    assert options_of(script) == ["--func", "-j", "--co"]


@pytest.fixture
def page(tmp_path):
    def write(text):
        path = tmp_path / "page.md"
        path.write_text(text)
        return path

    return write


GOOD = """
    echo 1 > one

```python
# two.py
print(2)
```

    cat one; python two.py

```text
1
...
```

<!-- exits 3 -->

```sh
exit 3
```

<!-- not run: there is no such program -->

    nothing
"""


def test_a_page_is_run_from_top_to_bottom(page, tmp_path):
    run_page(page(GOOD), tmp_path)
    assert (tmp_path / "one").read_text() == "1\n"
    assert (tmp_path / "two.py").read_text() == "# two.py\nprint(2)\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("exits 3", "exits 4", "ended with 3 instead of 4"),
        ("1\n...", "3\n...", "has\n\n3\n...\n\nbut this was printed:\n\n1\n2\n"),
        ("print(2)", "raise SystemExit(5)", "ended with 5 instead of 0"),
        ("not run: there is no such program", "", "ended with 127"),
        ("```sh", "```json", "'json' cannot be run"),
        ("echo 1 > one", "false", "page.md:2: ended with 1"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(page, tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(BlockError) as caught:
        run_page(page(GOOD.replace(old, new)), tmp_path)
    assert message in str(caught.value)


def test_pages_run_the_python_of_the_tests(page, tmp_path):
    text = f"    python -c 'import sys; print(sys.prefix)'\n\n```text\n{sys.prefix}\n```\n"
    run_page(page(text), tmp_path)
