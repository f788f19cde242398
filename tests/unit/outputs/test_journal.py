import errno
import io
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rio_mucho_cli import system
from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs import files, journal
from rio_mucho_cli.outputs.journal import (
    MAGIC,
    SYNC_BYTES,
    SYNC_SECONDS,
    Journal,
    JournalError,
    JournalRecord,
    Position,
)
from rio_mucho_cli.outputs.resume import count_verified

HEADER = {"function": "ndvi.py:ndvi", "inputs": ["ä.tif"]}
BEGIN = 100
WHOLE = [b"first", b"", b"the third window"]


def some_records(contents=WHOLE, begin=BEGIN):
    ends = itertools.accumulate(map(len, contents), initial=begin)
    return [
        JournalRecord.of(number, end, content, payload=bytes([number]) * number)
        for number, (end, content) in enumerate(zip(ends, contents, strict=False))
    ]


def make_journal(path, appended=None):
    made = Journal.create(path, HEADER)
    for record in some_records() if appended is None else appended:
        made.append(record)
    made.close()
    return path.read_bytes()


def reopened(path):
    made, header, found = Journal.open(path)
    made.close()
    return header, found


@pytest.fixture(scope="module")
def bytes_of_one(tmp_path_factory):
    return make_journal(tmp_path_factory.mktemp("journal") / "j")


@pytest.fixture
def data_file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(BEGIN) + b"".join(WHOLE))
    with path.open("r+b", buffering=0) as file:
        yield file


