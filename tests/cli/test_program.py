"""The real `rio` program: start-up, pipelines, Ctrl-C, terminals."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forking import CAN_FORK, START_METHODS
from terminals import lines_shown, on_a_terminal

FUNCTIONS = """
import os, time
import numpy as np

def copy(data, window, ij, global_args):
    return data[0]

def wait(data, window, ij, global_args):
    os.write(2, f"working {os.getpid()}\\n".encode())  # in one piece
    for _ in range(6000):
        time.sleep(0.1)
"""


@pytest.fixture
def inputs(module, make_raster):
    module(FUNCTIONS, "mod.py")
    make_raster("in.tif", width=64, height=64, tiled=True, blockxsize=16, blockysize=16)


def test_the_program_finds_the_plugin_and_the_current_folder(inputs, rio_program, read):
    done = rio_program("mucho", "in.tif", "out.tif", "--func", "mod:copy", "-j", "2",
                       "--windows", "16")  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("out.tif: 16 windows in ")
    assert done.stderr.count("\n") == 1
    np.testing.assert_array_equal(read("out.tif"), read("in.tif"))


PLUGINS = {
    "nothing": "",
    "GDAL": "import rasterio; dataset = rasterio.open('in.tif')",
    "a thread": "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()",
    "a socket": "import atexit, socket as s; c = s.socket(); atexit.register(c.close)",
}


@pytest.mark.skipif(not CAN_FORK, reason="this system has no fork server")
@pytest.mark.parametrize("plugin", PLUGINS)
def test_workers_are_forked_from_rio_itself_if_that_is_safe(inputs, module, tmp_path, read, plugin):
    """An import of another plugin may have used GDAL, or started a thread."""
    module(
        "import os, socket\n"
        "def run(data, window, ij, global_args):\n"
        "    with open(f'/proc/{os.getppid()}/cmdline') as server, open('server', 'w') as file:\n"
        "        file.write(server.read())\n"
        "    kinds = [os.readlink(f'/proc/self/fd/{fd}') for fd in range(3, 30)\n"
        "             if os.path.islink(f'/proc/self/fd/{fd}')]\n"
        "    assert len([kind for kind in kinds if kind.startswith('socket')]) == 1, kinds\n"
        "    return data[0]\n",
        "look.py",
    )
    start = "from rasterio.rio.main import main_group; main_group(prog_name='rio')"
    command = [sys.executable, "-W", "error", "-c", f"{PLUGINS[plugin]}\n{start}", "mucho"]
    command += ["in.tif", "out.tif", "--func", "look:run", "-j", "2", "--windows", "16", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    server = (tmp_path / "server").read_text()
    assert ("bootstrap.py" in server) == (plugin in {"GDAL", "a thread"})
    np.testing.assert_array_equal(read("out.tif"), read("in.tif"))


LEAVING = """
import logging.handlers, multiprocessing.util, os, weakref

class Ending(logging.Handler):
    def emit(self, record):
        with open("ended", "a") as file:
            file.write(f"{record.msg} {os.getpid()}\\n")

ending, things = Ending(), []

def leave(whose):
    "Leave something to do at the end of this process, in each way that there is."
    def end(way):
        ending.emit(logging.makeLogRecord({"msg": f"{whose} {way}"}))
    thing, memory = Ending(), logging.handlers.MemoryHandler(9, target=ending)
    weakref.finalize(thing, end, "finalizer")
    multiprocessing.util.Finalize(None, end, ["finalizer-of-multiprocessing"], exitpriority=0)
    memory.emit(logging.makeLogRecord({"msg": f"{whose} record", "levelno": logging.INFO}))
    things.extend([thing, memory])

