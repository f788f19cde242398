"""Runs that are hindered, and what must be true of them afterwards.

The default run takes a small sample of what is random, the campaign (`pytest -m campaign`) five
times as many. MUCHO_FAULTS, a number, makes the campaign so many times as large:
`MUCHO_FAULTS=10 pytest -m campaign tests/faults`. MUCHO_SEED, another number, makes other things
happen.
"""

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, settings
from waiting import wait_until

from rio_mucho_cli.outputs.files import journal_of, partial_folder

SAMPLE = 0.2
SCALE = float(os.environ.get("MUCHO_FAULTS", "1"))
SEED = int(os.environ.get("MUCHO_SEED", "0"))
DEADLINE = 120.0
settings.register_profile(
    "faults", max_examples=round(300 * SCALE), suppress_health_check=list(HealthCheck)
)

FUNCTIONS = """
import os, time
import numpy as np

def plain(data, window, ij, global_args):
    time.sleep(0.01)
    return data[0] // 2 + ij[0] + 1

def masked(data, window, ij, global_args):
    time.sleep(0.01)
    return np.ma.array(data[0], mask=data[0] % 5 == ij[1] % 5)

def two(data, window, ij, global_args):
    time.sleep(0.01)
    return {"first": data[0] // 2 + 1, "second": data[0].astype("float32") / 3}

def counts(data, window, ij, global_args):
    time.sleep(0.01)
    return np.bincount(data[0].ravel(), minlength=256)

def row(data, window, ij, global_args):
    time.sleep(0.01)
    return {"row": ij[0], "col": ij[1], "mean": data[0].mean()}

def shares(data, window, ij, global_args):
    time.sleep(0.01)
    return {"first": data[0] // 2 + 1, "counts": np.bincount(data[0].ravel()) / 3}

def merge(a, b):
    size = max(len(a), len(b))
    return np.pad(a, (0, size - len(a))) + np.pad(b, (0, size - len(b)))

def part(data, window, ij, global_args):
    '''Raise in a window, and fail everything that comes after.'''
    if list(ij) >= global_args["end"]:
        raise ValueError("that is enough")
    return data[0] // 2 + ij[0] + 1
"""


@dataclass(frozen=True)
class Kind:
    """A command, and the files that it makes."""

    files: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def output(self):
        return self.files[0]

    @property
    def says_its_run(self):
        """Whether the output says of which run it is, as only a GeoTIFF does."""
        return self.output.endswith("tif")


def kind(files, options):
    return Kind(tuple(files.split()), tuple(options.split()))


TILES = "--windows 64 --co blockxsize=64 --co blockysize=64 --co compress=deflate"
KINDS = {
    "GTiff": kind("out.tif", f"--func hindered:plain --overviews 2,4,8 --stats {TILES}"),
    "COG": kind("out.tif", "--func hindered:plain --windows 64 --format COG --co blocksize=64"),
    "PNG": kind("out.png out.png.aux.xml", "--func hindered:plain --windows 64 --format PNG"),
    "masked": kind("out.tif", f"--func hindered:masked --nodata none --overviews 2 {TILES}"),
    "two": kind(
        "out.tif second.tif",
        f"--func hindered:two --also second=second.tif --windows 64 --stats {TILES}",
    ),
    "counts": kind("out.json", "--func hindered:counts --merge sum --windows 64"),
    "rows": kind("out.csv", "--func hindered:row --windows 64"),
    "shares": kind(
        "out.tif counts.json",
        "--func hindered:shares --also counts=counts.json,merge=hindered:merge --windows 64",
    ),
}
WAYS = {
    "serial": ("--executor", "serial", "-j", "1"),
    "threads": ("--executor", "threads", "-j", "2"),
    "processes": ("--executor", "processes", "-j", "2"),
}


def make_folder(folder):
    folder.mkdir(parents=True)
    (folder / "hindered.py").write_text(FUNCTIONS)
    return folder


def make_input(path):
    pixels = np.random.default_rng(0).integers(1, 250, (1, 290, 350), "uint8")
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": 32, "blockysize": 32, "nodata": 0}
    profile |= {"crs": "EPSG:32633", "transform": rasterio.Affine(30, 0, 4e5, 0, -30, 5e6)}
    with rasterio.open(path, "w", count=1, height=290, width=350, dtype="uint8", **profile) as dst:
        dst.write(pixels)
    return path


# Victims whose death is a matter of the run alone.
WORKERS = ("worker", "server")

RIO = str(Path(sys.executable).with_name("rio"))


def heed_signals():
    """Undo that Ctrl-C is ignored in the background of a script, and SIGHUP under nohup."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def processes_of(session, parent=None):
    """Return the processes of a session, or of one parent in it, that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if parent is not None and int(fields[1]) != parent:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def has_locked(run):
    """Whether a run has the folder in which its output grows."""
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(each[1] == "FLOCK" and each[4] == str(run.pid) for each in locks)


