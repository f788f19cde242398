"""Disks that are full, folders that go, inputs that change, and too little of everything.

A run ends with one line that says why, or as if nothing had been; an old output
is as it was, and nothing else is left.
"""

import contextlib
import functools
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.target import Target

# A large campaign takes what others leave out.
ALL = float(os.environ.get("MUCHO_FAULTS", "1")) > 1
IS_ROOT = os.geteuid() == 0
RIO = str(Path(sys.executable).with_name("rio"))


def rarely(*values):
    """Return parameters that only a large campaign takes."""
    return [pytest.param(value, marks=pytest.mark.campaign) for value in values if ALL]


FUNCTIONS = """
import os, shutil
from pathlib import Path

def noise(data, window, ij, global_args):
    return data[0]

def act(data, window, ij, global_args):
    '''Do something to files in the midst of a run, once.'''
    here = Path(global_args["here"])
    if ij == (2, 1) and not (here / "acted").exists():
        (here / "acted").touch()
        exec(global_args["code"], {"here": here, "os": os, "shutil": shutil, "Path": Path})
    return data[0]

def act_on_two(data, window, ij, global_args):
    return {"first": act(data, window, ij, global_args), "second": data[0] // 2}
"""


@pytest.fixture
def folder(tmp_path):
    return prepared(tmp_path)


def prepared(folder):
    """Write a module and an input into a folder, and return it."""
    (folder / "hindered.py").write_text(FUNCTIONS)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 512, 512), "uint8")
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "crs": "EPSG:32633"}
    profile |= {"transform": rasterio.Affine(30, 0, 4e5, 0, -30, 5e6)}
    with rasterio.open(
        folder / "in.tif", "w", count=3, height=512, width=512, dtype="uint8", **profile
    ) as dst:
        dst.write(pixels)
    return folder


@pytest.fixture
def mucho(folder):
    return mucho_in(folder)


def mucho_in(folder):
    """Return a function that runs `rio mucho` in a folder, with limits."""

    def run(output, *options, limits=(), before=(), **given):
        def limit():
            for which, value in limits:
                resource.setrlimit(which, (value, resource.getrlimit(which)[1]))

        command = [*before, RIO, "mucho", "-q", folder / "in.tif", output, *options]
        return subprocess.run(
            list(map(str, command)),
            **{
                "cwd": folder,
                "capture_output": True,
                "text": True,
                "check": False,
                "timeout": 120,
                "preexec_fn": limit,
                **given,
            },
        )

    return run


def is_one_line(done, status=1):
    """Whether a run said in one line of its own why it ended."""
    said = done.stderr.strip().splitlines()
    return (
        done.returncode == status
        and bool(said)
        and said[-1].startswith("Error: ")
        and "Traceback" not in done.stderr
    )


KINDS = {
    "plain": ("out.tif", "--windows 128"),
    "overviews": ("out.tif", "--windows 128 --overviews 2,4,8 --stats"),
    "by GDAL": ("out.tif", "--windows 100 --overviews 2"),
    "COG": ("out.tif", "--windows 128 --format COG --co blocksize=128"),
    "PNG": ("out.png", "--windows 128"),
}
RESUMABLE = [name for name in KINDS if name != "by GDAL"]


def options_of(name, way="serial"):
    jobs = ["-j", "1" if way == "serial" else "2", "--executor", way]
    return [*KINDS[name][1].split(), "--func", "hindered:noise", *jobs]


@pytest.fixture(scope="module")
def files_of(tmp_path_factory):
    """Return a function that gives the files of a run that nothing hinders: bytes by name."""
    folder = prepared(tmp_path_factory.mktemp("whole"))

    @functools.cache
    def files(name):
        output = KINDS[name][0]
        done = mucho_in(folder)(output, *options_of(name), "--overwrite")
        assert (done.returncode, done.stderr) == (0, "")
        return {path.name: path.read_bytes() for path in folder.glob(f"{output}*")}

    return files


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.4, *rarely(0.02, 0.97)])
def test_files_may_not_be_so_large(folder, mucho, files_of, name, share):
    """RLIMIT_FSIZE, at a share of the size of the output."""
    output, options = KINDS[name][0], options_of(name)
    for file, content in files_of(name).items():
        (folder / file).write_bytes(content)
    whole = files_of(name)[output]
    limits = [(resource.RLIMIT_FSIZE, int(share * len(whole)))]
    before = sorted(path.name for path in folder.iterdir())
    done = mucho(output, *options, "--overwrite", limits=limits)
    assert is_one_line(done), done
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / output).read_bytes() == whole


