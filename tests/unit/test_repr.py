"""Text and tables of jobs, reports and the class."""

import numpy as np

from rio_mucho_cli import Job, Output, Report, RioMucho
from rio_mucho_cli.engine.report import Failure
from rio_mucho_cli.timing import StageTime, StageTimes


def ones(data, window, ij, global_args):
    return data[0]


def test_a_job_shows_what_differs_from_the_defaults():
    job = Job(inputs=["<a>.tif"], output="b.tif", function=ones, jobs=4, also=[])
    assert repr(job) == (
        f"Job(inputs=['<a>.tif'], output='b.tif', function={__name__}:ones, jobs=4)"
    )
    html = job._repr_html_()
    assert '<th scope="row">jobs</th><td style="text-align:left">4</td>' in html
    assert "&lt;a&gt;.tif" in html
    assert "<a>" not in html


def test_large_and_odd_values_stay_short():
    args = {"table": np.zeros((1000, 1000)), "text": "x" * 5000}
    job = Job(inputs=["a.tif"] * 500, output="b.tif", function=ones, global_args=args)
    assert len(repr(job)) < 800
    assert len(repr(Job(inputs=["a"], output="b", function=ones, global_args=args["table"]))) < 300


def test_an_output_shows_what_differs_from_the_defaults():
    assert repr(Output(path="a.tif", dtype="uint8")) == "Output(path='a.tif', dtype='uint8')"
    assert repr(Output(path="a.tif", nodata=0, keep_nodata=False)) == (
        "Output(path='a.tif', nodata=0, keep_nodata=False)"
    )


def test_the_class_shows_what_it_was_given(tif):
    mucho = RioMucho([tif], "b.tif", ones, overlap=2)
    assert repr(mucho) == (
        f"RioMucho(inpaths=[{tif!r}], output='b.tif', run_function={__name__}:ones, "
        "windows=12, overlap=2)"
    )
    assert '<th scope="row">overlap</th>' in mucho._repr_html_()


def test_a_report_shows_windows_time_stages_and_failures():
    failed = (Failure(None, (1, 0), "ValueError: a < b"),)
    stages = StageTimes(read=StageTime(0.25, 0.125), transfer=StageTime(0.5))
    report = Report(12, "threads", 2, 2.0, stages, pixels=3000, failed=failed)
    assert repr(report) == (
        "<Report: windows 12, time 2.00 s, jobs 2 (threads), speed 1.5 kpx/s, failed 1>"
    )
    html = report._repr_html_()
    html = html.replace(' style="text-align:left"', "").replace(' scope="row"', "")
    assert "<th>speed</th><td>1.5 kpx/s</td>" in html
    assert "<td>read</td><td>250 ms</td><td>125 ms</td>" in html
    assert "<td>transfer</td><td>500 ms</td><td></td>" in html
    assert "<td>failed: ij (1, 0)</td><td>ValueError: a &lt; b</td>" in html
    assert "encode" not in html


def test_a_report_shows_some_of_many_failures():
    failed = tuple(Failure(None, (row, 0), "ValueError") for row in range(25))
    html = Report(25, "serial", 1, 2.0, failed=failed)._repr_html_()
    assert html.count("ValueError") == 20
    assert "and 5 more" in html
