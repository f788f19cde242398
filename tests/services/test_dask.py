"""dask's clusters: what is brought to workers, and what comes of those that leave."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from distributed.scheduler import KilledWorker
from waiting import wait_until

from rio_mucho_cli import (
    FunctionNotFoundError,
    InputError,
    Job,
    MuchoChildError,
    MuchoError,
    UsageError,
    WorkerDiedError,
    run,
)
from rio_mucho_cli.engine.events import RunStarted, WindowDone
from rio_mucho_cli.errors import WorkerLostError
from rio_mucho_cli.windows import Size
from rio_mucho_cli.workers import dask_cluster, dask_executor
from rio_mucho_cli.workers.dask_cluster import sendable
from rio_mucho_cli.workers.dask_executor import DaskExecutor
from rio_mucho_cli.workers.functions import FunctionRef

RIO = str(Path(sys.executable).with_name("rio"))


@pytest.fixture
def job(tmp_path, make_raster, cluster):
    def make(function, **given):
        source = make_raster(height=96, width=128)
        defaults = {"windows": Size(32, 32), "executor": "dask", "scheduler": cluster.address}
        output = str(tmp_path / "out.tif")
        return Job(inputs=[str(source)], output=output, function=function, **{**defaults, **given})

    return make


def plus(data, window, ij, global_args):
    return data[0] + np.uint16(global_args["k"])


def test_a_file_and_what_lies_beside_it_are_brought_to_the_workers(job, tmp_path, read):
    here = tmp_path / "here"
    here.mkdir()
    (here / "beside.py").write_text("def add(a, k): return a + type(a.flat[0])(k)\n")
    (here / "own.py").write_text(
        "import beside\ndef run(data, window, ij, args): return beside.add(data[0], args['k'])\n"
    )

    def listen(event):
        if isinstance(event, RunStarted):
            for file in here.glob("*.py"):
                file.unlink()

    made = job(FunctionRef("own.py:run", str(here)), global_args={"k": 3})
    assert run(made, listen).executor == "dask"
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]) + 3)


def test_a_module_must_be_on_the_workers(job, tmp_path, monkeypatch, cluster):
    (tmp_path / "only_here").mkdir()
    (tmp_path / "only_here" / "module_only_here.py").write_text("def run(data, *args): return 1\n")
    monkeypatch.syspath_prepend(tmp_path / "only_here")
    with pytest.raises(FunctionNotFoundError) as caught:
        run(job(FunctionRef("module_only_here:run", "/")))
    text = str(caught.value)
    assert text.startswith("on the worker tcp://127.0.0.1:")
    assert "there is no module named 'module_only_here'" in text
    assert "file.py:FUNCTION" in text


def test_what_the_function_raises(job, leftovers):
    def fail(data, window, ij, global_args):
        return data[0] / global_args["none"]

    with pytest.raises(MuchoChildError, match="KeyError: 'none'") as caught:
        run(job(fail))
    assert 'data[0] / global_args["none"]' in caught.value.formatted
    assert not leftovers()


def test_an_input_that_workers_do_not_find(job, tmp_path, monkeypatch, make_raster):
    made = job(plus, global_args={"k": 1})
    # They open a file that has gone since this process has looked at it.
    from rio_mucho_cli.engine import run as engine
    from rio_mucho_cli.planning import plan

    real = plan.run_context

    def order_for(*args):
        Path(made.inputs[0]).unlink()
        return real(*args)

    monkeypatch.setattr(engine, "run_context", order_for)
    with pytest.raises(InputError, match=r"in\.tif.*\(on the worker tcp://127\.0\.0\.1:\d+\)"):
        run(made)


def test_relative_paths_lead_to_the_same_files(job, tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    made = job(plus, global_args={"k": 1})
    made = Job(**{**vars(made), "inputs": ["in.tif"], "output": "relative.tif"})
    run(made)
    np.testing.assert_array_equal(read("relative.tif"), read("in.tif") + 1)


def test_gdal_options_travel(job, read, tmp_path):
    def option(data, window, ij, global_args):
        from rasterio.env import getenv

        return np.full((1, window.height, window.width), getenv()["MY_OPTION"], "uint8")

    with rasterio.Env(MY_OPTION=7):
        run(job(option))
    assert (read(tmp_path / "out.tif") == 7).all()


def test_overviews_are_made_here(job, tmp_path, make_raster):
    function = {"function": plus, "global_args": {"k": 1}, "overviews": [2, 4], "stats": True}
    made = job(**function, scheduler=job(plus).scheduler)
    run(made)
    local = Job(**{**vars(made), "executor": "serial", "scheduler": None, "overwrite": True})
    data = Path(made.output).read_bytes()
    run(local)
    assert Path(made.output).read_bytes() == data


def test_large_global_args(job, read):
    def look_up(data, window, ij, global_args):
        return global_args["table"][data[0] % 100]

    table = np.arange(100_000, dtype="uint16") * 3
    made = job(look_up, global_args={"table": table})
    run(made)
    np.testing.assert_array_equal(read(made.output), table[read(made.inputs[0]) % 100])


def slow(data, window, ij, global_args):
    time.sleep(0.05)
    return data[0] + np.uint16(1)


def test_workers_that_leave_and_others_that_join(job, make_cluster, read):
    cluster = make_cluster()
    first = cluster.add_worker()
    cluster.add_worker()
    done = []

    def listen(event):
        if isinstance(event, WindowDone):
            done.append(event)
            if len(done) == 5:
                first.kill()
                cluster.add_worker()

    made = job(slow, scheduler=str(cluster.file), windows=Size(16, 16))
    run(made, listen)
    assert len(done) == 48
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]) + 1)


def die(data, window, ij, global_args):
    if tuple(ij) == (1, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    return data[0]


def test_a_window_that_no_worker_survives_is_named(job, make_cluster, leftovers):
    cluster = make_cluster(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    for _ in range(5):
        cluster.add_worker()
    with pytest.raises(WorkerDiedError, match=r"\(ij \(1, 2\)\).*lost with it"):
        run(job(die, scheduler=cluster.address, retries=1))
    assert not leftovers()


def hang(data, window, ij, global_args):
    mark = global_args.get("mark")
    if tuple(ij) == (1, 2) and not (mark and Path(mark).exists()):
        if mark:
            Path(mark).touch()
        threading.Event().wait()
    return data[0]


def test_a_window_that_takes_too_long_goes_to_another_worker(job, make_cluster, tmp_path, read):
    cluster = make_cluster()
    for _ in range(2):
        cluster.add_worker()
    cluster.wait_for_workers(2)
    made = job(hang, scheduler=cluster.address, timeout=1.0,
               global_args={"mark": str(tmp_path / "mark")})  # fmt: skip
    run(made)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))
    assert len(cluster.wait_for_workers(1)) == 1


def test_a_window_that_always_takes_too_long_is_named(job, make_cluster, leftovers):
    cluster = make_cluster(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    for _ in range(4):
        cluster.add_worker()
    says = r"exceeded the timeout of 1 s while it worked on .*\(ij \(1, 2\)\)"
    with pytest.raises(WorkerDiedError, match=says):
        run(job(hang, scheduler=cluster.address, retries=0, timeout=1.0))
    assert not leftovers()


def test_workers_that_are_threads_of_the_program_are_not_ended(monkeypatch):
    monkeypatch.setattr(dask_executor, "_ours", {"key"})
    with pytest.raises(UsageError, match="timeout needs workers that can be ended, and this clu"):
        dask_executor._call_with_timeout("key", b"", int)


def test_a_scheduler_that_goes_away(job, make_cluster, leftovers):
    cluster = make_cluster()
    cluster.add_worker()

    def listen(event):
        if isinstance(event, WindowDone) and event.done == 2:
            for process in cluster.processes:
                process.kill()

    with pytest.raises(MuchoError, match="connection to dask's scheduler was lost"):
        run(job(slow, scheduler=cluster.address), listen)
    assert not leftovers()


@pytest.mark.parametrize(
    ("scheduler", "kind", "text"),
    [
        ("tcp://127.0.0.1:9", MuchoError, "no dask scheduler answers at tcp://127.0.0.1:9"),
        ("foo://127.0.0.1:9", MuchoError, "no dask scheduler answers at foo://127.0.0.1:9"),
        ("missing.json", UsageError, "the scheduler missing.json is neither an address"),
        (__file__, UsageError, "nor a file that dask scheduler --scheduler-file has written"),
    ],
)
def test_a_scheduler_that_is_not_there(job, leftovers, scheduler, kind, text):
    with pytest.raises(kind, match=text):
        run(job(plus, scheduler=scheduler))
    assert not leftovers()


def test_a_worker_is_no_scheduler(job, make_cluster):
    cluster = make_cluster()
    cluster.add_worker()
    (address,) = cluster.wait_for_workers(1)
    with pytest.raises(MuchoError, match=f"no dask scheduler answers at {address}"):
        run(job(plus, scheduler=address))


def test_a_client_that_was_killed_is_resumed(tmp_path, make_raster, cluster, read):
    make_raster(height=96, width=128)
    (tmp_path / "own.py").write_text(
        "import time, uuid, pathlib\n"
        "def run(data, window, ij, args):\n"
        "    time.sleep(0.1)\n"
        "    pathlib.Path(args['folder'], f'call-{uuid.uuid4()}').touch()\n"
        "    return data[0] + 1\n"
    )
    command = [RIO, "mucho", "-q", "in.tif", "out.tif", "--func", "own.py:run", "--windows", "16"]
    command += ["--resume", "--scheduler", cluster.address, "--arg", f"folder={tmp_path}"]
    process = subprocess.Popen(command, cwd=tmp_path)
    wait_until(
        lambda: len(list(tmp_path.glob("call-*"))) >= 20 or process.poll() is not None,
        "there are fewer than 20 calls",
    )
    process.kill()
    process.wait()
    assert not (tmp_path / "out.tif").exists()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), read(tmp_path / "in.tif") + 1)


def test_a_cluster_on_this_machine_ends_with_the_program(tmp_path, make_raster, forgotten_memory):
    make_raster(height=96, width=128)
    (tmp_path / "own.py").write_text(
        "import os, time\n"
        "def run(data, window, ij, args):\n"
        "    open(f'{args[\"folder\"]}/{os.getpid()}.pid', 'w').close()\n"
        "    time.sleep(args['seconds'])\n"
        "    return data[0]\n"
    )
    command = [
        RIO,
        "mucho",
        "-q",
        "in.tif",
        "out.tif",
        "--func",
        "own.py:run",
        "--executor",
        "dask",
    ]
    command += ["--windows", "64", "-j", "2", "--arg", f"folder={tmp_path}"]
    variables = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    before = forgotten_memory()
    given = {"cwd": tmp_path, "env": variables}
    done = subprocess.run(
        [*command, "--arg", "seconds=0"], **given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not list((tmp_path / "tmp").iterdir())
    assert forgotten_memory() <= before
    for file in tmp_path.glob("*.pid"):
        file.unlink()
    process = subprocess.Popen([*command, "--overwrite", "--arg", "seconds=60"], **given)
    wait_until(
        lambda: list(tmp_path.glob("*.pid")) or process.poll() is not None, "no worker has begun"
    )
    process.kill()
    process.wait()
    (*workers,) = (int(file.stem) for file in tmp_path.glob("*.pid"))
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "a worker is left"
    )
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()), "a file is left")


class Remote:
    """A future of dask's that was finished, and lost before anybody looked."""

    def __init__(self, status):
        self.status = status
        self.released = False

    def add_done_callback(self, callback):
        callback(self)

    def result(self):
        return "computed again"

    def exception(self):
        return KilledWorker("a call", SimpleNamespace(address="tcp://10.0.0.1:1"), 3)

    def release(self):
        self.released = True