@pytest.mark.parametrize("name", ["overviews", "COG", *rarely("plain", "PNG")])
def test_files_may_be_larger_again(folder, mucho, name):
    """What was done is kept, and the same command goes on with it."""
    output, options = KINDS[name][0], [*options_of(name), "--resume"]
    assert mucho(output, *options).returncode == 0
    whole = (folder / output).read_bytes()
    dice = random.Random(name)
    for path in folder.glob(f"{output}*"):
        path.unlink()
    limit = int(dice.uniform(0.3, 0.8) * len(whole))
    done = mucho(output, *options, limits=[(resource.RLIMIT_FSIZE, limit)])
    assert is_one_line(done), done
    assert f"kept in {output}.mucho-partial: run the same command again" in done.stderr
    assert not (folder / output).exists()
    done = mucho(output, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / output).read_bytes() == whole
    assert not list(folder.glob("*mucho*"))


@pytest.fixture
def small_disk(tmp_path_factory):
    """Return a function that mounts a small file system, for root."""
    if not IS_ROOT:
        pytest.skip("only root can mount a small file system")
    mounted = []

    def mount(size):
        place = tmp_path_factory.mktemp("disk")
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("this root may not mount a small file system")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("way", ["serial", *rarely("processes")])
@pytest.mark.parametrize("name", ["overviews", "by GDAL", "PNG", *rarely("plain", "COG")])
def test_a_disk_that_is_full(folder, mucho, small_disk, name, way):
    """And, where a run can be resumed, has room again afterwards."""
    output, options = KINDS[name][0], options_of(name, way)
    resumes = name in RESUMABLE
    options += ["--resume"] if resumes else []
    assert mucho(output, *options).returncode == 0
    whole = (folder / output).read_bytes()
    # A COG needs the place twice.
    place = small_disk(int(2.2 * len(whole)) + 200_000)
    ballast = place / "ballast"
    ballast.write_bytes(bytes(int(1.9 * len(whole))))
    done = mucho(place / output, *options)
    assert is_one_line(done), done
    left = {path.name for path in place.iterdir()} - {"ballast"}
    assert left <= ({f"{output}.mucho-partial"} if resumes else set())
    ballast.unlink()
    done = mucho(place / output, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert (place / output).read_bytes() == whole
    assert not list(place.glob("*mucho*"))


def acting(code, folder, *options):
    return ["--func", "hindered:act", "--windows", "128", "--arg", f"here={folder}",
            "--arg", f"code={code}", "-j", "1", "--co", "compress=deflate", *options]  # fmt: skip


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", ["plain", *rarely("by GDAL", "COG")])
@pytest.mark.parametrize("what", ["the folder", "what is in it", "the folder in which it grows"])
def test_what_is_removed_in_the_midst_of_a_run(folder, mucho, name, what, resume):
    if resume and name == "by GDAL":
        pytest.skip("that cannot be resumed")
    place = folder / "place"
    place.mkdir()
    code = {
        "the folder": "shutil.rmtree(here / 'place')",
        "what is in it": "for each in (here / 'place').glob('*mucho*'):\n"
        "    for file in each.iterdir(): file.unlink()",
        "the folder in which it grows": "for each in (here / 'place').glob('*mucho*'):\n"
        "    shutil.rmtree(each)",
    }[what]
    given = [*(["--resume"] if resume else []), *KINDS[name][1].split()]
    done = mucho(place / "out.tif", *acting(code, folder), *given)
    assert is_one_line(done), done
    place.mkdir(exist_ok=True)
    assert not (place / "out.tif").exists()
    done = mucho(place / "out.tif", *acting(code, folder), *given)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in place.iterdir()} == {"out.tif"}


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", ["COG", *rarely("plain", "by GDAL")])
@pytest.mark.parametrize("what", ["the folder", "the folder in which it grows", "all of it"])
def test_what_may_not_be_written_to_any_more(folder, mucho, bound_by_modes, name, what, resume):
    if resume and name == "by GDAL":
        pytest.skip("that cannot be resumed")
    place = folder / "place"
    place.mkdir()
    (place / "out.tif").write_text("old")
    within = "for each in (here / 'place').glob('*mucho*'): each.chmod(0o500)\n"
    code = {
        "the folder": "(here / 'place').chmod(0o500)",
        "the folder in which it grows": within,
        "all of it": f"{within}(here / 'place').chmod(0o500)",
    }[what]
    options = [*acting(code, folder), *KINDS[name][1].split(), "--overwrite"]
    options += ["--resume"] if resume else []
    done = mucho(place / "out.tif", *options, before=bound_by_modes)
    assert is_one_line(done), done
    assert ".." not in done.stderr
    assert (place / "out.tif").read_text() == "old"
    for path in (place, *place.glob("*mucho*")):
        path.chmod(0o700)
    done = mucho(place / "out.tif", *options, before=bound_by_modes)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in place.iterdir()} == {"out.tif"}


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", ["out.tif", "second.tif"])
def test_one_of_two_folders_that_may_not_be_written_to_any_more(
    folder, mucho, bound_by_modes, name, resume
):
    """All outputs appear, or none."""
    outputs = [folder / "one" / "out.tif", folder / "two" / "second.tif"]
    for output in outputs:
        output.parent.mkdir()
        output.write_text("old")
    closed = {output.name: output.parent for output in outputs}[name]
    options = acting(f"(here / '{closed.name}').chmod(0o500)", folder, "--overwrite")
    options += ["--func", "hindered:act_on_two", "--also", f"second={outputs[1]}"]
    options += ["--resume"] if resume else []
    done = mucho(outputs[0], *options, before=bound_by_modes)
    assert is_one_line(done), done
    assert str(closed / name) in done.stderr
    assert [output.read_text() for output in outputs] == ["old", "old"]
    closed.chmod(0o700)
    done = mucho(outputs[0], *options, before=bound_by_modes)
    assert (done.returncode, done.stderr) == (0, "")
    for output in outputs:
        assert list(output.parent.iterdir()) == [output]
        assert output.stat().st_size > 1000


