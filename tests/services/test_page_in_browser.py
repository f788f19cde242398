"""The page in a real browser: it says nothing of errors, and what can be clicked works."""

import os
import re
import shutil
import subprocess

import pytest

from rio_mucho_cli import run
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