@dataclass
class Place:
    """A folder with a function, in which one kind of output is made of an input elsewhere."""

    folder: Path
    source: Path
    kind: Kind
    span: float = 0.5
    old: dict[str, bytes] = field(default_factory=dict)
    expected: dict[str, bytes] = field(default_factory=dict)

    def start(self, way, *more, **given):
        return subprocess.Popen(
            [
                RIO,
                "mucho",
                "-q",
                self.source,
                self.kind.output,
                *self.kind.options,
                *WAYS[way],
                *more,
            ],
            **{
                "cwd": self.folder,
                "stderr": subprocess.PIPE,
                "stdout": subprocess.DEVNULL,
                "text": True,
                "start_new_session": True,
                "preexec_fn": heed_signals,
                **given,
            },
        )

    def run(self, way="serial", *more, **given):
        """Run to the end; return the exit status and what was said."""
        with self.start(way, *more, **given) as run:
            said = run.communicate(timeout=DEADLINE)[1]
        self.check_processes(run)
        return run.returncode, said or ""

    def names(self):
        others = {"in.tif", "hindered.py", "__pycache__"}
        return {path.name for path in self.folder.iterdir()} - others

    def contents(self):
        return {name: (self.folder / name).read_bytes() for name in self.names()}

    def check_processes(self, run):
        wait_until(lambda: not processes_of(run.pid), f"a process of {run.args} is left")

    def write_old(self):
        self.old = {self.kind.output: b"old"}
        (self.folder / self.kind.output).write_bytes(b"old")

    @property
    def partial(self):
        return partial_folder(str(self.folder / self.kind.output))

    @property
    def journal(self):
        return journal_of(str(self.folder / self.kind.output))

    def grows(self, run):
        """Whether there is a file with what came of windows."""
        return has_locked(run) and any(self.folder.glob("*mucho*/*.*"))

    def temporaries(self):
        return [name for name in self.names() if "mucho" in name]


@pytest.fixture(scope="session")
def references(tmp_path_factory):
    """Return a function that gives what a kind of run makes if nothing hinders it."""
    source = make_input(tmp_path_factory.mktemp("input") / "in.tif")

    @functools.cache
    def make(name, resumable):
        place = Place(make_folder(tmp_path_factory.mktemp(name) / "place"), source, KINDS[name])
        with place.start("serial", *(["--resume"] if resumable else [])) as run:
            wait_until(lambda: has_locked(run) or run.poll() is not None, "it has not begun")
            begun = time.monotonic()
            said = run.communicate(timeout=DEADLINE)[1]
        assert (run.returncode, said) == (0, ""), run.args
        place.span = time.monotonic() - begun
        place.expected = place.contents()
        assert place.expected.keys() == set(place.kind.files)
        return place

    make.source = source
    return make


@pytest.fixture
def place_for(tmp_path, references):
    """Return a function that makes a place for a kind of output."""

    def make(name, folder="place", *, resume=True):
        return replace(references(name, resume), folder=make_folder(tmp_path / folder), old={})

    return make