def run(data, window, ij, global_args):
    if os.getpid() not in things:
        things.append(os.getpid())
        leave("worker")
    return data[0]
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_what_is_left_to_the_end_is_done_once_by_whom_it_belongs_to(
    inputs, module, tmp_path, method
):
    """Nothing that another plugin has left to the end of the program is done by workers."""
    module(LEAVING, "leaving.py")
    start = "from rasterio.rio.main import main_group; main_group(prog_name='rio')"
    code = f"import os, leaving; leaving.leave('program'); print(os.getpid())\n{start}"
    command = [sys.executable, "-c", code, "mucho"]
    command += ["in.tif", "out.tif", "--func", "leaving:run", "-j", "2", "--windows", "16", "-q"]
    variables = {**os.environ, "MUCHO_START_METHOD": method}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=variables
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in (tmp_path / "ended").read_text().splitlines()]
    ways = ["finalizer", "finalizer-of-multiprocessing", "record"]
    program = done.stdout.strip()
    assert sorted(line[1:] for line in lines if line[0] == "program") == [
        [way, program] for way in ways
    ]
    by_worker = {}
    for whose, way, pid in lines:
        if whose == "worker":
            by_worker.setdefault(pid, []).append(way)
    assert by_worker
    assert all(sorted(found) == ways for found in by_worker.values())
    assert program not in by_worker


def test_a_pipeline_of_rio_blocks(inputs, tmp_path, read):
    rio = Path(sys.executable).with_name("rio")
    keep = "import sys; sys.stdout.writelines(line for line in sys.stdin if ', 0]' in line)"
    command = (
        f'{rio} blocks --sequence --no-rs in.tif 2>/dev/null | {sys.executable} -c "{keep}" '
        f"| {rio} mucho in.tif out.tif --windows - --func mod:copy -j 2"
    )
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, timeout=60)
    expected = np.zeros((1, 64, 64))
    expected[:, :, :16] = read("in.tif")[:, :, :16]
    np.testing.assert_array_equal(read("out.tif"), expected)


@pytest.mark.parametrize("way", ["processes", "threads", "serial"])
def test_ctrl_c_ends_everything(inputs, tmp_path, way, leftovers):
    """The signal goes to the whole group, as a terminal sends it."""
    jobs = "1" if way == "serial" else "2"
    rio = str(Path(sys.executable).with_name("rio"))
    (tmp_path / "out.tif").write_text("old")
    command = [rio, "mucho", "in.tif", "out.tif", "--overwrite", "--windows", "16"]
    command += ["--func", "mod:wait", "-j", jobs, "--executor", way]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        workers = {int(run.stderr.readline().split()[1]) for _ in range(int(jobs))}
        os.killpg(run.pid, signal.SIGINT)
        # Workers hold the other end of stderr: it ends when all are gone.
        rest = run.stderr.read()
        assert run.wait(30) == 130
    assert "Interrupted: out.tif was not written." in rest
    assert "Traceback" not in rest
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert (tmp_path / "out.tif").read_text() == "old"
    assert not leftovers()