def attempt(content):
    """Read any bytes as a journal; None if it has no header."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "j")
        path.write_bytes(content)
        try:
            header, found = reopened(path)
        except JournalError:
            assert path.read_bytes() == content
            return None
        assert content.startswith(path.read_bytes())
        assert reopened(path) == (header, found)
        return header, found


def test_what_is_written_is_read_again(tmp_path):
    make_journal(tmp_path / "j")
    assert reopened(tmp_path / "j") == (HEADER, some_records())
    assert [each.name for each in tmp_path.iterdir()] == ["j"]


def test_a_journal_grows_on_from_run_to_run(tmp_path):
    path = tmp_path / "j"
    Journal.create(path, HEADER).close()
    for number, record in enumerate(some_records()):
        made, _, found = Journal.open(path)
        assert found == some_records()[:number]
        made.append(record)
        made.close()
    assert reopened(path)[1] == some_records()


def test_only_its_owner_can_read_it(tmp_path):
    make_journal(tmp_path / "j")
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_truncated_anywhere(bytes_of_one):
    begin = len(make_header())
    ends = list(
        itertools.accumulate((8 + len(each.to_bytes()) for each in some_records()), initial=begin)
    )
    assert ends[-1] == len(bytes_of_one)
    for length in range(len(bytes_of_one)):
        whole = sum(end <= length for end in ends) - 1
        expected = None if whole < 0 else (HEADER, some_records()[:whole])
        assert attempt(bytes_of_one[:length]) == expected


def make_header(header=HEADER):
    return MAGIC + Position().make_part(json.dumps(header).encode())[0]


@given(st.data())
def test_bits_that_are_flipped_cost_only_what_follows(bytes_of_one, data):
    place = data.draw(st.integers(0, len(bytes_of_one) - 1))
    changed = bytearray(bytes_of_one)
    changed[place] ^= data.draw(st.integers(1, 255))
    found = attempt(bytes(changed))
    if place < len(make_header()):
        assert found is None
    else:
        header, kept = found
        assert header == HEADER
        assert kept == some_records()[: len(kept)]
        assert len(kept) < len(WHOLE)


@given(st.binary(), st.sampled_from([b"", MAGIC, make_header()]))
def test_any_bytes(content, start):
    assert attempt(start + content) in (None, (HEADER, []))


def parts(bodies):
    """Return bytes whose checksums are right, whatever is in them."""
    content, mark = MAGIC, Position()
    for body in bodies:
        part, mark = mark.make_part(body)
        content += part
    return content


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_records_with_right_checksums(bodies):
    header, found = attempt(parts([json.dumps(HEADER).encode(), *bodies]))
    good = list(itertools.takewhile(lambda body: len(body) >= 28, bodies))
    assert header == HEADER
    assert [each.to_bytes() for each in found] == good


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000],
    ids=lambda body: f"{body[:6]!r}",
)
def test_a_header_that_is_no_object(tmp_path, body):
    (tmp_path / "j").write_bytes(parts([body]))
    with pytest.raises(JournalError, match=r"damaged or not a journal .*: remove it to start over"):
        Journal.open(tmp_path / "j")


@pytest.mark.parametrize("start", [MAGIC, make_header()], ids=["header", "record"])
@pytest.mark.parametrize("length", [64 * 1024 * 1024, 2**31, 2**32 - 1])
def test_lengths_that_are_claimed_are_not_believed(start, length):
    tracemalloc.start()
    attempt(start + struct.pack("<II", length, 0) + b"some bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_parts_beyond_reason_are_not_read_even_from_a_file_of_that_size(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(make_header() + struct.pack("<II", 2**31, 0))
    os.truncate(path, 2**33)
    tracemalloc.start()
    assert reopened(path) == (HEADER, [])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert path.read_bytes() == make_header()


def test_parts_beyond_reason_are_not_written(tmp_path):
    made = Journal.create(tmp_path / "j", HEADER)
    with pytest.raises(OutputError, match="smaller windows"):
        made.append(JournalRecord(0, 0, 0, 0, bytes(64 * 1024 * 1024)))
    made.close()
    assert reopened(tmp_path / "j") == (HEADER, [])


def test_a_record_of_another_journal_ends_what_is_believed(bytes_of_one):
    other = make_header({"another": "run"})
    assert attempt(other + bytes_of_one[len(make_header()) :]) == ({"another": "run"}, [])


def test_what_follows_records_that_were_cut_off_is_never_believed(tmp_path):
    make_journal(tmp_path / "j")
    made, _, found = Journal.open(tmp_path / "j")
    made.truncate(found[:1])
    made.append(JournalRecord.of(7, 0, b"another"))
    made.close()
    assert reopened(tmp_path / "j")[1] == [found[0], JournalRecord.of(7, 0, b"another")]


@pytest.mark.parametrize("kept", range(len(WHOLE) + 1))
def test_keeping_the_first_records(tmp_path, kept):
    whole = make_journal(tmp_path / "j")
    made, _, found = Journal.open(tmp_path / "j")
    made.truncate(found[:kept])
    for record in found[kept:]:
        made.append(record)
    made.close()
    assert (tmp_path / "j").read_bytes() == whole


def test_a_run_under_way_keeps_others_out(tmp_path):
    made = Journal.create(tmp_path / "j", HEADER)
    with pytest.raises(JournalError, match="in use: another run"):
        Journal.open(tmp_path / "j")
    made.close()
    reopened(tmp_path / "j")


def test_the_lock_goes_with_a_process_that_is_killed(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from rio_mucho_cli.outputs.journal import Journal, JournalRecord\n"
        "made = Journal.create(Path(sys.argv[1]), {})\n"
        "made.append(JournalRecord.of(0, 0, b'abc'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(Path(journal.__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "j")], cwd=root, check=False
    )
    assert ended.returncode == -9
    assert reopened(tmp_path / "j") == ({}, [JournalRecord.of(0, 0, b"abc")])


def test_one_that_exists_is_not_overwritten(tmp_path):
    whole = make_journal(tmp_path / "j")
    with pytest.raises(JournalError, match="exists: resume that run, or remove it"):
        Journal.create(tmp_path / "j", HEADER)
    assert (tmp_path / "j").read_bytes() == whole


def test_what_an_end_during_creation_left_is_no_hindrance(tmp_path):
    (tmp_path / "j.new").write_bytes(b"half of a header, and more than the new one has" * 10)
    make_journal(tmp_path / "j")
    assert reopened(tmp_path / "j") == (HEADER, some_records())


def test_there_is_none(tmp_path):
    with pytest.raises(JournalError, match="No such file"):
        Journal.open(tmp_path / "j")
    with pytest.raises(JournalError, match="No such file"):
        Journal.create(tmp_path / "missing" / "j", HEADER)


@pytest.mark.parametrize("name", ["j", "j.new"])
def test_links_are_not_followed(tmp_path, name):
    (tmp_path / "victim").write_bytes(make_header() + b"something else")
    (tmp_path / name).symlink_to(tmp_path / "victim")
    with pytest.raises(JournalError):
        Journal.create(tmp_path / "j", HEADER)
    with pytest.raises(JournalError):
        Journal.open(tmp_path / "j")
    assert (tmp_path / "victim").read_bytes() == make_header() + b"something else"


def test_pipes_and_folders_are_no_journals(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(JournalError, match="cannot be used"):
            Journal.open(path)


def test_removing(tmp_path):
    made = Journal.create(tmp_path / "j", HEADER)
    made.remove()
    assert list(tmp_path.iterdir()) == []
    made.close()


def test_a_full_disk_is_told_and_what_was_half_written_is_cut_off(tmp_path, monkeypatch):
    made = Journal.create(tmp_path / "j", HEADER)
    first, second, _ = some_records()
    made.append(first)

    def half(file, data, offset):
        system.write_at(file, data[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "write_at", half)
        with pytest.raises(JournalError, match="No space left"):
            made.append(second)
    made.close()
    assert reopened(tmp_path / "j")[1] == [first]


def test_short_writes_are_completed(tmp_path):
    class Slow(io.FileIO):
        def write(self, data):
            return super().write(bytes(data[:3]))

    with Slow(tmp_path / "file", "w") as file:
        system.write_at(file, b"more than three bytes", 2)
    assert (tmp_path / "file").read_bytes() == b"\0\0more than three bytes"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def flushed(monkeypatch):
    calls = []
    monkeypatch.setattr(journal, "flush", calls.append)
    return calls


def test_data_are_flushed_before_the_journal_and_not_too_often(tmp_path, data_file, flushed):
    clock = Clock()
    made = Journal.create(tmp_path / "j", HEADER, clock=clock)
    del flushed[:]
    for clock.now in (0, SYNC_SECONDS - 1, SYNC_SECONDS, SYNC_SECONDS + 1):
        made.sync(data_file)
    assert flushed == [data_file.fileno(), made._file.fileno()]
    clock.now = -1000.0  # as no clock should
    made.sync(data_file)
    made.sync(data_file)
    assert len(flushed) == 4
    made.sync(data_file, now=True)
    assert len(flushed) == 6
    made.close()


def test_much_data_are_flushed_at_once(tmp_path, data_file, flushed):
    made = Journal.create(tmp_path / "j", HEADER, clock=Clock())
    del flushed[:]
    half = SYNC_BYTES // 2
    made.append(JournalRecord(0, 0, half, 0))
    made.sync(data_file)
    assert flushed == []
    made.append(JournalRecord(1, half, 2 * half, 0))
    made.sync(data_file)
    made.sync(data_file)
    assert len(flushed) == 2
    made.close()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_file_systems_that_cannot_flush(monkeypatch, number):
    def fail(_):
        raise OSError(number, "")

    monkeypatch.setattr(os, "fsync", fail)
    files.flush(0)


def test_a_disk_that_does_not_take_it(tmp_path, data_file, monkeypatch):
    made = Journal.create(tmp_path / "j", HEADER)

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(JournalError, match="Input/output error"):
        made.sync(data_file, now=True)
    made.close()


def test_file_systems_without_locks(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOTSUP, "")

    monkeypatch.setattr(files.fcntl, "flock", fail)
    make_journal(tmp_path / "j")
    assert reopened(tmp_path / "j")[1] == some_records()


def test_a_record_of_several_parts_is_that_of_all_of_them():
    data = np.arange(300, dtype=np.uint8)
    empty = np.empty(0, np.uint8)
    record = JournalRecord.of(3, 10, data, empty, data[:7], payload=b"x")
    content = data.tobytes() + data[:7].tobytes()
    assert record == JournalRecord(3, 10, 10 + len(content), zlib.crc32(content), b"x")
    assert JournalRecord.from_bytes(record.to_bytes()) == record


def test_data_that_are_whole_are_verified(data_file):
    assert count_verified(some_records(), data_file, begin=BEGIN, windows=3) == 3
    assert count_verified([], data_file, begin=BEGIN, windows=3) == 0


def test_data_are_read_in_pieces(data_file, monkeypatch):
    monkeypatch.setattr("rio_mucho_cli.outputs.resume._BUFFER", 2)
    assert count_verified(some_records(), data_file, begin=BEGIN, windows=3) == 3


@given(st.data())
def test_data_that_are_damaged_are_not_trusted(data):
    contents = data.draw(st.lists(st.binary(max_size=6), min_size=1, max_size=6))
    whole = bytearray(b"".join(contents))
    length = data.draw(st.integers(0, len(whole)))
    expected = some_records(contents, begin=0)
    limit = length
    if whole and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] ^= data.draw(st.integers(1, 255))
        limit = min(limit, place)
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(whole[:length])
        found = count_verified(expected, file, begin=0, windows=len(contents))
    good = list(itertools.takewhile(lambda each: each.end <= limit, expected))
    assert found == len(good)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (0, {"begin": BEGIN - 1}),  # in the header
        (1, {"begin": BEGIN}),
        (1, {"begin": BEGIN + 6, "end": BEGIN + 6}),
        (1, {"end": BEGIN}),
        (1, {"window": 0}),
        (2, {"window": 1}),
        (2, {"window": 3}),  # there are three
        (2, {"window": 2**64 - 1}),
        (2, {"end": 2**64 - 1}),
        (1, {"checksum": 1}),
    ],
)
def test_records_that_make_no_sense_end_what_is_trusted(data_file, place, change):
    found = some_records()
    values = {name: getattr(found[place], name) for name in JournalRecord.__slots__}
    found[place] = JournalRecord(**{**values, **change})
    assert count_verified(found, data_file, begin=BEGIN, windows=3) == place


def test_windows_that_left_nothing_need_no_record(data_file):
    found = some_records()
    assert count_verified([found[0], found[2]], data_file, begin=BEGIN, windows=3) == 2


def test_data_that_cannot_be_read_are_not_trusted(data_file):
    class Broken(io.FileIO):
        def readinto(self, buffer):
            raise OSError(errno.EIO, "Input/output error")

    with Broken(data_file.name) as file:
        assert count_verified(some_records(), file, begin=BEGIN, windows=3) == 0


def run_on(folder, contents, most):
    """Do as a writer does: go on with what can be trusted, and append some windows."""
    path = folder / "j"
    with (folder / "data").open("r+b", buffering=0) as file:
        if path.exists():
            made, _, found = Journal.open(path)
        else:
            made, found = Journal.create(path, HEADER), []
        done = count_verified(found, file, begin=BEGIN, windows=len(contents))
        made.truncate(found[:done])
        end = found[done - 1].end if done else BEGIN
        file.truncate(end)
        for number in range(done, min(done + most, len(contents))):
            record = JournalRecord.of(number, end, contents[number], payload=bytes(number))
            system.write_at(file, contents[number], end)
            made.append(record)
            end = record.end
            made.sync(file)
        made.close()


@given(st.lists(st.binary(max_size=9), max_size=6), st.data())
def test_however_often_it_is_cut_off_the_end_is_the_same(contents, data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = []
        for interruptions in (0, data.draw(st.integers(0, 4))):
            (folder / "j").unlink(missing_ok=True)
            (folder / "data").write_bytes(bytes(BEGIN))
            for _ in range(interruptions):
                run_on(folder, contents, data.draw(st.integers(0, 3)))
                # The disk may have one without the other, and anything in between.
                for file, least in (("j", len(make_header())), ("data", BEGIN)):
                    size = (folder / file).stat().st_size
                    os.truncate(folder / file, data.draw(st.integers(least, size)))
                    if data.draw(st.booleans()):
                        os.truncate(folder / file, size)
            run_on(folder, contents, len(contents))
            results.append([(folder / file).read_bytes() for file in ("j", "data")])
    assert results[0] == results[1]
    assert results[0][1] == bytes(BEGIN) + b"".join(contents)


def test_numbers_of_windows_may_leave_gaps_but_lie_within_64_bits():
    with pytest.raises(struct.error):
        JournalRecord(-1, 0, 0, 0).to_bytes()
    assert journal.JournalRecord(2**64 - 1, 0, 0, 0).to_bytes()
