"""`run` as scripts and notebooks call it."""

import inspect
import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from rasterio.windows import Window

from rio_mucho_cli import FunctionNotFoundError, Job, MuchoChildError, RioMucho, UsageError, run
from rio_mucho_cli.engine.events import RunStarted, WindowDone
from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.job_options import JobOptions, make_job
from rio_mucho_cli.reports.progress import ProgressLog
from rio_mucho_cli.system import usable_cpus
from rio_mucho_cli.windows import Size


def double(a):
    return a * 2


def test_options_are_those_of_a_job():
    names = {each.name for each in fields(Job)} - {"inputs", "output", "function"}
    of_scenes = {"assets", "missing_assets"}
    assert set(JobOptions.__annotations__) == names | of_scenes
    assert names | of_scenes < set(inspect.signature(run).parameters)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("several", [False, True])
def test_one_input_or_several_as_text_or_path(tif, out, read, kind, several):
    inputs = [kind(tif)] if several else kind(tif)
    report = run(inputs, kind(out), double, plain=True, jobs=1, windows=16)
    assert report.windows == 12
    np.testing.assert_array_equal(read(out), read(tif) * 2)


def test_windows_as_pairs_of_ranges_reach_the_function_as_they_are(tif, out):
    pairs = [(((0, 16), (0, None)), "top"), ((slice(16, 48), slice(0, 64)), "rest")]
    seen, events = [], []

    def note(data, window, ij, global_args):
        seen.append((window, ij))
        return data[0]

    run(tif, out, note, jobs=1, windows=pairs, progress=events.append)
    ranges = Path(out).read_bytes()
    assert seen == pairs
    done = [event.window for event in events if isinstance(event, WindowDone)]
    assert done == [Window(0, 0, 64, 16), Window(0, 16, 64, 32)]
    windows = [(window, ij) for window, (_, ij) in zip(done, pairs, strict=True)]
    run(tif, out, note, jobs=1, windows=windows, overwrite=True)
    assert Path(out).read_bytes() == ranges


@pytest.mark.parametrize("window", ["top", ((0, 9),), 7])
def test_what_is_not_a_window_is_named_before_the_run(tif, out, window):
    with pytest.raises(WindowsError, match=f"window {re.escape(repr(window))} is invalid"):
        run(tif, out, double, plain=True, windows=[(window, (0, 0))])


@pytest.mark.parametrize("name", ["functions:triple", "functions.py:triple"])
def test_a_function_by_name(tif, out, read, module, name):
    module("def triple(data, window, ij, global_args):\n    return data[0] * 3\n", "functions.py")
    run(tif, out, name, jobs=1)
    np.testing.assert_array_equal(read(out), read(tif) * 3)


@pytest.mark.parametrize(
    ("given", "attribute", "value"),
    [
        ({}, "jobs", usable_cpus()),
        ({"jobs": -1}, "jobs", usable_cpus()),
        ({"jobs": 3}, "jobs", 3),
        ({}, "keep_nodata", True),
        ({"nodata": None}, "keep_nodata", False),
        ({"dtype": np.float32}, "dtype", "float32"),
        ({"windows": 512}, "windows", Size(512, 512)),
        ({"windows": (512, 256)}, "windows", Size(512, 256)),
        ({"windows": "512x256"}, "windows", Size(512, 256)),
        ({"windows": "blocks"}, "windows", "blocks"),
        ({"like": Path("a.tif")}, "like", "a.tif"),
        ({"scheduler": Path("s.json")}, "executor", "dask"),
    ],
)
def test_what_is_easier_to_say(given, attribute, value):
    assert getattr(make_job("a.tif", "b.tif", double, **given), attribute) == value


@pytest.mark.parametrize(
    ("args", "given", "message"),
    [
        (("a.tif", "b.tif"), {}, "expected inputs, an output and a function, or a Job"),
        (("a.tif", "b.tif", double), {"plian": True}, "did you mean 'plain'"),
        (("a.tif", "b.tif", double), {"windows": "many"}, "windows are 'many'"),
        (("a.tif", "b.tif", double), {"listen": print}, "use progress"),
        ((3, "b.tif", double), {}, "inputs are 3: expected a path or a sequence"),
        ((Job(inputs=["a.tif"], output="b.tif", function=double),), {"jobs": 2}, "a Job has all"),
    ],
)
def test_what_makes_no_sense(args, given, message):
    with pytest.raises(UsageError, match=message) as caught:
        run(*args, **given)
    assert len(caught.traceback) == 2  # this line and that of `run`


def test_a_function_that_is_not_there(tif, out):
    with pytest.raises(FunctionNotFoundError, match="no module named 'nowhere'"):
        run(tif, out, "nowhere:f")


def test_an_error_has_the_users_traceback_and_none_of_ours(tif, out):
    def fail(a):
        raise ZeroDivisionError("by zero")

    with pytest.raises(MuchoChildError, match="in fail\n") as caught:
        run(tif, out, fail, plain=True, jobs=1)
    assert len(caught.traceback) == 2
    assert caught.value.__cause__ is None


