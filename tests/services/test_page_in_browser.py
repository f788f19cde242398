"""The page in a real browser: it says nothing of errors, and what can be clicked works."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from rio_mucho_cli import MuchoChildError, run
from rio_mucho_cli.reports.entries import document
from rio_mucho_cli.reports.page import page
from rio_mucho_cli.reports.recorder import Recorder
from rio_mucho_cli.windows import Size

NAMES = ("chromium", "google-chrome", "chromium-browser")

# It clicks, and writes down what it sees.
CLICKS = """
<pre id="seen"></pre><script>{
const seen = [];
const look = (name, value) => seen.push(name + "=" + value);
const rect = document.querySelector(".stretch rect.read");
look("before", getComputedStyle(rect).visibility);
document.querySelector('.legend button[data-stage="read"]').click();
look("after", getComputedStyle(rect).visibility);
document.querySelector('.legend button[data-stage="read"]').click();
look("again", getComputedStyle(rect).visibility);
const paper = () => getComputedStyle(document.body).backgroundColor;
document.getElementById("theme").click();
look("dark", paper());
document.getElementById("theme").click();
look("light", paper());
const cell = document.querySelector(".map .cell");
document.querySelectorAll(".choices input")[3].click();
look("level", cell.getAttribute("class").endsWith("q" + cell.dataset.q[3]));
look("high", document.getElementById("high").textContent
  === document.querySelectorAll(".choices input")[3].dataset.high);
cell.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: 50, clientY: 50}));
const tip = document.getElementById("tip");
look("tip", !tip.hidden && tip.textContent.startsWith("ij (0, 0)"));
document.body.dispatchEvent(new PointerEvent("pointermove", {bubbles: true}));
look("hidden", tip.hidden);
look("wide", document.documentElement.scrollWidth <= innerWidth);
document.getElementById("seen").textContent = seen.join("\\n");
}</script>
"""


@pytest.fixture(scope="module")
def browser():
    """Return the path of a Chromium; without one, tests are skipped, unless one is wanted."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"there is no browser on the PATH: {', '.join(NAMES)}"
        if os.environ.get("MUCHO_NEEDS_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """Return the source of axe-core; without npm, or its registry, tests are skipped."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on the PATH, which fetches axe-core")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0"]
    done = subprocess.run(
        [*command, "axe-core@4"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        pytest.skip(f"npm cannot fetch axe-core: {done.stderr.strip().splitlines()[-1]}")
    source = (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
    return source.replace("</script", "<\\/script")


# It checks the page, with all that is folded open, and writes down what is wrong.
CHECK = """
<pre id="seen"></pre><script>
for (const folded of document.querySelectorAll("details")) folded.open = true;
axe.run().then((found) => {
  const all = [...found.violations, ...found.incomplete];
  document.getElementById("seen").textContent = JSON.stringify(
    all.map((rule) => [rule.impact, rule.id, rule.nodes.map((node) => node.html)]));
});
</script>
"""


@pytest.fixture
def opened(browser, tmp_path):
    """Return a function that opens a page and returns its elements and what the console says."""

    def open_page(text, width=1200):
        (tmp_path / "page.html").write_text(text)
        done = subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900",
                "--enable-logging=stderr", "--virtual-time-budget=2000",
                (tmp_path / "page.html").as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, console

    return open_page


@pytest.fixture
def text(tif, job_on):
    """Return the page of a run with 12 windows and two threads."""
    job, recorder = job_on([tif], windows=Size(16, 16), executor="threads", jobs=2), Recorder()
    run(job, recorder)
    return page(document(job, recorder))


def test_the_browser_shows_all_windows_and_has_nothing_to_complain_of(text, opened):
    dom, console = opened(text)
    assert console == []
    assert len(re.findall(r'<rect class="cell q\d"', dom)) == 12
    assert len(re.findall(r'<rect class="read"', dom)) == 12


def test_the_console_is_heard(text, opened):
    _, console = opened(text.replace("</body>", "<script>nobody.home()</script></body>"))
    assert len(console) == 1
    assert "nobody is not defined" in console[0]


@pytest.mark.parametrize("width", [1200, 500])
def test_what_can_be_clicked_works(text, opened, width):
    dom, console = opened(text.replace("</body>", CLICKS + "</body>"), width)
    assert console == []
    seen = dict(
        line.split("=", 1)
        for line in re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)[1].splitlines()
    )
    assert seen == {
        "before": "visible",
        "after": "hidden",
        "again": "visible",
        "dark": "rgb(20, 23, 28)",
        "light": "rgb(246, 247, 249)",
        "level": "true",
        "high": "true",
        "tip": "true",
        "hidden": "true",
        "wide": "true",
    }


@pytest.fixture
def failed(tif, job_on):
    """Return the page of a run that has ended with an error, after a window that is nodata."""

    def fail(data, window, ij, global_args):
        if ij[0]:
            raise ValueError("no such pixel")
        return data[0]

    job, recorder = job_on([tif], fail, windows=Size(16, 16), on_error="nodata"), Recorder()
    run(job, recorder)
    window = recorder.slowest[0].window
    report = document(job, recorder, MuchoChildError("it raised", ValueError()).at(window, (0, 0)))
    report["advice"] = [{"rule": "x", "text": "Use fewer windows."}]
    return page(report)


def problems(text, axe, opened, width):
    """Return what axe-core finds on a page."""
    check = f"<script>{axe}</script>{CHECK}</body>"
    dom, console = opened(text.replace("</body>", check), width)
    assert console == []
    return json.loads(html.unescape(re.search(r'<pre id="seen">(.+?)</pre>', dom, re.DOTALL)[1]))


@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 800)])
def test_axe_finds_nothing(failed, axe, opened, theme, width):
    text = failed.replace("<html ", f'<html data-theme="{theme}" ')
    assert problems(text, axe, opened, width) == []


def test_axe_is_heard(failed, axe, opened):
    text = failed.replace('<html lang="en">', "<html>").replace(' tabindex="0"', "")
    assert "html-has-lang" in {rule for _, rule, _ in problems(text, axe, opened, 800)}


def test_nothing_is_cut_on_a_phone(failed, opened):
    look = """
<pre id="seen"></pre><script>
const wide = [...document.querySelectorAll("body *")].filter(
  (each) => each.scrollWidth > each.clientWidth + 1 && !each.closest("thead")
    && getComputedStyle(each).overflowX !== "visible");
document.getElementById("seen").textContent = "cut: " + wide.map((each) => each.outerHTML)
  + (document.documentElement.scrollWidth > innerWidth ? " page" : "");
</script></body>"""
    far = failed.replace("rows 16:", "rows 1234567890:12345678")
    assert far != failed
    dom, _ = opened(far.replace("</body>", look), 360)
    assert '<pre id="seen">cut: </pre>' in dom
