"""The page: all of it is there, and nothing in it is taken for HTML that is none."""

import re
from html.parser import HTMLParser

import pytest

from rio_mucho_cli import MuchoChildError, run
from rio_mucho_cli.outputs.value_loss import ValueLoss
from rio_mucho_cli.reports.entries import document
from rio_mucho_cli.reports.page import page
from rio_mucho_cli.reports.recorder import Recorder
from rio_mucho_cli.text import format_number
from rio_mucho_cli.windows import Size

BAD = "<script>alert('x')</script>\"&"
EMPTY = {"meta", "link", "input", "br"}


class Reader(HTMLParser):
    """Notes all elements, and which are open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_a_page_needs_nothing_beside_itself(report):
    text = page(report)
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_values_that_did_not_fit_are_among_the_figures(report):
    report["result"]["value_loss"] = [
        ValueLoss(outside=1200, nodata=7).as_json(),
        ValueLoss(outside=34, nan=5, passed=3).as_json(),
    ]
    text = parsed(page(report)).text
    assert f"{format_number(1234)}pixels out of the dtype's range" in text
    assert "5NaN pixels that count as valid" in text
    assert "7unmasked pixels that equal nodata" in text
    assert "3valid pixels that equal the input's nodata" in text
    report["result"]["value_loss"] = []
    assert "out of the dtype" not in page(report)


def test_everything_that_others_have_named_is_escaped(make_raster, job_on, tmp_path):
    def fail(data, window, ij, global_args):
        if ij == (0, 1):
            raise ValueError(BAD)
        return data[0]

    fail.__qualname__ = BAD
    raster = make_raster("<script>alert(1)<&'\".tif".replace("/", ""), width=64, height=48)
    job = job_on([raster], fail, windows=Size(16, 16), on_error="nodata", global_args={BAD: 1})
    recorder = Recorder()
    run(job, recorder)
    report = document(job, recorder, ValueError(BAD))
    report["advice"] = [{"rule": "x", "text": BAD}]
    report["slowest"][0]["ij"] = report["map"][0]["ij"] = BAD
    report["slowest"][0]["worker"] = report["workers"][0]["name"] = BAD
    report["timeline"]["rows"][0]["stretches"][0]["ij"] = BAD
    reader = parsed(page(report))
    assert [tag for tag, _ in reader.seen].count("script") == 1
    assert reader.text.count(BAD) >= 6
    assert raster.name in reader.text


def test_a_page_has_a_cell_for_each_window_and_a_row_for_each_worker(tif, job_on):
    job, recorder = job_on([tif], windows=Size(16, 16), executor="threads", jobs=2), Recorder()
    run(job, recorder)
    report = document(job, recorder)
    reader = parsed(page(report))
    cells = [attrs for tag, attrs in reader.seen if "cell" in (attrs.get("class") or "").split()]
    assert len(cells) == 12
    assert all(re.fullmatch("[0-8]{4}", attrs["data-q"]) for attrs in cells)
    rows = [attrs for tag, attrs in reader.seen if tag == "svg" and attrs.get("class") != "map"]
    assert len(rows) == len(report["workers"]) + 1


def test_a_run_that_failed_has_its_window_and_the_traceback_of_the_function(tif, job_on):
    def halve(data, window, ij, global_args):
        if ij == (1, 2):
            raise ValueError("odd " * 3)
        return data[0]

    job, recorder = job_on([tif], halve, windows=Size(16, 16)), Recorder()
    with pytest.raises(MuchoChildError) as caught:
        run(job, recorder)
    report = document(job, recorder, caught.value)
    assert report["failure"]["window"] == [32, 16, 16, 16]
    reader = parsed(page(report))
    assert "at window rows 16:32, columns 32:48 (ij (1, 2)): the function raised" in reader.text
    assert 'raise ValueError("odd " * 3)\nValueError: odd odd odd' in reader.text
    cells = [attrs for tag, attrs in reader.seen if "bad" in (attrs.get("class") or "").split()]
    assert [(cell["x"], cell["y"]) for cell in cells] == [("32.0", "16.0")]


def test_settings_are_those_of_the_dry_run_as_text(report):
    report["job"]["mem_limit_mb"] = 2000
    report["job"]["gdal_options"] = {"AWS_SECRET_ACCESS_KEY": None, "GDAL_CACHEMAX": "64"}
    text = parsed(page(report)).text
    assert "input 1in.tif: GTiff, 10240 x 10240, EPSG:32632, pixels 30, bands 1 of 2 x" in text
    assert "warped to the output's grid (bilinear), covers 50.0 % of the output" in text
    assert "jobs2 (processes), 4 tasks in flight" in text
    assert "memory limit2 GB" in text
    assert "AWS_SECRET_ACCESS_KEYhidden" in text
    assert not re.search(r"None|True|False|[{}]", text.partition("Settings")[2].partition('"')[0])


def test_everything_that_is_drawn_has_a_name_for_screen_readers(tif, job_on):
    job, recorder = job_on([tif], windows=Size(16, 16), executor="threads", jobs=2), Recorder()
    run(job, recorder)
    reader = parsed(page(document(job, recorder)))
    drawn = [attrs for _, attrs in reader.seen if attrs.get("role") == "img"]
    names = " ".join(attrs["aria-label"] for attrs in drawn)
    assert "worker 1: busy for " in names
    assert "Map of 12 windows: " in names
    assert re.search(r"read [\d.]+ ms, function [\d.]+ ms", names)
    scrolled = [attrs for _, attrs in reader.seen if attrs.get("class") == "scroll"]
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in scrolled)


def test_a_report_of_nothing_is_a_page_too(tif, job_on):
    reader = parsed(page(document(job_on([tif]), Recorder(), OSError("no such thing"))))
    assert "no such thing" in reader.text
    assert "Timeline" not in reader.text


def test_sizes_and_numbers():
    assert format_number(1234567) == "1\u202f234\u202f567"
