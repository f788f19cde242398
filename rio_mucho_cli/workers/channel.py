"""Exchange objects: pickles through a socket, buffers in shared memory.

    send(message) ─▶ head, pickle ──── socket ────▶ receive() ─▶ .load()
                     └ buffers ─▶ segment ═ mapped by both ═▶ ┘

The sender copies a buffer into a segment once, and the receiver's arrays are
views of that segment, which is reused once all views are gone. A socket needs
five times the CPU time: it copies each buffer into and out of the kernel, into
newly allocated memory.

Segments have no names, so they disappear with the last process that uses them,
even if it is killed. Their memory is allocated, not only sized: where it is
short, allocation fails and the buffers go through the socket.
"""

from __future__ import annotations

import mmap
import os
import pickle
import select
import socket
import struct
import tempfile
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cloudpickle

# Smaller buffers stay in the pickle.
_SMALLEST_BUFFER = 4096
# Smaller messages go through the socket.
_SMALLEST_SHARED = 64 * 1024
# Most seconds of one wait: the system counts milliseconds in 32 bits.
_LONGEST_WAIT = 1_000_000
# Alignment of buffers in bytes, as for numpy's own arrays.
_ALIGNMENT = 64

# Bytes of the pickle, number of buffers, number of returned segments, and the
# segment that holds the buffers, or -1. The sizes of the buffers, the numbers of
# the returned segments, the pickle and the buffers without a segment follow.
_HEAD = struct.Struct("<QIIq")

# Map all pages at once: page faults on first access take twice the time.
_MAPPING: dict[str, Any] = (
    {"flags": mmap.MAP_SHARED | mmap.MAP_POPULATE} if hasattr(mmap, "MAP_POPULATE") else {}
)

Buffer: TypeAlias = "memoryview | bytearray"


@dataclass(frozen=True, slots=True)
class Message:
    """Pickled object with its large buffers kept outside the pickle."""

    data: bytes
    buffers: Sequence[Buffer] = ()

    def load(self) -> Any:
        """Return the object; its arrays are views of the buffers."""
        return pickle.loads(self.data, buffers=self.buffers)


def pack_message(value: Any) -> Message:
    """Pickle an object; functions that cannot be imported go by value."""
    buffers: list[memoryview] = []

    def beside(buffer: pickle.PickleBuffer) -> bool:
        """Return whether a buffer stays in the pickle; keep a large one aside."""
        with suppress(BufferError):  # not contiguous
            raw = buffer.raw()
            if raw.nbytes >= _SMALLEST_BUFFER:
                buffers.append(raw)
                return False
        return True

    data = cloudpickle.dumps(value, protocol=5, buffer_callback=beside)
    return Message(data, buffers)


