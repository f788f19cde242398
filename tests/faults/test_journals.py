"""Journals and half-made outputs that are damaged, or that somebody else has made.

Whatever lies in OUTPUT.mucho-partial: a run that resumes ends with the file of
an uninterrupted one, or with a line that says what to do, and writes nowhere
else.
"""

import json
import os
import random
import shutil
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from rio_mucho_cli import Job, MuchoError, run
from rio_mucho_cli.errors import MuchoChildError
from rio_mucho_cli.outputs.files import journal_of, lock_folder, partial_folder
from rio_mucho_cli.outputs.journal import MAGIC, Position
from rio_mucho_cli.windows import Size
from rio_mucho_cli.workers.functions import FunctionRef

WINDOWS = 12


@pytest.fixture(scope="module")
def scene(tmp_path_factory, references):
    """A folder with an input and what a run has left after some windows."""
    folder = tmp_path_factory.mktemp("journal")
    source = references.source
    (folder / "hindered.py").write_text(FUNCTION)
    (folder / "end").write_text("7")
    with pytest.raises(MuchoChildError):
        run(job(folder, source))
    (folder / "end").write_text(str(WINDOWS))
    assert journal_of(str(folder / "out.tif")).exists()
    whole = folder / "whole"
    whole.mkdir()
    shutil.copy(folder / "hindered.py", whole)
    (whole / "end").write_text(str(WINDOWS))
    run(job(whole, source, function=folder))
    return folder, source, (whole / "out.tif").read_bytes()


FUNCTION = """
from pathlib import Path

def run(data, window, ij, global_args):
    # It reads for itself when to stop, so that this is no other run.
    if 4 * ij[0] + ij[1] >= int(Path(__file__).with_name("end").read_text()):
        raise ValueError("that is enough")
    return data[0] // 2 + ij[0]
"""


def job(folder, source, function=None, **given):
    return Job(**{
        "inputs": [str(source)],
        "output": str(folder / "out.tif"),
        "function": FunctionRef("hindered.py:run", str(function or folder)),
        "windows": Size(96, 112),
        "creation_options": {"blockxsize": "32", "blockysize": "16", "compress": "deflate"},
        "executor": "serial",
        "jobs": 1,
        "stats": True,
        "resume": True,
        **given,
    })  # fmt: skip


@pytest.fixture
def attempt(scene, tmp_path):
    """Return a function that resumes in a copy of the folder, which is changed before."""
    folder, source, expected = scene

    def resume(change, name="copy", **given):
        own = tmp_path / name
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        shutil.copytree(partial_folder(str(folder / "out.tif")), own / "out.tif.mucho-partial")
        change(journal_of(str(own / "out.tif")), own / "out.tif.mucho-partial" / "out.tif")
        try:
            report = run(job(own, source, function=folder, **given))
        except MuchoError as exc:
            assert not (own / "out.tif").exists()
            return str(exc)
        assert (own / "out.tif").read_bytes() == expected, name
        assert [path.name for path in own.iterdir()] == ["out.tif"]
        return report

    return resume


def written(content):
    def change(journal, data):
        journal.write_bytes(content)

    return change


@pytest.fixture
def journal_bytes(scene):
    return journal_of(str(scene[0] / "out.tif")).read_bytes()


def parts_of(content):
    """Return the bodies of a journal's header and records."""
    found, place = [], len(MAGIC)
    while place < len(content):
        length, _ = struct.unpack_from("<II", content, place)
        found.append(content[place + 8 : place + 8 + length])
        place += 8 + length
    return found


def joined(parts):
    """Make a journal, with right checksums, of any bodies."""
    content, mark = MAGIC, Position()
    for each in parts:
        part, mark = mark.make_part(each)
        content += part
    return content


def is_fine(outcome):
    """Whether it went on, or said what to do."""
    if isinstance(outcome, str):
        return "overwrite=True" in outcome or ("remove " in outcome and "to start over" in outcome)
    return True


def test_what_is_whole_is_gone_on_with(attempt):
    assert attempt(lambda journal, data: None).resumed == 7


