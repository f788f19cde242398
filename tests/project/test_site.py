"""The site is built without a warning, its links lead somewhere, and it has every public name."""

import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

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


@pytest.fixture(scope="module")
def pages(site):
    """Return what each page of the site has by path: its anchors, and where its links lead."""
    return {path: Links(path) for path in site.rglob("*.html")}


class Links(HTMLParser):
    """Anchors and links of a page.

    Attributes
    ----------
    ids : list of str
    links : list of str
        Links, and sources of images, scripts and styles.
    """

    def __init__(self, path):
        super().__init__()
        self.ids, self.links = [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src"):
                self.links.append(value)


def test_links_within_the_site_lead_somewhere(site, pages):
    wrong, seen = [], 0
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin with the address of the site
            continue
        for link in page.links:
            target, _, anchor = unquote(link).partition("#")
            if re.match(r"(https?|data|mailto):", target):
                continue
            other = (path.parent / target.partition("?")[0]).resolve() if target else path
            seen += bool(anchor)
            if not other.is_file() or (anchor and anchor not in pages[other].ids):
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert wrong == []
    assert seen > 500


def test_anchors_are_unique(site, pages):
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), path.relative_to(site)


def test_every_option_has_an_anchor(site, pages):
    ids = pages[site / "reference" / "command.html"].ids
    assert {max(option.opts, key=len) for option in COMMAND.params[1:]} <= set(ids)


def test_every_attribute_of_a_job_is_in_one_group(site, pages):
    ids = pages[site / "reference" / "python" / "job.html"].ids
    names = {f"rio_mucho_cli.Job.{field.name}" for field in fields(rio_mucho_cli.Job)}
    assert names <= set(ids)


@pytest.mark.parametrize("name", rio_mucho_cli.__all__)
def test_every_public_name_is_on_a_page_of_the_api(site, pages, name):
    folder = site / "reference" / "python"
    ids = [each for path, page in pages.items() if folder in path.parents for each in page.ids]
    assert any(
        re.fullmatch(rf"(module-)?rio_mucho_cli\.(\w+\.)?{name}(\.\w+)?", each) for each in ids
    )


def test_every_page_is_in_a_table_of_contents(site):
    start = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("**/*.md"):
        if page.parent != ROOT / "docs":
            name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
            name = name.removeprefix("reference/") if "reference/" in name else f"../{name}"
            assert f'href="{name}"' in start.replace('href="#"', 'href="python.html"'), name


# It shows each page as a phone does, and notes what is wider and does not scroll by itself.
PHONE = """<!doctype html><body><pre id="seen"></pre><script>{
const seen = [];
const show = page => new Promise(done => {
  const frame = document.createElement("iframe");
  frame.style = "width: 360px; height: 700px; border: 0";
  frame.src = page;
  frame.onload = () => {
    const shown = frame.contentDocument;
    const isCut = each => each.getBoundingClientRect().right > 361
      && !each.closest(".table-wrapper, pre, .sidebar-drawer, .toc-drawer");
    const cut = [...shown.querySelectorAll(".content *")].find(isCut);
    if (cut || shown.documentElement.scrollWidth > 360)
      seen.push(page + ": " + (cut ? cut.textContent.slice(0, 60) : "wide"));
    frame.remove();
    done();
  };
  document.body.append(frame);
});
(async () => {
  for (const page of PAGES) await show(page);
  document.getElementById("seen").textContent = PAGES.length + " pages" + seen.join();
})();
}</script>"""


def test_pages_fit_a_phone(site, pages):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium on the PATH")
    names = [path.relative_to(site).as_posix() for path in pages]
    page = site / "phone.html"
    page.write_text(PHONE.replace("PAGES", json.dumps(names)))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    flags = ["--allow-file-access-from-files", "--virtual-time-budget=60000"]
    shown = subprocess.run(
        [*command, *flags, page.as_uri()], capture_output=True, text=True, timeout=120
    ).stdout
    page.unlink()
    assert f'<pre id="seen">{len(names)} pages</pre>' in shown, shown[:2000]


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 250_000, picture.name
