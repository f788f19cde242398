"""Mosaics of runs that are killed at a file operation of theirs, and of what comes after them."""

import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import rasterio

CONDITION = "'out.vrt' in told or '.mucho-' in told"


class Place:
    """A folder in which a mosaic is made, perhaps in place of an older one."""

    def __init__(self, folder, source, program, *, old=None):
        shutil.copytree(old or source.parent / "empty", folder)
        self.folder = folder
        self.source = source
        self.program = program

    def run(self, step, *options, function="plus"):
        (self.folder / "hindered.py").write_text(
            "def plus(data, *args): return data[0] // 2 + 1\n"
            "def minus(data, *args): return data[0] // 2 - 1\n"
        )
        command = [
            sys.executable, "-c", self.program, step, "mucho", "-q", self.source, "out.vrt",
            "-j", 1, "--func", f"hindered:{function}", "--windows", 64, "--part-size", 128,
            "--stats", "--overwrite", *options,
        ]  # fmt: skip
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def contents(self):
        """Return what there is of the mosaic, without the name of its folder; check the rest."""
        text = (self.folder / "out.vrt").read_text()
        (name,) = set(re.findall("out.vrt.parts/(.*?)/", text))
        parts = self.folder / "out.vrt.parts" / name
        found = {path.name: path.read_bytes() for path in parts.iterdir()}
        return {"out.vrt": re.sub('RUN">.*<', "", text.replace(name, "")), **found}

    def folders(self):
        return sorted(path.name for path in (self.folder / "out.vrt.parts").iterdir())

    def pixels(self):
        with rasterio.open(self.folder / "out.vrt") as src:
            return src.read()


@pytest.mark.parametrize("resume", [True, False])
def test_killed_at_a_step(resume, make_raster, tmp_path, scale, program_killed_at):
    """The old mosaic is whole until the new one is, and the next run leaves one of them alone."""
    source = make_raster(width=200, height=150, dtype="uint8", tiled=True)
    program = program_killed_at(CONDITION)
    (tmp_path / "empty").mkdir()
    old = Place(tmp_path / "old", source, program)
    assert old.run(10**9, function="minus")[0] == 0
    options = ["--resume"] if resume else []
    whole = Place(tmp_path / "whole", source, program, old=old.folder)
    status, steps, said = whole.run(10**9, *options)
    assert (status, said) == (0, "")
    expected, pixels = whole.contents(), (old.pixels(), whole.pixels())
    assert len(expected) == 5
    dice, last = random.Random(f"{resume}"), int(steps)
    chosen = dice.sample(range(1, last - 12), min(last - 13, max(1, round(5 * scale))))
    # The last ones are those in which old and new change places.
    chosen += dice.sample(range(last - 12, last + 1), min(13, round(6 * scale)))

    def work(step):
        own = Place(tmp_path / f"{step}", source, program, old=old.folder)
        assert own.run(step, *options)[0] == -9
        assert any((own.pixels() == each).all() for each in pixels), step
        status, _, said = own.run(10**9, *options)
        assert status == 0, (step, said)
        assert own.contents() == expected, step
        assert len(own.folders()) == 1, step
        names = {path.name for path in own.folder.iterdir()} - {"__pycache__"}
        assert names == {"hindered.py", "out.vrt", "out.vrt.parts"}, step

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, chosen))
