"""Rasters and programs for the tests; everything is made in tmp_path.

A test with many combinations of parameters is marked `sweep(1)` or `sweep(2)`. The default run
takes so many of them that every value occurs, or every two values of two parameters together; the
campaign takes the others.
"""

import compileall
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from importlib.metadata import version
from itertools import combinations, zip_longest
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from hypothesis import settings
from rasterio.rio.main import main_group
from waiting import wait_until

import rio_mucho_cli
from rio_mucho_cli import Job
from rio_mucho_cli.windows import Size

# What needs signals, pipes, sockets, resource limits or a terminal of POSIX, or bash.
collect_ignore = [
    "faults", "project", "services", "behaviour/test_as_windows.py", "behaviour/test_blocks.py",
    "behaviour/test_executors.py", "behaviour/test_mosaics_resumed.py",
    "behaviour/test_open_files.py", "behaviour/test_worker_deaths.py", "cli/test_program.py",
    "unit/engine/test_retries.py", "unit/outputs/test_writer.py", "unit/test_signals.py",
    "unit/test_system.py", "unit/workers/test_channel.py", "unit/workers/test_fork_server.py",
    "unit/workers/test_process.py",
] if sys.platform == "win32" else []  # fmt: skip

# How long a test takes is the machine's affair.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

# Where Ctrl-C is ignored, as in the background of a script, or SIGHUP, as under nohup, programs
# that tests start would ignore it, too, and tests wait for their end forever.
for name, default in {
    "SIGINT": signal.default_int_handler,
    "SIGTERM": signal.SIG_DFL,
    "SIGHUP": signal.SIG_DFL,
}.items():
    number = getattr(signal, name, None)  # Windows has no SIGHUP
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)


def pytest_configure(config):
    """Compile the package once: where Python writes no bytecode, all programs would do it again."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(rio_mucho_cli.__file__).parent, quiet=2)


# Fixtures that start a server.
SERVERS = {"s3_server", "cluster", "make_cluster", "serve"}


@pytest.hookimpl(tryfirst=True)  # before pytest looks at marks
def pytest_collection_modifyitems(items):
    """Mark tests of a server as service, and what a sweep has beyond its sample as campaign."""
    sweeps = {}
    for item in items:
        if SERVERS & set(item.fixturenames):
            item.add_marker(pytest.mark.service)
        marker = item.get_closest_marker("sweep")
        if marker and not item.get_closest_marker("campaign"):
            sweeps.setdefault((item.nodeid.partition("[")[0], *marker.args), []).append(item)
    for (_, strength), sweep in sweeps.items():
        sample = covering([item.callspec.params for item in sweep], strength)
        for number, item in enumerate(sweep):
            if number not in sample:
                item.add_marker(pytest.mark.campaign)


def covering(combined, strength):
    """Return the numbers of some dicts in which as many values come together as in all of them."""
    groups = [
        set(combinations([(name, id(value)) for name, value in sorted(values.items())], strength))
        for values in combined
    ]
    missing = set().union(*groups)
    chosen, times = set(), Counter()

    def worth(number):
        """Return how much is new in a dict, and how rare the rest is so far."""
        return len(groups[number] & missing), -sum(times[group] for group in groups[number])

    while missing:
        best = max(range(len(groups)), key=worth)
        chosen.add(best)
        times.update(groups[best])
        missing -= groups[best]
    return chosen


PYTHONPATH = os.environ.get("PYTHONPATH", "")


@pytest.fixture(scope="session", autouse=True)
def lean_programs():
    """Start programs and workers without boto3 and rio-cogeo, as on most users' machines.

    The tests need both, so they are installed. rasterio and `rio` would import them at each
    start, which takes as long as all the rest of it.
    """
    without = str(Path(__file__).with_name("without"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [without, PYTHONPATH]))
    yield
    os.environ["PYTHONPATH"] = PYTHONPATH


@pytest.fixture
def all_packages(monkeypatch):
    """Start programs and workers with every package that is installed."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)


# Before click 8.2 the two streams are one, unless that is asked for.
SEPARATE = {"mix_stderr": False} if version("click").startswith("8.1.") else {}
RUNNER = CliRunner(**SEPARATE)

TRANSFORM = Affine(30.0, 0.0, 400000.0, 0.0, -30.0, 5000000.0)