@pytest.fixture
def executor():
    statuses = []

    def submit(*args, **kwargs):
        return Remote(statuses.pop(0) if statuses else "finished")

    client = SimpleNamespace(
        submit=submit, nthreads=lambda: {"a": 2}, scheduler=SimpleNamespace(address="tcp://a:1")
    )
    made = DaskExecutor(client, "key", b"", "name")
    made.statuses = statuses
    return made


def test_a_result_that_was_lost_is_waited_for(executor):
    executor.statuses += ["lost", "pending"]
    assert [executor.submit(int).result() for _ in range(2)] == ["computed again"] * 2


def test_nothing_stays_of_calls_that_were_given_up(executor):
    executor.statuses += ["finished", "error"]
    futures = [executor.submit(int) for _ in range(20)]
    for number, future in enumerate(futures):
        if number == 1:
            with pytest.raises(WorkerLostError, match="4 workers were lost with it"):
                future.result()
        else:
            assert future.result() == "computed again"
            assert future.remote.released
            assert future.fetched is None
    executor.drop_taken()
    assert not executor._waiting


def client_of(address, answers=None):
    return SimpleNamespace(
        scheduler_info=lambda: {"address": address},
        run=lambda *args, **kwargs: answers,
    )


SECRETS = {"AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu", "GDAL_HTTP_USERPWD": "a:b"}