def test_truncated_at_every_byte(attempt, journal_bytes, scale):
    """At every 40th byte and around records; at some of these places in the sample."""
    ends = {0, 1, len(MAGIC), len(journal_bytes)}
    place = len(MAGIC)
    for part in parts_of(journal_bytes):
        place += 8 + len(part)
        ends |= {place - 1, place, place + 1, place + 8}
    step = max(1, round(40 / max(scale, 1)))
    lengths = sorted(ends | set(range(0, len(journal_bytes), step)))
    if scale < 1:
        lengths = random.Random(0).sample(lengths, round(scale * len(lengths)))
    begin = len(joined(parts_of(journal_bytes)[:1]))
    for length in lengths:
        outcome = attempt(written(journal_bytes[:length]))
        assert is_fine(outcome)
        if length < begin:
            assert "remove it to start over" in outcome
        else:
            assert outcome.resumed <= 7


def test_flipped_bits_of_the_journal(attempt, journal_bytes, scale):
    dice = random.Random(1)
    for _ in range(round(15 * scale)):
        content = bytearray(journal_bytes)
        for _ in range(dice.choice([1, 1, 3])):
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        assert is_fine(attempt(written(bytes(content))))


def test_flipped_bits_and_missing_bytes_of_the_output(attempt, scale):
    """Blocks are found by their checksums, and the header is made anew."""
    dice = random.Random(2)

    def change(journal, data):
        content = bytearray(data.read_bytes())
        way = dice.choice(["bits", "cut", "both", "zeros", "more"])
        if way in ("bits", "both"):
            for _ in range(dice.choice([1, 10])):
                content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        if way in ("cut", "both"):
            del content[dice.randrange(len(content)) :]
        if way == "zeros":
            place = dice.randrange(len(content))
            content[place:] = bytes(len(content) - place)
        if way == "more":
            content += dice.randbytes(5000)
        data.write_bytes(content)

    outcomes = [attempt(change) for _ in range(max(6, round(15 * scale)))]
    assert all(map(is_fine, outcomes))
    assert {each.resumed for each in outcomes} > {7}


def forged(change_state=None, **values):
    """Return a change of one record: its place, or what it says, with right checksums."""

    def change(journal, data):
        parts = parts_of(journal.read_bytes())
        window, begin, end, checksum = struct.unpack_from("<QQQI", parts[3])
        payload = json.loads(parts[3][28:])
        if change_state is not None:
            change_state(payload)
        place = {"window": window, "begin": begin, "end": end, "checksum": checksum, **values}
        parts[3] = struct.pack("<QQQI", *place.values()) + json.dumps(payload).encode()
        journal.write_bytes(joined(parts))

    return change


@pytest.mark.parametrize(
    "values",
    [
        {"window": 2**64 - 1},
        {"window": 0},
        {"begin": 0, "end": 2**64 - 1},
        {"begin": 2**63, "end": 2**63 + 1},
        {"end": 0},
        {"checksum": 7},
    ],
    ids=str,
)
def test_records_that_claim_something_else(attempt, values):
    assert attempt(forged(**values)).resumed == 2


@pytest.mark.parametrize(
    "sizes", [None, [], [[[1]]], [[[2**70]]], [[[-1, 1]]], "text", [[["a"]]], [[[1e300]]], {"a": 1}]
)
def test_sizes_that_make_no_sense(attempt, sizes):
    outcome = attempt(forged(lambda payload: payload.update(sizes=sizes)))
    assert isinstance(outcome, str)
    assert is_fine(outcome)


def test_more_levels_than_the_file_has(attempt):
    def change(payload):
        payload["sizes"].append([[0, 0]])

    assert "to start over" in attempt(forged(change))


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"result_type": [10**12, "uint8", False]},
        {"result_type": [70000, "uint8", False]},
        {"result_type": [1, "object", False]},
        {"result_type": [1, "O8,V9999999999", False]},
        {"result_type": [1, "__import__('os')", False]},
        {"result_type": [2, "float64", True]},
        {"result_type": "xyz"},
        {"statistics": [1]},
        {"statistics": [{}] * 1000},
        {"statistics": "no"},
        {"failed": 1},
        {"failed": [[]]},
        {"failed": ["x"] * 1000},
    ],
    ids=lambda state: str(state)[:40],
)
def test_states_that_make_no_sense(attempt, state):
    """The last record's counts: it is all that is taken up."""

    def change(journal, data):
        parts = parts_of(journal.read_bytes())
        payload = json.loads(parts[-1][28:])
        payload["state"] = state if not state else {**payload["state"], **state}
        parts[-1] = parts[-1][:28] + json.dumps(payload).encode()
        journal.write_bytes(joined(parts))

    outcome = attempt(change)
    assert isinstance(outcome, str)
    assert is_fine(outcome), outcome


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"\xff\xfe",
        b"cos\nsystem\n(S'touch /tmp/pwned'\ntR.",
        b"{}",
        json.dumps({"inputs": [{"path": "a" * 10_000_000}]}).encode(),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_headers_and_records_of_any_bytes(attempt, journal_bytes, body):
    parts = parts_of(journal_bytes)
    outcome = attempt(written(joined([body, *parts[1:]])))
    assert isinstance(outcome, str)
    assert is_fine(outcome), outcome
    assert len(outcome) < 3000
    outcome = attempt(written(joined([*parts[:3], body])))
    assert is_fine(outcome), outcome