def scene(count, height, width, dtype, seed=0):
    """Return a smooth image with some texture: (count, height, width)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:height, 0:width]
    bands = [
        np.sin(rows / (7 + band)) + np.cos(cols / (11 - band)) + rng.normal(0, 0.05, rows.shape)
        for band in range(count)
    ]
    data = np.stack(bands)
    data = (data - data.min()) / (data.max() - data.min())
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return (1 + data * 250).astype(dtype)
    return data.astype(dtype)


class Cluster:
    """A dask scheduler and workers of one thread each, in processes of their own."""

    def __init__(self, folder, **variables):
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._variables = {**os.environ, "NO_PROXY": "127.0.0.1", **variables}
        self.processes = []
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_until(
            lambda: self.file.exists() and self.file.stat().st_size, "the scheduler has not begun"
        )
        self.address = json.loads(self.file.read_text())["address"]

    def add_worker(self):
        """Start one; it lives in another folder than the tests."""
        where = ["--scheduler-file", str(self.file), "--local-directory", str(self._folder)]
        self._start("worker", *where, "--nthreads", "1", "--no-nanny")
        return self.processes[-1]

    def _start(self, what, *options):
        if what == "scheduler":
            options = (*options, "--scheduler-file", str(self.file))
        log = (self._folder / f"{len(self.processes)}.log").open("w")
        command = [sys.executable, "-m", "dask", what, *options, "--no-dashboard"]
        self.processes.append(
            subprocess.Popen(command, env=self._variables, cwd=self._folder, stdout=log, stderr=log)
        )
        log.close()

    def wait_for_workers(self, number):
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(number)
            return list(client.scheduler_info()["workers"])

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Return a cluster of two workers, the same for all tests; some of them need boto3."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), PYTHONPATH=PYTHONPATH)
    made.add_worker()
    made.add_worker()
    made.wait_for_workers(2)
    yield made
    made.close()


@pytest.fixture
def make_cluster(tmp_path_factory):
    """Return a function that makes a cluster without workers."""
    made = []

    def make(**variables):
        made.append(Cluster(tmp_path_factory.mktemp("cluster"), **variables))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def make_raster(tmp_path):
    """Return a function that writes a raster and returns its path."""

    def make(name="in.tif", data=None, **profile):
        if data is None:
            shape = (profile.pop("count", 1), profile.pop("height", 70), profile.pop("width", 90))
            data = scene(*shape, profile.pop("dtype", "uint16"), seed=profile.pop("seed", 0))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        defaults = {
            "driver": "GTiff",
            "crs": "EPSG:32633",
            "transform": TRANSFORM,
            "dtype": data.dtype.name,
        }
        count, height, width = data.shape
        with rasterio.open(
            path, "w", count=count, height=height, width=width, **{**defaults, **profile}
        ) as dst:
            dst.write(data)
        return path

    return make


@pytest.fixture
def read():
    """Return a function that reads a whole raster: (count, rows, cols)."""

    def read_all(path):
        with rasterio.open(path) as src:
            return src.read()

    return read_all


@pytest.fixture
def profile_of():
    """Return a function that gives a raster's profile."""

    def profile(path):
        with rasterio.open(path) as src:
            return dict(src.profile)

    return profile


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module into the current folder, tmp_path."""
    monkeypatch.chdir(tmp_path)
    # What is imported by one test must not be found by the next.
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(text, name="user_functions.py"):
        (tmp_path / name).write_text(text)
        return name.removesuffix(".py")

    yield write
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None) or ""
        if path.startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def rio(module, monkeypatch):
    """Return a function that calls `rio` in this process, in tmp_path, and forgets its modules."""
    # After a signal, a command that is slow to end, or has threads that are still busy, ends its
    # process at once; here, that is the tests' process.
    monkeypatch.setattr("rio_mucho_cli.cli.leaving._RESEND_AFTER", 60.0)
    monkeypatch.setattr("rio_mucho_cli.cli.leaving._end", lambda signum: sys.exit(128 + signum))

    def call(*args, **kwargs):
        return RUNNER.invoke(main_group, [str(arg) for arg in args], **kwargs)

    return call


@pytest.fixture
def rio_program(tmp_path):
    """Return a function that runs the real `rio` program, in tmp_path."""

    def run(*args, before=(), **kwargs):
        command = [*before, rio_path(), *map(str, args)]
        defaults = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120}
        return subprocess.run(command, check=False, **{**defaults, **kwargs})

    return run


@pytest.fixture(scope="session")
def bound_by_modes():
    """What to put before a command, that modes of files count for it, for root's as well."""
    if os.geteuid() != 0:
        return []
    return with_setpriv("--bounding-set=-dac_override")


