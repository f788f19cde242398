"""What a report says of real runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Job, MuchoChildError, Output, OutputExistsError, run
from rio_mucho_cli.engine.events import RunStarted, WindowDone
from rio_mucho_cli.reports.document import document
from rio_mucho_cli.reports.page import page
from rio_mucho_cli.reports.plan import block_reads
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
def test_a_run_is_told_from_start_to_end(executor, tif, job_on):
    job = job_on([tif, tif], windows=Size(16, 16), executor=executor, jobs=2)
    said = recorded(job)
    jobs = 1 if executor == "serial" else 2
    assert (said["schema"], said["outcome"], said["message"]) == (1, "done", None)
    assert said["versions"]["rasterio"] == rasterio.__version__
    assert said["versions"]["numpy"] == np.__version__
    assert said["machine"]["memory_bytes"] > 0
    assert said["job"]["function"].endswith(":first_input")
    plan = said["plan"]
    assert [each["block"] for each in plan["inputs"]] == [[16, 16]] * 2
    assert [each["block_reads"] for each in plan["inputs"]] == [1.0] * 2
    assert (plan["jobs"], plan["executor"], plan["size"]) == (jobs, executor, [64, 48])
    windows = plan["windows"]
    assert (windows["number"], windows["size"]) == (12, [16, 16])
    assert windows["why"] == "of the size that was asked for"
    output = plan["outputs"][0]
    assert (output["written"]["by"], output["file"]["dtype"]) == ("workers", "uint16")
    assert output["file"]["nodata"] == 3
    assert sum(said["phases"].values()) == pytest.approx(said["seconds"], abs=0.01)
    assert (said["result"]["windows"], said["result"]["pixels"]) == (12, 64 * 48)
    workers = said["workers"]
    assert len(workers) <= jobs
    assert sum(each["windows"] for each in workers) == 12
    assert all(0 < each["busy_share"] <= 1 for each in workers)
    assert max(each["peak_bytes"] for each in workers) > 1_000_000
    for name in ("read", "function", "encode"):
        of_workers = sum(each["stages"][name]["seconds"] for each in workers)
        assert said["stages"][name]["seconds"] == pytest.approx(of_workers, abs=1e-4)
    assert len(said["slowest"]) == 10
    slow = [each["seconds"] for each in said["slowest"]]
    assert slow == sorted(slow, reverse=True)
    assert {tuple(each["ij"]) for each in said["map"]} == {
        (i, j) for i in range(3) for j in range(4)
    }
    rows = {row["worker"]: row for row in said["timeline"]["rows"]}
    assert rows.keys() >= {each["name"] for each in workers}
    caller = [row for row in rows.values() if row["caller"]]
    assert len(caller) == 1
    assert any("write" in each["seconds"] for each in caller[0]["stretches"])


@pytest.mark.parametrize("output", ["out.tif", "out.vrt", "out.png"])
def test_bytes_and_rate_are_those_of_the_result(tif, job_on, tmp_path, output):
    """The result has other bands and another dtype than the first input."""
    recorder = Recorder()
    job = job_on([tif], two_bands, output=str(tmp_path / output), windows=Size(16, 16))
    report = run(job, recorder)
    said = document(job, recorder)
    (told,) = said["plan"]["outputs"]
    assert (told["count"], told["dtype"]) == (2, "uint8")
    assert told["uncompressed_bytes"] == 64 * 48 * 2
    assert said["result"]["pixels_per_second"] == round(report.pixels_per_second)
    assert report.pixels_per_second == 64 * 48 / report.seconds


def test_an_older_output_says_nothing_of_a_run_that_failed(tif, job_on, make_raster):
    make_raster("out.tif", count=5, dtype="float64")
    (told,) = recorded(job_on([tif], fail_late, windows=Size(16, 16)), fails=True)["plan"][
        "outputs"
    ]
    assert (told["count"], told["uncompressed_bytes"]) == (None, 64 * 48 * 2)


def test_a_run_that_fails_says_why_without_secrets(tif, job_on):
    said = recorded(job_on([tif], fail_late, windows=Size(16, 16)), fails=True)
    assert said["outcome"] == "failed"
    assert "at ij (2, 1)" in said["message"]
    assert "https://***@example.org/a.tif?***" in said["message"]
    assert said["result"]["windows"] == 9
    assert said["plan"]["outputs"][0]["file"] is None


def test_windows_that_failed_are_listed(tif, job_on):
    said = recorded(job_on([tif], fail_late, windows=Size(16, 16), on_error="nodata"))
    assert said["outcome"] == "done"
    assert said["result"]["windows_failed"] == 1
    assert [(each["ij"], each["window"]) for each in said["failures"]] == [
        ([2, 1], [16, 32, 16, 16])
    ]
    assert [each["ij"] for each in said["map"] if each["failed"]] == [[2, 1]]


def test_a_run_that_fails_before_its_first_window_has_a_plan(tif, job_on, out):
    Path(out).write_text("old")
    recorder = Recorder()
    job = job_on([tif], windows=Size(16, 16), overwrite=False)
    with pytest.raises(OutputExistsError) as caught:
        run(job, recorder)
    said = document(job, recorder, caught.value)
    assert said["plan"]["windows"]["number"] == 12
    assert (said["result"]["windows"], said["workers"], said["advice"]) == (0, [], [])
    assert "exists" in page(said)


def test_a_run_with_nothing_to_do_has_a_plan_and_the_windows_of_the_earlier_run(tif, job_on):
    job = job_on([tif], windows=Size(16, 16), resume=True, overwrite=False)
    run(job)
    said = recorded(job)
    assert said["plan"]["windows"]["number"] == 12
    assert (said["result"]["windows"], said["result"]["windows_of_earlier_runs"]) == (12, 12)
    assert "<!doctype html>" in page(said)


def test_a_recorder_passes_events_on(tif, job_on):
    events = []
    run(job_on([tif], windows=Size(16, 16)), Recorder(events.append))
    assert isinstance(events[0], RunStarted)
    assert sum(isinstance(event, WindowDone) for event in events) == 12
    assert 0 < events[0].seconds < 60


def test_a_run_that_never_began_is_told_of(tif, job_on):
    job = job_on([tif, "missing.tif"])
    said = document(job, Recorder(), OSError("missing.tif is not there"))
    assert (said["outcome"], said["plan"], said["map"]) == ("failed", None, [])
    assert said["job"]["inputs"][1] == "missing.tif"


def test_an_interrupted_run_says_so(tif, job_on):
    assert document(job_on([tif]), Recorder(), KeyboardInterrupt())["message"].startswith(
        "interrupted"
    )


def test_values_of_global_args_and_secret_options_are_nobodys_business(tif, job_on):
    job = job_on([tif], global_args={"password": "hidden", "k": 1})
    with rasterio.Env(GDAL_HTTP_USERPWD="me:hidden", GDAL_NUM_THREADS="1"):
        said = recorded(job)
    assert said["job"]["global_args"] == ["k", "password"]
    assert said["job"]["gdal_options"]["GDAL_HTTP_USERPWD"] is None
    assert said["job"]["gdal_options"]["GDAL_NUM_THREADS"] == "1"


def test_a_mosaic_is_told_by_its_windows(tif, tmp_path):
    job = Job(
        inputs=[tif], output=str(tmp_path / "out.vrt"), function=fail_late, on_error="nodata",
        part_size=32, windows=Size(16, 16), jobs=2,
    )  # fmt: skip
    said = recorded(job)
    assert (said["plan"]["parts"], said["plan"]["windows"]["number"], len(said["map"])) == (
        4,
        12,
        12,
    )
    assert sum(each["stages"]["write"]["seconds"] for each in said["workers"]) > 0


def two(data, window, ij, global_args):
    return {"a": data[0], "b": data[0]}


def test_all_outputs_are_told_of(tif, job_on, tmp_path):
    also = [Output(path=str(tmp_path / "b.png"), name="b", dtype="uint8")]
    said = recorded(job_on([tif], two, also=also))
    assert [each["file"]["driver"] for each in said["plan"]["outputs"]] == ["GTiff", "PNG"]


def test_an_open_dataset_is_told_of_after_its_end(tif, tmp_path):
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
    said = recorded(job)
    assert [bool(each["name"]) for each in said["workers"]] == [True]
    assert said["workers"][0]["started_after_seconds"] >= 0
    assert said["timeline"]["merged_below_seconds"] < said["seconds"]
    assert said["waiting"]["workers_idle_seconds"] <= said["seconds"]
