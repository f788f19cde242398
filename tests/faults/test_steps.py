"""Runs that are killed at a file operation of theirs: one after the other, all that they have."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rio_mucho_cli.outputs import files as module
from rio_mucho_cli.outputs.target import Target

CONDITION = "'mucho-' in told or os.path.basename(told) in {'out.tif', 'second.tif', 'out.png'}"


@pytest.fixture
def killed_at(program_killed_at):
    """Return a function that runs with a kill at a step.

    It returns the exit status, the number of steps, if it ended, and what it said.
    """
    program = program_killed_at(CONDITION)

    def run(place, step, *options):
        command = [
            sys.executable, "-c", program, str(step), "mucho", "-q", place.source,
            place.kind.output, *place.kind.options, "-j", "1", *options,
        ]  # fmt: skip
        done = subprocess.run(
            list(map(str, command)), cwd=place.folder, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.sweep(1)
@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", ["GTiff", "COG", "two"])
def test_killed_at_a_step(place_for, killed_at, scale, name, resume):
    """With each kind one step is tried, more in a campaign."""
    options = ["--resume"] if resume else []
    place = place_for(name, resume=resume)
    status, steps, said = killed_at(place, 10**9, *options)
    assert (status, said) == (0, "")
    assert place.contents() == place.expected
    dice = random.Random(f"{name} {resume}")
    numbers = range(1, int(steps) + 1)
    chosen = dice.sample(numbers, min(len(numbers), max(1, round(2 * scale))))

    def work(step):
        own = place_for(name, f"{step}", resume=resume)
        status, _, said = killed_at(own, step, *options)
        assert status == -9, (step, said)
        more = options
        if not resume and (own.folder / own.kind.output).exists():
            more = ["--overwrite"]
        status, said = own.run("serial", *more)
        assert status == 0, (step, said)
        assert own.contents() == place.expected, step

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, chosen))


def test_the_last_steps_of_all(place_for, killed_at, scale):
    """Between two outputs that are put into place, and before the folder is removed."""
    place = place_for("two")
    _, steps, _ = killed_at(place, 10**9, "--resume")
    last = range(int(steps) - 11, int(steps) + 1)
    for step in random.Random(0).sample(last, min(len(last), round(12 * scale))):
        own = place_for("two", f"{step}")
        assert killed_at(own, step, "--resume")[0] == -9
        status, said = own.run("serial", "--resume")
        assert status == 0, (step, said)
        assert own.contents() == place.contents(), step


def test_a_run_that_finds_its_new_folder_removed_makes_another(tmp_path, monkeypatch):
    """Another run may take it for one that was left, before it is locked."""
    lock, calls = module.lock_folder, []

    def slow(folder, **given):
        calls.append(folder)
        if len(calls) == 1:
            folder.rmdir()
        descriptor = lock(folder, **given)
        if len(calls) == 2:
            folder.rmdir()
        return descriptor

    monkeypatch.setattr(module, "lock_folder", slow)
    made = Target(str(tmp_path / "out.tif"), overwrite=False, inputs=())
    assert len(calls) == 3
    assert made.temporary.parent.is_dir()
    made.discard()
    assert list(tmp_path.iterdir()) == []