def test_a_length_that_is_no_length(attempt, journal_bytes):
    huge = MAGIC + struct.pack("<II", 2**32 - 1, zlib.crc32(b""))
    assert "remove it to start over" in attempt(written(huge + journal_bytes))


KINDS_OF_FILES = {
    "link": lambda path, victim: path.symlink_to(victim),
    "dangling link": lambda path, victim: path.symlink_to(victim.with_name("new")),
    "hard link": lambda path, victim: path.hardlink_to(victim),
    "pipe": lambda path, victim: os.mkfifo(path),
    "folder": lambda path, victim: path.mkdir(),
    "empty": lambda path, victim: path.touch(),
    "link to a device": lambda path, victim: path.symlink_to("/dev/zero"),
}


@pytest.mark.sweep(1)
@pytest.mark.parametrize("kind", KINDS_OF_FILES)
@pytest.mark.parametrize("which", ["journal", "journal.new", "data", "header.tif", "folder"])
def test_files_that_are_something_else(attempt, tmp_path, scene, kind, which):
    """No other file is written to, nothing hangs; with --overwrite the run starts over."""
    victim = tmp_path / "victim"

    def change(journal, data):
        victim.write_text("precious")
        path = {
            "journal": journal,
            "journal.new": journal.with_name(f"{journal.name}.new"),
            "data": data,
            "header.tif": data.with_name("header.tif"),
            "folder": data.parent,
        }[which]
        if which == "folder":
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        KINDS_OF_FILES[kind](path, victim)

    outcome = attempt(change)
    assert victim.read_text() == "precious"
    assert not victim.with_name("new").exists()
    if isinstance(outcome, str):
        assert "partial" in outcome
        again = attempt(change, overwrite=True)
        assert victim.read_text() == "precious"
        assert not isinstance(again, str) or which == "folder", again


def test_a_folder_that_is_a_link_is_not_followed(attempt, tmp_path):
    def change(journal, data):
        data.parent.rename(tmp_path / "elsewhere")
        data.parent.symlink_to(tmp_path / "elsewhere")

    outcome = attempt(change)
    assert "partial" in outcome
    before = {path.name for path in (tmp_path / "elsewhere").iterdir()}
    assert before == {"out.tif", "out.tif.journal"}


def test_two_runs_at_once(scene, attempt, tmp_path):
    """Of two that resume the same, one says that it is in use."""

    def change(journal, data):
        held.append(lock_folder(data.parent))

    held = []
    try:
        assert "in use: another run writes the same output" in attempt(change)
    finally:
        os.close(held[0])


def test_another_run_is_an_error_that_says_which(attempt, scene, tmp_path):
    outcome = attempt(lambda journal, data: None, nodata=7.0, keep_nodata=False)
    assert "nodata was" in outcome
    assert "pass overwrite=True" in outcome


def test_many_at_once(attempt, journal_bytes):
    """They have nothing in common but the input."""
    with ThreadPoolExecutor(4) as pool:
        names = [f"own {number}" for number in range(8)]
        outcomes = list(pool.map(lambda name: attempt(lambda *_: None, name), names))
    assert {each.resumed for each in outcomes} == {7}


def test_only_its_owner_can_read_what_it_says(scene):
    assert journal_of(str(scene[0] / "out.tif")).stat().st_mode & 0o777 == 0o600