@dataclass
class Life:
    """A run that is struck again and again, until it is done."""

    place: Place
    way: str
    number: signal.Signals
    victim: str
    resume: bool
    dice: random.Random
    memory: Callable[[], set[str]]
    counts: Counter = field(default_factory=Counter)

    def live(self):
        options = ["--resume"] if self.resume else []
        if self.dice.random() < 0.3:
            self.place.write_old()
            options.append("--overwrite")
        shared = self.memory()
        most = self.dice.choice([1, 2, 2, 3, 5]) if self.resume else 1
        for _ in range(most):
            with self.place.start(self.way, *options) as run:
                struck = self._strike(run)
                said = run.communicate(timeout=DEADLINE)[1]
            self.place.check_processes(run)
            self._check(run, said, struck)
            if run.returncode == 0:
                break
        else:
            if self._is_done() and (not self.resume or not self.place.kind.says_its_run):
                # It came too late, but may have left its folder.
                options = [*options, "--overwrite"]
            status, said = self.place.run(self.dice.choice(list(WAYS)), *options)
            assert status == 0, said
            assert "Traceback" not in said
        assert self.place.contents() == self.place.expected, (self.place.names(), self.way, said)
        assert self.memory() <= shared
        self.counts["finished and identical"] += 1
        return self.counts

    def _is_done(self):
        names = self.place.kind.files
        paths = [self.place.folder / name for name in names]
        expected = [self.place.expected[name] for name in names]
        return [path.read_bytes() if path.exists() else None for path in paths] == expected

    def _strike(self, run):
        """Send the signal at some moment; return when that was."""
        when = "early"
        if self.dice.random() < 0.93:
            when = "begun"
            # Workers that die before they can do anything end a run.
            begun = self.place.grows if self.victim in WORKERS else has_locked
            wait_until(lambda: run.poll() is not None or begun(run), "it has not begun")
        seconds = self.dice.uniform(0, 0.35 if when == "early" else 0.9 * self.place.span)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(seconds)
            self.counts["over before"] += 1
            return "never"
        with contextlib.suppress(ProcessLookupError):
            if self.victim == "group":
                os.killpg(run.pid, self.number)
            elif self.victim == "parent":
                os.kill(run.pid, self.number)
            else:
                # The fork server is the only child; workers are its children.
                servers = processes_of(run.pid, parent=run.pid)
                others = [pid for pid in processes_of(run.pid) if pid != run.pid]
                workers = servers if self.victim == "server" else {*others} - {*servers}
                workers = sorted(workers)
                if not workers:
                    self.counts["no worker there"] += 1
                    return "never"
                os.kill(self.dice.choice(workers), self.number)
            self.counts["struck"] += 1
            return when
        return "never"

    def _check(self, run, said, struck):
        status, number = run.returncode, int(self.number)
        about = (status, said, struck, self.victim, self.way)
        self.counts[f"exit status {status}"] += 1
        # While Python takes itself apart, signals do what they do by themselves.
        allowed = {0, -number} if self._is_done() else {0}
        if self._is_done() and not self.place.kind.says_its_run:
            allowed |= {1}  # it exists
        if struck == "early":
            # Python has not come to the command: it ends as Python does.
            allowed |= {-number, 128 + number, 1}
        elif struck == "begun":
            if self.victim in WORKERS:
                allowed |= {1}
            else:
                allowed |= {-number if self.number == signal.SIGKILL else 128 + number}
        assert status in allowed, about
        if struck != "early":
            assert "Traceback" not in said, about
        if status == 1 and struck != "early":
            expected = (
                f"Error: the output {self.place.kind.output} exists",
                "Error: a worker process was killed",
            )
            assert said.splitlines()[-1].startswith(expected), about
        done = {name: self.place.expected[name] for name in self.place.kind.files}
        for name in self.place.kind.files:
            path = self.place.folder / name
            old = self.place.old.get(name)
            found = path.read_bytes() if path.exists() else None
            assert found in (old, done[name]), (name, about)
        if status == -signal.SIGKILL:
            return
        left = self.place.temporaries()
        if not self.resume or status == 0:
            assert not left or (struck == "early" and status < 0), (left, about)
        else:
            assert all(name.endswith(".mucho-partial") for name in left), (left, about)


@pytest.fixture(
    params=[
        pytest.param(SAMPLE, id="sample"),
        pytest.param(SCALE, id="campaign", marks=pytest.mark.campaign),
    ]
)
def scale(request):
    """How large a campaign is: random things happen so many times as often."""
    return request.param


@pytest.fixture
def strike(tmp_path, references, forgotten_memory, scale):
    """Return a function that lets lives be lived, two at once, until there were enough strikes.

    At least one of them has the outcome `until`.
    """

    def carry_out(number, *, strikes, resume=True, victims=("parent", "group"), until="struck"):
        wanted = max(1, round(strikes * scale))
        total: Counter = Counter()
        lives = _lives(tmp_path, references, number, victims, resume, forgotten_memory)
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(next(lives).live) for _ in range(min(2, wanted))]
            while running:
                total += running.pop(0).result()
                if total["struck"] < wanted or not (total[until] or running):
                    running.append(pool.submit(next(lives).live))
        print(f"{number.name}, {'resumed' if resume else 'run again'}: {dict(total)}")
        return total

    return carry_out


def _lives(tmp_path, references, number, victims, resume, memory) -> Iterator[Life]:
    dice = random.Random(f"{SEED} {number} {victims} {resume}")
    count = 0
    while True:
        names = list(KINDS)
        dice.shuffle(names)
        for name in names:
            count += 1
            way, victim = dice.choice(list(WAYS)), dice.choice(victims)
            if victim in WORKERS:
                way = "processes"
            like = references(name, resume)
            place = replace(like, folder=make_folder(tmp_path / f"{count}"), old={})
            yield Life(place, way, number, victim, resume, random.Random(dice.random()), memory)


# A run that is killed before its Nth operation on files that are told by CONDITION, and
# says how many it has.
KILLED_AT = """
import atexit, os, signal, sys
left = int(sys.argv.pop(1))
whole = left
NAMES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate",
         "os.scandir", "os.listdir", "fcntl.flock"}

def hook(event, args):
    global left
    if event not in NAMES:
        return
    told = " ".join(str(each) for each in args)
    if event == "fcntl.flock" or CONDITION:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

from rasterio.rio.main import main_group
import rio_mucho_cli.engine.run
sys.addaudithook(hook)
atexit.register(lambda: print(whole - left))
main_group()
"""


@pytest.fixture
def program_killed_at():
    """Return a function that makes such a program; its condition is about `told`, in Python."""
    return lambda condition: KILLED_AT.replace("CONDITION", f"({condition})")