@pytest.mark.parametrize("way", ["serial", "processes"])
def test_an_input_that_is_cut_off_in_the_midst_of_a_run(folder, mucho, way):
    (folder / "out.tif").write_text("old")
    code = "os.truncate(here / 'in.tif', 100_000)"
    done = mucho("out.tif", *acting(code, folder), "--overwrite", "--executor", way)
    assert is_one_line(done), done
    assert "in.tif" in done.stderr
    assert (folder / "out.tif").read_text() == "old"
    assert not list(folder.glob("*mucho*"))


def test_an_input_that_changes_in_the_midst_of_a_run_that_can_be_resumed(folder, mucho):
    """It is no error to have read the old one, but nobody may go on with the new one."""
    (folder / "out.tif").write_text("old")
    code = "os.utime(here / 'in.tif', (1, 1))"
    options = acting(code, folder, "--overwrite", "--resume")
    done = mucho("out.tif", *options)
    assert is_one_line(done), done
    assert "in.tif changed during the run" in done.stderr
    assert (folder / "out.tif").read_text() == "old"
    done = mucho("out.tif", *options)
    assert done.returncode == 0, done


def test_an_input_of_which_blocks_do_not_decode(folder, mucho):
    assert mucho("broken.tif", *options_of("plain"), "--co", "compress=lzw").returncode == 0
    data = bytearray((folder / "broken.tif").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\xff" * 2000
    (folder / "in.tif").write_bytes(data)
    for more in ([], ["--resume"], ["--on-error", "nodata"]):
        done = mucho("out.tif", *options_of("plain"), *more)
        assert is_one_line(done), done
        assert "in.tif" in done.stderr
        assert not (folder / "out.tif").exists()


LIMITS = {
    "descriptors": (resource.RLIMIT_NOFILE, [8, 10, 12, 14, 17, 20, 24, 28, 32]),
    "memory": (resource.RLIMIT_AS, [2**20 * each for each in (300, 400, 600, 900, 1300)]),
    "processes": (resource.RLIMIT_NPROC, [*range(1, 10), 12]),
}


@pytest.mark.parametrize("which", LIMITS)
@pytest.mark.parametrize("way", ["processes", *rarely("serial", "threads")])
def test_too_little(folder, mucho, files_of, request, which, way):
    """Whatever a run lacks: it is done right, or ends and leaves nothing."""
    given = {}
    if which == "processes":
        # numpy cannot be imported where OpenBLAS gets no threads: Python ends before a run.
        given["env"] = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        given["before"] = request.getfixturevalue("bound_by_numbers")
    limit, values = LIMITS[which]
    options = [*options_of("overviews", way), "--overwrite"]
    whole = files_of("overviews")["out.tif"]
    (folder / "out.tif").write_text("old")
    chosen = values if ALL else values[1::3]
    ended = {}
    for value in chosen:
        done = mucho("out.tif", *options, limits=[(limit, value)], **given)
        ended[value] = done.returncode
        if done.returncode == 0:
            assert (folder / "out.tif").read_bytes() == whole
            (folder / "out.tif").write_text("old")
        else:
            assert which == "memory" or is_one_line(done), (value, done)
            assert done.returncode < 0 or done.stderr, (value, done)
            assert (folder / "out.tif").read_text() == "old"
        if done.returncode < 0:
            # With very little memory, native libraries end the process with a
            # signal, without a word. It is as after kill -9: the next run clears it.
            assert mucho("out.tif", *options).returncode == 0
            (folder / "out.tif").write_text("old")
        assert not list(folder.glob("*mucho*")), (value, done)
    if given.get("before"):  # else the limit counts what else runs here
        assert ended[chosen[-1]] == 0
        assert way == "serial" or ended[chosen[0]] == 1


def test_a_clock_that_jumps(folder, monkeypatch):
    """Of the time of day nothing depends; and the one that does never stops a run."""
    from rio_mucho_cli.outputs.files import open_locked
    from rio_mucho_cli.outputs.journal import Journal, JournalRecord

    dice = random.Random(3)
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(open_locked(folder / "data", os.O_CREAT))
        made = Journal.create(
            folder / "journal", {}, clock=lambda: dice.choice([-1e300, 0.0, 1e9, -5.0, 1e300])
        )
        expected = [JournalRecord.of(number, 0) for number in range(50)]
        for record in expected:
            made.append(record)
            made.sync(data)
        made.close()
        again, _, found = Journal.open(folder / "journal")
        again.close()
        assert found == expected


WITHOUT_MEMORY = """
import gc, resource, shutil, sys, warnings
from pathlib import Path
import numpy as np
import rasterio
from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.geotiff.overviews import build, read_level

warnings.simplefilter("ignore")
pixels = np.random.default_rng(0).integers(1, 255, (3, 256, 256), "uint8")
profile = {"driver": "GTiff", "count": 3, "height": 256, "width": 256, "dtype": "uint8"}
with rasterio.open("plain.tif", "w", **profile, tiled=True) as dst:
    dst.write(pixels)

def made():
    shutil.copy("plain.tif", "built.tif")
    build("built.tif", [2, 4], "nearest", block=64)

def levels():
    return [read_level("built.tif", level, masked=False) for level in (1, 2)]

made()
expected = levels()
for more in [*range(0, 200_000, 1024), 2**25]:
    gc.collect()
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, -1))
    try:
        made()
        outcome = "made"
    except (MuchoError, MemoryError, OSError):
        outcome = "refused"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    if outcome == "made" and not all(map(np.array_equal, levels(), expected)):
        outcome = "wrong"
    print(outcome)
"""


def test_overviews_for_which_there_is_no_memory(folder):
    """GDAL leaves their blocks out then, without an error."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"made", "refused"}


@pytest.mark.parametrize("resume", [True, False])
def test_what_is_removed_when_there_are_no_descriptors_left(folder, resume):
    """A function, or the program that calls this one, may have taken all there are."""
    target = Target(str(folder / "out.tif"), overwrite=False, inputs=(), resume=resume)
    target.temporary.write_text("new")
    within = target.temporary.with_name("within")
    within.mkdir()
    (within / "file").touch()
    with none_left():
        target.remove()
    assert not list(folder.glob("*mucho*"))


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("left", range(4))
def test_no_descriptors_for_an_output(folder, resume, left):
    """Nothing has begun, and nothing is left."""
    with (
        none_left(but=left),
        pytest.raises(OutputError, match="Too many open files"),
    ):
        Target(str(folder / "out.tif"), overwrite=False, inputs=(), resume=resume)
    assert not list(folder.glob("*mucho*"))


@contextlib.contextmanager
def none_left(but=0):
    """Take all descriptors but some."""
    taken = []
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for descriptor in taken[len(taken) - but :]:
            os.close(descriptor)
        del taken[len(taken) - but :]
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)