class Channel:
    """One end of a connection, for one sending and one receiving thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._segments = _Segments()
        self._theirs: dict[int, int] = {}  # files of the other end's segments
        self._unused: deque[int] = deque()  # segments to return to the other end

    def send(self, message: Message) -> None:
        """Send an object.

        Raises
        ------
        OSError
            If the other end is closed.
        """
        sizes = [memoryview(buffer).nbytes for buffer in message.buffers]
        back = [self._unused.popleft() for _ in range(len(self._unused))]
        segment = None
        if sum(sizes) >= _SMALLEST_SHARED:
            segment = self._segments.take(sum(map(_aligned, sizes)))
        number = -1 if segment is None else segment.number
        head = _HEAD.pack(len(message.data), len(sizes), len(back), number)
        if segment is not None:
            start = 0
            for buffer, size in zip(message.buffers, sizes, strict=True):
                segment.mapped[start : start + size] = buffer
                start += _aligned(size)
        if segment is not None and segment.file is not None:
            socket.send_fds(self._socket, [head], [segment.file])
            segment.close_file()
        else:
            self._socket.sendall(head)
        numbers = struct.pack(f"<{len(sizes) + len(back)}Q", *sizes, *back)
        self._socket.sendall(numbers + message.data)
        if segment is None:
            for buffer in message.buffers:
                self._socket.sendall(buffer)

    def receive(self) -> Message:
        """Wait for an object and return it.

        Raises
        ------
        EOFError, OSError
            If the other end is closed.
        MemoryError
            If there is not enough memory for its buffers.
        """
        head, files, _, _ = socket.recv_fds(self._socket, _HEAD.size, 1)
        if 0 < len(head) < _HEAD.size:
            head += self._receive(_HEAD.size - len(head))
        if not head:
            raise EOFError
        length, buffers, back, number = _HEAD.unpack(head)
        for file in files:
            os.set_inheritable(file, False)
            if number in self._theirs:
                os.close(self._theirs[number])
            self._theirs[number] = file
        numbers = struct.unpack(f"<{buffers + back}Q", self._receive(8 * (buffers + back)))
        sizes, given_back = numbers[:buffers], numbers[buffers:]
        self._segments.put_back(given_back)
        data = bytes(self._receive(length))
        if number < 0:
            return Message(data, [self._receive(size) for size in sizes])
        return Message(data, self._look_at(number, sizes))

    def wait(self, seconds: float) -> bool:
        """Wait at most this many seconds for an object; return whether one is coming.

        That the other end is closed also ends the wait.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, min(seconds, _LONGEST_WAIT)) * 1000))

    def hang_up(self) -> None:
        """Shut down the connection and wake all threads that wait on it.

        This works even if other processes have inherited a copy of the socket.
        """
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; received objects stay valid."""
        self._socket.close()
        for file in self._theirs.values():
            os.close(file)
        self._theirs.clear()
        self._segments.close_files()

    def _receive(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            count = self._socket.recv_into(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        return data

    def _look_at(self, number: int, sizes: Sequence[int]) -> list[memoryview]:
        """Map a segment; it can be returned once the mapping is deleted."""
        try:
            mapped = mmap.mmap(self._theirs[number], sum(map(_aligned, sizes)), **_MAPPING)
        except OSError as exc:
            raise MemoryError(f"no room for a result of {sum(sizes)} bytes ({exc})") from None
        weakref.finalize(mapped, self._unused.append, number).atexit = False
        whole, start, views = memoryview(mapped), 0, []
        for size in sizes:
            views.append(whole[start : start + size])
            start += _aligned(size)
        return views


@dataclass(slots=True)
class _Segment:
    """Shared memory, with its file open until the other end has received it."""

    number: int
    mapped: mmap.mmap
    file: int | None

    def close_file(self) -> None:
        if self.file is not None:
            os.close(self.file)
            self.file = None


@dataclass(slots=True)
class _Segments:
    """Segments that one end writes to."""

    free: dict[int, _Segment] = field(default_factory=dict)
    lent: dict[int, _Segment] = field(default_factory=dict)

    def take(self, size: int) -> _Segment | None:
        """Return a segment of at least this size, or None if memory is short."""
        fitting = [segment for segment in self.free.values() if len(segment.mapped) >= size]
        segment: _Segment | None
        if fitting:
            segment = min(fitting, key=lambda segment: len(segment.mapped))
        else:
            # A larger segment of the same number replaces one that is too small, at the
            # other end too.
            number = min(self.free, default=len(self.lent))
            segment = _new_segment(number, size + size // 4)  # room for larger blocks
        if segment is not None:
            small = self.free.pop(segment.number, None)
            if small is not None and small is not segment:
                small.mapped.close()
            self.lent[segment.number] = segment
        return segment

    def put_back(self, numbers: Sequence[int]) -> None:
        """Mark segments that the other end has returned as free."""
        for number in numbers:
            self.free[number] = self.lent.pop(number)

    def close_files(self) -> None:
        """Close the files of segments that the other end has not received."""
        for segment in (*self.free.values(), *self.lent.values()):
            segment.close_file()


def _new_segment(number: int, size: int) -> _Segment | None:
    if not hasattr(os, "memfd_create"):
        return None  # a file on disk would not be faster
    try:
        file = unnamed_file(size)
    except OSError:
        return None
    try:
        return _Segment(number, mmap.mmap(file, size), file)
    except OSError:
        os.close(file)
        return None


def unnamed_file(size: int) -> int:
    """Allocate a file without a name, in memory if possible.

    Returns
    -------
    int
        Its file descriptor.

    Raises
    ------
    OSError
        If there is not enough space.
    """
    if not hasattr(os, "memfd_create"):  # only Linux has it
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(bytes(size))
            return os.dup(file.fileno())
    number = os.memfd_create("mucho")
    try:
        os.posix_fallocate(number, 0, size)
    except OSError:
        os.close(number)
        raise
    return number


def write_progress(file: int, progress: int) -> None:
    """Write the progress of a call to a file.

    The main process does so before the call, the worker during the call.
    """
    os.pwrite(file, progress.to_bytes(8, "little", signed=True), 0)


def read_progress(file: int) -> int:
    """Return the progress of a call."""
    return int.from_bytes(os.pread(file, 8, 0), "little", signed=True)


def write_clock(file: int, started: float) -> None:
    """Write when the window in progress began, in monotonic seconds; 0 if there is none."""
    os.pwrite(file, struct.pack("<d", started), 8)


def read_clock(file: int) -> float:
    """Return when the window in progress began, in monotonic seconds, or 0."""
    started: float = struct.unpack("<d", os.pread(file, 8, 8))[0]
    return started


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