def test_progress_is_told_events(tif, out):
    for call in (
        lambda listen: run(tif, out, double, plain=True, windows=16, progress=listen),
        lambda listen: run(make_job(tif, out, double, plain=True, overwrite=True), listen),
        lambda listen: run(make_job(tif, out, double, plain=True, overwrite=True), listen=listen),
        lambda listen: RioMucho([tif], out, double, plain=True).run(2, progress=listen),
    ):
        events = []
        call(events.append)
        assert isinstance(events[0], RunStarted)
        assert sum(isinstance(event, WindowDone) for event in events) == events[0].windows


def test_progress_as_a_line(tif, out, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(tif, out, double, plain=True, jobs=1, windows=16, progress=True)
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"windows  [{24 * '#'}]  12/12  ")


def test_a_run_that_fails_leaves_its_line_complete(tif, out, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(MuchoChildError):
        run(tif, out, abs, jobs=1, windows=16, progress=True)
    assert capsys.readouterr().err.endswith("  0/12\n")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_that_is_gone_does_not_end_the_run(tif, out, read, monkeypatch, is_terminal):
    class Gone:
        def isatty(self):
            return is_terminal

        def write(self, text):
            raise OSError("gone")

    monkeypatch.setattr(ProgressLog, "FIRST", 0.0)
    for stream in (Gone(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        run(tif, out, double, plain=True, jobs=1, windows=16, progress=True, overwrite=True)
        np.testing.assert_array_equal(read(out), read(tif) * 2)


def test_progress_in_a_log_is_a_line_now_and_then(tif, out, capsys, monkeypatch):
    monkeypatch.setattr(ProgressLog, "FIRST", 0.0)
    run(tif, out, double, plain=True, jobs=1, windows=16, progress=True)
    said = capsys.readouterr().err
    assert "\r" not in said
    assert "of 12 windows, " in said.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("nodata", "nan", 'a number, such as float("nan")'),
        ("nodata", True, "a number"),
        ("jobs", "8", "a whole number"),
        ("jobs", 1.5, "a whole number"),
        ("retries", "2", "a whole number"),
        ("mem_limit", 1.5, "a whole number"),
        ("part_size", "64", "a whole number"),
        ("overlap", 0.5, "a whole number"),
        ("count", 1.0, "a whole number"),
        ("driver", 5, "text"),
        ("overview_resampling", 5, "text"),
        ("like", 5, "a path"),
        ("scheduler", 5, "a path"),
        ("masked", "no", "True or False"),
        ("overwrite", "no", "True or False"),
        ("creation_options", "compress=lzw", "a dict"),
        ("overviews", 5, "ascending factors"),
        ("overviews", [1.5], "ascending factors"),
        ("resampling", 5, "one of nearest"),
        ("also", ["x.tif"], "a list of Outputs"),
        ("also", 5, "a list of Outputs"),
        ("progress", "yes", "False or a callable"),
        ("windows", 1.5, "(window, ij)"),
        ("windows", [1, 2, 3], "(window, ij)"),
        ("windows", (1,), "(window, ij)"),
        ("windows", True, "(window, ij)"),
        ("windows", "large", "(window, ij)"),
    ],
)
def test_values_of_another_kind_are_refused_in_one_line(tif, out, name, value, expected):
    with pytest.raises(UsageError, match=rf"^{name} .*expected .*{re.escape(expected)}") as caught:
        run(tif, out, double, **{"plain": True, "jobs": 1, name: value})
    assert "\n" not in str(caught.value)


def test_a_pool_that_would_fork_is_refused(tif, out):
    context = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(2, mp_context=context) as executor,
        pytest.raises(UsageError, match="would be forked from a process that has used GDAL"),
    ):
        run(tif, out, double, plain=True, executor=executor)
    assert not Path(out).exists()


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("name", ["index.py:add", "index:add"])
def test_an_edited_function_is_run_as_it_is_now(tif, module, read, tmp_path, executor, name):
    for number in (1, 2):
        module(f"number = {number}\n", "numbers_of_it.py")
        module(
            "import numbers_of_it\ndef add(a):\n    return a + numbers_of_it.number\n", "index.py"
        )
        given = {"plain": True, "windows": 16, "executor": executor, "jobs": 2, "overwrite": True}
        run(tif, tmp_path / "out.tif", name, **given)
        np.testing.assert_array_equal(read(tmp_path / "out.tif"), read(tif) + number)


@pytest.mark.parametrize("name", ["index.py:add", "index:add"])
def test_a_function_that_is_edited_during_a_run_ends_it(tif, module, tmp_path, name):
    module("number = 1\n", "numbers_of_it.py")
    module("from numbers_of_it import number\ndef add(a):\n    return a + number\n", "index.py")

    def edit(event):
        module("number = 2\n", "numbers_of_it.py")

    given = {"plain": True, "windows": 16, "executor": "serial", "progress": edit}
    with pytest.raises(UsageError, match=f"the code of {name} changed during the run"):
        run(tif, tmp_path / "out.tif", name, **given)
    assert not (tmp_path / "out.tif").exists()