@pytest.fixture
def bound_by_numbers(tmp_path):
    """What to put before a command, that limits of processes count for it, for root's as well.

    Such limits count what a user has, and root's do not count. So it becomes a
    user's who has nothing else, tmp_path excepted, but may read what root may.
    """
    if os.geteuid() != 0:
        return []
    user = 40_000 + os.getpid() % 10_000
    read = "+dac_read_search"
    command = with_setpriv(
        f"--reuid={user}", f"--regid={user}", "--clear-groups",
        f"--inh-caps={read}", f"--ambient-caps={read}", "--securebits=+no_setuid_fixup",
    )  # fmt: skip
    os.chown(tmp_path, user, user)
    return command


def with_setpriv(*options):
    """Return what to put before a command to take privileges from it, or skip the test."""
    command = ["setpriv", *options]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no setpriv to take root's privileges away")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"root's privileges cannot be taken away: {error.stderr.strip()}")
    return command


def rio_path():
    """Return the path of the `rio` that belongs to this Python."""
    return str(Path(sys.executable).with_name("rio"))


@pytest.fixture
def leftovers(tmp_path):
    """Return a function that names what a run should not have left in tmp_path."""

    def names():
        return sorted(p.name for p in tmp_path.rglob(".mucho*"))

    return names


@pytest.fixture
def children():
    """Return a function that gives the process ids of a process's descendants.

    Without one, of this process; its fork servers, which stay for other tests, and the
    dead are left out.
    """

    def pids(ancestor=None):
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(stat.parent.name)] = int(fields[1])
        found, rest = [], [ancestor or os.getpid()]
        while rest:
            parent = rest.pop()
            rest += [pid for pid, other in parents.items() if other == parent]
            found.append(parent)
        servers = () if ancestor else fork_servers()
        return [pid for pid in found[1:] if pid not in servers]

    return pids


def fork_servers():
    """Return the process ids of this process's fork servers."""
    from rio_mucho_cli.workers import fork_server

    return [server.pid for server in fork_server._current.all()]


@pytest.fixture(scope="session")
def forgotten_memory():
    """Return a function that gives what is in shared memory and that no process has open.

    Only names that processes of a run may give count: Python's, of locks and of shared
    memory, and this process's own. Other tests, and other programs, make and remove
    files at any moment: what is there for a second is forgotten.
    """
    ours = ("sem.mp-", "psm_", f"mucho-{os.getpid()}-")

    def names():
        found = {path.name for path in Path("/dev/shm").glob("*") if path.name.startswith(ours)}
        for process in Path("/proc").glob("[0-9]*") if found else ():
            with contextlib.suppress(OSError):
                found -= {
                    Path(name).name
                    for name in re.findall(r"/dev/shm/\S+", (process / "maps").read_text())
                }
                for file in (process / "fd").iterdir():
                    with contextlib.suppress(OSError):
                        found.discard(file.readlink().name)
        return found

    def lasting():
        found = names()
        deadline = time.monotonic() + 1
        while found and time.monotonic() < deadline:
            time.sleep(0.1)
            found &= names()
        return found

    return lasting


class Bucket:
    """A bucket of a real S3 server on this machine."""

    def __init__(self, client, name):
        self.client, self.name = client, name

    def url(self, key):
        return f"s3://{self.name}/{key}"

    def put(self, key, file):
        self.client.upload_file(str(file), self.name, key)
        return self.url(key)

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def keys(self):
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return [each["Key"] for each in found]

    def pending(self):
        """Return the keys of uploads that are neither complete nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [each["Key"] for each in found]


S3_SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="session")
def s3_server():
    """The port of moto's S3 server, on the loopback interface.

    It is another process: rasterio keeps Python's lock while GDAL looks for
    files beside a dataset, and a server in a thread could not answer.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    given = {"env": {**os.environ, "PYTHONPATH": PYTHONPATH}, "text": True, **pipes}
    with subprocess.Popen([sys.executable, "-c", S3_SERVER], **given) as process:
        yield int(process.stdout.readline())
        process.stdin.close()


@pytest.fixture
def bucket(s3_server, monkeypatch, all_packages):
    """An empty bucket; the environment says how GDAL gets there."""
    import boto3

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_S3_ENDPOINT": f"127.0.0.1:{s3_server}",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "GDAL_HTTP_RETRY_DELAY": "0.01",
    }.items():
        monkeypatch.setenv(name, value)
    url = f"http://127.0.0.1:{s3_server}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    name = f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return Bucket(client, name)


