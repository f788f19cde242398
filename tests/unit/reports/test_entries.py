"""What a report says of real runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Job, MuchoChildError, Output, OutputExistsError, run
from rio_mucho_cli.engine.events import RunStarted, WindowDone
from rio_mucho_cli.reports.entries import document
from rio_mucho_cli.reports.page import page
from rio_mucho_cli.reports.plan_inputs import block_reads
from rio_mucho_cli.reports.recorder import Recorder
from rio_mucho_cli.windows import Size, window_grid


def fail_late(data, window, ij, global_args):
    if ij == (2, 1):
        raise ValueError("cannot read https://me:hidden@example.org/a.tif?sig=hidden")
    return data[0]


def two_bands(data, window, ij, global_args):
    return np.concatenate([data[0], data[0]]).astype("uint8")


def recorded(job, *, fails=False):
    """Run a job, and return its report as it comes out of JSON."""
    recorder, failure = Recorder(), None
    try:
        run(job, recorder)
    except MuchoChildError as exc:
        failure = exc
    assert (failure is not None) == fails
    text = json.dumps(document(job, recorder, failure), allow_nan=False)
    assert "hidden" not in text
    return json.loads(text)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_run_is_described_from_start_to_end(executor, tif, job_on):
    job = job_on([tif, tif], windows=Size(16, 16), executor=executor, jobs=2)
    report = recorded(job)
    jobs = 1 if executor == "serial" else 2
    assert (report["schema"], report["outcome"], report["message"]) == (1, "done", None)
    assert report["versions"]["rasterio"] == rasterio.__version__
    assert report["versions"]["numpy"] == np.__version__
    assert report["machine"]["memory_bytes"] > 0
    assert report["job"]["function"].endswith(":first_input")
    plan = report["plan"]
    assert [each["block"] for each in plan["inputs"]] == [[16, 16]] * 2
    assert [each["block_reads"] for each in plan["inputs"]] == [1.0] * 2
    assert (plan["jobs"], plan["executor"], plan["size"]) == (jobs, executor, [64, 48])
    windows = plan["windows"]
    assert (windows["number"], windows["size"]) == (12, [16, 16])
    assert windows["why"] == "of the size asked for"
    output = plan["outputs"][0]
    assert (output["written"]["by"], output["file"]["dtype"]) == ("workers", "uint16")
    assert output["file"]["nodata"] == 3
    assert sum(report["phases"].values()) == pytest.approx(report["seconds"], abs=0.01)
    assert (report["result"]["windows"], report["result"]["pixels"]) == (12, 64 * 48)
    workers = report["workers"]
    assert len(workers) <= jobs
    assert sum(each["windows"] for each in workers) == 12
    assert all(0 < each["busy_share"] <= 1 for each in workers)
    assert max(each["peak_bytes"] for each in workers) > 1_000_000
    for name in ("read", "function", "encode"):
        of_workers = sum(each["stages"][name]["seconds"] for each in workers)
        assert report["stages"][name]["seconds"] == pytest.approx(of_workers, abs=1e-4)
    assert len(report["slowest"]) == 10
    slow = [slow["seconds"] for slow in report["slowest"]]
    assert slow == sorted(slow, reverse=True)
    assert {tuple(cell["ij"]) for cell in report["map"]} == {
        (i, j) for i in range(3) for j in range(4)
    }
    rows = {row["worker"]: row for row in report["timeline"]["rows"]}
    assert rows.keys() >= {each["name"] for each in workers}
    caller = [row for row in rows.values() if row["caller"]]
    assert len(caller) == 1
    assert any("write" in each["seconds"] for each in caller[0]["stretches"])


@pytest.mark.parametrize("output", ["out.tif", "out.vrt", "out.png"])
def test_bytes_and_rate_are_those_of_the_result(tif, job_on, tmp_path, output):
    """The result has other bands and another dtype than the first input."""
    recorder = Recorder()
    job = job_on([tif], two_bands, output=str(tmp_path / output), windows=Size(16, 16))
    totals = run(job, recorder)
    report = document(job, recorder)
    (output,) = report["plan"]["outputs"]
    assert (output["count"], output["dtype"]) == (2, "uint8")
    assert output["uncompressed_bytes"] == 64 * 48 * 2
    assert report["result"]["pixels_per_second"] == round(totals.pixels_per_second)
    assert totals.pixels_per_second == 64 * 48 / totals.seconds


def test_an_older_output_says_nothing_of_a_run_that_failed(tif, job_on, make_raster):
    make_raster("out.tif", count=5, dtype="float64")
    (output,) = recorded(job_on([tif], fail_late, windows=Size(16, 16)), fails=True)["plan"][
        "outputs"
    ]
    assert (output["count"], output["uncompressed_bytes"]) == (None, 64 * 48 * 2)


def test_a_run_that_fails_says_why_without_secrets(tif, job_on):
    report = recorded(job_on([tif], fail_late, windows=Size(16, 16)), fails=True)
    assert report["outcome"] == "failed"
    assert "(ij (2, 1)): " in report["message"]
    assert "https://***@example.org/a.tif?***" in report["message"]
    assert report["result"]["windows"] == 9
    assert report["plan"]["outputs"][0]["file"] is None


def test_windows_that_failed_are_listed(tif, job_on):
    report = recorded(job_on([tif], fail_late, windows=Size(16, 16), on_error="nodata"))
    assert report["outcome"] == "done"
    assert report["result"]["windows_failed"] == 1
    assert [(failure["ij"], failure["window"]) for failure in report["failures"]] == [
        ([2, 1], [16, 32, 16, 16])
    ]
    assert [cell["ij"] for cell in report["map"] if cell["failed"]] == [[2, 1]]


def test_a_run_that_fails_before_its_first_window_has_a_plan(tif, job_on, out):
    Path(out).write_text("old")
    recorder = Recorder()
    job = job_on([tif], windows=Size(16, 16), overwrite=False)
    with pytest.raises(OutputExistsError) as caught:
        run(job, recorder)
    report = document(job, recorder, caught.value)
    assert report["plan"]["windows"]["number"] == 12
    assert (report["result"]["windows"], report["workers"], report["advice"]) == (0, [], [])
    assert "exists" in page(report)


def test_a_run_with_nothing_to_do_has_a_plan_and_the_windows_of_the_earlier_run(tif, job_on):
    job = job_on([tif], windows=Size(16, 16), resume=True, overwrite=False)
    run(job)
    report = recorded(job)
    assert report["plan"]["windows"]["number"] == 12
    assert (report["result"]["windows"], report["result"]["windows_of_earlier_runs"]) == (12, 12)
    assert "<!doctype html>" in page(report)


def test_a_recorder_passes_events_on(tif, job_on):
    events = []
    run(job_on([tif], windows=Size(16, 16)), Recorder(events.append))
    assert isinstance(events[0], RunStarted)
    assert sum(isinstance(event, WindowDone) for event in events) == 12
    assert 0 < events[0].seconds < 60


def test_a_run_that_never_began_is_described(tif, job_on):
    job = job_on([tif, "missing.tif"])
    report = document(job, Recorder(), OSError("missing.tif is not there"))
    assert (report["outcome"], report["plan"], report["map"]) == ("failed", None, [])
    assert report["job"]["inputs"][1] == "missing.tif"


def test_an_interrupted_run_says_so(tif, job_on):
    assert document(job_on([tif]), Recorder(), KeyboardInterrupt())["message"].startswith(
        "interrupted"
    )


def test_values_of_global_args_and_secret_options_are_nobodys_business(tif, job_on):
    job = job_on([tif], global_args={"password": "hidden", "k": 1})
    with rasterio.Env(GDAL_HTTP_USERPWD="me:hidden", GDAL_NUM_THREADS="1"):
        report = recorded(job)
    assert report["job"]["global_args"] == ["k", "password"]
    assert report["job"]["gdal_options"]["GDAL_HTTP_USERPWD"] is None
    assert report["job"]["gdal_options"]["GDAL_NUM_THREADS"] == "1"


def test_a_mosaic_is_described_by_its_windows(tif, tmp_path):
    job = Job(
        inputs=[tif], output=str(tmp_path / "out.vrt"), function=fail_late, on_error="nodata",
        part_size=32, windows=Size(16, 16), jobs=2,
    )  # fmt: skip
    report = recorded(job)
    assert (report["plan"]["parts"], report["plan"]["windows"]["number"], len(report["map"])) == (
        4,
        12,
        12,
    )
    assert sum(worker["stages"]["write"]["seconds"] for worker in report["workers"]) > 0


def two(data, window, ij, global_args):
    return {"a": data[0], "b": data[0]}


def test_all_outputs_are_described(tif, job_on, tmp_path):
    also = [Output(path=str(tmp_path / "b.png"), name="b", dtype="uint8")]
    report = recorded(job_on([tif], two, also=also))
    assert [output["file"]["driver"] for output in report["plan"]["outputs"]] == ["GTiff", "PNG"]


def test_an_open_dataset_is_described_after_its_end(tif, tmp_path):
    with rasterio.open(tif) as src:
        dataset = rasterio.open(tmp_path / "own.tif", "w", **src.profile)
    job = Job(inputs=[tif], output=dataset, function=lambda data, *_: data[0])
    output = recorded(job)["plan"]["outputs"][0]
    assert dataset.closed
    assert (output["path"], output["dtype"]) == (str(tmp_path / "own.tif"), "uint16")
    assert output["nodata"] == 3
    assert output["file"] is None


TOUCHED = sum(a * b for a in (2, 3, 3, 2) for b in (2, 3, 3, 2)) / 16


@pytest.mark.parametrize(
    ("raster", "windows", "block", "overlap", "times"),
    [
        (Size(64, 64), Size(32, 32), Size(16, 16), 0, 1.0),
        (Size(64, 64), Size(16, 16), Size(32, 32), 0, 4.0),
        (Size(64, 64), Size(16, 16), Size(64, 1), 0, 4.0),
        (Size(48, 64), Size(24, 16), Size(16, 16), 0, 4 / 3),
        (Size(64, 64), Size(16, 16), Size(16, 16), 1, TOUCHED),
        (Size(60, 60), Size(16, 16), Size(16, 16), 0, 1.0),
    ],
)
def test_blocks_that_windows_touch_are_counted(raster, windows, block, overlap, times):
    found = block_reads(window_grid(*raster, windows), block, raster, overlap)
    assert found == pytest.approx(times, abs=1e-3)


def test_parts_without_a_file_are_worked_on_as_others_are(make_raster, tmp_path):
    source = make_raster(width=64, height=64, nodata=0)
    with rasterio.open(source, "r+") as src:
        src.write(np.zeros((32, 64), "uint16"), 1, window=((0, 32), (0, 64)))
    job = Job(
        inputs=[str(source)],
        output=str(tmp_path / "out.vrt"),
        function=lambda data, *_: data[0],
        skip_masked=True,
        windows=Size(16, 16),
        part_size=32,
    )
    report = recorded(job)
    assert [bool(worker["name"]) for worker in report["workers"]] == [True]
    assert report["workers"][0]["started_after_seconds"] >= 0
    assert report["timeline"]["merged_below_seconds"] < report["seconds"]
    assert report["waiting"]["workers_idle_seconds"] <= report["seconds"]