@pytest.mark.parametrize(
    "address", ["tls://10.0.0.1:8786", "tcp://127.0.0.1:8786", "tcp://[::1]:8786", "inproc://x/1"]
)
def test_secrets_go_where_nobody_listens(address, caplog):
    assert sendable(dict(SECRETS), client_of(address)) == SECRETS
    assert not caplog.records


def test_secrets_do_not_cross_a_network_in_the_open(caplog):
    client = client_of("tcp://10.0.0.1:8786")
    assert sendable(dict(SECRETS), client) == {"AWS_REGION": "eu"}
    (record,) = caplog.records
    assert "AWS_SECRET_ACCESS_KEY, GDAL_HTTP_USERPWD are not sent" in record.getMessage()
    assert "tls://" in record.getMessage()


def test_versions_that_differ_are_named(caplog):
    ours, _ = dask_cluster.describe_worker(None)
    answers = {
        "tcp://10.0.0.1:1": ({**ours, "rasterio": "0.36"}, None),
        "tcp://10.0.0.2:1": ({**ours, "rasterio": "0.36"}, None),
        "tcp://10.0.0.3:1": (ours, None),
    }
    with caplog.at_level(logging.WARNING):
        dask_cluster.check_workers(client_of("", answers), plus)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"tcp://10.0.0.1:1 and 1 more workers: rasterio 0.36 and not {ours['rasterio']}: "
        "results may differ"
    )


def test_workers_without_this_package():
    answers = {"tcp://10.0.0.1:1": ModuleNotFoundError("No module named 'rio_mucho_cli'")}
    with pytest.raises(MuchoError, match=r"the worker tcp://10\.0\.0\.1:1 cannot .* install"):
        dask_cluster.check_workers(client_of("", answers), plus)


def test_inputs_in_this_process_are_of_no_use(job):
    with pytest.raises(UsageError, match="where dask's workers cannot read it"):
        run(Job(**{**vars(job(plus)), "inputs": [_in_memory()]}))


def _in_memory():
    path = "/vsimem/for_dask.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 4, "width": 4, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(np.ones((1, 4, 4), "uint8"))
    return path


def test_a_scheduler_is_dasks(job):
    with pytest.raises(UsageError, match="use executor='dask'"):
        job(plus, executor="threads")
