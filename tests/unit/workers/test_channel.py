"""What goes in at one end comes out at the other, and memory is used again."""

import gc
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rio_mucho_cli.workers import channel
from rio_mucho_cli.workers.channel import Channel, Message, pack_message


@pytest.fixture
def ends():
    made = [Channel(sock) for sock in socket.socketpair()]
    yield made
    for end in made:
        end.close()


def sent(ends, value):
    """Send a value from the first end, and return what the second one gets."""
    sender = threading.Thread(target=ends[0].send, args=[pack_message(value)])
    sender.start()
    packed = ends[1].receive()
    sender.join()
    return packed.load()


shared = pytest.mark.parametrize("least", [0, 10**9], ids=["shared", "through the socket"])


@shared
@given(sizes=st.lists(st.integers(0, 40_000), max_size=5))
def test_arrays_arrive(least, sizes):
    pair = [Channel(sock) for sock in socket.socketpair()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "_SMALLEST_SHARED", least)
        arrays = [np.arange(size, dtype="uint16")[::-1].copy() for size in sizes]
        for _ in range(2):
            for array, found in zip(arrays, sent(pair, arrays), strict=True):
                np.testing.assert_array_equal(found, array)
    for end in pair:
        end.close()


@shared
def test_what_is_received_stays_while_others_come(ends, monkeypatch, least):
    monkeypatch.setattr(channel, "_SMALLEST_SHARED", least)
    found = [sent(ends, np.full(10_000, number)) for number in range(5)]
    assert [set(array.tolist()) for array in found] == [{number} for number in range(5)]
    for end in ends:
        end.close()
    assert found[3].sum() == 30_000  # memory outlives the channel


def test_shared_memory_is_used_again(ends):
    for number in range(20):
        array = sent(ends, np.full(50_000 + number, number))
        assert array[-1] == number
        del array
        ends[1].send(pack_message("more"))  # it says what is not looked at any more
        ends[0].receive()
    segments = ends[0]._segments
    assert len(segments.free) + len(segments.lent) == 1


def test_a_segment_that_is_too_small_is_replaced(ends):
    for size in (20_000, 200_000, 30_000, 900_000):
        assert sent(ends, np.ones(size)).sum() == size
        gc.collect()
        ends[1].send(pack_message(None))
        ends[0].receive()
    assert len(ends[0]._segments.free) == 1
    assert len(ends[1]._theirs) == 1


def test_arrays_that_lie_in_steps_and_functions_travel_too(ends):
    array = np.arange(90_000).reshape(300, 300)[::2, ::3]
    factor = 3
    function, found = sent(ends, (lambda x: x * factor, array))
    assert function(4) == 12
    np.testing.assert_array_equal(found, array)


def test_the_end_of_the_other_end(ends):
    ends[0].close()
    with pytest.raises(EOFError):
        ends[1].receive()
    with pytest.raises(OSError):
        ends[1].send(Message(b"x" * 100))


def test_hanging_up_wakes_who_waits(ends):
    ends[1].hang_up()
    with pytest.raises(EOFError):
        ends[1].receive()


NO_ROOM = """
import resource, socket, threading
import numpy as np
from rio_mucho_cli.workers.channel import Channel, pack_message

a, b = map(Channel, socket.socketpair())
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
threading.Thread(target=a.send, args=[pack_message(np.full(20_000, 7))]).start()
print(b.receive().load().sum(), len(a._segments.lent))
"""


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no shared memory is used here")
def test_without_room_for_shared_memory_the_socket_serves():
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM], capture_output=True, text=True, check=True
    )
    assert done.stdout == "140000 0\n"


def files():
    return {file.name for file in Path("/dev/fd").iterdir()}


def test_no_files_are_left():
    before = files()
    pair = [Channel(sock) for sock in socket.socketpair()]
    for size in (20_000, 200_000):
        assert sent(pair, np.ones(size)).sum() == size
    for end in pair:
        end.close()
    del pair
    gc.collect()
    assert files() == before


def test_no_files_are_left_of_what_did_not_arrive():
    before = files()
    ours, theirs = socket.socketpair()
    theirs.close()
    end = Channel(ours)
    with pytest.raises(OSError):
        end.send(pack_message(np.ones(20_000)))
    end.close()
    del end
    gc.collect()
    assert files() == before