FUNCTIONS = """
import numpy as np

def index(data, window, ij, global_args):
    a, b = (band[0].astype("float32") for band in data)
    return (a - b) / (a + b + global_args.get("eps", 1))

def copy(data, window, ij, global_args):
    return data[0]

def args(data, window, ij, global_args):
    assert global_args == {"a": 1, "b": "text", "c": [1, 2], "d": None}, global_args
    return data[0]

class Add:
    def __init__(self, k=1):
        self.k = k
    def __call__(self, data, window, ij, global_args):
        return data[0] + np.uint16(self.k)

def bad(data, window, ij, global_args):
    if ij == (1, 1):
        raise ZeroDivisionError("by zero")
    return data[0]

def leave(data, window, ij, global_args):
    raise SystemExit(0)

class OddError(Exception):
    def __init__(self, one, two):
        super().__init__("odd")

def odd(data, window, ij, global_args):
    raise OddError(1, 2)

def nothing(data, window, ij, global_args):
    pass

def listed(data, window, ij, global_args):
    return data

def short(data, window, ij, global_args):
    return data[0][:, 1:]

def twice(data, window, ij, global_args):
    return np.concatenate([data[0], data[0]])

def wavering(data, window, ij, global_args):
    return data[0].astype("float32" if ij == (1, 0) else "float64")

def die(data, window, ij, global_args):
    import os
    os.kill(os.getpid(), 9)

number = 3
"""


@pytest.fixture
def mucho(rio, module, make_raster):
    """Return a function that calls `rio mucho` on a.tif and b.tif, 64 x 64, in 16 windows.

    Unless it is told otherwise, it starts no worker processes.
    """
    module(FUNCTIONS, "mod.py")
    make_raster("a.tif", width=64, height=64, nodata=0)
    make_raster("b.tif", width=64, height=64, seed=1, compress="lzw")

    def call(*args, inputs=("a.tif", "b.tif"), output="out.tif", **kwargs):
        defaults = [] if "--windows" in args else ["--windows", "16"]
        defaults += [] if "--dry-run" in args else ["--jobs", "1"]
        return rio("mucho", *inputs, output, *defaults, *args, **kwargs)

    return call


@pytest.fixture
def tif(make_raster):
    """A raster of 12 blocks; its path, as a str."""
    return str(make_raster(width=64, height=48, tiled=True, blockxsize=16, blockysize=16, nodata=3))


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "out.tif")


def first_input(data, window, ij, global_args):
    """Return the first input as it is."""
    return data[0]


@pytest.fixture
def job_on(tmp_path):
    """Return a function that makes a Job of some rasters."""

    def make(inputs, function=first_input, **given):
        return Job(**{
            "inputs": [str(path) for path in inputs],
            "output": str(tmp_path / "out.tif"),
            "function": function,
            "windows": Size(64, 48),
            "overwrite": True,
            **given,
        })  # fmt: skip

    return make


@pytest.fixture
def tiled(make_raster):
    """Return a function that writes a raster of 150 x 110 pixels in tiles of 16, somewhere."""
    size = {"width": 150, "height": 110, "tiled": True, "blockxsize": 16, "blockysize": 16}

    def make(name="a.tif", col=0, row=0, pixel=30.0, **given):
        transform = Affine(pixel, 0, 4e5 + col * 30, 0, -pixel, 5e6 - row * 30)
        return make_raster(name, **{**size, "transform": transform, **given})

    return make


@pytest.fixture
def make_vrt(tmp_path):
    """Return a function that makes a VRT whose bands are rasters of one band on one grid."""

    def make(name, paths, nodata=()):
        with rasterio.open(paths[0]) as src:
            root = ElementTree.Element("VRTDataset", rasterXSize=str(src.width),
                                       rasterYSize=str(src.height))  # fmt: skip
            ElementTree.SubElement(root, "SRS").text = src.crs.to_wkt()
            numbers = map(repr, src.transform.to_gdal())
            ElementTree.SubElement(root, "GeoTransform").text = ", ".join(numbers)
        for index, (path, value) in enumerate(zip_longest(paths, nodata), start=1):
            with rasterio.open(path) as src:
                kind = _gdal_type(src.dtypes[0])
            band = ElementTree.SubElement(root, "VRTRasterBand", dataType=kind, band=str(index))
            if value is not None:
                ElementTree.SubElement(band, "NoDataValue").text = str(value)
            source = ElementTree.SubElement(band, "SimpleSource")
            ElementTree.SubElement(source, "SourceFilename").text = str(path)
            ElementTree.SubElement(source, "SourceBand").text = "1"
        (tmp_path / name).write_bytes(ElementTree.tostring(root))
        return tmp_path / name

    return make


def _gdal_type(dtype):
    """Return GDAL's name of a dtype."""
    names = {"uint8": "Byte", "complex64": "CFloat32", "complex128": "CFloat64"}
    return names.get(dtype, dtype.capitalize().replace("Ui", "UI"))