@pytest.mark.sweep(1)
@pytest.mark.parametrize("way", ["processes", "threads", "serial"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_the_program_leaves_nothing(inputs, tmp_path, way, name, leftovers):
    jobs = "1" if way == "serial" else "2"
    rio = str(Path(sys.executable).with_name("rio"))
    command = [rio, "mucho", "in.tif", "out.tif", "--windows", "16", "--func", "mod:wait"]
    command += ["-j", jobs, "--executor", way]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
        for _ in range(int(jobs)):
            run.stderr.readline()
        run.send_signal(getattr(signal, name))
        # It ends when no worker holds it any more.
        assert run.stderr.read() == f"Ended by {name}: out.tif was not written.\n"
        assert run.wait(30) == 128 + getattr(signal, name)
    assert not leftovers()
    assert not (tmp_path / "out.tif").exists()


def test_ctrl_c_while_the_users_module_is_imported(module, inputs, tmp_path):
    module("import os, time\nos.write(2, b'importing\\n')\ntime.sleep(600)", "slow.py")
    rio = str(Path(sys.executable).with_name("rio"))
    command = [rio, "mucho", "in.tif", "out.tif", "--func", "slow:run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr.readline() == "importing\n"
        run.send_signal(signal.SIGINT)
        assert run.stderr.read() == "Interrupted: out.tif was not written.\n"
        assert run.wait(30) == 130


@pytest.mark.sweep(1)
@pytest.mark.parametrize("executor", ["processes", "threads"])
@pytest.mark.parametrize("windows", ["16", "20"])
def test_a_full_disk_ends_the_run(inputs, make_raster, tmp_path, executor, windows, leftovers):
    """Windows of 16 are whole blocks, those of 20 are left to GDAL."""
    noise = np.random.default_rng(0).integers(0, 255, (3, 300, 300), "uint8")
    make_raster("noise.tif", noise)
    (tmp_path / "out.tif").write_text("old")
    rio = Path(sys.executable).with_name("rio")
    command = (
        f"ulimit -f 200; exec {rio} mucho noise.tif out.tif --overwrite -j 2 --func mod:copy "
        f"--executor {executor} --windows {windows} --co compress=deflate"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Error: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out.tif").read_text() == "old"
    assert not leftovers()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_do_not_matter(inputs, tmp_path, read, closed):
    rio = Path(sys.executable).with_name("rio")
    command = f"exec {rio} mucho in.tif out.tif --func mod:copy -j 2 --windows 16 {closed}"
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(read("out.tif"), read("in.tif"))


@pytest.mark.parametrize(
    ("stdout", "status", "says"),
    [
        (">&-", 2, "standard output is closed: give the value a file"),
        (">/dev/full", 1, "standard output cannot be written: No space left on device"),
    ],
)
def test_a_value_that_cannot_be_printed(inputs, module, tmp_path, stdout, status, says):
    module("def one(*args): return 1", "one.py")
    rio = Path(sys.executable).with_name("rio")
    command = f"exec {rio} mucho in.tif - --func one:one -j 1 {stdout}"
    ended = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False
    )
    assert ended.returncode == status
    assert ended.stderr.endswith(f"Error: {says}\n")


def test_a_bar_on_a_terminal_unless_quiet(inputs, tmp_path):
    rio = str(Path(sys.executable).with_name("rio"))
    command = [rio, "mucho", "in.tif", "out.tif", "--func", "mod:copy", "--windows", "16", "-j1"]
    shown = on_a_terminal(command, tmp_path)
    assert re.search(r"16/16 +[\d.]+ [kM]px/s(?![,\w])", shown)
    assert "0/0" not in shown
    assert shown.splitlines()[-1].startswith("out.tif: 16 windows in ")
    assert on_a_terminal([*command, "--overwrite", "--quiet"], tmp_path) == ""
    of_the_group = [rio, "--quiet", *command[1:], "--overwrite"]
    assert on_a_terminal(of_the_group, tmp_path) == ""


@pytest.mark.parametrize("columns", [30, 60])
def test_the_bar_stays_on_its_line(inputs, tmp_path, columns):
    rio = str(Path(sys.executable).with_name("rio"))
    command = [rio, "mucho", "in.tif", "out.tif", "--func", "mod:copy", "--windows", "4", "-j2"]
    shown = on_a_terminal(command, tmp_path, columns)
    bar, summary, end = shown.split("\n")
    assert max(map(len, bar.split("\r"))) < columns
    assert " 0/" in bar
    assert summary.startswith("out.tif: ")
    assert end == ""


def test_what_is_logged_stands_above_the_bar(inputs, tmp_path):
    rio = str(Path(sys.executable).with_name("rio"))
    command = [rio, "-vv", "mucho", "in.tif", "out.tif", "--func", "mod:copy", "--windows", "16"]
    lines = lines_shown(on_a_terminal([*command, "-j1"], tmp_path))
    logged = [line for line in lines if "function" in line]
    assert len(logged) == 16
    assert all(line.startswith("window rows ") for line in logged)


def test_verbose_tells_of_each_window_and_nothing_of_rasterio(inputs, rio_program):
    command = ["mucho", "in.tif", "out.tif", "--func", "mod:copy", "--windows", "16", "--overwrite"]
    decisions = rio_program("-v", *command, "-j", "1").stderr
    assert "16 windows, 1 job (serial)" in decisions
    assert "window rows" not in decisions
    each = rio_program("-vv", *command, "-j", "2").stderr
    (last,) = (line for line in each.splitlines() if "(ij (3, 3))" in line)
    stages = r"read [\d.]+ ms, function [\d.]+ ms, encode [\d.]+ ms, transfer [\d.]+ ms, write"
    assert re.search(rf"window rows 48:64, columns 48:64 \(ij \(3, 3\)\): {stages}", last)
    assert each.count("window rows") == 16
    assert each.count("DEBUG:rasterio") < each.count("window rows")
    assert "DEBUG:rasterio.env:Entering" in rio_program("-vvv", *command, "-j", "1").stderr


def test_rio_starts_without_importing_what_only_a_run_needs():
    """Count modules instead of milliseconds: the command imports nothing heavy."""
    code = (
        "import sys; import rasterio.rio.main; before = set(sys.modules); "
        "import rio_mucho_cli.cli; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = set(done.stdout.split())
    code = (
        "import sys; import rasterio.rio.main; print(*sorted(m for m in sys.modules "
        "if m.startswith('rio_mucho_cli')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "rio_mucho_cli",
        "rio_mucho_cli.cli",
        "rio_mucho_cli.cli.command",
        "rio_mucho_cli.cli.completion",
        "rio_mucho_cli.cli.option_types",
        "rio_mucho_cli.cli.options",
        "rio_mucho_cli.cli.parsing",
        "rio_mucho_cli.dtypes",  # of numpy and rasterio, which are there
    }
    assert not new & {"loky", "cloudpickle", "threadpoolctl", "multiprocessing", "cligj"}


ENDS = """
import os, signal, sys

def ends(data, window, ij, global_args):
    if ij == (1, 1):
        {how}
    return data[0]

class Made:
    def __init__(self):
        {how}

    def __call__(self, data, window, ij, global_args):
        return data[0]
"""
WAYS = {
    "serial": ["-j", "1"],
    "threads": ["-j", "2", "--executor", "threads"],
    "processes": ["-j", "2"],
    "dask": ["-j", "2", "--executor", "dask"],
}


@pytest.mark.parametrize(
    ("way", "name", "how"),
    [
        *((way, "ends", "sys.exit(0)") for way in ("serial", "threads", "processes")),
        pytest.param("dask", "ends", "sys.exit(0)", marks=pytest.mark.campaign),
        ("processes", "Made", "exit()"),
        ("serial", "ends", "raise SystemExit"),
        ("serial", "Made", "quit(0)"),
    ],
)
def test_a_function_that_exits_has_failed(rio_program, module, make_raster, way, name, how):
    module(ENDS.format(how=how), "mod.py")
    make_raster("in.tif", width=64, height=64)
    args = ["--func", f"mod:{name}", "--windows", "16", "-q", *WAYS[way]]
    done = rio_program("mucho", "in.tif", "out.tif", *args)
    assert (done.returncode, done.stdout) == (1, "")
    assert "raised SystemExit" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("way", "how", "status", "says"),
    [
        ("serial", "os.kill(os.getpid(), signal.SIGTERM)", 143, "Ended by SIGTERM"),
        ("serial", "os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("serial", "os.abort()", -6, ""),
        ("threads", "os.kill(os.getpid(), signal.SIGTERM)", 143, "Ended by SIGTERM"),
        ("processes", "os._exit(0)", 1, "a worker process"),
        ("processes", "os.kill(os.getpid(), signal.SIGTERM)", 1, "a worker process"),
        pytest.param("dask", "os._exit(0)", 1, "worker", marks=pytest.mark.campaign),
    ],
)
def test_a_process_that_a_function_ends_is_no_success(
    rio_program, module, make_raster, tmp_path, way, how, status, says
):
    module(ENDS.format(how=how), "mod.py")
    make_raster("in.tif", width=64, height=64)
    args = ["--func", "mod:ends", "--windows", "16", "-q", "--retries", "0", *WAYS[way]]
    done = rio_program("mucho", "in.tif", "out.tif", *args)
    assert done.returncode == status
    # dask itself may tell of a worker that it has lost.
    assert way == "dask" or "Traceback" not in done.stderr
    assert says in done.stderr
    assert not (tmp_path / "out.tif").exists()
